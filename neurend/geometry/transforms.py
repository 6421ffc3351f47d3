"""Rigid transforms: 4x4 matrices, named `target_from_source`, that act on column vectors."""

import jax
import jax.numpy as jnp

from neurend.geometry import rotations
from neurend.geometry.leading import align
from neurend.numerics import normalize
from neurend.typing import Array


def from_rt(rotation: Array, translation: Array) -> Array:
    """The transform `x -> rotation x + translation`: [... 3 3], [... 3] -> [... 4 4]."""
    rotation, translation = align((rotation, 2), (translation, 1))
    leading = jnp.broadcast_shapes(rotation.shape[:-2], translation.shape[:-1])
    rotation = jnp.broadcast_to(rotation, (*leading, 3, 3))
    translation = jnp.broadcast_to(translation, (*leading, 3))
    top = jnp.concatenate([rotation, translation[..., None]], axis=-1)
    bottom = jnp.broadcast_to(jnp.asarray([0, 0, 0, 1], top.dtype), (*leading, 1, 4))
    return jnp.concatenate([top, bottom], axis=-2)


def rotate(transform: Array, vectors: Array) -> Array:
    """Applies the upper left 3x3 of `transform` [... 4 4] (or [... 3 3]) to vectors [... 3]."""
    transform, vectors = align((transform, 2), (vectors, 1))
    # Sums of products instead of a matrix product: geometry needs full precision, which accelerators' default lacks.
    x, y, z = vectors[..., :1], vectors[..., 1:2], vectors[..., 2:3]
    return transform[..., :3, 0] * x + transform[..., :3, 1] * y + transform[..., :3, 2] * z


def apply(transform: Array, points: Array) -> Array:
    """Maps points [... 3] by transforms [... 4 4]; the leading dims broadcast."""
    transform, points = align((transform, 2), (points, 1))
    return rotate(transform, points) + transform[..., :3, 3]


def rotate_back(transform: Array, vectors: Array) -> Array:
    """Applies the transposed rotation of `transform` [... 4 4] to vectors [... 3]."""
    return rotate(jnp.swapaxes(transform[..., :3, :3], -1, -2), vectors)


def apply_inverse(transform: Array, points: Array) -> Array:
    """Maps points [... 3] by the inverses of the rigid transforms [... 4 4]."""
    transform, points = align((transform, 2), (points, 1))
    return rotate_back(transform, points - transform[..., :3, 3])


def compose(*transforms: Array) -> Array:
    """`compose(c_from_b, b_from_a) -> c_from_a`: the product of [... 4 4] matrices, in full precision."""
    result = transforms[0]
    for transform in transforms[1:]:
        result = jnp.matmul(result, transform, precision='highest')
    return result


def inverse(transform: Array) -> Array:
    """The inverse of rigid transforms [... 4 4]: rotation transposed, no general matrix inversion."""
    rotation = jnp.swapaxes(transform[..., :3, :3], -1, -2)
    return from_rt(rotation, -rotate(rotation, transform[..., :3, 3]))


@jax.jit
def look_at(eye: Array, target: Array, up: Array) -> Array:
    """Poses of OpenCV cameras at `eye` that look at `target` with `up` upward in the picture.

    Args:
        eye: [... 3] camera centre in the world.
        target: [... 3] point on the optical axis.
        up: [... 3]. Where it is parallel to the viewing direction (a camera that looks straight down), any other
            direction takes its place: the world's axis that is most across.

    Returns:
        world_from_camera [... 4 4]. Where `eye` is the target the pose is undefined and its rotation singular.
    """
    eye, target, up = jnp.broadcast_arrays(
        *align((jnp.asarray(eye), 1), (jnp.asarray(target), 1), (jnp.asarray(up), 1))
    )
    forward = normalize(target - eye)
    across = jnp.cross(forward, up)
    parallel = jnp.sum(across**2, axis=-1, keepdims=True) <= 1e-10 * jnp.sum(up**2, axis=-1, keepdims=True)
    axis = jax.nn.one_hot(jnp.argmin(jnp.abs(forward), axis=-1), 3, dtype=forward.dtype)
    right = normalize(jnp.where(parallel, jnp.cross(forward, axis), across))
    down = jnp.cross(forward, right)
    return from_rt(jnp.stack([right, down, forward], axis=-1), eye)


def opencv_from_opengl(world_from_camera: Array) -> Array:
    """Poses [... 4 4] of OpenGL or Blender cameras (x right, y up, z backward) as poses of OpenCV cameras.

    The camera's axes change, the world's stay. The map is its own inverse.
    """
    right, up, backward, center = jnp.split(world_from_camera, 4, axis=-1)
    return jnp.concatenate([right, -up, -backward, center], axis=-1)


def opencv_from_llff(world_from_camera: Array) -> Array:
    """Poses [... 4 4] with camera axes (down, right, backward), as in `poses_bounds.npy`, as OpenCV poses."""
    down, right, backward, center = jnp.split(world_from_camera, 4, axis=-1)
    return jnp.concatenate([right, down, -backward, center], axis=-1)


@jax.jit
def se3_exp(twist: Array) -> Array:
    """Rigid transforms [... 4 4] of twists [... 6]: (translation, rotation vector), the exponential map of SE(3)."""
    translation, vector = twist[..., :3], twist[..., 3:]
    squared = jnp.sum(vector * vector, axis=-1, keepdims=True)
    first = jnp.cross(vector, translation)
    second = jnp.cross(vector, first)
    moved = translation + rotations.versine_over_x2(squared) * first + rotations.x_minus_sin_over_x3(squared) * second
    return from_rt(rotations.exp(vector), moved)


@jax.jit
def se3_log(transform: Array) -> Array:
    """Twists [... 6]: (translation, rotation vector) of rigid transforms [... 4 4]: the inverse of `se3_exp`."""
    vector, moved = rotations.log(transform[..., :3, :3]), transform[..., :3, 3]
    squared = jnp.sum(vector * vector, axis=-1, keepdims=True)
    first = jnp.cross(vector, moved)
    second = jnp.cross(vector, first)
    remainder = rotations.cotangent_remainder(squared)
    return jnp.concatenate([moved - first / 2 + remainder * second, vector], axis=-1)
