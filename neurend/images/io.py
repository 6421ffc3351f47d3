"""Image files: PNG, JPEG and WebP to NumPy arrays and back, with errors that say what is wrong with a file.

Pixels come as they are stored. A photograph's EXIF orientation is reported by `probe` and not applied unless asked for,
since calibrations (COLMAP, LLFF) speak of the stored pixels.
"""

import io
import os
import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from neurend import checks
from neurend.checks import InputError

_ORIENTATION_TAG = 0x0112
_FORMATS = {'.png': 'PNG', '.jpg': 'JPEG', '.jpeg': 'JPEG'}
# Pillow's modes by the number of channels we return.
_GRAY = ('1', 'L', 'I;16', 'I;16B', 'I;16L', 'I;16N')
# What Pillow raises on damaged files; decoders leak the errors of what they are built on.
_DAMAGE = (
    OSError, SyntaxError, ValueError, IndexError, EOFError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip


class ImageInfo(NamedTuple):
    """What a file's header says, without decoding its pixels.

    Attributes:
        width, height: of the stored pixels, before any EXIF orientation.
        channels: 1, 3 or 4, as `read` returns them.
        bits: per channel, 8 or 16.
        orientation: EXIF orientation 1-8; 1 is upright, 5-8 swap width and height when applied.
    """

    width: int
    height: int
    channels: int
    bits: int
    orientation: int


def probe(path: str | os.PathLike[str]) -> ImageInfo:
    """Reads an image's header.

    Raises:
        InputError: the file is missing, no image, or of a kind that `read` does not support.
    """
    with _open(_bytes(path), str(path)) as image:
        channels = _channels(image, str(path))
        bits = 16 if image.mode.startswith('I;16') else 8
        return ImageInfo(image.width, image.height, channels, bits, _orientation(image))


def read(path: str | os.PathLike[str], *, channels: int | None = None, upright: bool = False) -> np.ndarray:
    """Reads an image as uint8 [H W C]; C is 1 (gray), 3 (RGB) or 4 (RGB and straight alpha).

    Args:
        path: a PNG, JPEG or other file that Pillow can read. 16-bit channels are rounded to 8 bits (see `read_uint16`),
            palettes and CMYK become RGB.
        channels: 1, 3 or 4 to convert: colour to luma, gray to colour, an opaque alpha added. Alpha is only dropped
            where the whole image is opaque. By default what the file has (gray with alpha becomes 4).
        upright: applies the EXIF orientation; by default the stored pixels.

    Raises:
        InputError: the file is missing, truncated, no image, of an unsupported kind, or has alpha to be dropped.
    """
    return decode(_bytes(path), channels=channels, upright=upright, name=str(path))


def decode(data: bytes, *, channels: int | None = None, upright: bool = False, name: str = 'image') -> np.ndarray:
    """Decodes the bytes of an image file; everything else is as in `read`. `name` names them in errors."""
    if channels is not None:
        checks.one_of('channels', channels, (1, 3, 4))
    with _open(data, name) as image:
        count = _channels(image, name)
        image = _load(image, name, upright)
    if image.mode.startswith('I;16'):
        array = np.round(np.asarray(image, np.float32) / 257).astype(np.uint8)[..., None]
    else:
        array = np.asarray(image.convert({1: 'L', 3: 'RGB', 4: 'RGBA'}[count]))
        array = array.reshape(*array.shape[:2], count)
    return array if channels is None else _convert(array, channels, name)


def read_uint16(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a single-channel 16-bit PNG, e.g. a depth map, as uint16 [H W 1] without loss.

    Raises:
        InputError: as `read`, or the image is not 16-bit gray.
    """
    name = str(path)
    with _open(_bytes(path), name) as image:
        if not image.mode.startswith('I;16'):
            raise InputError(f'{name}: got a {image.mode} image, expected 16-bit gray. Use read for 8-bit images')
        image = _load(image, name, upright=False)
    return np.asarray(image).astype(np.uint16)[..., None]


def to_uint8(image: Any, *, name: str = 'image') -> np.ndarray:
    """Rounds a float image in [0, 1] (clipped to it) to uint8; uint8 passes through.

    Raises:
        InputError: not a number somewhere, or a dtype that is neither float nor uint8.
    """
    array = np.asarray(image)
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != 'f' and array.dtype.name != 'bfloat16':
        raise InputError(f'{name}: got dtype {array.dtype}, expected uint8, or floating point in [0, 1]')
    array = array.astype(np.float32)
    checks.finite(name, array)
    return np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)


def write(path: str | os.PathLike[str], image: Any, *, quality: int = 95) -> None:
    """Writes an image; the suffix .png, .jpg or .jpeg picks the format. The file appears whole or not at all.

    Args:
        path: where to; its folder must exist.
        image: [H W C] or [H W], C 1, 3 or 4 (JPEG: 1 or 3); uint8, float in [0, 1], or uint16 of one channel (PNG).
        quality: of JPEG, 1-95.

    Raises:
        InputError: an unknown suffix, an image that the format cannot hold, or a place that cannot be written.
    """
    target = Path(path)
    kind = _FORMATS.get(target.suffix.lower())
    if kind is None:
        raise InputError(f'{target}: got suffix {target.suffix!r}, expected one of {", ".join(_FORMATS)}')
    data = _encode(image, kind, quality, str(target))
    replace(target, data)


def replace(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file that appears whole or not at all, in place of what was there.

    Raises:
        InputError: the place cannot be written.
    """
    target = Path(path)
    part = target.with_name(f'{target.name}.{os.getpid()}.part')
    try:
        part.write_bytes(data)
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f'{target}: cannot be written ({error.strerror}). Check that the folder exists, is writable and has room'
        ) from error


def encode_png(image: Any) -> bytes:
    """The image ([H W C] uint8 or float in [0, 1], or uint16 of one channel) as the bytes of a PNG file."""
    return _encode(image, 'PNG', 95, 'image')


def encode_jpeg(image: Any, *, quality: int = 90) -> bytes:
    """The image ([H W 1 or 3] uint8 or float in [0, 1]) as the bytes of a JPEG file."""
    return _encode(image, 'JPEG', quality, 'image')


def _bytes(path: str | os.PathLike[str]) -> bytes:
    return checks.file(path, 'image').read_bytes()


def _open(data: bytes, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)  # large photographs are our business
            return Image.open(io.BytesIO(data))
    except _DAMAGE as error:
        reason = 'empty' if not data else re.sub(r' ?<_io\.BytesIO[^>]*>', '', str(error))
        raise InputError(f'{name}: no image that can be read ({reason}). Expected a whole PNG or JPEG file') from error


def _load(image: Image.Image, name: str, upright: bool) -> Image.Image:
    try:
        image.load()
        return ImageOps.exif_transpose(image) if upright else image
    except _DAMAGE as error:
        raise InputError(f'{name}: truncated or damaged ({error}). Copy or convert the file again') from error


def _channels(image: Image.Image, name: str) -> int:
    transparent = 'transparency' in image.info
    if image.mode in ('LA', 'La', 'RGBA', 'RGBa', 'PA') or (image.mode in ('P', 'L', 'RGB') and transparent):
        return 4
    if image.mode in _GRAY:
        return 1
    if image.mode in ('RGB', 'P', 'CMYK', 'YCbCr'):
        return 3
    raise InputError(
        f'{name}: got pixels of mode {image.mode}, expected 8-bit gray, colour or palette, or 16-bit gray. '
        'Convert the file'
    )


def _convert(array: np.ndarray, channels: int, name: str) -> np.ndarray:
    if array.shape[-1] == 4 and channels != 4:
        if np.any(array[..., 3] != 255):
            raise InputError(
                f'{name}: has transparent pixels, expected an opaque image. '
                'Read its 4 channels and composite them over a background'
            )
        array = array[..., :3]
    count = array.shape[-1]
    if channels == 1 and count == 3:
        return np.asarray(Image.fromarray(array).convert('L'))[..., None]
    if channels >= 3 and count == 1:
        array = np.repeat(array, 3, axis=-1)
    if channels == 4 and array.shape[-1] == 3:
        array = np.concatenate([array, np.full_like(array[..., :1], 255)], axis=-1)
    return array


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _DAMAGE:  # a damaged EXIF block does not make the pixels unreadable
        return 1
    return value if value in range(1, 9) else 1


def _encode(image: Any, kind: str, quality: int, name: str) -> bytes:
    array = np.asarray(image)
    array = array[..., None] if array.ndim == 2 else array
    checks.shape(name, array, 'H W C')
    allowed = (1, 3, 4) if kind == 'PNG' else (1, 3)
    if array.shape[-1] not in allowed or 0 in array.shape:
        raise InputError(f'{name}: got shape {array.shape}, expected (H, W, C) with C one of {allowed} for {kind}')
    if array.dtype == np.uint16 and array.shape[-1] == 1 and kind == 'PNG':
        pixels = array
    else:
        pixels = to_uint8(array, name=name)
    buffer = io.BytesIO()
    options = {'quality': quality} if kind == 'JPEG' else {}
    pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, **options)
    return buffer.getvalue()
