import json

import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras
from neurend.images import lpips, metrics, show
from neurend.models.method import Method
from neurend.models.nerf.evaluation import Example
from neurend.train import evaluate as evaluation


def views(count=3, size=16):
    rng = np.random.default_rng(0)
    camera = cameras.make(jnp.eye(4), jnp.array([20.0, 20.0]), size=(size, size))
    mask = np.zeros((size, size), np.uint8)
    mask[4:9, 3:10] = 255
    return [
        Example(f'r_{i}', camera, rng.integers(0, 256, (size, size, 3), dtype=np.uint8), mask) for i in range(count)
    ]


def method(offset=0.1):
    """Predicts the truth plus a constant; its own PSNR is of the unrounded prediction."""

    def evaluate(state, example):
        truth = example.image.astype(np.float32) / 255
        prediction = np.clip(truth + offset, 0, 1)
        row = show.comparison(truth, prediction, np.ones(truth.shape[:2]))
        return {'psnr': float(metrics.psnr(truth, prediction))}, dict(zip(show.COMPARISON, row))

    return Method(init=None, step=None, render=None, evaluate=evaluate)  # pyright: ignore


def test_rows_means_and_protocol(tmp_path):
    data = views()
    seen = []
    table = evaluation.evaluate(method(), None, data, protocol={'background': 'white'},
                                each=lambda name, values, pictures: seen.append((name, sorted(pictures))))  # fmt: skip
    assert seen == [(f'r_{i}', ['depth', 'error', 'prediction', 'truth']) for i in range(3)]
    truth = data[1].image.astype(np.float64) / 255
    expected = -10 * np.log10(np.mean((np.clip(truth + 0.1, 0, 1) - truth) ** 2))
    np.testing.assert_allclose(table.rows['r_1']['psnr'], expected, rtol=1e-4)
    np.testing.assert_allclose(table.mean['psnr'], np.mean([row['psnr'] for row in table.rows.values()]))
    assert table.protocol['background'] == 'white' and table.protocol['views'] == 3
    assert 'float' in table.protocol['rounding'] and 'psnr' in table.protocol and 'ssim' not in table.protocol

    table.write(tmp_path / 'made')
    stored = json.loads((tmp_path / 'made' / 'evaluation.json').read_text())
    assert stored == {'protocol': table.protocol, 'mean': table.mean, 'views': table.rows}
    lines = (tmp_path / 'made' / 'evaluation.txt').read_text().splitlines()
    assert lines[0] == '# background: white' and lines[-1].split() == ['mean', f'{table.mean["psnr"]:.4f}']
    assert len({len(line) for line in lines if not line.startswith('#')}) == 1  # aligned


def test_baselines_are_rows_below_the_mean(tmp_path):
    table = evaluation.Table({'a': {'psnr': 10.0, 'l1': 0.5}}, {}, {'mean image': {'psnr': 8.0}, 'copy': {'l1': 0.25}})
    table.write(tmp_path)
    names = [line.split('  ')[0] for line in table.text().splitlines()]
    assert names == ['view', 'a', 'mean', 'mean image', 'copy']
    assert table.text().splitlines()[-2].split() == ['mean', 'image', '8.0000', '-']
    assert json.loads((tmp_path / 'evaluation.json').read_text())['baselines'] == table.baselines
    assert table.mean == {'psnr': 10.0, 'l1': 0.5}


def test_quantised_metrics_are_those_of_the_rounded_pictures():
    data = views()
    table = evaluation.evaluate(method(0.3 / 255), None, data, protocol={}, quantize=True)
    assert all(np.isinf(row['psnr']) and np.isinf(row['psnr_masked']) for row in table.rows.values())
    assert '8 bits' in table.protocol['rounding']
    table = evaluation.evaluate(method(26.2 / 255), None, data, protocol={}, quantize=True)
    truth = data[0].image.astype(np.float64)
    squared = (np.minimum(truth + 26, 255) - truth) ** 2 / 255**2
    np.testing.assert_allclose(table.rows['r_0']['psnr_masked'], -10 * np.log10(squared[4:9, 3:10].mean()), rtol=1e-4)
    assert set(table.columns) == {'psnr', 'psnr_masked', 'ssim', 'ssim_uniform'}


def test_infinite_numbers_are_valid_json(tmp_path):
    table = evaluation.evaluate(method(0.0), None, views(1), protocol={})
    table.write(tmp_path)

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads((tmp_path / 'evaluation.json').read_text(), parse_constant=refuse)['mean'] == {'psnr': 'inf'}


def test_metrics_that_some_views_lack_are_averaged_over_the_others():
    table = evaluation.Table({'a': {'psnr': 10.0, 'psnr_masked': 4.0}, 'b': {'psnr': 20.0}}, {})
    assert table.mean == {'psnr': 15.0, 'psnr_masked': 4.0}
    assert [line.split() for line in table.text().splitlines()][2] == ['b', '20.0000', '-']


def test_lpips_is_added_under_its_backbone(monkeypatch):
    monkeypatch.setattr(lpips, 'distance', lambda weights, a, b: jnp.mean(jnp.abs(a - b)) * weights.linear[0])
    weights = lpips.Weights((), (), (jnp.float32(2),), 'vgg')
    table = evaluation.evaluate(method(1.0), None, views(1), protocol={}, perceptual=[weights])
    truth = views(1)[0].image / 255
    np.testing.assert_allclose(table.rows['r_0']['lpips_vgg'], 2 * (1 - truth).mean(), rtol=1e-4)


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match='at least one'):
        evaluation.evaluate(method(), None, [], protocol={})
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='cannot be written'):
        evaluation.Table({'a': {'psnr': 1.0}}, {}).write(tmp_path / 'file')
