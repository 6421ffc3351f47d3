import dataclasses

import numpy as np
import pytest

from benchmarks import spot_views


@pytest.fixture(scope='module')
def spot(data_root):
    views, mesh = spot_views.load(data_root)
    return views, mesh, spot_views.renderer(mesh, 256, 256)


def test_silhouettes_are_those_of_path_traced_pictures(spot):
    views, _, draw = spot
    assert len(views) == 32
    for k in range(len(views)):
        camera, alpha = views.camera(k), views.images[k][..., 3] / 255
        covered, coverage, _ = draw(camera)
        assert spot_views.iou(coverage, alpha) > 0.998, views.names[k]
        assert spot_views.iou(covered, alpha >= 0.5) > 0.998, views.names[k]
        # Half a pixel aside would be seen.
        aside = dataclasses.replace(camera, center=camera.center + np.float32([0.5, 0]))
        assert spot_views.iou(draw(aside)[1], alpha) < 0.992


def test_depth_is_where_rays_meet_the_mesh(spot):
    pytest.importorskip('trimesh', reason='install the extra `mesh`')
    views, mesh, draw = spot
    tracer = spot_views.Tracer(mesh)
    size = np.linalg.norm(np.ptp(mesh.vertices, axis=0))
    for k in (0, 9, 18, 27):
        differences, ours, theirs = spot_views.compare_depth(draw, tracer, views.camera(k), 6)
        assert len(differences) > 300
        assert differences.max() < 1e-5 * size
        # Corners are snapped to 1/256 pixel, so that a centre that near to an outline may fall on either side.
        assert ours + theirs <= 1
