"""COLMAP's sparse models, binary and text (Schonberger and Frahm 2016): cameras, images and points."""

import dataclasses
import struct
from pathlib import Path

import numpy as np

from neurend import checks

# By COLMAP's model number: name and how many parameters.
MODELS: dict[int, tuple[str, int]] = {
    0: ('SIMPLE_PINHOLE', 3),
    1: ('PINHOLE', 4),
    2: ('SIMPLE_RADIAL', 4),
    3: ('RADIAL', 5),
    4: ('OPENCV', 8),
    5: ('OPENCV_FISHEYE', 8),
    6: ('FULL_OPENCV', 12),
    7: ('FOV', 5),
    8: ('SIMPLE_RADIAL_FISHEYE', 4),
    9: ('RADIAL_FISHEYE', 5),
    10: ('THIN_PRISM_FISHEYE', 12),
    11: ('RAD_TAN_THIN_PRISM_FISHEYE', 16),
    12: ('SIMPLE_DIVISION', 4),
    13: ('DIVISION', 5),
    14: ('SIMPLE_FISHEYE', 3),
    15: ('FISHEYE', 4),
    16: ('EUCM', 6),
    17: ('EQUIRECTANGULAR', 2),
}
COUNTS = dict(MODELS.values())


@dataclasses.dataclass(frozen=True)
class Intrinsics:
    """A COLMAP camera: model name, (width, height) and its parameters in COLMAP's order."""

    model: str
    size: tuple[int, int]
    params: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Photo:
    """A registered image: camera_from_world as quaternion (w, x, y, z) and translation, and the points it sees."""

    name: str
    camera_id: int
    quaternion: np.ndarray
    translation: np.ndarray
    point_ids: np.ndarray


@dataclasses.dataclass(frozen=True)
class Model:
    """A sparse model: cameras by id, images by name, points `[m 3]` with ids `[m]` that ascend, and uint8 `colors`."""

    cameras: dict[int, Intrinsics]
    photos: tuple[Photo, ...]
    point_ids: np.ndarray
    points: np.ndarray
    colors: np.ndarray


def read_model(folder: Path) -> Model:
    """Reads `cameras`, `images` and `points3D`, `.bin` where present, else `.txt`.

    Every count in a file is checked against the bytes that are left before anything is allocated for it.

    Raises:
        InputError: a file missing, truncated or not of the format; an unknown camera model.
    """
    binary = (folder / 'cameras.bin').exists()
    suffix = '.bin' if binary else '.txt'
    paths = [folder / f'{name}{suffix}' for name in ('cameras', 'images', 'points3D')]
    for path in paths:
        checks.file(path, 'COLMAP model')
    cameras = (_binary_cameras if binary else _text_cameras)(paths[0])
    photos = (_binary_images if binary else _text_images)(paths[1])
    ids, points, colors = (_binary_points if binary else _text_points)(paths[2])
    for photo in photos:
        if photo.camera_id not in cameras:
            raise checks.InputError(
                f'{paths[1]}: image {photo.name} has camera {photo.camera_id}, not in {paths[0].name}'
            )
    if len({photo.name for photo in photos}) != len(photos):
        raise checks.InputError(f'{paths[1]}: an image name recurs, expected unique names')
    order = np.argsort(ids, kind='stable')
    photos = tuple(sorted(photos, key=lambda photo: photo.name))
    return Model(cameras, photos, ids[order], points[order], colors[order])


class _Cursor:
    """Reads little-endian values from bytes and refuses to run past their end."""

    def __init__(self, path: Path):
        self._path, self._data, self._at = path, path.read_bytes(), 0

    def values(self, layout: str) -> tuple:
        size = struct.calcsize('<' + layout)
        return struct.unpack('<' + layout, self._take(1, size))

    def array(self, dtype: np.dtype, count: int) -> np.ndarray:
        return np.frombuffer(self._take(count, dtype.itemsize), dtype)

    def count(self, smallest: int) -> int:
        """A number of records, each of at least `smallest` bytes."""
        (count,) = self.values('Q')
        self._check(count, smallest)
        return count

    def text(self) -> str:
        end = self._data.find(b'\0', self._at)
        if end < 0:
            raise checks.InputError(f'{self._path}: truncated in a name; copy the model again')
        raw, self._at = self._data[self._at : end], end + 1
        try:
            return raw.decode('utf-8')
        except UnicodeDecodeError as error:
            raise checks.InputError(f'{self._path}: a name is not text ({error}); copy the model again') from error

    def _check(self, count: int, size: int) -> None:
        left = len(self._data) - self._at
        if count * size > left:
            raise checks.InputError(
                f'{self._path}: truncated, {left} bytes left where {count} records of at least {size} bytes follow; '
                'copy the model again'
            )

    def _take(self, count: int, size: int) -> bytes:
        self._check(count, size)
        start, self._at = self._at, self._at + count * size
        return self._data[start : self._at]


def _binary_cameras(path: Path) -> dict[int, Intrinsics]:
    cursor, cameras = _Cursor(path), {}
    for _ in range(cursor.count(48)):
        camera_id, model, width, height = cursor.values('iiQQ')
        if model not in MODELS:
            raise checks.InputError(_unknown(path, camera_id, f'number {model}'))
        name, number = MODELS[model]
        cameras[camera_id] = _intrinsics(path, camera_id, name, width, height, cursor.values(f'{number}d'))
    return cameras


def _binary_images(path: Path) -> list[Photo]:
    cursor, photos = _Cursor(path), []
    record = np.dtype([('xy', '<f8', 2), ('point', '<i8')])
    for _ in range(cursor.count(73)):
        values = cursor.values('I7di')
        name = cursor.text()
        seen = cursor.array(record, cursor.count(record.itemsize))['point']
        photos.append(Photo(name, values[8], np.array(values[1:5]), np.array(values[5:8]), seen[seen >= 0]))
    return photos


def _binary_points(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cursor = _Cursor(path)
    count = cursor.count(51)
    ids, points, colors = np.empty(count, np.int64), np.empty((count, 3)), np.empty((count, 3), np.uint8)
    for i in range(count):
        ids[i], *points[i] = cursor.values('q3d')
        colors[i] = cursor.values('3Bd')[:3]
        cursor.array(np.dtype('<i8'), cursor.count(8))
    return ids, points, colors


def _text_cameras(path: Path) -> dict[int, Intrinsics]:
    cameras = {}
    for line in _lines(path):
        fields = line.split()
        if not fields:
            continue
        with _parsing(path, line):
            camera_id, name, width, height = int(fields[0]), fields[1], int(fields[2]), int(fields[3])
            params = tuple(float(value) for value in fields[4:])
        if name not in COUNTS:
            raise checks.InputError(_unknown(path, camera_id, name))
        cameras[camera_id] = _intrinsics(path, camera_id, name, width, height, params)
    return cameras


def _text_images(path: Path) -> list[Photo]:
    photos, lines = [], iter(_lines(path))
    for line in lines:
        fields = line.split(maxsplit=9)
        if not fields:
            continue
        with _parsing(path, line):
            numbers, camera_id, name = [float(value) for value in fields[1:8]], int(fields[8]), fields[9].strip()
        points = next(lines, None)
        if points is None:
            raise checks.InputError(f'{path}: ends after image {name}, expected a line with its points; copy it again')
        with _parsing(path, points):
            seen = np.array([int(value) for value in points.split()[2::3]], np.int64)
        photos.append(Photo(name, camera_id, np.array(numbers[:4]), np.array(numbers[4:]), seen[seen >= 0]))
    return photos


def _text_points(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ids, points, colors = [], [], []
    for line in _lines(path):
        fields = line.split(maxsplit=7)
        if fields:
            with _parsing(path, line):
                ids.append(int(fields[0]))
                points.append([float(fields[1]), float(fields[2]), float(fields[3])])
                colors.append(bytes([int(fields[4]), int(fields[5]), int(fields[6])]))
    places = np.array(points, np.float64).reshape(-1, 3)
    return np.array(ids, np.int64), places, np.frombuffer(b''.join(colors), np.uint8).reshape(-1, 3)


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise checks.InputError(f'{path}: not text ({error}); copy the model again') from error
    return [line for line in text.splitlines() if not line.lstrip().startswith('#')]


class _parsing:
    """Turns errors of parsing a line into one message that shows it."""

    def __init__(self, path: Path, line: str):
        self._message = f'{path}: cannot read the line {line[:80]!r}; export the model again'

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (ValueError, IndexError)):
            raise checks.InputError(self._message) from error


def _intrinsics(
    path: Path, camera_id: int, model: str, width: int, height: int, params: tuple[float, ...]
) -> Intrinsics:
    if len(params) != COUNTS[model]:
        raise checks.InputError(f'{path}: camera {camera_id} has {len(params)} parameters, {model} has {COUNTS[model]}')
    if not 0 < width < 2**20 or not 0 < height < 2**20:
        raise checks.InputError(f'{path}: camera {camera_id} is {width}x{height} pixels, expected a size up to 2^20')
    return Intrinsics(model, (width, height), params)


def _unknown(path: Path, camera_id: int, model: str) -> str:
    return (
        f'{path}: camera {camera_id} has the unknown model {model}, expected one of {", ".join(COUNTS)}; '
        'undistort the images with experiments/prepare_data.py'
    )
