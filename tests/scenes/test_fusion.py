import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, paths
from neurend.images.color import srgb_from_linear
from neurend.render import march
from neurend.scenes import distances, fusion

LOW, HIGH = (-1.2, -1.2, -0.8), (1.2, 1.2, 0.8)
RING = distances.torus(0.7, 0.3)


def views(count=24, size=48):
    poses = paths.sphere(count, radius=3.0)
    camera = cameras.make(poses, 1.1 * size, size=(size, size))
    draw = jax.jit(
        lambda one: march.render(
            RING,
            lambda points, normals, viewdirs: 0.5 + 0.4 * normals,
            cameras.rays(one, cameras.pixel_centers(size, size)),
            near=1.0,
            far=5.0,
        )
    )
    for k in range(count):
        drawn = draw(camera[k])
        yield fusion.View(camera[k], drawn.depth, drawn.rgb, drawn.extras['hit'])


@pytest.fixture(scope='module')
def fused():
    return fusion.fuse(views(), LOW, HIGH, cells=40)


def corners():
    axes = [np.linspace(a, b, 41, dtype=np.float32) for a, b in zip(LOW, HIGH)]
    return jnp.asarray(np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1))


def test_signs_and_distances_are_those_of_the_surface(fused):
    truth = np.asarray(RING(corners()))
    sure = np.abs(truth) > 0.05
    assert (np.sign(fused.values) == np.sign(truth))[sure].mean() > 0.998
    near = np.abs(truth) < 0.05
    # Pictures measure along their axes, which is more than the distance.
    assert 0.8 < (fused.values[near] * truth[near]).sum() / (truth[near] ** 2).sum() < 3
    assert np.abs(fused.values).max() <= 3 * 0.06 + 1e-6


def test_an_outline_that_is_wrong_once_does_not_cut_the_ring(fused):
    wrong = [view._replace(solid=jnp.zeros((48, 48), bool)) if k == 7 else view for k, view in enumerate(views())]
    cut, whole = (fusion.fuse(wrong, LOW, HIGH, cells=40, least=least).values for least in (0.0, 0.05))
    deep = np.asarray(RING(corners())) < -0.2
    assert (cut[deep] > 0).mean() > 0.2 and (whole[deep] < 0).all()


def test_the_mesh_lies_on_the_surface_and_is_painted(fused):
    pytest.importorskip('skimage')
    mesh = fusion.mesh(fused, LOW, HIGH)
    away = np.abs(np.asarray(RING(jnp.asarray(mesh.vertices))))
    assert away.mean() < 0.012 and np.percentile(away, 99) < 0.05
    normals = np.asarray(march.normals(RING, jnp.asarray(mesh.vertices)))
    painted = np.asarray(srgb_from_linear(jnp.asarray(mesh.colors)))
    assert np.abs(painted - (0.5 + 0.4 * normals)).mean() < 0.05


def test_what_no_view_shows_is_inside_if_hidden_and_outside_if_not():
    view = next(views(1))
    wall = view._replace(depth=jnp.full((48, 48), 3.0), solid=jnp.ones((48, 48), bool))
    fused = fusion.fuse([wall], LOW, HIGH, cells=8, truncation=0.1)
    pixels, depth = cameras.project(view.camera, corners()[::5, ::5, ::5])
    within = ((pixels >= 0) & (pixels < 48)).all(-1)
    np.testing.assert_allclose(fused.values[within & (depth > 3.11)], -0.1)
    np.testing.assert_allclose(fused.values[within & (depth < 2.89)], 0.1)
    np.testing.assert_allclose(fused.values[~within], 0.1)
    empty = wall._replace(solid=jnp.zeros((48, 48), bool))
    np.testing.assert_allclose(fusion.fuse([empty], LOW, HIGH, cells=8, truncation=0.1).values, 0.1)


def test_bad_input():
    with pytest.raises(InputError, match='views: got none'):
        fusion.fuse([], LOW, HIGH, cells=4)
    with pytest.raises(InputError, match='cells'):
        fusion.fuse([], HIGH, LOW, cells=4)
    with pytest.raises(InputError, match='truncation'):
        fusion.fuse([], LOW, HIGH, cells=4, truncation=0.0)
