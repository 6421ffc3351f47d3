import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from neurend import checks
from neurend.faces import flame
from tests.faces import flame_files
from tests.oracles.skinning import skinned


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('flame')
    rng = np.random.default_rng(0)
    table = flame_files.arrays(rng)
    flame_files.write(folder / 'model.pkl', table)
    return folder, table, flame_files.write_landmarks(folder, rng)


@pytest.fixture(scope='module')
def model(files):
    folder, _, (static, contour, *_) = files
    return flame.read(folder / 'model.pkl', static=static, contour=contour)


_vertices, _landmark_points = jax.jit(flame.vertices), jax.jit(flame.landmark_points)
_mapped = jax.jit(jax.vmap(flame.vertices, (None, 0, 0, 0)))


@jax.jit
@jax.value_and_grad
def _along(pose, aim, model, identity, expressions):
    return jnp.sum(aim * flame.vertices(model, identity, expressions, pose))


def test_it_agrees_with_skinning_in_float64(files, model):
    _, table, _ = files
    rng = np.random.default_rng(1)
    for scale in (0.1, 1.0):
        betas, pose = rng.normal(size=400), scale * rng.normal(size=(5, 3))
        found = _vertices(model, jnp.asarray(betas[:300]), jnp.asarray(betas[300:]), jnp.asarray(pose))
        np.testing.assert_allclose(found, skinned(table, betas, pose), atol=2e-6)


def test_fewer_modes_are_the_first_of_identity_and_of_expression(files):
    folder, table, _ = files
    small = flame.read(folder / 'model.pkl', identities=3, expressions=2)
    betas = np.zeros(400)
    betas[:3], betas[300:302] = [1, -2, 0.5], [3, -1]
    found = flame.vertices(small, jnp.asarray(betas[:3]), jnp.asarray(betas[300:302]), jnp.zeros((5, 3)))
    np.testing.assert_allclose(found, skinned(table, betas, np.zeros((5, 3))), atol=2e-6)


def test_at_rest_it_is_the_template(files, model):
    np.testing.assert_allclose(flame.vertices(model), files[1]['v_template'], atol=1e-7)
    rest = _vertices(model, jnp.zeros(300), jnp.zeros(100), jnp.zeros((5, 3)))
    np.testing.assert_allclose(rest, files[1]['v_template'], atol=1e-6)


def test_turning_the_root_turns_the_mesh_about_it(model):
    rng = np.random.default_rng(2)
    identity, expressions, pose = (jnp.asarray(0.5 * rng.normal(size=s)) for s in (300, 100, (5, 3)))
    turn = Rotation.from_rotvec([0.4, -0.9, 0.2])
    still = pose.at[0].set(0.0)
    turned = still.at[0].set(jnp.asarray(turn.as_rotvec()))
    shaped = np.asarray(flame.vertices(model, identity, expressions))
    root = (model.joint_regressor @ shaped)[0]
    before, after = (np.asarray(_vertices(model, identity, expressions, x)) for x in (still, turned))
    np.testing.assert_allclose(after, turn.apply(before - root) + root, atol=2e-6)
    shifted = flame.vertices(model, translation=jnp.array([1.0, 2, 3]))
    np.testing.assert_allclose(shifted, model.face.template + [1, 2, 3], atol=1e-5)


def test_poses_of_some_joints():
    pose = flame.pose_from(jnp.array([1.0, 2, 3]), jnp.ones((7, 3)), eyes=jnp.array([[4.0, 0, 0], [5, 0, 0]]))
    assert pose.shape == (7, 5, 3)
    np.testing.assert_array_equal(pose[3], [[1, 2, 3], [0, 0, 0], [1, 1, 1], [4, 0, 0], [5, 0, 0]])


@pytest.mark.parametrize(
    ('yaw', 'row'), [(0, 0), (-1, 1), (-38.6, 39), (-80, 39), (0.6, 40), (1, 40), (39, 78), (80, 78), (-20.4, 20)]
)
def test_the_contour_switches_with_yaw(model, yaw, row):
    half = Rotation.from_euler('y', yaw / 2, degrees=True)
    turns = np.tile(np.eye(3), (5, 1, 1))
    turns[0] = turns[1] = half.as_matrix()  # root and neck add up
    turns[2] = Rotation.from_euler('y', 30, degrees=True).as_matrix()  # the jaw does not count
    assert int(flame.contour_row(model, jnp.asarray(turns))) == row


def test_landmarks_are_points_on_faces_of_that_row(files, model):
    _, table, (*_, static, contour) = files
    pose = flame.pose_from(jnp.asarray([[0, -np.radians(25), 0], [0, np.radians(7), 0], [0, 0, 0.3]]))
    points = _vertices(model, pose=pose)
    marks = _landmark_points(model, points, pose)
    assert marks.shape == (3, 68, 3)
    for k, row in enumerate((25, 46, 0)):
        corners = np.asarray(points)[k][table['f'][contour['lmk_face_idx'][row]]]
        edge = np.einsum('nkc,nk->nc', corners, contour['lmk_b_coords'][row])
        np.testing.assert_allclose(marks[k, :17], edge, atol=1e-6)
        corners = np.asarray(points)[k][table['f'][static['lmk_face_idx']]]
        np.testing.assert_allclose(marks[k, 17:], np.einsum('nkc,nk->nc', corners, static['lmk_b_coords']), atol=1e-6)


def test_it_maps_and_has_gradients(files, model):
    _, table, _ = files
    rng = np.random.default_rng(3)
    identity, expressions, pose = (jnp.asarray(0.3 * rng.normal(size=(2, *s))) for s in ((300,), (100,), (5, 3)))
    mapped = _mapped(model, identity, expressions, pose)
    np.testing.assert_allclose(_vertices(model, identity[1], expressions[1], pose[1]), mapped[1], atol=1e-6)
    aim = rng.normal(size=(flame_files.VERTICES, 3))
    value, gradient = _along(pose[0], jnp.asarray(aim), model, identity[0], expressions[0])
    # Against differences of the oracle, and finite at rest, where the length of a rotation vector has no gradient.
    betas, still = np.concatenate([identity[0], expressions[0]]).astype(float), np.asarray(pose[0], float)
    for index in ((0, 1), (2, 0), (4, 2)):
        step = np.zeros((5, 3))
        step[index] = 1e-5
        ahead, behind = (np.sum(aim * skinned(table, betas, still + sign * step)) for sign in (1, -1))
        np.testing.assert_allclose(gradient[index], (ahead - behind) / 2e-5, rtol=1e-3, atol=1e-4)
    _, rest = _along(jnp.zeros((5, 3)), jnp.asarray(aim), model, identity[0], expressions[0])
    assert np.isfinite(value) and np.isfinite(rest).all()


def test_masks_name_parts(files, tmp_path):
    folder, *_ = files
    np.save(tmp_path / 'masks.npy', {'lips': np.array([1, 5]), 'nose': np.array([0])}, allow_pickle=True)
    masks = flame.read(folder / 'model.pkl', masks=tmp_path / 'masks.npy').face.masks
    assert np.flatnonzero(masks['lips']).tolist() == [1, 5] and masks['nose'].sum() == 1


def test_what_does_not_fit_is_said(files, model, tmp_path):
    folder, table, _ = files
    for name, value, message in (
        ('posedirs', None, 'lacks posedirs'),
        ('weights', np.zeros((7, 5)), r'weights of .*: got shape \(7, 5\), expected \(24, 5\)'),
        ('shapedirs', np.zeros((24, 3, 200)), 'expected at most 300 and 0, since .* has 200 modes'),
        ('f', np.full((3, 3), 99), 'faces of face model .*: expected whole numbers from 0 to 23'),
        ('v_template', np.full((24, 3), np.nan), 'v_template of .* not finite'),
    ):
        changed = {k: v for k, v in dict(table, **{name: value}).items() if v is not None}
        with pytest.raises(checks.InputError, match=message):
            flame.read(flame_files.write(tmp_path / 'model.pkl', changed))
    with pytest.raises(checks.InputError, match=r'expressions: got shape \(53,\), expected \(..., 100\)'):
        flame.vertices(model, expressions=jnp.zeros(53))
    with pytest.raises(checks.InputError, match=r'pose: got shape \(2, 3\).* see pose_from'):
        flame.vertices(model, pose=jnp.zeros((2, 3)))
    with pytest.raises(checks.InputError, match='identities, expressions: got 300 and 101'):
        flame.read(folder / 'model.pkl', expressions=101)
