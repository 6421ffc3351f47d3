"""Posed images: what every reader returns and every sampler draws from."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from neurend import checks
from neurend.geometry import cameras as cameras_lib


@dataclasses.dataclass(frozen=True)
class PosedImages:
    """Photographs with their cameras, on the host. Sizes and intrinsics may differ from image to image.

    Attributes:
        names: one name per image, unique.
        images: uint8 `[H W 3]`, or `[H W 4]` with straight (not premultiplied) alpha; sRGB.
        cameras: leading dim n, NumPy leaves; poses are `world_from_camera`, OpenCV axes, in scene units.
        masks: uint8 `[H W]` per image, 255 on the object, or None.
        near: nearest t along the rays of `geometry.cameras.rays` at which the scene has content (scene units).
        far: farthest such t.
        scene_from_source: `[4 4]` similarity from the world of the files to that of the cameras.
        forward_facing: the cameras look one way, so that rays may be warped to normalised device coordinates.
        points: float32 `[m 3]` of the scene's surfaces, as structure from motion finds them, in scene units; None where
            the files have none.
    """

    names: tuple[str, ...]
    images: tuple[np.ndarray, ...]
    cameras: cameras_lib.Camera
    masks: tuple[np.ndarray, ...] | None
    near: float
    far: float
    scene_from_source: np.ndarray
    forward_facing: bool = False
    points: np.ndarray | None = None

    def __post_init__(self):
        n = len(self.names)
        if n == 0:
            raise checks.InputError('posed images: none given, expected at least one; check the split and its files')
        checks.shape('cameras.world_from_camera', self.cameras.world_from_camera, 'n 4 4', sizes={'n': n})
        checks.shape('cameras.size', self.cameras.size, 'n 2', sizes={'n': n})
        for group in (self.images, self.masks):
            if group is not None and len(group) != n:
                raise checks.InputError(f'posed images: {n} names but {len(group)} images or masks, expected as many')
        if len(set(self.names)) != n:
            raise checks.InputError('posed images: a name recurs, expected unique names')
        sizes = np.asarray(self.cameras.size)
        for i, image in enumerate(self.images):
            shape = (int(sizes[i, 1]), int(sizes[i, 0]))
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[:2] != shape or image.shape[2] not in (3, 4):
                raise checks.InputError(
                    f'image {self.names[i]}: got {image.dtype} {image.shape}, expected uint8 {shape} with 3 or 4 '
                    'channels as its camera says'
                )
            if self.masks is not None and (self.masks[i].shape != shape or self.masks[i].dtype != np.uint8):
                mask = self.masks[i]
                raise checks.InputError(
                    f'mask of {self.names[i]}: got {mask.dtype} {mask.shape}, expected uint8 {shape} like its image'
                )
        if not 0 <= self.near < self.far:
            raise checks.InputError(f'near, far: got {self.near}, {self.far}, expected 0 <= near < far')

    def __len__(self) -> int:
        return len(self.names)

    @property
    def has_alpha(self) -> bool:
        """Whether any image has an alpha channel."""
        return any(image.shape[2] == 4 for image in self.images)

    def camera(self, index: int) -> cameras_lib.Camera:
        """The camera of one image, without leading dims."""
        return jax.tree.map(lambda leaf: leaf[index], self.cameras)

    def subset(self, indices: Sequence[int]) -> 'PosedImages':
        """Some of the images, in the order given."""
        picked = np.asarray(indices, dtype=np.int64)
        return dataclasses.replace(
            self,
            names=tuple(self.names[i] for i in picked),
            images=tuple(self.images[i] for i in picked),
            cameras=jax.tree.map(lambda leaf: leaf[picked], self.cameras),
            masks=None if self.masks is None else tuple(self.masks[i] for i in picked),
        )


def cut_out(images: PosedImages) -> PosedImages:
    """What the masks show by half or more, on nothing: their outlines become those of the alpha, all or nothing.

    Whether a pixel of an edge belongs to the object is then the same for what learns from it and what measures it.

    Raises:
        InputError: there are no masks.
    """
    if images.masks is None:
        raise checks.InputError('masks: the images have none to cut the object out by, expected one for each image')
    masks = tuple(np.where(mask > 127, np.uint8(255), np.uint8(0)) for mask in images.masks)
    alphas = [
        mask if image.shape[2] == 3 else np.minimum(mask, image[..., 3]) for image, mask in zip(images.images, masks)
    ]
    pictures = tuple(np.dstack([image[..., :3], alpha]) for image, alpha in zip(images.images, alphas))
    return dataclasses.replace(images, images=pictures, masks=masks)


def host_cameras(
    *, world_from_camera: Any, focal: Any, center: Any, distortion: Any, size: Any, model: str
) -> cameras_lib.Camera:
    """Cameras whose leaves are NumPy arrays, untouched by a device; shapes as in `geometry.cameras.Camera`."""
    return cameras_lib.Camera(world_from_camera, focal, center, distortion, size, model)


def composite(image: np.ndarray, background: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """A uint8 image over a background, as the datasets do it: in sRGB, from straight alpha.

    Args:
        image: uint8 `[H W 3]` (returned as it is but for its type) or `[H W 4]`.
        background: a colour in [0, 1] that broadcasts with `[H W 3]`.

    Returns:
        float32 `[H W 3]` in [0, 1].
    """
    rgb = image[..., :3].astype(np.float32) / 255
    if image.shape[-1] == 3:
        return rgb
    alpha = image[..., 3:].astype(np.float32) / 255
    return rgb * alpha + np.asarray(background, np.float32) * (1 - alpha)
