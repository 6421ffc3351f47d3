"""The recogniser as a program: it learns a language of tones from a folder, goes on, and is loaded."""

from pathlib import Path

import numpy as np
import pytest

from experiments import recognizer
from experiments.recognizer import NetworkConfig
from experiments.translation import RunConfig
from neurend import app, config
from neurend.checks import InputError
from neurend.speech import audio, ctc
from neurend.speech.audio import Waveform
from neurend.speech.augment import AugmentConfig
from neurend.train.optimizers import OptimizerConfig

FLAGS = Path(__file__).resolve().parents[2] / 'configs' / 'recognizer_espeak.flags'
TONES = {'a': 400, 'b': 900, 'c': 1700, 'd': 3000}


def sung(word, random, rate=16000):
    """Each letter a tone of 120 ms, with a pause behind."""
    parts = [np.zeros(rate // 20)]
    for letter in word:
        time = np.arange(int(0.12 * rate)) / rate
        parts += [0.3 * np.sin(2 * np.pi * TONES[letter] * time), np.zeros(int(0.05 * rate))]
    sound = np.concatenate(parts)
    return Waveform((sound + 0.003 * random.normal(size=len(sound))).astype(np.float32), rate)


def write_folder(folder, count, seed=0):
    random = np.random.default_rng(seed)
    folder.mkdir()
    for k in range(count):
        word = ''.join(random.choice(list(TONES), random.integers(2, 6)))
        audio.write(folder / f'{k:03d}.wav', sung(word, random))
        (folder / f'{k:03d}.txt').write_text(f'{word.upper()}.\n' if k % 2 else f'0 16000 {word}\n')
    return folder


def small(folder, workdir, steps):
    return recognizer.Config(
        data_dir=str(folder),
        workdir=str(workdir),
        seconds=2.0,
        batch=8,
        beam=4,
        network=NetworkConfig(width=24, hidden=48, taps=5, dilations=(1, 2), ahead=(1, 1)),
        augment=AugmentConfig(0.5, 0, 0, 0, 0, 0.5, 0, 0, 0),
        optimizer=OptimizerConfig(learning_rate=5e-3, final_learning_rate=1e-3, decay_steps=300),
        ema=0.9,
        run=RunConfig(steps, log_every=100, evaluate_every=0, checkpoint_every=0),
    )


def test_the_flag_file_says_how_to_run_and_can_be_read():
    assert FLAGS.read_text().startswith('# ')
    config.parse(recognizer.Config, f'--flagfile={FLAGS}')


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_a_language_of_tones_is_learned(tmp_path):
    folder, workdir = write_folder(tmp_path / 'sung', 80), tmp_path / 'run'
    app.write_record(small(folder, workdir, 100), workdir, 'config.flags')
    recognizer.main(small(folder, workdir, 100))
    table = recognizer.main(small(folder, workdir, 300))
    assert list(table.rows) == [f'{k:03d}' for k in range(19, 80, 20)]
    assert table.baselines['all letters']['greedy'] <= 0.1
    said = (folder / '019.txt').read_text().strip(' .\n').lower()
    assert f'said    {said}' in (workdir / 'transcripts.txt').read_text()
    listener = recognizer.load(str(workdir))
    sound = sung('abcadd', np.random.default_rng(5))
    logits = listener.logits(sound)
    assert ctc.errors('abcadd', ctc.greedy(logits)) <= 1
    assert len(listener.windows(sound, 25)) == round(sound.duration * 25)


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match='expected at least 1 of each'):
        recognizer.Config(seconds=0.1)
    folder = write_folder(tmp_path / 'few', 3)
    with pytest.raises(InputError, match='got 3 recordings'):
        recognizer.recordings(str(folder))
    (folder / '001.txt').write_text('we paid 20 pounds')
    with pytest.raises(InputError, match=r"001\.txt: text: got characters outside the alphabet, '0' '2'"):
        recognizer.recordings(str(folder))
    with pytest.raises(InputError, match='Expected the workdir of a run of experiments.recognizer'):
        recognizer.load(str(tmp_path))
