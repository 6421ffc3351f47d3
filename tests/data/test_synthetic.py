"""The procedural scene: exact depth, sound antialiasing, a folder that appears whole or not at all."""

import json

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import posed, procedural, scenes, synthetic
from tests.oracles import quartic


def first_hit(origin, direction):
    distances = []
    for solid in procedural.SOLIDS:
        if isinstance(solid, procedural.Torus):
            distances.append(quartic.torus(origin, direction, solid.center, solid.major, solid.minor))
        else:
            distances.append(quartic.ellipsoid(origin, direction, solid.center, solid.radii, solid.pitch))
    return min(distances), int(np.argmin(distances)) if min(distances) < np.inf else -1


def test_first_hits_are_the_least_roots():
    rng = np.random.default_rng(0)
    origins = rng.normal(size=(150, 3))
    origins = 4 * origins / np.linalg.norm(origins, axis=-1, keepdims=True)
    directions = (rng.uniform(-1, 1, (150, 3)) - origins) * rng.uniform(0.2, 2, (150, 1))
    hits = procedural.trace(origins, directions)
    expected = [first_hit(o, d) for o, d in zip(origins, directions)]
    # Rays that graze a surface are the business of rounding errors, for the roots more than for the tracer.
    agree = np.array([s == e[1] for s, e in zip(hits.solid, expected)])
    assert agree.mean() > 0.98
    assert {e[1] for e in expected} >= {-1, 0, 10}
    np.testing.assert_allclose(hits.t[agree], np.array([e[0] for e in expected])[agree], rtol=1e-7)
    assert ((hits.rgb >= 0) & (hits.rgb <= 1)).all()


def test_normals_are_gradients():
    rng = np.random.default_rng(1)
    for solid in procedural.SOLIDS:
        points = np.asarray(solid.center) + rng.normal(size=(50, 3)) * 0.1
        if isinstance(solid, procedural.Torus):
            points = points + [solid.major, 0, 0]

            def level(p, solid=solid):
                return np.hypot(np.hypot(*solid.points(p)[:, :2].T) - solid.major, solid.points(p)[:, 2])
        else:

            def level(p, solid=solid):
                return 0.5 * (solid.points(p) ** 2).sum(-1)

        steps = 1e-6 * np.eye(3)
        numeric = np.stack([(level(points + s) - level(points - s)) / 2e-6 for s in steps], axis=-1)
        np.testing.assert_allclose(solid.normals(points), numeric, rtol=1e-4, atol=1e-6)


def test_rendering_is_consistent():
    camera = synthetic.cameras(3, size=24)[1]
    rgb, alpha, depth = procedural.render(camera, subsamples=3)
    assert rgb.shape == (24, 24, 3)
    assert (np.isfinite(depth) == (alpha > 0))[(alpha == 0) | (alpha == 1)].all()
    assert 0 < ((alpha > 0) & (alpha < 1)).sum() < 150
    y, x = np.argwhere(np.isfinite(depth))[10]
    pose = camera.world_from_camera
    point = pose[:3, :3] @ (np.append((np.array([x, y]) + 0.5 - camera.center) / camera.focal, 1) * depth[y, x])
    point = point + pose[:3, 3]
    assert min(
        np.abs(np.linalg.norm(s.points(point[None]), axis=-1) - 1)[0] for s in procedural.SOLIDS[:10]
    ) < 1e-9 or (abs(np.hypot(np.hypot(*point[:2]) - 0.95, point[2] + 0.3) - 0.2) < 1e-9)
    # Every pixel supersampled agrees with the adaptive picture, up to what a smooth pixel varies.
    width = 24 * 4
    fine = posed.host_cameras(
        world_from_camera=pose,
        focal=camera.focal * 4,
        center=camera.center * 4,
        distortion=camera.distortion,
        size=np.array([width, width]),
        model='pinhole',
    )
    rgb4, alpha4, _ = procedural.render(fine, subsamples=1)
    premultiplied = (rgb4 * alpha4[..., None]).reshape(24, 4, 24, 4, 3).mean((1, 3))
    difference = np.abs(premultiplied - rgb * alpha[..., None])
    assert difference.max() < 0.2
    assert difference.mean() < 0.01


def test_view_dependence_is_there_and_gentle():
    point = np.array([-0.3, 0.0, 0.83])  # the top of the ball
    eyes = 4 * np.array([[0.0, 0.0, 1.0], [0.7, 0.1, 0.7], [0.45, 0.4, 0.8], [-0.6, 0.5, 0.6]])
    hits = procedural.trace(eyes, point - eyes)
    np.testing.assert_allclose(hits.t, 1)
    spread = np.ptp(hits.rgb, axis=0).max()
    assert 0.01 < spread < 0.4


def test_written_scene_reads_back(tmp_path):
    folder = synthetic.write_scene(tmp_path / 'duck', size=20, train=3, val=1, test=2)
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob('*')}
    assert synthetic.write_scene(folder, size=20, train=3, val=1, test=2) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob('*')} == stamps
    assert [p.name for p in tmp_path.iterdir()] == ['duck']
    for split, count in (('train', 3), ('val', 1), ('test', 2)):
        images = scenes.read(folder, split=split)
        cameras = synthetic.cameras(count, size=20, split=split)
        np.testing.assert_allclose(images.cameras.world_from_camera, cameras.world_from_camera, atol=1e-6)
        np.testing.assert_allclose(images.cameras.focal, cameras.focal, rtol=1e-6)
        rgb, alpha, _ = procedural.render(cameras[0])
        np.testing.assert_allclose(
            posed.composite(images.images[0], 1.0), rgb * alpha[..., None] + 1 - alpha[..., None], atol=0.01
        )
    assert (images.near, images.far) == (2.0, 6.0)


def test_scene_is_deterministic(tmp_path):
    a, b = (synthetic.write_scene(tmp_path / name, size=12, train=1, val=1, test=1) for name in 'ab')
    files = sorted(path.relative_to(a) for path in a.rglob('*') if path.is_file())
    assert len(files) == 7
    assert all((a / path).read_bytes() == (b / path).read_bytes() for path in files)


def test_splits_share_no_camera():
    poses = np.concatenate(
        [synthetic.cameras(n, split=s).world_from_camera for s, n in (('train', 80), ('val', 10), ('test', 20))]
    )
    centers = poses[:, :3, 3]
    distance = np.linalg.norm(centers[:, None] - centers, axis=-1) + 9 * np.eye(len(centers))
    assert distance.min() > 0.02
    np.testing.assert_allclose(np.linalg.norm(centers, axis=-1), synthetic.RADIUS)
    np.testing.assert_allclose(
        poses[:, :3, :3] @ poses[:, :3, :3].swapaxes(1, 2), np.eye(3)[None].repeat(110, 0), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(poses[:, :3, :3]), 1)


def test_another_scene_is_not_overwritten(tmp_path):
    folder = synthetic.write_scene(tmp_path / 'duck', size=12, train=1, val=1, test=1)
    with pytest.raises(InputError, match='choose another folder'):
        synthetic.write_scene(folder, size=16, train=1, val=1, test=1)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'scene.json').write_text(json.dumps([1]))
    with pytest.raises(InputError, match='choose another folder'):
        synthetic.write_scene(tmp_path / 'mine')


def test_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError('full')

    monkeypatch.setattr(synthetic.io, 'write', fail)
    with pytest.raises(OSError, match='full'):
        synthetic.write_scene(tmp_path / 'duck', size=12)
    assert not list(tmp_path.iterdir())
