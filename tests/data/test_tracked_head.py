import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import tracked_head
from neurend.data.tracked_head import PARTS, Performance
from neurend.geometry import cameras
from neurend.images import io


def _model(seed=0, count=24):
    rng = np.random.default_rng(seed)
    return {
        'vertices': rng.normal(size=(count, 3)),
        'expression_names': np.array(['jawOpen', 'smile_L', 'smile_R']),
        'expression_deltas': rng.normal(size=(3, count, 3)).astype(np.float16),
        'identity_deltas': rng.normal(size=(4, count, 3)).astype(np.float16),
        'landmarks68': np.arange(68) % count,
    }


def _tracking(frames=5, count=24, seed=1):
    rng = np.random.default_rng(seed)
    source = np.concatenate([rng.permutation(count), [3, 7]])
    camera = np.diag([1.0, 1, 1, 1])
    camera[2, 3] = 50
    return {
        'expressions': rng.uniform(size=(frames, 2)),
        'expression_names': np.array(['smile_R', 'jawOpen']),  # another order than the model's
        'identity': rng.normal(size=3),
        'head_to_world': np.tile(np.eye(4), (frames, 1, 1)),
        'camera_to_world': camera,
        'intrinsics': np.array([[300.0, 0, 16], [0, 310, 12], [0, 0, 1]]),
        'fps': np.array(30.0),
        'train_frames': np.array(3),
        'mesh_vertex_source': source,
        'mesh_faces': rng.integers(0, count + 2, (9, 3)),
        'mesh_uvs': rng.uniform(size=(count + 2, 2)),
    }


def _write(folder, *, model=None, tracking=None, frames=5):
    (folder / 'film' / 'frames').mkdir(parents=True)
    (folder / 'ict_face').mkdir()
    np.savez(folder / 'ict_face' / 'ict_face.npz', **(_model() if model is None else model))
    np.savez(folder / 'film' / 'tracking.npz', **(_tracking() if tracking is None else tracking))
    for k in range(frames):
        io.write(folder / 'film' / 'frames' / f'{k:04d}.png', np.full((24, 32, 3), 10 * k, np.uint8))
    io.write(folder / 'film' / 'background.png', np.full((24, 32, 3), 7, np.uint8))
    return folder / 'film'


def test_a_vertex_is_neutral_and_identity_and_expressions(tmp_path):
    head = tracked_head.read(_write(tmp_path))
    model, tracking = _model(), _tracking()
    k, v = 4, 17
    source = tracking['mesh_vertex_source'][v]
    expected = model['vertices'][source].copy()
    for coefficient, delta in zip(tracking['identity'], model['identity_deltas']):
        expected += coefficient * delta[source].astype(float)
    for coefficient, name in zip(tracking['expressions'][k], tracking['expression_names']):
        expected += coefficient * model['expression_deltas'][list(model['expression_names']).index(name)][source]
    moved = np.eye(4)
    moved[:3] = [[0, 0, 1, 5], [0, 1, 0, -2], [-1, 0, 0, 1]]
    points = tracked_head.pose(head.mesh, head.performance.expressions[k], jnp.asarray(moved, jnp.float32))
    np.testing.assert_allclose(points[v], moved[:3, :3] @ expected + moved[:3, 3], atol=1e-4)
    np.testing.assert_array_equal(tracking['mesh_vertex_source'][head.mesh.landmarks], model['landmarks68'])
    assert head.train == 3 and head.fps == 30 and len(head) == 5


def test_resized_frames_keep_their_camera(tmp_path):
    folder = _write(tmp_path)
    whole, small = tracked_head.read(folder), tracked_head.read(folder, size=8)
    assert small.images.shape == (5, 8, 8, 3) and small.background.shape == (8, 8, 3)
    point = jnp.array([[1.0, 2, -3], [-2.0, 1, 4]])
    pixels = [np.asarray(cameras.project(jax.tree.map(jnp.asarray, head.camera), point)[0]) for head in (whole, small)]
    np.testing.assert_allclose(pixels[1], pixels[0] * [[8 / 32, 8 / 24]], rtol=1e-5)
    # OpenGL's axes: +y is up in the picture, and the camera looks along -z from z = 50.
    np.testing.assert_allclose(pixels[0][0], [16 + 300 * 1 / 53, 12 - 310 * 2 / 53], rtol=1e-5)


def test_a_turn_keeps_its_pace_at_another_rate():
    angles = np.linspace(0, 1.2, 25)
    poses = np.tile(np.eye(4, dtype=np.float32), (25, 1, 1))
    poses[:, 0, 0], poses[:, 0, 2] = np.cos(angles), np.sin(angles)
    poses[:, 2, 0], poses[:, 2, 2] = -np.sin(angles), np.cos(angles)
    poses[:, 1, 3] = np.arange(25)
    film = Performance(np.arange(25, dtype=np.float32)[:, None], poses)
    found = tracked_head.at_rate(film, 25.0, 60.0)
    assert len(found.expressions) == 60 and found.expressions.dtype == found.world_from_head.dtype == np.float32
    times = np.minimum(np.arange(60) * 25 / 60, 24)
    np.testing.assert_allclose(found.expressions[:, 0], times, atol=1e-5)
    np.testing.assert_allclose(found.world_from_head[:, 1, 3], times, atol=1e-5)
    np.testing.assert_allclose(np.arcsin(found.world_from_head[:, 0, 2]), times * 0.05, atol=1e-5)
    assert tracked_head.at_rate(film, 25.0, 25.0) is film
    assert len(tracked_head.at_rate(film, 50.0, 25.0).expressions) == 12


def test_performances_of_others_go_by_name(tmp_path):
    path = tmp_path / 'other.npz'
    poses = np.tile(np.eye(4), (2, 1, 1))
    other = {'expressions': [[1.0, 2], [3, 4]], 'expression_names': ['smile_R', 'jawOpen'], 'head_to_world': poses}
    np.savez(path, **other)
    found = tracked_head.read_performance(path, ('jawOpen', 'smile_L', 'smile_R'))
    slow = tmp_path / 'slow.npz'
    np.savez(slow, **other, fps=12.5)
    assert len(tracked_head.read_performance(slow, ('jawOpen', 'smile_R'), fps=25.0).expressions) == 4
    np.testing.assert_array_equal(found.expressions, [[2, 0, 1], [4, 0, 3]])
    with pytest.raises(InputError, match='expressions smile_R are unknown'):
        tracked_head.read_performance(path, ('jawOpen', 'smile_L'))
    (tmp_path / 'film').mkdir()
    with pytest.raises(InputError, match=r'^tracking .*film/tracking\.npz: does not exist'):
        tracked_head.read_performance(tmp_path / 'film', ('jawOpen',))
    path.rename(tmp_path / 'film' / 'tracking.npz')
    again = tracked_head.read_performance(tmp_path / 'film', ('jawOpen', 'smile_L', 'smile_R'))
    np.testing.assert_array_equal(again.expressions, found.expressions)


@pytest.mark.parametrize('name', ['expressions', 'head_to_world'])
def test_frames_that_were_not_tracked_are_named(tmp_path, name):
    tracking = _tracking()
    tracking[name] = np.array(tracking[name], np.float64)
    tracking[name][3:, 0] = np.nan
    folder = _write(tmp_path, tracking=tracking)
    message = f'2 of 5 frames are not tracked, the first of them 3: its {name} are not finite; track them again'
    for call in (
        tracked_head.read,
        lambda film: tracked_head.read_performance(film, ('jawOpen', 'smile_L', 'smile_R')),
    ):
        with pytest.raises(InputError, match=message):
            call(folder)


def test_a_mirrored_performance_moves_the_mirrored_face():
    names = ('jawOpen', 'smile_L', 'smile_R')
    rng = np.random.default_rng(3)
    # A face of mirrored pairs: vertex k + 5 is vertex k with -x, and so are the expressions.
    flip = np.array([[-1.0, 1, 1]])
    half = rng.normal(size=(5, 3))
    jaw, left = rng.normal(size=(5, 3)), rng.normal(size=(10, 3))
    right = np.concatenate([left[5:] * flip, left[:5] * flip])
    deltas = np.stack([np.concatenate([jaw, jaw * flip]), left, right])
    mesh = tracked_head.FaceMesh(np.concatenate([half, half * flip]), deltas, *[np.zeros(0)] * 4)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation * np.linalg.det(rotation), rng.normal(size=3)
    mesh = jax.tree.map(lambda x: x.astype(np.float32), mesh)
    performance = Performance(np.array([[0.3, 0.9, 0.1]], np.float32), pose[None].astype(np.float32))
    mirrored = tracked_head.mirrored(performance, names)
    before, after = (
        np.asarray(tracked_head.pose(mesh, p.expressions[0], p.world_from_head[0])) for p in (performance, mirrored)
    )
    np.testing.assert_allclose(after, np.concatenate([before[5:], before[:5]]) * flip, atol=1e-5)
    assert np.abs(after - before).max() > 0.1
    with pytest.raises(InputError, match='smile_L are unknown'):
        tracked_head.mirrored(performance, ('jawOpen', 'smile_R', 'brow'))


@pytest.mark.parametrize(
    ('file', 'change', 'message'),
    [
        ('tracking', {'expressions': None}, 'lacks expressions'),
        ('tracking', {'expression_names': np.array(['smile_R', 'wink'])}, 'expressions wink are unknown'),
        ('tracking', {'expressions': np.full((5, 2), np.nan)}, 'not finite'),
        ('tracking', {'mesh_faces': np.full((2, 3), 99)}, 'mesh_faces of .* whole numbers from 0 to 25'),
        ('tracking', {'mesh_vertex_source': np.zeros(26, int)}, 'lacks landmarks'),
        ('tracking', {'train_frames': np.array(6)}, 'train_frames 6, expected 1 to 5'),
        ('tracking', {'identity': np.zeros(5)}, '5 numbers of identity'),
        ('model', {'expression_deltas': np.zeros((3, 9, 3))}, 'expression_deltas of .*got shape'),
        ('model', {'landmarks68': None}, 'lacks landmarks68'),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path, file, change, message):
    arrays = {'model': _model(), 'tracking': _tracking()}
    arrays[file] = {name: value for name, value in (arrays[file] | change).items() if value is not None}
    with pytest.raises(InputError, match=message):
        tracked_head.read(_write(tmp_path, **arrays))


def test_frames_must_be_as_many_as_tracked(tmp_path):
    with pytest.raises(InputError, match='4 frames, .* tells of 5$'):
        tracked_head.read(_write(tmp_path, frames=4))
    more = _write(tmp_path / 'more')
    (more / 'frames' / '0002.png').unlink()
    with pytest.raises(InputError, match='4 frames, .* tells of 5; frame 2 is missing$'):
        tracked_head.read(more)
    with pytest.raises(InputError, match=r'^tracking .*tracking\.npz: does not exist\. .*hold frames/, background'):
        tracked_head.read(tmp_path / 'nowhere')
    with pytest.raises(InputError, match=r'^face model other\.npz: does not exist\. .* --face$'):
        tracked_head.read(tmp_path / 'film', face='other.npz')
    (tmp_path / 'film' / 'tracking.npz').write_text('no arrays')
    with pytest.raises(InputError, match='^tracking .*damaged'):
        tracked_head.read(tmp_path / 'film')


def test_parts_of_the_filmed_head(data_root):
    """Irises are the discs that the reference texture paints blue; teeth and eyes lie where they belong."""
    head = tracked_head.read(data_root / 'talking_head')
    mesh = head.mesh
    albedo = io.read(data_root / 'talking_head' / 'albedo_for_reference.png')[..., :3].astype(int)
    side = len(albedo)
    column, row = (np.clip((x * side).astype(int), 0, side - 1) for x in (mesh.uvs[:, 0], 1 - mesh.uvs[:, 1]))
    colors = albedo[row, column]
    iris, white = (mesh.parts == PARTS.index(name) for name in ('iris', 'sclera'))
    # The inner shell of the eye has a texture of its own, behind.
    bluish = colors[..., 2] > colors[..., 0] + 15
    assert bluish[iris].mean() > 5 * max(bluish[white].mean(), 0.01)
    heights = [mesh.vertices[mesh.parts == PARTS.index(name), 1].mean() for name in ('teeth', 'mouth', 'iris')]
    assert heights[0] < heights[2] and heights[1] < heights[2]
    assert (mesh.vertices[iris, 2] > mesh.vertices[white, 2].mean()).all()
