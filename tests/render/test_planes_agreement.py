"""A ball before nothing, as planes: the outline and the depth that rays find, from cameras around its picture's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.geometry import cameras, transforms
from neurend.render import planes
from neurend.scenes import planes as scenes

SIZE, RADIUS, AWAY = 128, 0.5, 3.0


def cast(camera):
    """Depth along rays of the ball, 0 beside it, and where the rays go."""
    rays = cameras.rays(camera, cameras.pixel_centers(SIZE, SIZE))
    origin, direction = np.asarray(rays.origins, np.float64), np.asarray(rays.directions, np.float64)
    a, b = (direction**2).sum(-1), (origin * direction).sum(-1)
    under = b * b - a * ((origin**2).sum(-1) - RADIUS**2)
    depth = np.where(under > 0, (-b - np.sqrt(np.maximum(under, 0))) / a, 0)
    return depth, rays


def camera_at(x, y):
    pose = transforms.look_at(jnp.array([x, y, -AWAY]), jnp.zeros(3), jnp.array([0.0, -1.0, 0.0]))
    return cameras.make(pose, 300.0, size=(SIZE, SIZE))


@pytest.mark.slow
def test_a_ball_as_planes_has_the_outline_and_depth_of_the_ball():
    own = camera_at(0.0, 0.0)
    depth, _ = cast(own)
    depths = jnp.asarray(scenes.depths(AWAY - RADIUS, AWAY, 64))
    alpha = jnp.asarray(depth > 0, jnp.float32)
    made = scenes.from_depth(jnp.ones((SIZE, SIZE, 1)), jnp.asarray(depth, jnp.float32), depths, own, alpha=alpha)
    draw = jax.jit(lambda rays: planes.render(made.rgba, made.depths, own, rays))
    # Farther away, what the picture did not show of the ball is missing.
    for k in range(10):
        angle = 2 * np.pi * k / 10
        truth, rays = cast(camera_at(0.15 * np.cos(angle), 0.15 * np.sin(angle)))
        found = draw(rays)
        there, shown = truth > 0, np.asarray(found.alpha) > 0.5
        assert (there & shown).sum() / (there | shown).sum() > 0.98
        both = there & shown
        assert np.median(np.abs(np.asarray(found.depth)[both] - truth[both]) / truth[both]) < 0.01
