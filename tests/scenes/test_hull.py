import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neurend import checks
from neurend.geometry import cameras as cameras_lib
from neurend.geometry import transforms
from neurend.geometry.rays import Rays
from neurend.models.nerf.hash import HashConfig, hash_grid
from neurend.scenes import hull
from neurend.train import step

RADIUS, COUNT, SIZE = 0.4, 24, 64


def cameras():
    rng = np.random.default_rng(0)
    eyes = rng.normal(size=(COUNT, 3))
    eyes = 3 * eyes / np.linalg.norm(eyes, axis=-1, keepdims=True)
    poses = jnp.stack([transforms.look_at(eye, np.zeros(3), np.array([0, 0, 1.0])) for eye in eyes])
    return cameras_lib.make(poses, 96.0, size=np.full((COUNT, 2), SIZE))


@pytest.fixture(scope='module')
def carved():
    rays = cameras_lib.rays(cameras()[:, None, None], cameras_lib.pixel_centers(SIZE, SIZE))
    toward = -np.sum(np.asarray(rays.origins * rays.viewdirs), -1)
    discs = list(np.sum(np.asarray(rays.origins) ** 2, -1) - toward**2 < RADIUS**2)
    return hull.carve(cameras(), discs, radius=1.0, cells=64, nearest=2.0)


def test_contains_a_sphere_and_little_more(carved):
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(4000, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    inside = directions * RADIUS * rng.random((4000, 1)) ** (1 / 3)
    assert bool(carved.contains(jnp.asarray(inside, jnp.float32)).all())
    # A cell stays if its bounding sphere, half as large again, and a pixel reach the silhouette: 0.1 beyond it.
    beyond = directions * (RADIUS + 0.25)
    assert float(carved.contains(jnp.asarray(beyond, jnp.float32)).mean()) < 0.05
    assert not bool(carved.contains(jnp.array([[1.5, 0, 0], [0, -1.01, 0]])).any())


@pytest.mark.slow
def test_nothing_is_rendered_outside_of_it(carved):
    config = HashConfig(
        proposals=(16,), proposal_resolutions=(16,), samples=8, levels=2, finest=32, log2_rows=10, contract=False
    )
    stepper = step.stepper(optax.adam(1e-2))
    origins = jnp.array([[3.0, 0, 0], [3.0, 0.8, 0], [3.0, 0, -0.8]])
    toward = jnp.broadcast_to(jnp.array([-1.0, 0, 0]), (3, 3))
    rays = Rays(origins, toward, toward, jnp.ones((3, 1)), jnp.zeros(3, jnp.int32))
    alphas = []
    for outline in (None, carved):
        method = hash_grid(config, near=1.0, far=5.0, stepper=stepper, hull=outline)
        alphas.append(method.render(method.init(jax.random.key(0)), rays).alpha)
    assert float(alphas[0].min()) > 0
    assert float(alphas[1][0]) > 0
    np.testing.assert_array_equal(alphas[1][1:], 0)


def test_says_that_nothing_is_left():
    empty = [np.zeros((SIZE, SIZE), bool)] * COUNT
    with pytest.raises(checks.InputError, match='hull: nothing within 1'):
        hull.carve(cameras(), empty, radius=1.0, cells=16, nearest=2.0)
