"""Full images within a memory budget: rays are rendered in chunks of one fixed size."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import cameras
from neurend.geometry.cameras import Camera
from neurend.geometry.rays import Rays
from neurend.render.rendering import Rendering
from neurend.typing import Array, PyTree

RenderRays = Callable[[PyTree, Rays], Rendering]

# Chunks beyond this many rays are no faster; below the smallest, a budget is refused rather than crept through.
_LARGEST_CHUNK = 1 << 13
_SMALLEST_CHUNK = 64
# What XLA's account of a computation leaves out, measured on NeRF on a CPU: the buffers of its matrix products, about
# an eighth of the temporaries, and what compiling leaves behind. The image itself is in the fixed part too, since it
# must not enter the chunk or another image size would mean another compilation (800 x 800 pixels take 15 MB).
_ACCOUNTED_SHARE = 0.8
_UNACCOUNTED_BYTES = 100_000_000


class Tiler:
    """Renders full images of any size, and any camera of one model, by one compiled function.

    The chunk is derived once: from the size of the first image, and from the temporary memory that XLA's analysis of
    the compiled program states. `memory_mb` bounds the growth of memory by a call, the image returned included, on the
    device and (on a CPU, where they are the same) of the process; what the caller already holds, such as the
    parameters, is not counted. An instance may be kept for as long as the shapes of `state` stay the same; after a
    change of shapes it adapts by one more compilation.

    Args:
        render_rays: `render_rays(state, rays) -> Rendering`, pure, for rays with one leading dim. Only its quantities
            per ray (rgb, alpha, depth, median, normal) are kept; the rest is pruned before it costs memory.
        memory_mb: the budget in MB.

    Example:
        tiler = Tiler(method.render, memory_mb=1500)
        picture = tiler(state, camera).rgb
    """

    def __init__(self, render_rays: RenderRays, *, memory_mb: int = 1000):
        if memory_mb <= 0:
            raise checks.InputError(f'memory_mb: got {memory_mb}, expected a positive number of MB')
        self._memory_mb = memory_mb
        self._programs: dict[object, tuple[int, Any]] = {}

        def render_chunk(state: PyTree, camera: Camera, start: Array, index: Array, offsets: Array) -> Rendering:
            width, height = camera.size[0], camera.size[1]
            place = jnp.minimum(start + offsets, width * height - 1)  # pads the last chunk with the last pixel
            pixels = jnp.stack([place % width, place // width], axis=-1) + 0.5
            rays = cameras.rays(camera, pixels, index=jnp.broadcast_to(index, offsets.shape))
            rendering = render_rays(state, rays)
            return Rendering(
                rgb=rendering.rgb,
                alpha=rendering.alpha,
                depth=rendering.depth,
                median=rendering.median,
                normal=rendering.normal,
            )

        self._render_chunk = jax.jit(render_chunk)

    def __call__(self, state: PyTree, camera: Camera, *, index: int = 0) -> Rendering:
        """Renders every pixel of one camera (no leading dims).

        Args:
            state: first argument of `render_rays`.
            camera: its `size` says how large the image is.
            index: value of the rays' `index`, e.g. which appearance code to use.

        Returns:
            A Rendering of NumPy arrays `H W ...`.

        Raises:
            InputError: the budget is too small for the smallest chunk.
        """
        checks.shape('camera.focal', camera.focal, '2', 'Give one camera, without leading dims.')
        width, height = (int(side) for side in np.asarray(camera.size))
        camera = jax.tree.map(jnp.asarray, camera)
        if width < 1 or height < 1:
            raise checks.InputError(f'camera.size: got ({width}, {height}), expected at least one pixel')
        chunk, program = self._program(state, camera, width * height)
        offsets = jnp.arange(chunk, dtype=jnp.int32)
        parts = []
        for start in range(0, width * height, chunk):
            # One chunk at a time is waited for, since chunks in flight together would each hold their temporaries.
            part = jax.device_get(program(state, camera, jnp.int32(start), jnp.int32(index), offsets))
            parts.append(jax.tree.map(lambda leaf: leaf[: width * height - len(parts) * chunk], part))
        image = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
        return jax.tree.map(lambda leaf: leaf.reshape(height, width, *leaf.shape[1:]), image)

    def _program(self, state: PyTree, camera: Camera, pixels: int) -> tuple[int, Any]:
        """How many rays at a time fit the budget, by XLA's own account, and the program compiled for them."""
        leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves((state, camera))]
        key = (camera.model, *((leaf.shape, leaf.dtype, leaf.sharding) for leaf in leaves))
        if key in self._programs:
            return self._programs[key]
        available = _ACCOUNTED_SHARE * 1e6 * self._memory_mb - _UNACCOUNTED_BYTES
        # Chunks of equal size waste least on padding.
        chunk = _round_up(math.ceil(pixels / math.ceil(pixels / _LARGEST_CHUNK)))
        scalar = jax.ShapeDtypeStruct((), jnp.int32)
        while True:
            offsets = jax.ShapeDtypeStruct((chunk,), jnp.int32)
            program = self._render_chunk.lower(state, camera, scalar, scalar, offsets).compile()
            analysis = program.memory_analysis()
            if analysis is None:
                raise NotImplementedError(f'XLA gives no account of memory on {jax.default_backend()}')
            needed = analysis.temp_size_in_bytes + 2 * analysis.output_size_in_bytes
            if needed <= available:
                self._programs[key] = (chunk, program)
                return chunk, program
            # Memory is all but proportional to rays; the rest is found out by compiling again.
            smaller = int(0.95 * chunk * available / needed) // _SMALLEST_CHUNK * _SMALLEST_CHUNK
            if smaller < _SMALLEST_CHUNK:
                bytes_needed = _UNACCOUNTED_BYTES + 1.1 * needed * _SMALLEST_CHUNK / chunk
                least = math.ceil(bytes_needed / _ACCOUNTED_SHARE / 1e6)
                raise checks.InputError(
                    f'memory_mb: got {self._memory_mb}, expected at least about {least} for this renderer. Raise the '
                    'budget or lower the number of samples.'
                )
            chunk = smaller


def full_image(
    render_rays: Callable[[Rays], Rendering], camera: Camera, *, memory_mb: int = 1000, index: int = 0
) -> Rendering:
    """Renders one full image within a memory budget; keep a `Tiler` instead to render many.

    Args:
        render_rays: pure, for rays with one leading dim.
        camera: one camera, of any model.
        memory_mb: bound on the growth of memory, in MB.
        index: value of the rays' `index`.

    Returns:
        A Rendering of NumPy arrays `H W ...`, without weights and edges.
    """
    return Tiler(lambda _, rays: render_rays(rays), memory_mb=memory_mb)((), camera, index=index)


def _round_up(rays: int) -> int:
    return math.ceil(rays / _SMALLEST_CHUNK) * _SMALLEST_CHUNK
