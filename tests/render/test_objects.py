"""Objects drawn apart and put together: against loops in double precision, and against drawing them at once."""

import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, clip, transforms, triangles
from neurend.render import antialias, objects, rasterize, texture
from neurend.render.rendering import Rendering
from neurend.scenes import meshes, primitives

SIZE = 32


def random_layers(count=3, size=5):
    rng = np.random.default_rng(0)
    alpha = rng.uniform(size=(count, size, size)).astype(np.float32) * (rng.uniform(size=(count, size, size)) > 0.3)
    rgb = rng.uniform(size=(count, size, size, 3)).astype(np.float32) * alpha[..., None]
    depth = rng.uniform(1, 2, (count, size, size)).astype(np.float32) * (alpha > 0)
    return rgb, alpha, depth


def test_each_pixel_is_composited_by_depth():
    rgb, alpha, depth = random_layers()
    behind = np.random.default_rng(1).uniform(size=(5, 5, 3)).astype(np.float32)
    found = objects.together([Rendering(*map(jnp.asarray, each)) for each in zip(rgb, alpha, depth)], behind, reach=0)
    for y in range(5):
        for x in range(5):
            color, through, away = np.zeros(3), 1.0, 0.0
            for k in sorted(range(3), key=lambda k: depth[k, y, x] or np.inf):
                color += through * rgb[k, y, x]
                away += through * alpha[k, y, x] * depth[k, y, x]
                through *= 1.0 - alpha[k, y, x]
            np.testing.assert_allclose(found.rgb[y, x], color + through * behind[y, x], atol=1e-6)
            np.testing.assert_allclose(found.alpha[y, x], 1 - through, atol=1e-6)
            np.testing.assert_allclose(found.depth[y, x] * found.alpha[y, x], away, atol=1e-5)


def test_the_order_in_which_objects_are_named_does_not_matter():
    layers = [Rendering(*map(jnp.asarray, each)) for each in zip(*random_layers())]
    first, second = (objects.together(order, jnp.ones(3)) for order in (layers, layers[::-1]))
    np.testing.assert_allclose(first.rgb, second.rgb, atol=1e-6)


def test_edges_without_depth_belong_to_what_is_beside_them():
    alpha, depth = np.zeros((2, 1, 8), np.float32), np.zeros((2, 1, 8), np.float32)
    depth[0, 0, :3], alpha[0, 0, :5] = 1.0, 0.5
    depth[1], alpha[1] = 2.0, 1.0
    rgb = np.stack([alpha[0, ..., None] * [[[1.0, 0, 0]]], np.broadcast_to([[[0, 1.0, 0]]], (1, 8, 3))])
    layers = [Rendering(*map(jnp.asarray, each)) for each in zip(rgb.astype(np.float32), alpha, depth)]
    shown = [np.asarray(objects.together(layers, jnp.zeros(3), reach=reach).rgb)[0, :, 0] for reach in (0, 1, 2)]
    np.testing.assert_allclose(shown, [[0.5] * n + [0] * (8 - n) for n in (3, 4, 5)], atol=1e-6)


def draw(mesh, colors, camera):
    """A mesh in plain colours of its vertices, antialiased, on black."""
    projected = clip.from_camera(camera, mesh.vertices)
    found = rasterize.rasterize(projected, mesh.faces, width=SIZE, height=SIZE)
    seen = (found.face >= 0)[..., None].astype(jnp.float32)
    planes = jnp.concatenate([texture.interpolate(colors, mesh.faces, found), seen], axis=-1)
    planes = antialias.antialias(planes, found, projected, triangles.topology(np.asarray(mesh.faces)))
    depth = texture.interpolate(projected[:, 3:], mesh.faces, found)[..., 0]
    return Rendering(planes[..., :3], planes[..., 3], depth), np.asarray(found.face)


@pytest.mark.slow
def test_two_linked_rings_are_drawn_as_if_they_were_one_mesh():
    ring = primitives.torus(radius=1.0, tube=0.25, around=24, across=12)
    turn = transforms.se3_exp(jnp.array([1.0, 0.1, 0.0, 1.4, 0.1, 0.0]))
    other = meshes.Mesh(np.asarray(transforms.apply(turn, jnp.asarray(ring.vertices))), ring.faces)
    camera = cameras.make(
        transforms.look_at(jnp.array([1.0, -2.0, 4.0]), jnp.array([0.5, 0.0, 0.0]), jnp.array([0.0, 1.0, 0.0])),
        36.0,
        size=(SIZE, SIZE),
    )
    colors = [jnp.tile(jnp.array([color]), (len(ring.vertices), 1)) for color in ([1.0, 0.2, 0.1], [0.1, 0.3, 1.0])]
    apart = [draw(mesh, each, camera)[0] for mesh, each in zip((ring, other), colors)]
    found = objects.together(apart, jnp.zeros(3))
    expected, face = draw(meshes.join([ring, other]), jnp.concatenate(colors), camera)
    first = (face >= 0) & (face < len(ring.faces))
    assert 0.05 < first.mean() < 0.6 and 0.05 < (face >= len(ring.faces)).mean() < 0.6
    # Each hides the other somewhere.
    both = (np.asarray(apart[0].depth) > 0) & (np.asarray(apart[1].depth) > 0)
    assert (both & first).any() and (both & ~first).any()
    owner = np.where(face < 0, 0, np.where(first, 1, 2))
    neighbours = np.pad(owner, 1, mode='edge')
    shifted = [neighbours[1 + y : 1 + y + SIZE, 1 + x : 1 + x + SIZE] for y in (-1, 0, 1) for x in (-1, 0, 1)]
    inner = np.all([each == owner for each in shifted], axis=0)
    difference = np.abs(np.asarray(found.rgb) - np.asarray(expected.rgb)).max(-1)
    assert difference[inner].max() < 1e-5
    # Edges differ only where outlines meet within a pixel.
    assert difference[~inner].mean() < 0.05 and difference.mean() < 0.02


def test_bad_input():
    with pytest.raises(InputError, match='renderings: got none'):
        objects.together([], jnp.zeros(3))
    small, large = (Rendering(jnp.zeros((n, n, 3)), jnp.zeros((n, n)), jnp.zeros((n, n))) for n in (2, 3))
    with pytest.raises(InputError, match=r'renderings\[1\].rgb'):
        objects.together([small, large], jnp.zeros(3))
