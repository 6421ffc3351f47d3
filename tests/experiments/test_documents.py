"""The code in README.md and docs/ runs as it stands."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from neurend.images import io
from neurend.nn.unet import UNet
from tests.experiments import torch_state

ROOT = Path(__file__).parents[2]


def _code(document):
    return '\n'.join(re.findall(r'^```python\n(.*?)^```', (ROOT / document).read_text(), re.DOTALL | re.MULTILINE))


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_the_method_of_ones_own_learns(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = _code('docs/own_method.md')
    exec(compile(code, 'own_method.md', 'exec'), {'__name__': 'document'})
    found = re.search(r'evaluation after step 300, 4 examples: psnr ([\d.]+)', capsys.readouterr().out)
    assert found and float(found[1]) > 18


def test_the_first_example_shows_a_red_and_a_blue_side(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    first = re.search(r'^```python\n(.*?)^```', (ROOT / 'README.md').read_text(), re.DOTALL | re.MULTILINE)
    exec(compile(first[1], 'README.md', 'exec'), names)
    image = np.asarray(names['image'])
    left, right = image[32, 22], image[32, 42]
    assert left[0] > left[2] + 0.3 and right[2] > right[0] + 0.3
    assert (tmp_path / 'ball.png').stat().st_size > 1000
    assert np.isfinite(names['toward_darker']).all()


@pytest.mark.slow
def test_the_page_on_meshes_shows_a_lit_ring_and_finds_the_square(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / 'docs' / 'meshes.md').read_text()
    lit, found = ({}, {})
    for names, code in zip(
        (lit, found), re.findall(r'^```python\n(.*?)^```', page, re.DOTALL | re.MULTILINE), strict=True
    ):
        exec(compile(code, 'meshes.md', 'exec'), names)
    image = np.asarray(lit['image'])
    assert (tmp_path / 'ring.png').stat().st_size > 1000
    ring = image[~(image > 0.999).all(-1)]
    assert 0.15 < len(ring) / image[..., 0].size < 0.6
    # Bright and dark tiles, yellowish both.
    assert ring.max() > 0.75 and np.percentile(ring, 5) < 0.45 and (ring[:, 0] >= ring[:, 2]).mean() > 0.95
    np.testing.assert_allclose(found['there'], [27.3, 17.6], atol=0.02)


@pytest.mark.slow
def test_the_example_of_meshes_shows_a_ring_and_has_gradients():
    names = {}
    blocks = re.findall(r'^```python\n(.*?)^```', (ROOT / 'README.md').read_text(), re.DOTALL | re.MULTILINE)
    (code,) = (block for block in blocks if 'primitives.torus' in block)
    exec(compile(code, 'README.md', 'exec'), names)
    shown = np.asarray(names['shown'])
    covered = (shown < 0.999).any(-1)
    assert 0.2 < covered.mean() < 0.7 and not covered[128, 128] and covered[180, 128]
    assert np.isfinite(names['darker']).all() and np.abs(names['darker']).max() > 0


@pytest.mark.slow
def test_the_example_of_distance_functions_shows_a_ring_around_a_ball():
    names = {}
    blocks = re.findall(r'^```python\n(.*?)^```', (ROOT / 'README.md').read_text(), re.DOTALL | re.MULTILINE)
    (code,) = (block for block in blocks if 'distances.union' in block)
    exec(compile(code, 'README.md', 'exec'), names)
    covered = (np.asarray(names['saturn']) < 0.97).any(-1)
    # Ball, gap, ring, background along the row through the middle.
    assert covered[32, 32] and not covered[32, 18] and covered[32, 6] and not covered[[2, 61]].any()
    draw, eye = jax.jit(names['picture']), names['eye']
    for step, slope in ((jax.numpy.zeros(3), names['thicker']), (jax.numpy.array([0.0, 0, 1]), names['moved'][2])):
        h = 5e-3
        tubes = (0.25 + h, 0.25 - h) if not step.any() else (0.25, 0.25)
        after, before = (draw(tube, eye + sign * h * step).mean() for tube, sign in zip(tubes, (1, -1)))
        assert float(slope) == pytest.approx(float(after - before) / (2 * h), rel=0.05)


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_the_page_on_translation_paints_the_person(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    # A published network takes long to compile; a small one is read in the same way.
    code = _code('docs/translation.md').replace('width=64, depth=8', 'width=4, depth=3')
    assert 'width=4, depth=3' in code
    network, labels = UNet(3, width=4, depth=3, norm='batch'), np.full((16, 24, 3), 51, np.uint8)
    params = jax.jit(network.init)(jax.random.key(5), np.zeros((1, 16, 24, 3), np.float32))['params']
    torch_state.write(tmp_path / 'latest_net_G.pth', torch_state.torch_state(network, params))
    io.write(tmp_path / 'labels.png', labels)
    exec(compile(code, 'translation.md', 'exec'), names)
    expected = jax.jit(network.apply)(
        {'params': params}, labels[None] / np.float32(127.5) - 1, rngs={'dropout': jax.random.key(0)}
    )
    painted = io.read(tmp_path / 'photograph.png')
    np.testing.assert_allclose(painted / 127.5 - 1, expected[0], atol=0.005)
    assert np.ptp(painted) > 20
    pairs = jax.random.uniform(jax.random.key(2), (2, 1, 64, 64, 6))
    loss, grads = jax.jit(jax.value_and_grad(names['discriminator_loss']))(names['weights'], *pairs)
    logits = [names['judge'].apply(names['weights'], pair)[-1] for pair in pairs]
    softplus = np.logaddexp(0, -logits[0]).mean() + np.logaddexp(0, logits[1]).mean()
    assert float(loss) == pytest.approx(0.5 * float(softplus), rel=1e-4)
    assert max(float(abs(leaf).max()) for leaf in jax.tree.leaves(grads)) > 0
    found = re.search(r'evaluation after step 200, 10 examples: psnr ([\d.]+)', capsys.readouterr().out)
    mean = np.mean(names['clip'].images[:50] / 255, axis=0)
    error = np.mean((names['clip'].images[50:] / 255 - mean) ** 2, axis=(1, 2, 3))
    assert found and float(found[1]) > np.mean(-10 * np.log10(error)) + 1
    assert names['picture'].shape == (64, 64, 3)


@pytest.mark.slow
def test_the_page_on_volumes_and_functions_lifts_what_it_marched():
    names: dict = {}
    exec(compile(_code('docs/volumes_and_functions.md'), 'volumes_and_functions.md', 'exec'), names)
    hits, hit = names['hits'], np.asarray(names['hits'].hit)
    points = np.asarray(hits.points)[hit]
    away = np.hypot(np.hypot(points[:, 0], points[:, 1]) - 0.7, points[:, 2])
    assert hit.sum() > 500 and np.abs(away - 0.25).max() < 0.01
    # What was painted on the surface is found in the volume where the surface is.
    cells = np.round(np.asarray(names['at_surface'])[hit]).astype(int)
    found, painted = np.asarray(names['volume'])[tuple(cells.T)], np.asarray(names['colors'])[hit]
    assert np.asarray(names['seen'])[tuple(cells.T)].all()
    assert np.median(np.abs(found - painted)) < 0.03


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_the_page_on_neural_textures_learns_a_hull_and_cuts_it(tmp_path, monkeypatch):
    pytest.importorskip('xatlas')
    monkeypatch.chdir(tmp_path)
    names: dict = {'__name__': 'document'}
    code = _code('docs/neural_textures.md').replace('steps=800', 'steps=400')
    assert 'steps=400' in code
    exec(compile(code, 'neural_textures.md', 'exec'), names)
    truth = names['train'].images[0].astype(np.float32) / 255
    truth = truth[..., :3] * truth[..., 3:] + 1 - truth[..., 3:]
    picture, lower = np.asarray(names['picture']), io.read(tmp_path / 'lower.png').astype(np.float32) / 255
    assert -10 * np.log10(np.mean((picture - truth) ** 2)) > 20
    assert (lower > 0.99).all(-1).mean() > (picture > 0.99).all(-1).mean() + 0.02


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_the_page_on_points_gaussians_and_planes_shows_a_red_and_a_blue_one_and_a_disc(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    blocks = re.findall(
        r'^```python\n(.*?)^```', (ROOT / 'docs/points_gaussians_planes.md').read_text(), re.DOTALL | re.MULTILINE
    )
    exec(compile('\n'.join(blocks), 'points_gaussians_planes.md', 'exec'), names)
    rgb = np.asarray(names['shown'].rgb)
    left, right = rgb[:, :32].min((0, 1)), rgb[:, 32:].min((0, 1))
    assert left[2] < 0.4 < 0.6 < rgb[..., 0][rgb[..., 2] == left[2]].max() and right[0] < 0.4
    assert np.abs(np.asarray(names['by_means'])).max() > 0 and np.all(np.isfinite(names['by_focal']))
    # The card is as far to the left: by 30 pixels times 0.2, over its distance of 2.
    shift = np.argwhere(names['near'])[:, 1].mean() - np.argwhere(np.asarray(names['seen'].alpha) > 0.5)[:, 1].mean()
    assert shift == pytest.approx(3, abs=0.3) and float(names['by_zoom']) > 0
    assert {'two.ply', 'card.ply', 'stack', 'stack.html'} <= {path.name for path in tmp_path.iterdir()}
    # From the right the disc is farther to the left: by 60 pixels times 0.1, over its distance of 2.
    depths = np.asarray(names['distance']), np.asarray(names['beside'].depth)
    shift = [np.argwhere((depth > 1.5) & (depth < 2.5))[:, 1].mean() for depth in depths]
    assert shift[0] - shift[1] == pytest.approx(3, abs=0.5)
    # The photograph warped there shows the disc, half as bright, where the planes have it.
    disc = np.argwhere(np.abs(np.asarray(names['warped'].rgb)[..., 0] - 0.5) < 0.1)[:, 1].mean()
    assert disc == pytest.approx(np.argwhere((depths[1] > 1.5) & (depths[1] < 2.5))[:, 1].mean(), abs=0.5)


def test_the_example_of_faces_opens_a_mouth_and_exports_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(
        r'^```python\n(.*?)^```', (ROOT / 'docs/faces_and_speech.md').read_text(), re.DOTALL | re.MULTILINE
    )
    (code,) = (block for block in blocks if 'procedural.face()' in block)
    exec(compile(code, 'faces_and_speech.md', 'exec'), names)
    assert names['marks'].shape == (68, 3)
    opens = dict(zip(names['model'].names, np.asarray(names['opens'])))
    assert opens['jawOpen'] > 1 and opens['mouthUpperUp_L'] > 0 and opens['eyeBlink_L'] == 0
    assert (tmp_path / 'talk.glb').stat().st_size > 100_000
    assert len((tmp_path / 'talk.csv').read_text().splitlines()) == 51
