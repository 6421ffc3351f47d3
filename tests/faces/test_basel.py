"""The public files' layouts, small: .mat of 2009, .h5 of 2017 and 2019, the folder of Neural Voice Puppetry."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io

from neurend import checks
from neurend.faces import basel, blendshapes

VERTICES = 9


def plate(rng):
    """Vertices [9 3] of a plate that looks along z, and its triangles [8 3], clockwise from there."""
    y, x = (k.ravel() for k in np.mgrid[0:3, 0:3])
    points = np.stack([x, y, 0.1 * rng.random(9)], -1)
    corner = np.array([0, 1, 3, 4])[:, None]
    return points, np.concatenate([corner + [[0, 4, 1]], corner + [[0, 3, 4]]])


def write_2009(path, rng):
    points, faces = plate(rng)
    arrays = {'tl': (faces + 1).astype(np.float64), 'segbin': np.zeros((VERTICES, 4))}
    for name, mean in (('shape', 1000 * points), ('tex', 255 * rng.random((VERTICES, 3)))):
        arrays |= {
            f'{name}MU': mean.reshape(-1, 1).astype(np.float32),
            f'{name}PC': rng.normal(size=(3 * VERTICES, 4)).astype(np.float32),
            f'{name}EV': (10 * rng.random((4, 1))).astype(np.float32),
        }
    scipy.io.savemat(path, arrays)
    return arrays


def test_2009_is_mean_plus_modes_times_deviations(tmp_path):
    rng = np.random.default_rng(0)
    arrays = write_2009(tmp_path / '01_MorphableModel.mat', rng)
    model = basel.read(tmp_path / '01_MorphableModel.mat')
    alpha = rng.normal(size=4)
    shape = arrays['shapeMU'][:, 0] + arrays['shapePC'] @ (alpha * arrays['shapeEV'][:, 0])
    np.testing.assert_allclose(blendshapes.vertices(model, jnp.asarray(alpha)), shape.reshape(-1, 3) / 1000, atol=1e-5)
    tint = arrays['texMU'][:, 0] + arrays['texPC'] @ (0.1 * alpha * arrays['texEV'][:, 0])
    expected = np.clip(tint.reshape(-1, 3) / 255, 0, 1)
    np.testing.assert_allclose(blendshapes.colors(model, jnp.asarray(0.1 * alpha)), expected, atol=1e-5)
    assert len(model.expressions) == 0
    assert len(basel.read(tmp_path / '01_MorphableModel.mat', identities=2).identity) == 2


def test_faces_count_from_one_and_look_ahead(tmp_path):
    write_2009(tmp_path / 'model.mat', np.random.default_rng(1))
    model = basel.read(tmp_path / 'model.mat')
    assert model.faces.min() == 0
    corners = model.template[model.faces]
    assert (np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0).all()


def write_2017(path, rng):
    h5py = pytest.importorskip('h5py', reason='h5py is not installed: pip install neurend[faces]')
    points, faces = plate(rng)
    truth = {}
    with h5py.File(path, 'w') as file:
        for part, count in (('shape', 4), ('color', 4), ('expression', 3)):
            mean = {'shape': points, 'color': rng.random((9, 3)), 'expression': 0.01 * rng.normal(size=(9, 3))}[part]
            truth[part] = mean.reshape(-1), rng.normal(size=(27, count)), 10 * rng.random(count)
            for name, value in zip(('mean', 'pcaBasis', 'pcaVariance'), truth[part]):
                file[f'{part}/model/{name}'] = value.astype(np.float32)
            file[f'{part}/model/noiseVariance'] = np.float32(0)
            file[f'{part}/representer/points'] = points.T.astype(np.float32)
            file[f'{part}/representer/cells'] = faces.T.astype(np.int32)
    return truth


def test_2017_is_means_plus_bases_times_roots_of_variances(tmp_path):
    rng = np.random.default_rng(2)
    truth = write_2017(tmp_path / 'model2017-1_bfm_nomouth.h5', rng)
    model = basel.read(tmp_path / 'model2017-1_bfm_nomouth.h5')
    alpha, beta = rng.normal(size=4), rng.normal(size=3)
    shape = sum(
        mean + basis @ (values * np.sqrt(variance))
        for (mean, basis, variance), values in ((truth['shape'], alpha), (truth['expression'], beta))
    )
    found = blendshapes.vertices(model, jnp.asarray(alpha), jnp.asarray(beta))
    np.testing.assert_allclose(found, shape.reshape(-1, 3), atol=1e-5)
    assert model.colors is not None and model.color_modes.shape == (4, 9, 3)
    assert len(basel.read(tmp_path / 'model2017-1_bfm_nomouth.h5', expressions=1).names) == 1


def test_what_to_install_is_said(tmp_path, monkeypatch):
    (tmp_path / 'model.h5').write_bytes(b'')
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(checks.InputError, match=r"needs h5py.*pip install 'neurend\[faces\]'"):
        basel.read(tmp_path / 'model.h5')


def write_folder(folder, rng, expressions=76):
    points, faces = plate(rng)
    (folder / 'mask').mkdir(exist_ok=True)
    lines = [f'v {x:.6f} {y:.6f} {z:.6f}' for x, y, z in points]
    corners = [f'f {a + 1} {b + 1} {c + 1}' for a, b, c in faces]
    (folder / 'average.obj').write_text('\n'.join([*lines, *corners]))
    red = [f'{line} {"1 0 0" if k in (2, 5) else "1 1 1"}' for k, line in enumerate(lines)]
    (folder / 'mask' / 'defaultMask_mouth.obj').write_text('\n'.join([*red, *corners]))
    basis = rng.normal(size=(expressions, VERTICES, 4)).astype('<f4')
    (folder / 'ExpressionBasis.matrix').write_bytes(np.float32(76).tobytes() + basis.tobytes())
    return points, basis


def test_expressions_of_neural_voice_puppetry(tmp_path):
    rng = np.random.default_rng(3)
    points, basis = write_folder(tmp_path, rng)
    model = basel.read_expressions(tmp_path)
    e = rng.normal(size=76)
    expected = points + np.tensordot(e, basis[..., :3].astype(float), 1)
    np.testing.assert_allclose(blendshapes.vertices(model, expressions=jnp.asarray(e)), expected, atol=1e-5)
    assert np.flatnonzero(model.masks['mouth']).tolist() == [2, 5]


def test_files_cut_short_or_of_another_model_are_named(tmp_path):
    rng = np.random.default_rng(4)
    write_folder(tmp_path, rng, expressions=75)
    with pytest.raises(checks.InputError, match='has 10804 bytes, expected 10948 for 76 expressions of 9 vertices'):
        basel.read_expressions(tmp_path)
    assert len(basel.read_expressions(tmp_path, count=75).names) == 75
    write_2009(tmp_path / 'model.mat', rng)
    with pytest.raises(checks.InputError, match='got 5 modes to keep, expected at most 4'):
        basel.read(tmp_path / 'model.mat', identities=5)
    with pytest.raises(checks.InputError, match='the model of 2009 has none; see read_expressions'):
        basel.read(tmp_path / 'model.mat', expressions=3)
    arrays = scipy.io.loadmat(tmp_path / 'model.mat')
    scipy.io.savemat(tmp_path / 'less.mat', {k: v for k, v in arrays.items() if k != 'shapeEV' and k[0] != '_'})
    with pytest.raises(checks.InputError, match='lacks shapeEV'):
        basel.read(tmp_path / 'less.mat')
    whole = (tmp_path / 'model.mat').read_bytes()
    (tmp_path / 'model.mat').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(checks.InputError, match='damaged or no .mat file|lacks'):
        basel.read(tmp_path / 'model.mat')
    with pytest.raises(checks.InputError, match=r'expected a .mat file of 2009 or an .h5 file'):
        basel.read(tmp_path / 'average.obj')


def test_an_h5_file_cut_short_is_named(tmp_path):
    write_2017(tmp_path / 'model.h5', np.random.default_rng(5))
    whole = (tmp_path / 'model.h5').read_bytes()
    for count in (0, len(whole) // 2):
        (tmp_path / 'model.h5').write_bytes(whole[:count])
        with pytest.raises(checks.InputError, match='damaged, cut short or no .h5 file'):
            basel.read(tmp_path / 'model.h5')
