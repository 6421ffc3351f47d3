"""Sound files: WAV and whatever else soundfile (the extra `audio`) reads, as one channel of float32, and back.

Without the extra, 16-bit PCM WAV is read by the standard library.
"""

import contextlib
import io
import math
import os
import struct
import wave
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from scipy import signal

from neurend import checks
from neurend.checks import InputError

RATE = 16000
"""Samples per second that features and recognisers take."""
FULL = 32768.0
"""Steps of 16-bit sound in [0, 1)."""
_SILENT = 2 / FULL  # two steps of 16 bits: the dither of a muted microphone
_UNKNOWN = 0x7F000000  # sizes from here on are those of streams, whose writer did not know the end
_CLIPPED_RUN = 3  # samples in a row at the loudest level


class Waveform(NamedTuple):
    """Sound of one channel.

    Attributes:
        samples: float32 [n] in [-1, 1].
        rate: samples per second.
    """

    samples: np.ndarray
    rate: int

    @property
    def duration(self) -> float:
        """In seconds."""
        return len(self.samples) / self.rate

    @property
    def clipped(self) -> float:
        """The part of samples that lie in runs of three or more at the loudest level, where that is near full scale.

        Above a thousandth speech sounds harsh, and its features are not those that a recogniser has learned.
        """
        level = np.abs(self.samples)
        peak = level.max(initial=0)
        if peak < 0.5:
            return 0.0
        loudest = np.concatenate([[False], level >= peak - 1.5 / FULL, [False]])
        edges = np.flatnonzero(loudest[1:] != loudest[:-1])
        runs = edges[1::2] - edges[::2]
        return float(runs[runs >= _CLIPPED_RUN].sum() / len(level))


def read(path: str | os.PathLike[str]) -> Waveform:
    """Reads a sound file of any rate and number of channels, of which it takes the mean.

    Raises:
        InputError: the file is missing, empty, truncated, silent throughout, not finite, no sound, or of a format for
            which soundfile is not installed.
    """
    file = checks.file(path, 'sound')
    data = file.read_bytes()
    if not data:
        raise InputError(f'sound {file}: the file is empty. Record or copy it again')
    _check_whole(file, data)
    soundfile = _soundfile()
    samples, rate = _by_wave(file, data) if soundfile is None else _by_soundfile(soundfile, file, data)
    if not samples.size:
        raise InputError(f'sound {file}: holds no samples. Record or copy it again')
    checks.finite(f'sound {file}', samples)
    mono = samples.mean(axis=1, dtype=np.float64).astype(np.float32)
    peak = float(np.abs(mono).max())
    if peak <= _SILENT:
        raise InputError(
            f'sound {file}: silent, its loudest sample is {peak:.1e} of full scale. Check the microphone, or that '
            'its channels do not cancel each other'
        )
    return Waveform(mono, rate)


def write(path: str | os.PathLike[str], waveform: Waveform) -> None:
    """Writes 16-bit PCM WAV; samples beyond [-1, 1] are clipped.

    Raises:
        InputError: samples that are not finite, or a place that cannot be written.
    """
    checks.shape('waveform.samples', waveform.samples, 'n')
    checks.finite('waveform.samples', waveform.samples)
    steps = np.clip(np.round(np.asarray(waveform.samples, np.float64) * FULL), -FULL, FULL - 1).astype('<i2')
    buffer = io.BytesIO()
    with wave.open(buffer, 'wb') as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(waveform.rate)
        sound.writeframes(steps.tobytes())
    try:
        Path(path).write_bytes(buffer.getvalue())
    except OSError as error:
        raise InputError(
            f'{path}: cannot be written ({error.strerror}). Check that the folder exists, is writable and has room'
        ) from error


def resample(waveform: Waveform, rate: int = RATE) -> Waveform:
    """The same sound at another rate: polyphase filtering by a Kaiser window (`scipy.signal.resample_poly`).

    Raises:
        InputError: a rate that is not positive.
    """
    if min(rate, waveform.rate) < 1:
        raise InputError(f'rate: got {waveform.rate} to {rate} samples per second, expected positive numbers')
    if rate == waveform.rate:
        return waveform
    shared = math.gcd(rate, waveform.rate)
    samples = signal.resample_poly(np.asarray(waveform.samples, np.float64), rate // shared, waveform.rate // shared)
    return Waveform(samples.astype(np.float32), rate)


def _check_whole(file: Path, data: bytes) -> None:
    """Refuses a WAV file that ends before its header says: libsndfile would read what is left without a word."""
    if data[:4] != b'RIFF' or data[8:12] != b'WAVE':
        return
    place = 12
    while place + 8 <= len(data):
        name, size = struct.unpack_from('<4sI', data, place)
        there = len(data) - place - 8
        if name == b'data':
            if there < size < _UNKNOWN:
                raise InputError(f'sound {file}: truncated, {there} of {size} bytes of sound are there. Copy it again')
            return
        place += 8 + size + size % 2
    raise InputError(f'sound {file}: truncated, it ends before its sound begins. Copy it again')


def _by_soundfile(soundfile: ModuleType, file: Path, data: bytes) -> tuple[np.ndarray, int]:
    try:
        return soundfile.read(io.BytesIO(data), dtype='float32', always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise InputError(f'sound {file}: cannot be read ({error}). Expected a whole WAV, FLAC or Ogg file') from error


def _by_wave(file: Path, data: bytes) -> tuple[np.ndarray, int]:
    install = "Convert it to 16-bit PCM WAV, or install what reads others: pip install 'neurend[audio]'"
    try:
        with wave.open(io.BytesIO(data)) as sound:
            width, channels, rate = sound.getsampwidth(), sound.getnchannels(), sound.getframerate()
            frames = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        raise InputError(f'sound {file}: cannot be read ({error}). {install}') from error
    if width != 2:
        raise InputError(f'sound {file}: got samples of {8 * width} bits, expected 16. {install}')
    values = np.frombuffer(frames[: len(frames) // (2 * channels) * 2 * channels], '<i2').reshape(-1, channels)
    return (values / FULL).astype(np.float32), rate


def _soundfile() -> Any:
    with contextlib.suppress(ImportError, OSError):  # the latter where libsndfile itself is missing
        import soundfile

        return soundfile
    return None
