import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree

from neurend.faces import blendshapes, procedural


@pytest.fixture(scope='module')
def model():
    return blendshapes.check(procedural.face())


def posed(model, **values):
    coefficients = blendshapes.coefficients(model.names, values)
    points = blendshapes.vertices(model, expressions=jnp.asarray(coefficients))
    return np.asarray(points), np.asarray(blendshapes.landmark_points(model, points))


def test_triangles_face_outwards(model):
    points = model.template
    corners = points[model.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outside = (model.masks['skin'] > 0)[model.faces].all(1)
    assert (np.einsum('fc,fc->f', normals, corners.mean(1))[outside] > -1e-6).all()
    front = ((model.masks['lids'] + model.masks['brows'] + model.masks['eyeballs']) > 0)[model.faces].all(1)
    assert (normals[front, 2] > -1e-6).all()


def test_lips_meet_at_rest_and_part_with_the_jaw(model):
    _, rest = posed(model)
    np.testing.assert_allclose(rest[61:64], rest[[67, 66, 65]], atol=1e-5)  # upper and lower edge of the slit
    _, open_ = posed(model, jawOpen=1)
    gap = open_[62] - open_[66]
    assert 1.5 < gap[1] < 4 and np.abs(open_[[60, 64]] - rest[[60, 64]]).max() < 0.1  # the corners stay
    assert open_[8, 1] < rest[8, 1] - 0.5  # the chin goes with it
    np.testing.assert_allclose(open_[17:48], rest[17:48], atol=1e-6)


def test_lips_narrow_widen_and_bare_the_teeth(model):
    def width(marks):
        return marks[54, 0] - marks[48, 0]

    rest, pucker = posed(model)[1], posed(model, mouthPucker=1)[1]
    smile = posed(model, mouthSmile_L=1, mouthSmile_R=1)[1]
    assert width(pucker) < 0.7 * width(rest) and pucker[62, 2] > rest[62, 2] + 0.5
    assert width(smile) > 1.2 * width(rest) and smile[48, 1] > rest[48, 1] + 0.5
    bared = posed(model, mouthUpperUp_L=1, mouthUpperUp_R=1)[1]
    assert bared[62, 1] > bared[66, 1] + 0.4


def test_a_blink_brings_the_lid_below_the_eye_and_nothing_else(model):
    points, marks = posed(model, eyeBlink_L=1)
    moved = np.abs(points - model.template).max(1) > 1e-6
    assert (model.masks['lids'][moved] == 1).all()
    rest = posed(model)[1]
    assert (marks[[43, 44], 1] < rest[[47, 46], 1] + 0.1).all()  # the upper edge at the lower
    np.testing.assert_array_equal(marks[36:42], rest[36:42])
    # The lid covers the eyeball on its way as well: it is nearer to who looks, wherever it is above it.
    for closed in (0.25, 0.5, 0.75, 1):
        points, _ = posed(model, eyeBlink_L=closed)
        lid = points[(model.masks['lids'] > 0) & (model.template[:, 0] > 0)]
        ball = model.template[(model.masks['eyeballs'] > 0) & (model.template[:, 0] > 0)]
        seen = LinearNDInterpolator(ball[:, :2], ball[:, 2])(lid[:, :2])  # NaN beside the eye
        assert np.isfinite(seen).sum() > 20
        assert not (lid[:, 2] < seen).any()


def test_left_is_the_mirror_of_right(model):
    flip = np.array([[-1, 1, 1]])
    distance, _ = cKDTree(model.template * flip).query(model.template)
    assert distance.max() < 1e-4
    for name in ('mouthSmile', 'mouthUpperUp', 'browInnerUp'):
        left, right = (model.expressions[model.names.index(f'{name}_{side}')] for side in 'LR')
        np.testing.assert_allclose(np.abs(left).sum(), np.abs(right).sum(), rtol=1e-4)
    marks = model.template[model.landmarks]
    np.testing.assert_allclose(marks[[36, 39, 48, 60]] * flip, marks[[45, 42, 54, 64]], atol=1e-4)


def test_uvs_lie_in_the_unit_square_and_do_not_overlap(model):
    assert model.uvs.min() >= 0 and model.uvs.max() <= 1
    corners = model.uvs[model.faces]
    sides = corners[:, 1:] - corners[:, :1]
    areas = (sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]) / 2
    assert (areas > -1e-9).all()  # none is folded over
    assert 0.5 < areas.sum() < 1


def test_every_vertex_has_a_colour(model):
    assert ((model.colors >= 0) & (model.colors <= 1)).all() and (model.colors.sum(1) > 0).all()
