"""A head, gas, sparks and hills in one picture: the order of depths, an oracle, and gradients to all of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import compose
from experiments.toy_head import toy_head
from neurend.geometry import cameras, transforms
from neurend.geometry import rays as ray_geometry
from neurend.models.neural_texture.deferred import Shot
from neurend.render import planes
from tests.oracles import layers as oracle

SIZE = 40
CONFIG = compose.Config(size=SIZE)


@pytest.fixture(scope='module')
def actor():
    head = toy_head(frames=2, size=SIZE)
    method = compose.neural_head.build(compose.settings(CONFIG), head)
    return compose.Actor(head, method, method.init(jax.random.key(0)))


@pytest.fixture(scope='module')
def scene(actor):
    return compose.build(actor, cells=16, sparks=40, side=32)


@pytest.fixture(scope='module')
def draw(actor):
    """The picture of a scene, and what a number made of it has for gradients, by one program."""
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(SIZE, SIZE, 3)), jnp.float32)

    def total(learned, sparks, hills):
        made = compose.Scene(
            learned['head'],
            learned['ring'],
            dataclasses.replace(sparks, **learned['sparks']),
            dataclasses.replace(hills, **learned['hills']),
        )
        camera = compose.camera_at(8.0, SIZE)
        pose = camera.world_from_camera @ transforms.se3_exp(learned['camera'])
        moved = learned['expression'], learned['place'] @ transforms.se3_exp(learned['pose'])
        drawn = compose.picture(actor, made, dataclasses.replace(camera, world_from_camera=pose), moved, size=SIZE)
        return jnp.sum(weights * drawn.rgb) + 0.01 * jnp.sum(drawn.depth), drawn

    @jax.jit
    def draw(scene, deformation):
        # Sparks are balls, which look the same however they are turned.
        sparks, hills = scene.sparks, scene.hills
        learned = {
            'head': scene.head,
            'expression': deformation[0],
            'place': deformation[1],
            'pose': jnp.zeros(6),
            'ring': scene.ring,
            'sparks': {name: getattr(sparks, name) for name in ('means', 'log_scales', 'logits', 'harmonics')},
            'hills': {'rgba': hills.rgba, 'depths': hills.depths},
            'camera': jnp.zeros(6),
        }
        (_, drawn), slopes = jax.value_and_grad(total, has_aux=True)(learned, sparks, hills)
        return drawn, slopes

    return draw


@pytest.mark.slow
def test_each_pixel_has_its_own_order(actor, scene, draw):
    deformation, camera = compose.frame(actor.head, 1), compose.camera_at(8.0, SIZE)
    found = draw(scene, deformation)[0]
    apart = {name: draw(*given)[0] for name, given in compose.alone(scene, deformation).items()}
    check_order(found, apart)
    check_oracle(actor, scene, camera, deformation, found, apart)


def check_order(found, apart):
    head, ring = (np.asarray(apart[name].depth) for name in ('head', 'ring'))
    solid, gas = np.asarray(apart['head'].alpha) > 0.999, np.asarray(apart['ring'].alpha)
    drawn = np.asarray(found.rgb)
    shares = np.asarray(found.extras['layers'])
    in_ring = np.asarray(found.weights).sum(-1)
    before, behind = (solid & (gas > 0.2) & where for where in (ring < head - 2, ring > head + 2))
    beside = ~solid & (np.asarray(apart['head'].alpha) < 0.001) & (gas > 0.2)
    assert min(before.sum(), behind.sum(), beside.sum()) >= 5
    # Behind the head the ring is not to be seen; before it it is as bright as alone.
    assert in_ring[behind].max() < 1e-4
    sparks = shares[0]
    clear = before & (sparks < 1e-3)
    np.testing.assert_allclose(in_ring[clear], gas[clear], rtol=0.02)
    np.testing.assert_allclose(found.depth[behind & (sparks < 1e-3)], head[behind & (sparks < 1e-3)], rtol=1e-3)
    # Nothing behind it shines through the head; beside it hills do, through the ring.
    assert shares[2:, solid].max() < 1e-4
    np.testing.assert_allclose(shares[1:].sum(0)[solid] + sparks[solid] + in_ring[solid], 1, atol=1e-4)
    assert shares[3:, beside].sum(0).max() > 0.1
    # Some sparks are before the head, and some are hidden by it.
    alone = np.asarray(apart['sparks'].alpha)
    assert (sparks[solid] > 0.3).any() and ((alone > 0.3) & solid & (sparks < 0.01)).any()
    assert np.all(np.isfinite(drawn))


def check_oracle(actor, scene, camera, deformation, found, apart):
    """Some pixels, event after event in float64, from parts that were drawn apart."""
    rays = cameras.rays(camera, cameras.pixel_centers(SIZE, SIZE))
    head = jax.jit(actor.method.render)(actor.state, Shot(camera, jnp.zeros(3), deformation))
    hills = jax.jit(planes.layers)(scene.hills.rgba, scene.hills.depths, scene.hills.camera, rays)
    edges = np.asarray(found.edges, np.float64)
    middles = jnp.asarray(0.5 * (edges[..., 1:] + edges[..., :-1]), jnp.float32)
    points = ray_geometry.at(rays, middles)
    density, colors = jax.jit(lambda ring: compose.gas(ring)(points, points))(scene.ring)
    head, hills = jax.device_get((head, hills))
    sparks = np.asarray(apart['sparks'].alpha)
    # Where no sparks are the layers are the head and the hills.
    chosen = np.argwhere((sparks < 1e-6) & ((head.depth > 0) | (head.alpha == 0)))[::7]
    assert len(chosen) > 50
    for y, x in chosen:
        pile = [(head.rgb[y, x], float(head.alpha[y, x]), float(head.depth[y, x]))]
        pile += [
            (rgb[y, x], float(alpha[y, x]), float(t[y, x])) for rgb, alpha, t in zip(hills.rgb, hills.alpha, hills.t)
        ]
        pile = [(np.asarray(rgb), alpha, t) for rgb, alpha, t in pile if alpha > 0]
        length = float(jnp.linalg.norm(rays.directions[y, x]))
        medium = (np.asarray(part[y, x], np.float64) for part in (density, colors))
        rgb, alpha, depth, *_ = oracle.march(pile, *medium, edges[y, x], length, np.zeros(3))
        np.testing.assert_allclose(found.rgb[y, x], rgb, atol=2e-4)
        np.testing.assert_allclose(found.alpha[y, x], alpha, atol=2e-4)
        np.testing.assert_allclose(found.depth[y, x], depth, rtol=1e-3)


@pytest.mark.slow
def test_a_gradient_reaches_every_part(actor, scene, draw):
    for path, leaf in jax.tree_util.tree_leaves_with_path(draw(scene, compose.frame(actor.head, 1))[1]):
        assert np.all(np.isfinite(leaf)), path
        assert np.abs(leaf).max() > 0, path
