"""Videos through PyAV (the extra `video`): H.264, and AAC where there is sound, in an MP4 that every browser plays."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from neurend import checks
from neurend.checks import InputError
from neurend.images import io

_SOUND_RATE = 48000  # of AAC streams, which every player knows
_BITS = 96000  # of sound, a second


def write(
    path: str | os.PathLike[str],
    frames: Iterable[Any],
    fps: float = 30,
    *,
    quality: int = 18,
    sound: tuple[np.ndarray, int] | None = None,
    about: Mapping[str, str] | None = None,
) -> int:
    """Writes frames as H.264, yuv420p, BT.709. The file appears whole or not at all.

    Args:
        path: an .mp4 file.
        frames: [H W 3], float in [0, 1] or uint8, all of one size; drawn one by one, so a generator may render them. An
            odd width or height, which the format does not know, gains a copy of its last column or row.
        fps: frames per second.
        quality: constant rate factor of x264: 0 is lossless, 18 looks lossless, 28 is small.
        sound: samples [n] in [-1, 1] and how many there are a second, such as `neurend.speech.audio.Waveform`; it
            begins with the first frame, and what is longer than the frames is left out.
        about: what the file says of itself, such as 'title' and 'comment', see `about`.

    Returns:
        The number of frames.

    Raises:
        InputError: PyAV is missing, no frames or frames of different sizes, sound of another shape or not finite, or a
            place that cannot be written.
    """
    av = _av()
    if sound is not None:
        checks.shape('sound', sound[0], 'n', 'Give one channel')
        checks.finite('sound', sound[0])
    target = Path(path)
    if target.suffix.lower() != '.mp4':
        raise InputError(f'{target}: got suffix {target.suffix!r}, expected .mp4')
    part = target.with_name(f'{target.name}.{os.getpid()}.part')
    try:
        with av.open(str(part), 'w', format='mp4', options={'movflags': '+faststart'}) as container:
            container.metadata.update(about or {})
            count = _encode(av, container, frames, fps, quality, sound)
        if not count:
            raise InputError(f'{target}: got no frames to write')
        os.replace(part, target)
    except OSError as error:
        raise InputError(
            f'{target}: cannot be written ({error}). Check that the folder exists, is writable and has room'
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return count


def read(path: str | os.PathLike[str]) -> Iterator[np.ndarray]:
    """Yields the frames of a video, uint8 [H W 3] each, as they are decoded.

    Raises:
        InputError: PyAV is missing, or the file is missing, damaged or holds no video.
    """
    with _opened(path) as container:
        if not container.streams.video:
            raise InputError(f'video {path}: holds no picture stream')
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format='rgb24')


def frame_rate(path: str | os.PathLike[str]) -> float:
    """Frames per second that a video's header states.

    Raises:
        InputError: as `read`.
    """
    with _opened(path) as container:
        if container.streams.video and container.streams.video[0].average_rate:
            return float(container.streams.video[0].average_rate)
    raise InputError(f'video {path}: states no frame rate')


def read_sound(path: str | os.PathLike[str]) -> tuple[np.ndarray, int]:
    """Samples float32 [n] of a video's sound, the mean of its channels, and how many there are a second.

    The first sample is at the time of the first frame.

    Raises:
        InputError: as `read`, or there is no sound.
    """
    av = _av()
    with _opened(path) as container:
        if not container.streams.audio:
            raise InputError(f'video {path}: holds no sound')
        rate = container.streams.audio[0].rate
        resampler = av.AudioResampler(format='fltp', layout='mono', rate=rate)
        samples: list[np.ndarray] = []
        early = 0  # what the encoder put before the first sample
        for frame in container.decode(audio=0):
            if not samples and frame.pts is not None:
                early = max(0, -round(float(frame.pts * frame.time_base) * rate))
            samples += [each.to_ndarray()[0] for each in resampler.resample(frame)]
        return np.concatenate(samples)[early:].astype(np.float32), rate


def about(path: str | os.PathLike[str]) -> dict[str, str]:
    """What a video says of itself: 'title', 'comment' and others, where its header has them.

    Raises:
        InputError: as `read`.
    """
    with _opened(path) as container:
        return dict(container.metadata)


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A video's container, whose errors, while it is read too, are one `InputError` with the file's name."""
    av = _av()
    file = checks.file(path, 'video')
    try:
        with av.open(str(file)) as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        raise InputError(f'video {file}: cannot be decoded ({error}). Expected a whole video file') from error


def _encode(
    av: ModuleType,
    container: Any,
    frames: Iterable[Any],
    fps: float,
    quality: int,
    sound: tuple[np.ndarray, int] | None,
) -> int:
    stream, size, count = None, None, 0
    speaker: _Speaker | None = None
    for count, frame in enumerate(frames, start=1):
        pixels = io.to_uint8(frame, name=f'frame {count - 1}')
        checks.shape(f'frame {count - 1}', pixels, 'H W 3', 'All frames must have the size of the first', sizes=size)
        if stream is None:
            size = {'H': pixels.shape[0], 'W': pixels.shape[1]}
            rate = Fraction(fps).limit_denominator(1001)
            stream = container.add_stream('libx264', rate=rate, options={'crf': str(quality)})
            stream.width, stream.height = size['W'] + size['W'] % 2, size['H'] + size['H'] % 2
            stream.pix_fmt = 'yuv420p'
            # Players guess the colour matrix from the size of the picture unless the file says it.
            stream.codec_context.colorspace = av.video.reformatter.Colorspace.ITU709
            stream.codec_context.color_range = av.video.reformatter.ColorRange.MPEG
            speaker = None if sound is None else _Speaker(av, container, *sound)
        pixels = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode='edge')
        picture = av.VideoFrame.from_ndarray(pixels, format='rgb24').reformat(
            format='yuv420p', dst_colorspace=av.video.reformatter.Colorspace.ITU709
        )
        container.mux(stream.encode(picture))
        if speaker is not None:  # by turns, as players read them
            speaker.until(count / fps)
    if stream is not None:
        container.mux(stream.encode())
    if speaker is not None:
        speaker.finish()
    return count


class _Speaker:
    """Sound that is encoded bit by bit."""

    def __init__(self, av: ModuleType, container: Any, samples: np.ndarray, rate: int):
        self._av, self._container, self._samples, self._rate, self._given = av, container, samples, int(rate), 0
        self._stream = container.add_stream('aac', rate=_SOUND_RATE)
        self._stream.codec_context.layout = 'mono'
        self._stream.bit_rate = _BITS

    def until(self, seconds: float) -> None:
        """Encodes what comes before a time."""
        stop = min(round(seconds * self._rate), len(self._samples))
        if stop > self._given:
            part = np.clip(np.asarray(self._samples[self._given : stop], np.float32), -1, 1)
            frame = self._av.AudioFrame.from_ndarray(part[None], format='fltp', layout='mono')
            frame.sample_rate, frame.pts, frame.time_base = self._rate, self._given, Fraction(1, self._rate)
            self._container.mux(self._stream.encode(frame))
            self._given = stop

    def finish(self) -> None:
        """Encodes what waits for a whole block."""
        self._container.mux(self._stream.encode())


def _av() -> ModuleType:
    with contextlib.suppress(ImportError):
        import av
        import av.video.reformatter

        return av
    raise InputError("video: needs PyAV, which is not installed. Install it with: pip install 'neurend[video]'")
