"""The recogniser of letters: errors on sentences it has not learned, two recordings of people, and its speed.

    python -m benchmarks.recognizer

Trains `configs/recognizer_espeak.flags`, or goes on with what the workdir has. Prints the letter error rate on the
sentences held out, of greedy and of beam decoding; transcripts of the recordings in `speech` beside the truth; and how
many seconds of sound the way from a WAV file to windows for a film of 25 frames per second takes in a second of one
core's time, beside the 20 that are asked. The last line printed is JSON.

`--minutes` of steps (those of the flag file by default). `--quick` takes a few steps only. A finished run
in the workdir is only measured.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np

from experiments import recognizer as program
from experiments import sentences
from neurend import allocation, app, config
from neurend.speech import audio, ctc, text
from neurend.speech.letters import LetterModel
from neurend.speech.recognizer import Compiled
from neurend.speech.streaming import Listener, Stream

FLAGS = Path(__file__).parents[1] / 'configs' / 'recognizer_espeak.flags'
_TRIAL = 30  # steps by which the time of one is measured
_BLOCK = 4  # rows of a stream's block


def transcribe(listener: Listener, folder: Path) -> dict[str, float]:
    """Prints what is heard in recordings; letter error rates of those whose text is known."""
    model = LetterModel(sentences.sentences(20000, seed=1))
    found = {}
    for path in sorted(folder.glob('*.wav')):
        logits = listener.logits(audio.read(path))
        heard = {'greedy': ctc.greedy(logits), 'beam': ctc.beam(logits, width=16, model=model)}
        known = path.with_suffix('.txt')
        if known.is_file():
            truth = text.normalize(known.read_text().split(maxsplit=2)[2])
            found |= {f'real_{name}': ctc.letter_error_rate([truth], [each]) for name, each in heard.items()}
        else:
            truth = f'(no transcript; {path.stem})'
        print(f'{path.name}\n  said    {truth}', *(f'  {name:7} {each}' for name, each in heard.items()), sep='\n')
    return found


def speed(listener: Listener, path: Path) -> dict[str, float]:
    """Seconds of sound in a second of the process's time, and milliseconds of a stream's block of 80 ms."""
    seconds = audio.read(path).duration

    def front_end():
        listener.windows(audio.read(path), 25)

    stream = Stream(Compiled(listener.recognizer, _BLOCK))
    block = np.zeros(_BLOCK * 320, np.float32)
    times = {}
    for name, act in (('front_end', front_end), ('block', lambda: stream.push(block))):
        act()
        act()
        taken = []
        for _ in range(20):
            start = time.process_time()
            act()
            taken.append(time.process_time() - start)
        times[name] = float(np.median(taken))
    return {
        'wav_real_time_factor': seconds / times['front_end'],
        'stream_block_ms': 1000 * times['block'],
        'stream_latency_s': stream.latency,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--workdir', default='out/recognizer')
    parser.add_argument('--minutes', type=float)
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    allocation.keep_freed_memory()
    flags = [f'--flagfile={FLAGS}', f'--workdir={options.workdir}']
    if options.quick:
        flags += ['--sentences=100', '--held_out=5', '--run.steps=20', '--run.evaluate_every=0']
    settings = config.parse(program.Config, *flags)
    record = Path(options.workdir) / 'config.flags'
    if record.is_file():
        settings = dataclasses.replace(config.parse(program.Config, f'--flagfile={record}'), workdir=options.workdir)
    elif options.minutes is not None and not options.quick:
        settings = dataclasses.replace(
            settings, run=dataclasses.replace(settings.run, steps=_steps(settings, options.minutes))
        )
    app.write_record(settings, Path(options.workdir), 'config.flags')
    table = program.main(settings)
    listener = program.load(options.workdir)
    result = {f'letter_error_rate_{name}': rate for name, rate in table.baselines['all letters'].items()}
    folder = Path(options.data_root) / 'speech'
    result |= transcribe(listener, folder)
    result |= speed(listener, next(iter(sorted(folder.glob('*.wav')))))
    print(
        f'letters wrong of those said: greedy {result["letter_error_rate_greedy"]:.3f}, beam '
        f'{result["letter_error_rate_beam"]:.3f} (asked: 0.15; nothing written at all: 1)\n'
        f"WAV to windows: {result['wav_real_time_factor']:.0f} times real time in one core's time (asked: 20); a "
        f'stream: {result["stream_block_ms"]:.1f} ms a block of 80 ms, at most {result["stream_latency_s"]:.2f} s '
        'from sound to its logits'
    )
    result = {name: round(value, 4) for name, value in result.items()}
    print(json.dumps(result | {'steps': settings.run.steps, 'device': jax.devices()[0].device_kind}))


def _steps(settings: program.Config, minutes: float) -> int:
    """How many steps fit, by a trial in a folder of its own."""
    folder = f'{settings.workdir}_trial'
    trial = dataclasses.replace(
        settings,
        workdir=folder,
        sentences=200,
        held_out=5,
        run=dataclasses.replace(settings.run, steps=_TRIAL, log_every=_TRIAL, evaluate_every=0),
    )
    program.main(trial)
    lines = (Path(folder) / 'metrics.jsonl').read_text().splitlines()
    rate = next(json.loads(line)['steps_per_second'] for line in lines if '"train"' in line)
    return max(1, round(60 * minutes * rate))


if __name__ == '__main__':
    main()
