import json

import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.faces import blendshapes, ict


@pytest.fixture(scope='module')
def path(data_root):
    found = data_root / 'ict_face' / 'ict_face.npz'
    if not found.exists():
        pytest.skip(f'no {found}')
    return found


@pytest.fixture(scope='module')
def model(path):
    return ict.read(path)


def test_neutral_plus_one_expression_is_the_delta(path, model):
    with np.load(path) as arrays:
        names, deltas, neutral = (arrays[k] for k in ('expression_names', 'expression_deltas', 'vertices'))
    assert len(model.names) == 53 and len(model.identity) == 40
    jaw = names.tolist().index('jawOpen')
    moved = blendshapes.vertices(model, expressions=blendshapes.coefficients(model.names, {'jawOpen': 1}))
    np.testing.assert_allclose(moved - neutral, deltas[jaw].astype(np.float32), atol=1e-5)


def test_the_mouth_is_what_speech_moves_of_the_outside(model):
    mouth, marks = model.masks['mouth'] > 0, np.asarray(model.landmarks)
    assert mouth[marks[48:]].all() and mouth[marks[8]]  # lips and chin
    assert not mouth[marks[17:27]].any() and not mouth[marks[36:48]].any()  # brows, eyes
    assert not (model.masks['teeth'] * model.masks['mouth']).any()


def test_seams_of_the_texture_are_split_alike(path, model):
    split = ict.read(path, split=True, identities=2)
    assert len(split.uvs) == len(split.template) > len(model.template)
    assert len(split.identity) == 2
    np.testing.assert_array_equal(split.template[split.faces], model.template[model.faces])
    np.testing.assert_array_equal(split.template[split.landmarks], model.template[model.landmarks])
    np.testing.assert_array_equal(split.masks['mouth'][split.faces], model.masks['mouth'][model.faces])


def write_folder(folder, rng):
    """A model of six vertices in the layout of ICT-FaceKit: quads with UVs, a material that is not there."""
    points = rng.normal(size=(6, 3)).round(4)
    shapes = {name: points + rng.normal(size=(6, 3)).round(4) for name in ('jawOpen', 'mouthClose', 'identity000')}
    shapes |= {'cheekRaiser_L': points, 'identity001': points + 1}
    for name, vertices in {'generic_neutral_mesh': points, **shapes}.items():
        lines = ['# a comment', 'mtllib absent.mtl', *(f'v {x} {y} {z}' for x, y, z in vertices)]
        lines += [f'vt {k / 8} 6.5' for k in range(8)]
        lines += ['usemtl M_Face', 'f 1/1 2/2 3/3 4/4', 'usemtl M_Teeth', 'f 4/5 3/6 5/7 6/8']
        (folder / f'{name}.obj').write_text('\n'.join(lines))
    marks = [0, 3, 5]
    told = {'expressions': ['jawOpen', 'mouthClose'], 'idx_to_landmark_verts': marks}
    (folder / 'vertex_indices.json').write_text(json.dumps(told))
    return points, shapes


def test_a_folder_of_obj_gives_deltas_of_the_listed_expressions(tmp_path):
    points, shapes = write_folder(tmp_path, np.random.default_rng(0))
    model = ict.read(tmp_path, split=True)
    assert model.names == ('jawOpen', 'mouthClose')  # cheekRaiser_L is on disk but not listed
    assert len(model.faces) == 4 and len(model.template) == 8
    whole = ict.read(tmp_path)
    assert whole.landmarks.tolist() == [0, 3, 5]
    jaw = blendshapes.vertices(whole, expressions=jnp.array([1.0, 0]))
    np.testing.assert_allclose(jaw, shapes['jawOpen'], atol=1e-5)
    someone = blendshapes.vertices(whole, jnp.array([0.5, -2]))
    np.testing.assert_allclose(someone, points + 0.5 * (shapes['identity000'] - points) - 2, atol=1e-5)


def test_coefficients_of_a_file_belong_to_the_model(tmp_path):
    write_folder(tmp_path, np.random.default_rng(1))
    model = ict.read(tmp_path)
    path = tmp_path / 'coefficients.json'
    path.write_text(json.dumps({'identity_coefficients': [0.5], 'expression_coefficients': [0.1, 0.2]}))
    identity, expressions = ict.read_coefficients(path, model)
    assert identity.tolist() == [0.5, 0] and expressions.tolist() == pytest.approx([0.1, 0.2])
    path.write_text(json.dumps({'identity_coefficients': [0.5], 'expression_coefficients': [0.1] * 53}))
    with pytest.raises(checks.InputError, match=r'expression_coefficients.*got shape \(53,\), expected \(2,\)'):
        ict.read_coefficients(path, model)


def test_what_is_missing_or_damaged_is_named(tmp_path):
    with pytest.raises(checks.InputError, match=r'face model .*none.npz: does not exist'):
        ict.read(tmp_path / 'none.npz')
    np.savez(tmp_path / 'part.npz', vertices=np.zeros((3, 3)))
    with pytest.raises(checks.InputError, match='lacks identity_deltas. Expected ict_face.npz, or the folder'):
        ict.read(tmp_path / 'part.npz')
    whole = (tmp_path / 'part.npz').read_bytes()
    (tmp_path / 'cut.npz').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(checks.InputError, match='damaged or of unknown kind'):
        ict.read(tmp_path / 'cut.npz')
    write_folder(tmp_path, np.random.default_rng(2))
    (tmp_path / 'jawOpen.obj').write_text('v 0 0 0\n')
    with pytest.raises(checks.InputError, match=r'vertices of .*jawOpen.obj: got shape \(1, 3\), expected \(6, 3\)'):
        ict.read(tmp_path)
    (tmp_path / 'jawOpen.obj').unlink()
    with pytest.raises(checks.InputError, match=r'jawOpen.obj: does not exist'):
        ict.read(tmp_path)
