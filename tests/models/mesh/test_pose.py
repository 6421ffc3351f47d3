"""The pose of a known mesh in one picture. Boxes and cows are found by their silhouettes in tests of experiments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, rotations, transforms
from neurend.models.mesh import pose
from neurend.scenes import primitives

SIZE = (48, 48)
EYE = transforms.look_at(jnp.array([1.4, -1.9, 1.2]), jnp.zeros(3), jnp.array([0.0, 0.0, 1.0]))
CAMERA = cameras.make(EYE, 55.0, size=SIZE)
TRUTH = transforms.from_rt(rotations.exp(jnp.array([0.1, -0.2, 0.3])), jnp.array([0.05, 0.0, -0.1]))


def _found(draw, center, **options):
    @jax.jit
    def find(start):
        return pose.find(draw, draw(TRUTH), start, center=center, **options)

    for seed in range(4):
        start = pose.perturbed(jax.random.key(seed), TRUTH, center=center, degrees=20.0, distance=0.1)
        np.testing.assert_allclose(pose.errors(start, TRUTH, center), [20, 0.1], rtol=1e-3)
        found = find(start)
        yield found, np.array(pose.errors(found.world_from_mesh, TRUTH, center))
        assert np.isfinite(found.path).all()


@pytest.mark.slow
def test_a_ring_is_found_by_its_texture_where_the_outline_tells_nothing():
    colors = jax.image.resize(jax.random.uniform(jax.random.key(1), (4, 8, 3)), (32, 64, 3), 'cubic').clip(0, 1)
    draw = pose.drawn(primitives.torus(0.7, 0.3, 32, 16), CAMERA, SIZE, texture_map=colors)
    center = jnp.zeros(3)
    for found, (degrees, distance) in _found(draw, center, blurs=(6.0, 3.0, 1.0), steps=8):
        assert degrees < 0.05 and distance < 1e-3
        turns = pose.errors(found.path, TRUTH, center)[0]
        assert turns.shape == (24,) and turns[0] > 1
        np.testing.assert_array_equal(found.path[-1], found.world_from_mesh)


def test_errors_are_angles_and_distances():
    center = jnp.array([1.0, 2.0, 3.0])
    turn = transforms.from_rt(rotations.exp(jnp.array([0.0, 0.5, 0.0])), jnp.zeros(3))
    about = transforms.compose(transforms.from_rt(jnp.eye(3), center), turn, transforms.from_rt(jnp.eye(3), -center))
    degrees, distance = pose.errors(transforms.compose(TRUTH, about), TRUTH, center)
    np.testing.assert_allclose(degrees, np.degrees(0.5), rtol=1e-5)
    np.testing.assert_allclose(distance, 0, atol=1e-5)


def test_bad_input():
    box = primitives.box()
    with pytest.raises(InputError, match=r'mesh\.uvs: got none'):
        pose.drawn(box, CAMERA, SIZE, texture_map=jnp.ones((2, 2, 3)))
    draw = pose.drawn(box, CAMERA, SIZE)
    with pytest.raises(InputError, match='blurs: got'):
        pose.find(draw, jnp.zeros((48, 48, 1)), jnp.eye(4), blurs=(2.0, 0.0))
    with pytest.raises(InputError, match='world_from_mesh: got shape'):
        pose.find(draw, jnp.zeros((48, 48, 1)), jnp.zeros((2, 4, 4)))
