"""Functions at pixels, tile by tile, against sums over all pixels in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.geometry import triangles
from neurend.render import antialias, rasterize, texture
from neurend.render.rasterize import Fragments


def _fragments(height, width, seed=0):
    """Pixels that show anything, some of them nothing."""
    rng = np.random.default_rng(seed)
    faces = rng.integers(0, 40, (30, 3)).astype(np.int32)
    face = rng.integers(-1, 30, (height, width)).astype(np.int32)
    face[: height // 2, : width // 3] = -1
    weights = rng.uniform(size=(height, width, 3)).astype(np.float32)
    depth = jnp.zeros((height, width))
    return faces, Fragments(face, jnp.asarray(weights), jnp.zeros((height, width, 3, 2)), depth)


# One tile, parts of tiles in both directions, and more tiles than are taken at a time.
@pytest.mark.parametrize('size', [(16, 20), (45, 70), (160, 170)])
def test_attributes_and_both_derivatives_are_sums_over_pixels(size):
    faces, found = _fragments(*size)
    rng = np.random.default_rng(1)
    values, change = (rng.normal(size=(40, 2)).astype(np.float32) for _ in range(2))
    cotangent = rng.normal(size=(*size, 2)).astype(np.float32)
    shown = (found.face >= 0)[..., None]
    corners = faces[np.maximum(found.face, 0)]
    weights = np.where(shown, np.asarray(found.barycentrics, np.float64), 0)

    # What is shown is part of the program here, as it is where a mesh and its camera stay.
    def drawn(values, weights):
        return texture.interpolate(values, faces, found.replace(barycentrics=weights))

    @jax.jit
    def everything(values, change, cotangent):
        image, pull = jax.vjp(drawn, values, found.barycentrics)
        return image, jax.jvp(lambda v: drawn(v, found.barycentrics), (values,), (change,))[1], pull(cotangent)

    image, along, (by_values, by_weights) = everything(values, change, cotangent)
    np.testing.assert_allclose(image, np.einsum('hwk,hwkc->hwc', weights, values[corners]), atol=1e-5)
    np.testing.assert_allclose(along, np.einsum('hwk,hwkc->hwc', weights, change[corners]), atol=1e-5)
    sums = np.zeros((40, 2))
    np.add.at(sums, corners, weights[..., None] * cotangent[:, :, None])
    np.testing.assert_allclose(by_values, sums, rtol=1e-4, atol=1e-3)
    dots = np.einsum('hwc,hwkc->hwk', np.where(shown, cotangent, 0), values[corners])
    np.testing.assert_allclose(by_weights, dots, atol=1e-5)


def test_second_derivatives_in_reverse_mode():
    faces, found = _fragments(40, 35)
    values = jnp.asarray(np.random.default_rng(2).normal(size=(40, 2)))

    def total(values):
        return jnp.sum(texture.interpolate(values, faces, found) ** 3)

    twice = jax.grad(lambda values: jnp.sum(jnp.sin(jax.grad(total)(values))))(values)
    forward = jax.jvp(jax.grad(total), (values,), (jnp.cos(jax.grad(total)(values)),))[1]
    np.testing.assert_allclose(twice, forward, rtol=2e-3, atol=1e-2)


@pytest.mark.slow
def test_a_window_of_a_picture_is_antialiased_as_the_whole():
    # Edges far outside of the window, through it, and through the camera's plane.
    rng = np.random.default_rng(3)
    vertices = np.repeat(rng.uniform(0, 90, (12, 2)), 3, axis=0) + rng.normal(size=(36, 2)) * 30
    vertices[:6] *= 10
    w = np.repeat(rng.uniform(0.5, 2, 12), 3)
    w[[6, 13]] = -0.5
    vertices = jnp.asarray(np.stack([vertices[:, 0] * w, vertices[:, 1] * w, -np.ones(36), w], axis=-1), jnp.float32)
    faces = np.arange(36, dtype=np.int32).reshape(12, 3)
    topology = triangles.topology(faces)
    colors = rng.uniform(size=(80, 96, 3)).astype(np.float32)

    def drawn(corner, width, height):
        found = rasterize.rasterize(vertices, faces, width=width, height=height, corner=corner)
        shown = colors[corner[1] :][:height, corner[0] :][:, :width]
        return np.asarray(antialias.antialias(shown, found, vertices, topology, corner=corner))

    whole, window = drawn((0, 0), 96, 80), drawn((30, 20), 40, 32)
    assert (whole != colors).any(-1).sum() > 100
    # Pixels at the window's border have neighbours that it does not hold.
    np.testing.assert_allclose(window[1:-1, 1:-1], whole[21:51, 31:69], atol=2e-4)
