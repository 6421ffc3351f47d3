"""Image translation as programs: pairs in either direction, guesses, and what a run leaves and gives back."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import (
    evaluate,
    pix2pix_facades,
    pix2pix_views,
    render,
    translate,
    translation,
    translation_pairs,
)
from experiments.translation import RunConfig
from neurend import app, config
from neurend.checks import InputError
from neurend.data import figure
from neurend.data.pairs import Pairs
from neurend.images import io, video
from neurend.models.pix2pix import config as configs
from neurend.models.pix2pix.config import DiscriminatorConfig, GeneratorConfig, Pix2PixConfig
from neurend.models.pix2pix.method import Inputs
from neurend.train.checkpoints import Checkpoints
from tests.experiments import torch_state

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
PROGRAMS = {
    'pix2pix_facades': pix2pix_facades,
    'pix2pix_figure': pix2pix_facades,
    'pix2pix_views_spot': pix2pix_views,
}
# Small enough to be compiled in seconds.
TINY = Pix2PixConfig(
    GeneratorConfig('dilated', width=4, depth=1), DiscriminatorConfig('pixel', width=4), learning_rate=0.01
)


def run(steps):
    return RunConfig(steps=steps, log_every=steps, evaluate_every=0, checkpoint_every=0)


@pytest.mark.parametrize('name', PROGRAMS)
def test_flag_files_say_how_to_run_and_can_be_read(name):
    assert (CONFIGS / f'{name}.flags').read_text().startswith('# ')
    config.parse(PROGRAMS[name].Config, f'--flagfile={CONFIGS / f"{name}.flags"}')


def filled(*values, size=(12, 16)):
    return np.concatenate([np.full((*size, 3), value, np.uint8) for value in values], axis=1)


@pytest.mark.parametrize(('direction', 'values'), [('a_to_b', (10, 200)), ('b_to_a', (200, 10))])
@pytest.mark.parametrize('kind', ['facades', 'side_by_side', 'two_folders'])
def test_the_condition_is_a_or_b(tmp_path, kind, direction, values):
    if kind == 'two_folders':
        for side, value in (('A', 10), ('B', 200)):
            (tmp_path / side / 'val').mkdir(parents=True)
            io.write(tmp_path / side / 'val' / '1.png', filled(value)[..., :1] if side == 'A' else filled(value))
    else:
        (tmp_path / 'val').mkdir()
        size = (256, 256) if kind == 'facades' else (12, 16)
        io.write(tmp_path / 'val' / '1.png', filled(10, 200, size=size))
    pairs = translation_pairs.read(tmp_path, kind, direction, 'val')
    assert pairs.names == ('1',) and pairs.conditions[0].shape == pairs.images[0].shape
    assert (int(pairs.conditions[0].mean()), int(pairs.images[0].mean())) == values


def test_bad_pairs_and_options_are_refused(tmp_path):
    for side in 'AB':
        (tmp_path / side / 'train').mkdir(parents=True)
        io.write(tmp_path / side / 'train' / '1.png', np.zeros((8, 8, 4 if side == 'A' else 3), np.uint8))
    with pytest.raises(InputError, match='conditions with alpha'):
        translation_pairs.read(tmp_path, 'two_folders', 'a_to_b', 'train')
    with pytest.raises(InputError, match="split: got 'test'"):
        pix2pix_facades.main(pix2pix_facades.Config(evaluate_split='test', crop=16))
    with pytest.raises(InputError, match='crop, --load_size'):
        pix2pix_facades.Config(crop=-1)
    with pytest.raises(InputError, match='pairs are no clips'):
        pix2pix_facades.Config(model=Pix2PixConfig(frames=2))
    with pytest.raises(InputError, match='expected --condition=proxy'):
        pix2pix_views.Config(mesh='a.obj')
    with pytest.raises(InputError, match=r'experiments\.pix2pix_facades'):
        pix2pix_facades.load(str(tmp_path))


def test_the_embedded_pairs_show_every_part_in_a_colour_of_its_own():
    colors = translation_pairs.palette(len(figure.PARTS) + 1)
    np.testing.assert_array_equal(colors[0], 0)
    codes = translation_pairs.codes(colors[None])[0]
    assert len(set(codes.tolist())) == len(colors)
    # What JPEG adds is taken away.
    noisy = np.clip(colors[None].astype(int) + np.random.default_rng(0).integers(-40, 41, (30, *colors.shape)), 0, 255)
    np.testing.assert_array_equal(
        translation_pairs.codes(noisy.astype(np.uint8)), np.broadcast_to(codes, noisy.shape[:2])
    )


def test_guesses_are_the_mean_colours_of_labels_and_the_mean_image():
    labels = np.zeros((16, 16, 3), np.uint8)
    labels[:, 8:] = (255, 85, 0)
    images = [np.where(labels[..., :1] > 0, right, left).astype(np.uint8) for left, right in ((10, 90), (30, 130))]
    images = tuple(np.repeat(image, 3, axis=-1) for image in images)
    train = Pairs(('a', 'b'), (labels, labels), images)
    means = translation_pairs.mean_colors(train)
    found = means[translation_pairs.codes(labels)]
    np.testing.assert_allclose(found[:, :8], 20 / 255)
    np.testing.assert_allclose(found[:, 8:], 110 / 255)
    # Labels that were never seen have the mean of all.
    np.testing.assert_allclose(means[translation_pairs.codes(np.full((1, 3), 170, np.uint8))], 65 / 255)
    step = translation_pairs.blur(found, 2.0)[4, :, 0]
    taps = np.exp(-0.125 * np.arange(-6, 7) ** 2)
    expected = [(20 + 90 * sum(taps[k + 6] for k in range(-6, 7) if x + k >= 8) / taps.sum()) / 255 for x in range(16)]
    np.testing.assert_allclose(step, expected, atol=1e-9)
    held_out = Pairs(('c',), (labels,), (images[0],))
    guesses = translation_pairs.baselines(train, held_out)
    assert guesses['mean image']['l1'] == pytest.approx((10 + 20) / 2 / 255, abs=1e-4)
    error = np.asarray(expected) - np.repeat([10, 90], 8) / 255
    assert guesses['blurred mean']['psnr'] == pytest.approx(-10 * np.log10(np.mean(error**2)), abs=1e-3)


def side_by_side(folder):
    """Pictures in which B is A's negative."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 4), ('val', 2)):
        (folder / split).mkdir(parents=True)
        for k in range(count):
            a = np.repeat(np.repeat(rng.integers(0, 2, (4, 4, 3)), 5, axis=0), 5, axis=1) * 255
            io.write(folder / split / f'{k}.png', np.concatenate([a, 255 - a], axis=1).astype(np.uint8))
    return folder


@pytest.mark.slow
def test_a_translation_is_learned_and_can_be_loaded_and_used_on_a_new_condition(tmp_path):
    settings = pix2pix_facades.Config(
        data_dir=str(side_by_side(tmp_path / 'data')),
        workdir=str(tmp_path / 'run'),
        load_size=20,
        crop=16,
        batch=4,
        model=TINY,
        run=run(200),
    )
    app.write_record(settings, tmp_path / 'run', 'config.flags')
    table = pix2pix_facades.main(settings)
    assert table.mean['l1'] < 0.05 < table.baselines['mean image']['l1']
    assert (tmp_path / 'run' / 'evaluation_val' / 'contact_sheet.png').is_file()
    assert json.loads((tmp_path / 'run' / 'evaluation_val' / 'evaluation.json').read_text())['views'].keys() == {
        '0',
        '1',
    }
    # The data are not needed any more.
    (tmp_path / 'data').rename(tmp_path / 'gone')
    (tmp_path / 'run').rename(tmp_path / 'moved')
    loaded, method, state = pix2pix_facades.load(str(tmp_path / 'moved'))
    assert loaded == dataclasses.replace(settings, workdir=str(tmp_path / 'moved'))
    condition = np.zeros((11, 13, 3), np.uint8)
    condition[:, 6:] = 255
    (picture,) = translation.draw(method, state, [condition])
    assert picture.shape == (11, 13, 3)
    np.testing.assert_allclose(picture[:, [1, 11]].mean((0, 2)), [1, 0], atol=0.15)


def test_folders_that_lie_in_another_way_are_told_which_flag_to_give(tmp_path):
    for side in 'AB':
        (tmp_path / 'apart' / side / 'train').mkdir(parents=True)
    (tmp_path / 'together' / 'train').mkdir(parents=True)
    for name, kind, remedy in (
        ('apart', 'side_by_side', '--pairs=two_folders'),
        ('apart', 'facades', '--pairs=two_folders'),
        ('together', 'two_folders', '--pairs=side_by_side'),
        ('apart', 'two_folders', 'A/train: no pictures'),
        ('mistyped', 'side_by_side', '--data_dir=.*mistyped: no such folder'),
    ):
        with pytest.raises(InputError, match=remedy):
            translation_pairs.read(tmp_path / name, kind, 'a_to_b', 'train')


def test_beginnings_that_do_not_go_together_are_refused(tmp_path):
    local = Pix2PixConfig(GeneratorConfig('local', width=2, depth=1, blocks=1))
    with pytest.raises(InputError, match='--coarse: got a run with --model.generator.name=unet, expected local'):
        pix2pix_facades.Config(coarse='out/global')
    with pytest.raises(InputError, match='--coarse, --init: got both'):
        pix2pix_facades.Config(coarse='out/global', init='a.pth', model=local)
    with pytest.raises(InputError, match='--crop: got 0 without --data_dir'):
        pix2pix_facades.Config(crop=0)
    with pytest.raises(InputError, match='--model.pool: keeps images of a known size'):
        pix2pix_facades.Config(crop=0, load_size=0, data_dir='a', model=dataclasses.replace(TINY, pool=3))
    finished(tmp_path / 'dilated', TINY)
    local = pix2pix_facades.Config(coarse=str(tmp_path / 'dilated'), model=local)
    with pytest.raises(InputError, match='--coarse=.*dilated: a run with --model.generator.name=dilated, expected one'):
        pix2pix_facades.coarse(local)


def test_runs_of_other_programs_are_called_by_their_name(tmp_path, monkeypatch):
    monkeypatch.setattr(app, 'program_name', lambda: 'python -m experiments.pix2pix_facades')
    settings = pix2pix_facades.Config(workdir=str(tmp_path / 'two'), model=TINY)
    app.write_record(settings, tmp_path / 'two', 'config.flags')
    told = r'two: is a run of python -m experiments\.pix2pix_facades, expected one of python -m experiments\.nerf'
    for main, config_class in ((evaluate.main, evaluate.Config), (render.main, render.Config)):
        with pytest.raises(InputError, match=told):
            main(config_class(workdir=settings.workdir))
    with pytest.raises(InputError, match=r'expected one of python -m experiments\.pix2pix_views'):
        pix2pix_views.load(settings.workdir)


def finished(folder, model, **options):
    """A run of one step."""
    settings = pix2pix_facades.Config(workdir=str(folder), crop=16, model=model, run=run(1), **options)
    method = pix2pix_facades.method_of(settings)
    state = jax.jit(method.init)(jax.random.key(0))
    checkpoints = Checkpoints(folder / 'checkpoints')
    checkpoints.save(dataclasses.replace(state, step=state.step + 1), notes={})
    checkpoints.close()
    app.write_record(settings, folder, 'config.flags')
    return method, state


def test_a_folder_and_a_video_are_translated_as_by_the_method(tmp_path):
    method, state = finished(tmp_path / 'run', TINY)
    rng = np.random.default_rng(0)
    pictures = {'10.png': rng.integers(0, 256, (9, 12, 3)), '2.png': rng.integers(0, 256, (16, 10, 1))}
    (tmp_path / 'in').mkdir()
    for name, picture in pictures.items():
        io.write(tmp_path / 'in' / name, picture.astype(np.uint8))
    settings = translate.Config(
        workdir=str(tmp_path / 'run'), input=str(tmp_path / 'in'), output=str(tmp_path / 'a' / 'out')
    )
    translate.main(settings)
    assert {path.name for path in (tmp_path / 'a' / 'out').iterdir()} == set(pictures)
    for name, picture in pictures.items():
        condition = np.broadcast_to(picture, (*picture.shape[:2], 3)) / np.float32(255)
        expected = method.render(state, Inputs(jnp.asarray(condition, jnp.float32)[None])).rgb[0]
        np.testing.assert_allclose(io.read(tmp_path / 'a' / 'out' / name) / 255, expected, atol=0.503 / 255)
    with pytest.raises(InputError, match='--output=.* is the input'):
        translate.main(dataclasses.replace(settings, output=settings.input))
    with pytest.raises(InputError, match='--input=.*nowhere: does not exist'):
        translate.main(dataclasses.replace(settings, input=str(tmp_path / 'nowhere')))
    film = np.repeat(np.linspace(40, 200, 3)[:, None, None, None], 3, axis=-1) * np.ones((1, 16, 32, 1))
    video.write(tmp_path / 'in.mp4', film.astype(np.uint8), fps=5)
    translate.main(dataclasses.replace(settings, input=str(tmp_path / 'in.mp4'), output=str(tmp_path / 'out.mp4')))
    frames = list(video.read(tmp_path / 'out.mp4'))
    assert len(frames) == 3 and video.frame_rate(tmp_path / 'out.mp4') == 5
    for frame, seen in zip(frames, video.read(tmp_path / 'in.mp4')):
        expected = method.render(state, Inputs(jnp.asarray(seen, jnp.float32)[None] / 255)).rgb[0]
        assert np.abs(frame / 255 - np.asarray(expected)).mean() < 0.03


@pytest.mark.parametrize(
    ('condition', 'message'),
    [
        (np.zeros((8, 8, 3), np.float32), r'condition 1: got float32 of shape \(8, 8, 3\), expected uint8'),
        (np.zeros((8, 8), np.uint8), r'condition 1: got uint8 of shape \(8, 8\), expected uint8 of shape \(h, w, c\)'),
        (np.zeros((8, 8, 2), np.uint8), r'condition: got shape \(1, 8, 8, 2\), expected \(n, h, w, 3\).* 3 channels'),
        (np.zeros((8, 8, 4), np.uint8), r'condition: got shape \(1, 8, 8, 4\), expected \(n, h, w, 3\)'),
    ],
)
def test_conditions_unlike_those_of_training_are_named(condition, message):
    method = pix2pix_facades.method_of(pix2pix_facades.Config(crop=16, model=TINY))
    state = jax.jit(method.init)(jax.random.key(0))
    pictures = translation.draw(method, state, [np.zeros((8, 8, 3), np.uint8), condition])
    assert next(pictures).shape == (8, 8, 3)
    with pytest.raises(InputError, match=message):
        next(pictures)


def test_training_begins_with_weights_of_the_public_layout(tmp_path):
    generator = GeneratorConfig(width=2, depth=2, norm='batch')
    settings = pix2pix_facades.Config(
        data_dir=str(side_by_side(tmp_path / 'data')),
        load_size=20,
        crop=16,
        init=str(tmp_path / 'net.pth'),
        model=dataclasses.replace(TINY, generator=generator),
    )
    network = configs.generator(generator)
    params = jax.jit(network.init)(jax.random.key(7), jnp.zeros((1, 16, 16, 3)))['params']
    state = torch_state.torch_state(network, params)
    torch_state.write(tmp_path / 'net.pth', state)
    method = pix2pix_facades.method_of(settings, initial=pix2pix_facades.initial(settings))
    begun = jax.jit(method.init)(jax.random.key(0)).params['generator']
    jax.tree.map(np.testing.assert_array_equal, begun, params)
    state['model.model.0.weight'] = state['model.model.0.weight'][:, :1]
    del state['model.model.3.bias']
    torch_state.write(tmp_path / 'net.pth', state)
    wrong = r'--init=.*net\.pth: .*3\.bias: missing, .*model\.model\.0\.weight: \(2, 1, 4, 4\), expected \(2, 3, 4, 4\)'
    with pytest.raises(InputError, match=wrong):
        pix2pix_facades.main(settings)
    with pytest.raises(InputError, match=r'--init=.*nope\.pth: does not exist'):
        pix2pix_facades.main(dataclasses.replace(settings, init=str(tmp_path / 'nope.pth')))


def test_whole_pictures_are_trained_on_and_must_have_one_size(tmp_path):
    side_by_side(tmp_path)
    settings = pix2pix_facades.Config(data_dir=str(tmp_path), load_size=0, crop=0, model=TINY)
    pairs = pix2pix_facades.read(settings, 'val')
    assert pix2pix_facades.resized(settings, pairs) == pairs
    resized = pix2pix_facades.resized(dataclasses.replace(settings, load_size=12), pairs)
    assert {image.shape for image in resized.images} == {(12, 12, 3)}
    io.write(tmp_path / 'val' / 'other.png', filled(10, 200))
    with pytest.raises(InputError, match='--crop: got 0.*1 with 20 x 20 and other with 16 x 12; give --load_size'):
        pix2pix_facades.main(settings)


def test_a_run_says_which_data_it_has():
    settings = pix2pix_facades.Config(data_dir='mine', batch=30)
    told = 'mine: 20 pairs to learn from, 5 held out (val); each batch of 30 holds some of them twice'
    assert pix2pix_facades.described(settings, 20, 5) == told
    own = pix2pix_facades.described(pix2pix_facades.Config(), 300, 60)
    assert own == 'embedded figure, no --data_dir given: 300 pairs to learn from, 60 held out (val)'


@pytest.mark.slow
def test_the_enhancer_begins_where_the_global_generator_ended(tmp_path):
    small = GeneratorConfig('global', width=4, depth=1, blocks=1)
    settings = pix2pix_facades.Config(
        data_dir=str(side_by_side(tmp_path / 'data')),
        workdir=str(tmp_path / 'global'),
        load_size=0,
        crop=16,
        model=dataclasses.replace(TINY, generator=small, adversarial=0.0),
        run=run(2),
    )
    app.write_record(settings, tmp_path / 'global', 'config.flags')
    pix2pix_facades.main(settings)
    local = dataclasses.replace(
        settings,
        workdir=str(tmp_path / 'local'),
        coarse=str(tmp_path / 'global'),
        model=dataclasses.replace(
            settings.model, generator=dataclasses.replace(small, name='local', width=2), fix_coarse=1.0
        ),
    )
    app.write_record(local, tmp_path / 'local', 'config.flags')
    pix2pix_facades.main(local)
    before, after = (pix2pix_facades.load(str(tmp_path / name))[2].params for name in ('global', 'local'))
    for name, leaf in after['generator']['coarse'].items():
        jax.tree.map(np.testing.assert_array_equal, leaf, before['generator'][name])
