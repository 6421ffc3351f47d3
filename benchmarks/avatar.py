"""A talking avatar from logits alone and from sound: mouth, pictures, frames per second, and films in sync.

    python -m benchmarks.avatar --data_root=../shared/data

On `talking_head`: `configs/avatar_talking_head.flags` learns from the first 320 frames' logits and expressions, and
draws the last 80 from logits alone, in true poses, with blinks and brows of the frames to learn from. Beside it the
mouth of the mean expression, ridge regressions from the frame's window of logits and of letters' probabilities, and
true expressions. The regressions' strength is chosen on frames 256 to 319, with what frames 0 to 255 tell, and so was
all of the network's training; `--validate` prints what both reach there. The error of the mouth is the mean distance of
its 20 landmarks in parts of how far they move, the largest distance between two places of each on a head that holds
still.

Films: `configs/avatar_fast.flags` at 256 x 256, drawn and encoded; seconds of the wall, and of the processor for a
machine that others use: frames per second of two cores are 2 / seconds of processor time. Both recordings of `speech`
and a sentence of espeak-ng, if it is installed, are heard by the recogniser of `--recognizer` and written as MP4 with
sound, which is read back; the opening between the lips at m, b and p is compared with the mean and with that at vowels.

`--minutes` bounds training, in proportion to the schedules; `--quick` takes a few steps. The last line printed is JSON.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import avatar, avatar_report, avatar_script, avatar_speech, espeak, head_motion, recognizer
from experiments.avatar import Avatar, Config
from neurend import allocation, config
from neurend.checks import InputError
from neurend.data.tracked_head import Performance
from neurend.images import video
from neurend.speech import audio

CONFIGS = Path(__file__).parents[1] / 'configs'
MINUTES = 14  # of both schedules on a core
SENTENCE = 'My mother bought a big brown puppy in May. We put pepper on the beam, maybe.'
LAST_LEARNED = 256
STRENGTHS = 10.0 ** np.arange(-3, 1.1, 0.25)
_WARM = 8
CLOSED, VOWELS = ('m', 'b', 'p'), 'aAeEiIoOuUV03@'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--workdir', default='out/avatar_benchmark')
    parser.add_argument('--recognizer', default='out/recognizer')
    parser.add_argument('--minutes', type=float, default=MINUTES)
    parser.add_argument('--validate', action='store_true')
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    allocation.keep_freed_memory()
    root, share = Path(options.data_root), 0.02 if options.quick else options.minutes / MINUTES
    settings = {name: read(name, root, options, share) for name in ('talking_head', 'fast')}
    people = {name: avatar.learn(each) for name, each in settings.items()}
    if options.validate:
        validate(settings['talking_head'], people['talking_head'], Path(options.workdir))
    result = held_out(people['talking_head'])
    fast = avatar_report.psnr(people['fast'].head, heard(people['fast']))
    result |= {'psnr_fast': float(fast.mean())}
    print(f'fast: PSNR of frames held out, heard {fast.mean():.2f} dB')
    result |= speed(settings['fast'], people['fast'])
    result |= films(settings['fast'], people['fast'], root / 'speech', options.recognizer)
    numbers = {name: float(f'{value:.4g}') for name, value in result.items()}
    print(json.dumps({**numbers, 'device': jax.devices()[0].device_kind}))


def read(name: str, root: Path, options: argparse.Namespace, share: float) -> Config:
    """The configuration of a flag file, with a share of its steps."""
    found = config.parse(
        Config, f'--flagfile={CONFIGS / f"avatar_{name}.flags"}', f'--data_dir={root / "talking_head"}',
        f'--workdir={Path(options.workdir) / name}', f'--recognizer={options.recognizer}',
    )  # fmt: skip
    run, speech = found.run, found.speech
    return dataclasses.replace(
        found,
        run=dataclasses.replace(run, steps=max(2, round(share * run.steps))),
        speech=dataclasses.replace(
            speech, run=dataclasses.replace(speech.run, steps=max(2, round(share * speech.run.steps)))
        ),
    )


def ridge(windows: np.ndarray, wanted: np.ndarray, count: int, strength: float) -> np.ndarray:
    """Expressions of all windows by ridge regression from the first `count`."""
    flat = windows.reshape(len(windows), -1).astype(np.float64)
    scaled = flat - flat[:count].mean(0)
    inner, mean = scaled @ scaled[:count].T, wanted[:count].mean(0)
    bound = strength * np.trace(inner[:count]) / count
    return mean + inner @ np.linalg.solve(inner[:count] + bound * np.eye(count), wanted[:count] - mean)


def regressions(person: Avatar) -> dict[str, np.ndarray]:
    """Mouths of all frames by ridge regressions, of the strengths that are best on the last frames to learn from."""
    head = person.head
    places = avatar_speech.mouth(head.names)
    wanted = head.performance.expressions[:, places]
    found = {}
    for letters in ('logits', 'probabilities'):
        given = avatar_speech.hear(person.windows, letters)
        shorter = dataclasses.replace(head, train=LAST_LEARNED)
        ratios = [_validated(shorter, ridge(given, wanted, LAST_LEARNED, each), head.train) for each in STRENGTHS]
        best = STRENGTHS[int(np.argmin(ratios))]
        print(f'ridge, {letters}: {min(ratios):.3f} of the reach on the frames of validation, at strength {best:.2g}')
        found[f'ridge_{letters}'] = ridge(given, wanted, head.train, best)
    return found


def _validated(head: Any, lips: np.ndarray, stop: int) -> float:
    cut = Performance(*(each[:stop] for each in head.performance))
    short = dataclasses.replace(head, performance=cut, images=head.images[:stop])
    return avatar_report.mouth(short, avatar_report.unseen(short, lips[head.train : stop])).ratio


def validate(settings: Config, person: Avatar, workdir: Path) -> None:
    """Prints what the network reaches on frames to learn from that it has not learned."""
    stop = person.head.train
    shorter = dataclasses.replace(
        person.head, train=LAST_LEARNED, images=person.head.images[:stop],
        performance=Performance(*(each[:stop] for each in person.head.performance)),
    )  # fmt: skip
    speaker = avatar_speech.learn(settings.speech, shorter, person.windows[:stop], workdir / 'validation')
    lips = speaker(person.windows[:stop])[LAST_LEARNED:]
    found = avatar_report.mouth(shorter, avatar_report.unseen(shorter, lips))
    print(f'network: {found.ratio:.3f} of the reach on the frames of validation, correlation {found.correlation:.3f}')


def heard(person: Avatar) -> list[np.ndarray]:
    """Pictures of the frames held out by their speech."""
    lips = person.speaker(person.windows)[person.head.train :]
    return avatar_report.drawn(person.head, person.method, person.state, avatar_report.unseen(person.head, lips))


def held_out(person: Avatar) -> dict[str, float]:
    """Prints mouths and pictures of the frames held out; returns those of the network."""
    head, split = person.head, person.head.train
    places = avatar_speech.mouth(head.names)
    rest = head.performance.expressions[:split, places].mean(0)
    lips = {'network': person.speaker(person.windows), 'mean': np.broadcast_to(rest, (len(head), len(rest)))}
    lips |= regressions(person)
    performances = {name: avatar_report.unseen(head, each[split:].astype(np.float32)) for name, each in lips.items()}
    performances['true expressions'] = avatar_report.held_out(head)
    masks = head_motion.mouth_masks(head, performances['true expressions'])
    result: dict[str, float] = {}
    print(f'{"":20}{"landmarks":>10}{"lips":>8}{"PSNR":>8}{"mouth":>8}')
    for name, each in performances.items():
        mouth = avatar_report.mouth(head, each)
        pictures = avatar_report.drawn(head, person.method, person.state, each)
        whole, part = (avatar_report.psnr(head, pictures, mask).mean() for mask in (None, masks))
        print(f'{name:20}{mouth.ratio:10.3f}{mouth.correlation:8.3f}{whole:8.2f}{part:8.2f}', flush=True)
        if name == 'network':
            result = {
                'psnr': whole, 'mouth_landmark_error_ratio': mouth.ratio, 'lip_correlation': mouth.correlation,
                'psnr_mouth': part,
            }  # fmt: skip
    return result


def speed(settings: Config, person: Avatar) -> dict[str, float]:
    """Frames per second, drawn and encoded with sound."""
    windows = np.tile(person.windows[person.head.train :], (3, 1, 1))
    lips = person.speaker(windows)
    base = avatar_script.motion(person.head)
    places = avatar_script.turning(len(base.expressions), len(lips))
    tone = np.sin(np.arange(round(len(lips) / person.head.fps * audio.RATE)) / 20) / 2
    sound = audio.Waveform(tone.astype(np.float32), audio.RATE)
    film = avatar.Film(avatar_script.speak(person.head, lips, base, places), sound, places)
    frames = avatar.frames(settings, person, film)
    for _ in range(_WARM):  # compiles
        next(frames)
    began, used = time.perf_counter(), time.process_time()
    count = video.write(Path(settings.workdir) / 'speed.mp4', frames, person.head.fps, sound=sound)
    wall, processor = time.perf_counter() - began, time.process_time() - used
    print(f'fast: {count} frames, drawn and encoded: {count / wall:.1f} a second of the wall, ', end='')
    print(
        f'{1000 * processor / count:.1f} ms of processor time each, {2 * count / processor:.1f} a second of two cores'
    )
    return {'fps_fast_256': 2 * count / processor, 'fps_fast_256_wall': count / wall}


def films(settings: Config, person: Avatar, sounds: Path, listener: str) -> dict[str, float]:
    """Writes films of the recordings and of a sentence, and reads them back; {} where there is no recogniser."""
    try:
        hear = recognizer.load(listener)
    except InputError as error:
        print(f'no films: {error}')
        return {}
    result: dict[str, float] = {}
    for path in sorted(sounds.glob('*.wav')):
        sound = audio.read(path)
        person.speaker(hear.windows(sound, person.head.fps))  # compiles
        began = time.process_time()
        found = hear.windows(sound, person.head.fps)
        person.speaker(found)
        factor = sound.duration / (time.process_time() - began)
        result['wav_real_time_factor'] = min(factor, result.get('wav_real_time_factor', np.inf))
        print(f'{path.name}: {sound.duration:.2f} s are heard {factor:.0f} times as fast, in processor time')
        film = dataclasses.replace(settings, wav=str(path), output=f'{settings.workdir}/{path.stem}.mp4')
        result['duration_error'] = max(_written(film, person, sound.duration), result.get('duration_error', 0.0))
    try:
        phonemes = espeak.phonemes(SENTENCE)
    except InputError as error:
        print(f'no sentence: {error}')
        return result
    film = dataclasses.replace(settings, text=SENTENCE, output=f'{settings.workdir}/sentence.mp4')
    made = avatar.film(film, person)
    assert made.sound is not None
    result['duration_error'] = max(_written(film, person, made.sound.duration), result['duration_error'])
    as_heard = avatar.film(dataclasses.replace(film, close=False), person)
    for name, each in (('heard_gap_ratio', as_heard), ('closed_gap_ratio', made)):
        gap, fps = head_motion.gap(person.head.mesh, each.performance), person.head.fps

        def at(symbols: tuple[str, ...] | str, gap=gap, fps=fps) -> float:
            times = [(each.start + each.end) / 2 for each in phonemes if each.symbol and each.symbol[0] in symbols]
            return float(np.interp(times, np.arange(len(gap)) / fps, gap).mean())

        result[name] = at(CLOSED) / float(gap.mean())
        print(f'{name}: at m, b and p lips are open by {result[name]:.3f} of the mean, at vowels ', end='')
        print(f'{at(VOWELS) / float(gap.mean()):.3f}')
    return result


def _written(film: Config, person: Avatar, duration: float) -> float:
    """Writes a film, reads it back and returns the difference in seconds of pictures and sound from the duration."""
    path = avatar.write(film, person, avatar.film(film, person))
    pictures = len(list(video.read(path))) / video.frame_rate(path)
    samples, rate = video.read_sound(path)
    print(f'{path}: {duration:.3f} s of speech, {pictures:.3f} s of pictures, {len(samples) / rate:.3f} s of sound')
    return max(abs(pictures - duration), abs(len(samples) / rate - duration))


if __name__ == '__main__':
    main()
