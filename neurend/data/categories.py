"""Categories: many instances of one kind, as many views of each, as Scene Representation Networks learn from."""

import dataclasses
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from neurend import checks
from neurend.data import posed
from neurend.geometry import cameras as cameras_lib


@dataclasses.dataclass(frozen=True)
class Category:
    """Views of the instances of one split, on the host: n instances, v views of each, pictures of one size.

    Attributes:
        names: one name per instance, unique.
        images: uint8 `[n v h w 3]`, sRGB.
        cameras: leading dims `[n v]`, NumPy leaves; poses are `world_from_camera`, OpenCV axes.
        scale: side of the cube, centred on the origin, that holds every instance.
    """

    names: tuple[str, ...]
    images: np.ndarray
    cameras: cameras_lib.Camera
    scale: float

    def __post_init__(self):
        sizes = checks.shape('images', self.images, 'n v h w 3', 'Give as many views of every instance')
        if self.images.dtype != np.uint8:
            raise checks.InputError(f'images: got dtype {self.images.dtype}, expected uint8')
        if not sizes['n'] or not sizes['v']:
            raise checks.InputError(f'images: got shape {self.images.shape}, expected one instance and view at least')
        checks.shape('cameras.world_from_camera', self.cameras.world_from_camera, 'n v 4 4', sizes=sizes)
        if len(self.names) != sizes['n'] or len(set(self.names)) != sizes['n']:
            raise checks.InputError(f'names: got {len(self.names)}, expected {sizes["n"]}, all different')
        if (np.asarray(self.cameras.size) != (sizes['w'], sizes['h'])).any():
            raise checks.InputError(f'cameras.size: expected ({sizes["w"]}, {sizes["h"]}) in all, as the images have')
        if not self.scale > 0:
            raise checks.InputError(f'scale: got {self.scale}, expected more than 0')

    def __len__(self) -> int:
        return len(self.names)

    @property
    def num_views(self) -> int:
        """Views of each instance."""
        return self.images.shape[1]

    def instances(self, indices: Sequence[int]) -> 'Category':
        """Some of the instances, in the order given."""
        return self._picked(tuple(self.names[i] for i in indices), (np.asarray(indices, np.int64),))

    def views(self, indices: Sequence[int]) -> 'Category':
        """Some views of every instance, in the order given."""
        return self._picked(self.names, (slice(None), np.asarray(indices, np.int64)))

    def instance(self, index: int) -> posed.PosedImages:
        """All views of one instance, as a scene; near and far enclose the ball around the cube."""
        cameras = jax.tree.map(lambda leaf: leaf[index], self.cameras)
        distance = np.linalg.norm(np.asarray(cameras.world_from_camera)[:, :3, 3], axis=-1)
        ball = np.sqrt(3) / 2 * self.scale
        return posed.PosedImages(
            names=tuple(f'{k:06d}.png' for k in range(self.num_views)),
            images=tuple(self.images[index]),
            cameras=cameras,
            masks=None,
            near=max(float(distance.min() - ball), 0.05 * float(distance.min())),
            far=float(distance.max() + ball),
            scene_from_source=np.eye(4, dtype=np.float32),
        )

    def _picked(self, names: tuple[str, ...], where: tuple[slice | np.ndarray, ...]) -> 'Category':
        cameras = jax.tree.map(lambda leaf: leaf[where], self.cameras)
        return dataclasses.replace(self, names=names, images=self.images[where], cameras=cameras)


def gather(scenes: Mapping[str, posed.PosedImages], *, scale: float, views: int | None = None) -> Category:
    """A category of scenes that were read one by one.

    Args:
        scenes: by name of the instance, each with its box centred on the origin; alpha is put on white.
        scale: side of the box.
        views: how many of each to take, evenly spaced from the first to the last (as the authors' loader does); all if
            not given.

    Raises:
        InputError: no scenes, pictures of several sizes, fewer views than asked for, or, without `views`, unequal
            numbers of them.
    """
    if not scenes:
        raise checks.InputError('scenes: none given, expected at least one instance')
    counts = {name: len(images) for name, images in scenes.items()}
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if views is None and counts[least] != counts[most]:
        raise checks.InputError(
            f'views: instance {least} has {counts[least]}, {most} {counts[most]}, expected as many of each; '
            f'pass views={counts[least]} to take as many of all'
        )
    count = counts[least] if views is None else views
    if not 1 <= count <= counts[least]:
        raise checks.InputError(f'views: got {views}, expected 1 to {counts[least]}, all that instance {least} has')
    picked = [
        images.subset(np.round(np.linspace(0, len(images) - 1, count)).astype(int).tolist())
        for images in scenes.values()
    ]
    sizes = {image.shape[1::-1] for images in picked for image in images.images}
    if len(sizes) > 1:
        raise checks.InputError(
            f'images: got sizes {", ".join(f"{w}x{h}" for w, h in sorted(sizes))}, expected one size; resize them'
        )
    pictures = [[_on_white(image) for image in images.images] for images in picked]
    cameras = jax.tree.map(lambda *leaves: np.stack(leaves), *(images.cameras for images in picked))
    return Category(tuple(scenes), np.array(pictures), cameras, float(scale))


def _on_white(image: np.ndarray) -> np.ndarray:
    return image if image.shape[-1] == 3 else np.round(255 * posed.composite(image, 1.0)).astype(np.uint8)
