"""Filmed heads whose expressions and poses are known: frames, and the face mesh that follows them."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from neurend import checks
from neurend.data import backdrop, clips
from neurend.data.pairs import pictures, resize
from neurend.geometry import cameras, transforms
from neurend.geometry.cameras import Camera
from neurend.images import io, statedict
from neurend.typing import Array

PARTS = ('skin', 'mouth', 'teeth', 'sclera', 'iris', 'neck')
"""What vertices belong to: number k in `FaceMesh.parts` is `PARTS[k]`. The mouth is its inside, gums and tongue;
the neck is all skin around the face, with scalp and shoulders if the model has them."""
# Of the ICT face (Li et al. 2020), by index of the model's vertices: where each part begins, and its two eyes.
_ICT = (
    (0, 'skin'), (9409, 'neck'), (11248, 'mouth'), (13294, 'skin'), (14062, 'mouth'), (17039, 'teeth'),
    (21451, 'sclera'),
)  # fmt: skip
_ICT_EYES = ((21451, 23021), (23021, 24591))
_IRIS = np.cos(np.radians(24))  # half its angle, seen from the middle of the eyeball
_BEHIND, _MARGIN = 60, 4  # frames that a background is made of; pixels around the mesh
_LAYOUT = 'The folder should hold frames/, background.png and tracking.npz'
_FACE = 'Name the file of the ICT face model: `face`, in programs --face'


Part = Literal['head', 'face']


class FaceMesh(NamedTuple):
    """A face with expressions, in its own frame: y up, looking along z, in any unit.

    Attributes:
        vertices: float32 [v 3] without expression.
        deltas: float32 [e v 3], what each expression adds at coefficient 1.
        faces: int32 [f 3].
        uvs: float32 [v 2].
        parts: uint8 [v], see `PARTS`.
        landmarks: int32 [68] into the vertices, in iBUG's order.
    """

    vertices: np.ndarray
    deltas: np.ndarray
    faces: np.ndarray
    uvs: np.ndarray
    parts: np.ndarray
    landmarks: np.ndarray


class Performance(NamedTuple):
    """What drives a face, frame by frame.

    Attributes:
        expressions: float32 [t e].
        world_from_head: float32 [t 4 4], rigid.
    """

    expressions: np.ndarray
    world_from_head: np.ndarray


@dataclasses.dataclass(frozen=True)
class TrackedHead:
    """A filmed head.

    Attributes:
        images: uint8 [t h w 3].
        background: uint8 [h w 3], the picture without the head.
        mesh: of the face.
        names: of the expressions.
        performance: of every frame.
        camera: of all frames, NumPy leaves.
        train: how many frames, the first ones, are to learn from.
        fps: frames per second.
        surroundings: uint8 [t h w 4], what each frame itself shows around the face, alpha 0 where it does not, see
            `backdrop.around`; None where the background stands for it.
    """

    images: np.ndarray
    background: np.ndarray
    mesh: FaceMesh
    names: tuple[str, ...]
    performance: Performance
    camera: Camera
    train: int
    fps: float = 25.0
    surroundings: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)


def triangles_of(mesh: FaceMesh, part: Part) -> np.ndarray:
    """Triangles [f 3] of the whole mesh, 'head', or of the 'face' alone, without those that touch the neck.

    Raises:
        InputError: nothing is left.
    """
    checks.one_of('part', part, ('head', 'face'))
    if part == 'head':
        return mesh.faces
    chosen = mesh.faces[(mesh.parts[mesh.faces] != PARTS.index('neck')).all(1)]
    if not len(chosen):
        raise checks.InputError('part: got face, but all triangles of the mesh touch the neck. Take the head')
    return chosen


def pose(mesh: FaceMesh, expression: Array, world_from_head: Array) -> Array:
    """Vertices [v 3] in the world, of one frame's expression [e] and pose [4 4]."""
    flat = jnp.asarray(mesh.deltas).reshape(len(mesh.deltas), -1)
    offsets = jnp.matmul(jnp.asarray(expression), flat, precision='highest').reshape(-1, 3)
    return transforms.apply(jnp.asarray(world_from_head), jnp.asarray(mesh.vertices) + offsets)


def read(
    folder: str | os.PathLike[str], *, face: str | os.PathLike[str] | None = None, size: int | None = None
) -> TrackedHead:
    """Reads a filmed head that was tracked with the ICT face (Li et al. 2020).

    The folder holds `frames/`, `background.png`, which is made of the frames where it is missing (see `backdrop`), and
    `tracking.npz` with `expressions` [t e], `expression_names` [e],
    `identity` [i], `head_to_world` [t 4 4], `camera_to_world` [4 4] (OpenGL axes), `intrinsics` [3 3], `fps`,
    `train_frames`, and the mesh: vertex k is vertex `mesh_vertex_source[k]` of the model, with `mesh_faces` [f 3] and
    `mesh_uvs` [v 2].

    Args:
        folder: see above.
        face: the model, .npz with `vertices` [n 3], `expression_names` [m], `expression_deltas` [m n 3],
            `identity_deltas` [j n 3] with j >= i, `landmarks68` [68]; `../ict_face/ict_face.npz` beside the folder if
            not given.
        size: width and height that the frames are brought to, with the camera; as they are if not given.

    Raises:
        InputError: a file is missing or damaged, an array is missing or does not fit the others, an expression is none
            of the model's, or the frames are not as many as the tracking's.
    """
    folder = Path(folder)
    path = folder / 'tracking.npz'
    tracking = statedict.read(checks.file(path, 'tracking', _LAYOUT), what='tracking')
    model_path = folder.parent / 'ict_face' / 'ict_face.npz' if face is None else Path(face)
    model = statedict.read(checks.file(model_path, 'face model', _FACE), what='face model')
    names, performance = _performance(tracking, path)
    mesh = _mesh(model, tracking, names, model_path, path)
    clip = clips.read_frames(folder / 'frames')
    count, height, width = clip.images.shape[:3]
    told = len(performance.expressions)
    if told != count:
        raise checks.InputError(f'{folder / "frames"}: {count} frames, {path} tells of {told}{_gap(folder / "frames")}')
    train = int(_get(tracking, 'train_frames', '', path).item())
    if not 1 <= train <= count:
        raise checks.InputError(f'{path}: got train_frames {train}, expected 1 to {count}')
    intrinsics = _get(tracking, 'intrinsics', '3 3', path).astype(np.float32)
    world_from_camera = transforms.opencv_from_opengl(jnp.asarray(_get(tracking, 'camera_to_world', '4 4', path)))
    images, scale = clip.images, np.ones(2, np.float32)
    if (folder / 'background.png').is_file():
        background = io.read(folder / 'background.png', channels=3)
        checks.shape(f'{folder / "background.png"}', background, f'{height} {width} 3', 'It must match the frames')
    else:
        still = cameras.make(
            world_from_camera, jnp.asarray(np.diagonal(intrinsics)[:2]), size=(width, height),
            center=jnp.asarray(intrinsics[:2, 2]),
        )  # fmt: skip
        background = _behind(images, mesh, performance, still)
    if size is not None:
        images = np.stack([resize(image, (size, size)) for image in images])
        background, scale = resize(background, (size, size)), np.array([size / width, size / height], np.float32)
    camera = cameras.make(
        world_from_camera,
        jnp.asarray(np.diagonal(intrinsics)[:2] * scale),
        size=(images.shape[2], images.shape[1]),
        center=jnp.asarray(intrinsics[:2, 2] * scale),
    )
    fps = float(_get(tracking, 'fps', '', path).item())
    return TrackedHead(images, background, mesh, names, performance, jax.device_get(camera), train, fps)


def read_performance(path: str | os.PathLike[str], names: tuple[str, ...], *, fps: float | None = None) -> Performance:
    """Reads a performance, of anybody, from a `tracking.npz` as `read` describes; the rest of it may be missing.

    Args:
        path: of the file, or of the folder that holds it.
        names: of the expressions, in the order wanted; expressions that the file lacks are 0.
        fps: frames per second that it is brought to, if the file tells its own.

    Raises:
        InputError: the file is missing or damaged, an array is missing or does not fit, frames are not tracked, or an
            expression is none of these.
    """
    path = Path(path) / 'tracking.npz' if Path(path).is_dir() else Path(path)
    tracking = statedict.read(checks.file(path, 'tracking'), what='tracking')
    own, performance = _performance(tracking, path)
    if fps is not None and 'fps' in tracking:
        rate = float(_get(tracking, 'fps', '', path).item())
        if not rate > 0:
            raise checks.InputError(f'{path}: got fps {rate}, expected a positive number')
        performance = at_rate(performance, rate, fps)
    places = _places(own, names, str(path))
    expressions = np.zeros((len(performance.expressions), len(names)), np.float32)
    expressions[:, places] = performance.expressions
    return performance._replace(expressions=expressions)


def at_rate(performance: Performance, rate: float, wanted: float) -> Performance:
    """A performance at another rate: between frames rotations go the shortest way, the rest straight on.

    Args:
        performance: rigid poses.
        rate: its frames per second.
        wanted: those of the result, which lasts as long and stays at the last frame where that ends before.
    """
    count = len(performance.expressions)
    if rate == wanted or count < 2:
        return performance
    times = np.minimum(np.arange(max(1, round(count * wanted / rate))) * (rate / wanted), count - 1)
    before = np.minimum(times.astype(int), count - 2)
    part = (times - before)[:, None]
    poses = performance.world_from_head
    shifts = poses[:, :3, 3]
    found = np.tile(np.eye(4, dtype=np.float32), (len(times), 1, 1))
    found[:, :3, :3] = Slerp(np.arange(count), Rotation.from_matrix(poses[:, :3, :3]))(times).as_matrix()
    found[:, :3, 3] = (1 - part) * shifts[before] + part * shifts[before + 1]
    expressions = (1 - part) * performance.expressions[before] + part * performance.expressions[before + 1]
    return Performance(expressions.astype(np.float32), found)


def mirrored(performance: Performance, names: tuple[str, ...]) -> Performance:
    """The performance as a mirror shows it: left and right of expressions (`_L`, `_R`; `Left`, `Right`) and of poses.

    Raises:
        InputError: an expression lacks its counterpart.
    """
    places = _places([_other_side(name) for name in names], names, 'names')
    flip = np.diag(np.array([-1, 1, 1, 1], np.float32))
    return Performance(performance.expressions[:, places], flip @ performance.world_from_head @ flip)


def _other_side(name: str) -> str:
    for one, other in (('_L', '_R'), ('_R', '_L'), ('Left', 'Right'), ('Right', 'Left')):
        if name.endswith(one):
            return name[: -len(one)] + other
    return name


def _performance(tracking: Mapping[str, np.ndarray], path: Path) -> tuple[tuple[str, ...], Performance]:
    names = tuple(str(name) for name in _get(tracking, 'expression_names', 'e', path))
    for name in ('expressions', 'head_to_world'):
        values = np.atleast_1d(tracking.get(name, 0))
        lost = np.unique(np.argwhere(~np.isfinite(values))[:, 0]) if values.dtype.kind == 'f' else []
        if len(lost):
            raise checks.InputError(
                f'{path}: {len(lost)} of {len(values)} frames are not tracked, the first of them {lost[0]}: its {name} '
                'are not finite; track them again, fill them in from their neighbours, or leave the frames out'
            )
    expressions = _get(tracking, 'expressions', f't {len(names)}', path).astype(np.float32)
    poses = _get(tracking, 'head_to_world', f'{len(expressions)} 4 4', path).astype(np.float32)
    return names, Performance(expressions, poses)


def _behind(images: np.ndarray, mesh: FaceMesh, performance: Performance, camera: Camera) -> np.ndarray:
    """What the frames show beside the head, of some evenly spread."""
    chosen = np.unique(np.linspace(0, len(images) - 1, min(_BEHIND, len(images))).round().astype(int))
    placed = jax.jit(lambda *frame: cameras.project(camera, pose(mesh, *frame))[0])
    height, width = images.shape[1:3]
    marks = [np.asarray(placed(*(each[k] for each in performance))) for k in chosen]
    return backdrop.backdrop(
        images[chosen], np.stack([backdrop.hull(each, width, height) for each in marks]), margin=_MARGIN
    )


def _gap(folder: Path) -> str:
    """What to say of frames that are numbered, if a number among them is missing."""
    names = [path.stem for path in pictures(folder)]
    if not all(name.isdecimal() for name in names):
        return ''
    numbers = [int(name) for name in names]
    missing = sorted(set(range(min(numbers), max(numbers) + 1)) - set(numbers))
    return f'; frame {missing[0]} is missing' if missing else ''


def _mesh(
    model: Mapping[str, np.ndarray], tracking: Mapping[str, np.ndarray], names: tuple[str, ...], at: Path, path: Path
) -> FaceMesh:
    neutral = _get(model, 'vertices', 'n 3', at)
    count = len(neutral)
    known = [str(name) for name in _get(model, 'expression_names', 'm', at)]
    places = _places(names, known, str(path))
    identity = _get(tracking, 'identity', 'i', path).astype(np.float32)
    shapes = _get(model, 'identity_deltas', f'j {count} 3', at)[: len(identity)].astype(np.float32)
    if len(shapes) < len(identity):
        raise checks.InputError(f'{path}: {len(identity)} numbers of identity, {at} has {len(shapes)}')
    source = _index(tracking, 'mesh_vertex_source', 'v', path, count)
    faces = _index(tracking, 'mesh_faces', 'f 3', path, len(source))
    marks = _index(model, 'landmarks68', '68', at, count)
    first = np.full(count, -1, np.int32)
    first[source[::-1]] = np.arange(len(source), dtype=np.int32)[::-1]
    if (first[marks] < 0).any():
        raise checks.InputError(f'{path}: mesh_vertex_source lacks landmarks of {at}, expected all 68')
    deltas = _get(model, 'expression_deltas', f'{len(known)} {count} 3', at)
    vertices = (neutral + np.tensordot(identity, shapes, 1)).astype(np.float32)[source]
    uvs = _get(tracking, 'mesh_uvs', f'{len(source)} 2', path).astype(np.float32)
    return FaceMesh(
        vertices=vertices,
        deltas=deltas[places][:, source].astype(np.float32),
        faces=faces,
        uvs=uvs,
        parts=_parts(vertices, uvs, source),
        landmarks=first[marks],
    )


def _parts(vertices: np.ndarray, uvs: np.ndarray, source: np.ndarray) -> np.ndarray:
    begins = np.array([begin for begin, _ in _ICT])
    kinds = np.array([PARTS.index(name) for _, name in _ICT], np.uint8)
    parts = kinds[np.searchsorted(begins, source, side='right') - 1]
    for first, last in _ICT_EYES:
        eye = np.flatnonzero((source >= first) & (source < last))
        if not len(eye):
            continue
        # The model's own iris lies behind the outer shell, on which the texture paints one around its middle.
        middle, center = ((x[eye].max(0) + x[eye].min(0)) / 2 for x in (uvs, vertices))
        away = vertices[eye] - center[None]
        away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-12)
        axis = away[np.linalg.norm(uvs[eye] - middle[None], axis=-1).argmin()]
        parts[eye[away @ axis > _IRIS]] = PARTS.index('iris')
    return parts


def _places(names: list[str] | tuple[str, ...], known: list[str] | tuple[str, ...], what: str) -> list[int]:
    """Where names are among those known."""
    strange = [name for name in names if name not in known]
    if strange:
        raise checks.InputError(f'{what}: expressions {", ".join(strange)} are unknown, expected some of {known}')
    return [known.index(name) for name in names]


def _get(arrays: Mapping[str, np.ndarray], name: str, shape: str, path: Path) -> np.ndarray:
    if name not in arrays:
        raise checks.InputError(f'{path}: lacks {name}, expected it beside {", ".join(sorted(arrays)) or "nothing"}')
    array = arrays[name]
    checks.shape(f'{name} of {path}', array, shape)
    if array.dtype.kind == 'f':
        checks.finite(f'{name} of {path}', array)
    return array


def _index(arrays: Mapping[str, np.ndarray], name: str, shape: str, path: Path, count: int) -> np.ndarray:
    array = _get(arrays, name, shape, path)
    if array.dtype.kind not in 'iu' or (array.size and not 0 <= array.min() <= array.max() < count):
        raise checks.InputError(f'{name} of {path}: expected whole numbers from 0 to {count - 1}')
    return array.astype(np.int32)
