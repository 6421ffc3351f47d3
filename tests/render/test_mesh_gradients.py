"""Gradients through the whole way from a camera and a textured mesh to a picture."""

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neurend.geometry import cameras, clip, rotations, transforms, triangles
from neurend.render import antialias, rasterize, texture
from neurend.scenes import primitives

WIDTH, HEIGHT = 20, 16
MESH = primitives.torus(1.0, 0.35, 9, 7)
TOPOLOGY = triangles.topology(MESH.faces)


def _parameters(seed=0):
    rng = np.random.default_rng(seed)
    eye = np.array([0.4, -2.2, 1.3]) + rng.normal(size=3) * 0.1
    return {
        'vertices': jnp.asarray(MESH.vertices + rng.normal(size=MESH.vertices.shape) * 0.01),
        'texture': jnp.asarray(rng.uniform(size=(8, 8, 2))),
        'turn': jnp.asarray(rng.normal(size=3) * 0.02),
        'eye': jnp.asarray(eye),
        'focal': jnp.asarray([18.0, 17.0]),
        'center': jnp.asarray([WIDTH / 2 + 0.3, HEIGHT / 2 - 0.2]),
    }


def _project(parameters):
    pose = transforms.look_at(jnp.array([0.4, -2.2, 1.3]), jnp.zeros(3), jnp.array([0.0, 0.0, 1.0]))
    turned = jnp.matmul(pose[:3, :3], rotations.exp(parameters['turn']), precision='highest')
    pose = transforms.from_rt(turned, parameters['eye'])
    camera = cameras.make(pose, parameters['focal'], size=(WIDTH, HEIGHT), center=parameters['center'])
    return clip.from_camera(camera, parameters['vertices'])


def _colors(parameters, found):
    uv = texture.interpolate(jnp.asarray(MESH.uvs), MESH.uv_faces, found)
    return texture.bilinear(parameters['texture'], uv)


@pytest.mark.slow
def test_all_gradients_agree_with_differences_away_from_edges():
    with jax.enable_x64(True):
        parameters = _parameters()
        vertices = _project(parameters)
        found = jax.jit(lambda v: rasterize.rasterize(v, MESH.faces, width=WIDTH, height=HEIGHT))(vertices)
        inside = (found.barycentrics.min(-1) > 0.02)[..., None]
        assert inside.sum() > 60
        weights = np.random.default_rng(1).normal(size=(HEIGHT, WIDTH, 2))

        @jax.jit
        def loss(parameters):
            vertices = _project(parameters)
            corner = jnp.zeros(2, jnp.int32)
            places, derivatives = rasterize.barycentrics(vertices, MESH.faces, found.face, corner)
            here = found.replace(barycentrics=places, derivatives=derivatives)
            return jnp.sum(jnp.where(inside, _colors(parameters, here) * weights, 0))

        jax.test_util.check_grads(loss, (parameters,), order=1, modes=('fwd', 'rev'), eps=1e-6, rtol=1e-5)
        # Each kind of parameter has a part in it.
        assert all(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(jax.grad(loss)(parameters)))


def _picture(parameters):
    """Textured, before a background, with edges that move."""
    vertices = _project(parameters)
    found = rasterize.rasterize(vertices, MESH.faces, width=WIDTH, height=HEIGHT)
    colors = jnp.where((found.face >= 0)[..., None], _colors(parameters, found), 0.2)
    return antialias.antialias(colors, found, vertices, TOPOLOGY)


def _loss(parameters):
    return jnp.mean(_picture(parameters) ** 2)


def _many(count):
    scenes = [jax.tree.map(jnp.float32, _parameters(seed)) for seed in range(count)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *scenes)


GRADIENT = jax.jit(jax.value_and_grad(_loss))


@pytest.mark.slow
def test_forward_mode_agrees_with_reverse_mode():
    parameters = jax.tree.map(jnp.float32, _parameters())
    toward = jax.tree.map(lambda x: jnp.asarray(np.random.default_rng(2).normal(size=x.shape), x.dtype), parameters)
    forward = jax.jit(lambda p, t: jax.jvp(_loss, (p,), (t,))[1])(parameters, toward)
    grads = GRADIENT(parameters)[1]
    reverse = sum(jnp.sum(a * b) for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(toward)))
    np.testing.assert_allclose(forward, reverse, rtol=1e-4)
    assert abs(float(forward)) > 1e-3


@pytest.mark.slow
def test_meshes_and_cameras_under_vmap_and_on_four_devices_are_those_alone():
    many = _many(4)
    mapped = jax.vmap(jax.value_and_grad(_loss))
    devices = jax.make_mesh((4,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec('data')
    spread = jax.device_put(many, jax.sharding.NamedSharding(devices, spec))
    together = jax.jit(mapped)(many)
    sharded = jax.jit(jax.shard_map(mapped, mesh=devices, in_specs=spec, out_specs=spec, check_vma=False))(spread)
    for k in range(4):
        alone = GRADIENT(jax.tree.map(lambda leaf, k=k: leaf[k], many))
        for got in (together, sharded):
            for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(alone)):
                np.testing.assert_allclose(a[k], b, rtol=1e-4, atol=1e-6)
