"""Where surfaces are, from what a scene is known as: functions from a camera to a `Rendering` whose depth counts."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from neurend.geometry import cameras
from neurend.geometry.rays import Rays
from neurend.render import planes as planes_lib
from neurend.render import view_dependent, volume
from neurend.render.rendering import Rendering
from neurend.render.warps import ProxyFn
from neurend.scenes.planes import Planes
from neurend.typing import Array


def of_mesh(vertices: Array, faces: Array, size: tuple[int, int]) -> ProxyFn:
    """The surface of a mesh, vertices [V 3] in the world and faces [F 3], in pictures of (width, height) `size`."""
    drawn = jax.jit(functools.partial(view_dependent.surface, size=size))
    return functools.partial(drawn, jnp.asarray(vertices), jnp.asarray(faces))


def of_field(
    field_fn: volume.FieldFn, size: tuple[int, int], *, near: float, far: float, samples: int = 128
) -> ProxyFn:
    """Expected depths of a field between `near` and `far` along rays, where it is more than half opaque."""

    def drawn(rays: Rays) -> Rendering:
        edges = jnp.broadcast_to(jnp.linspace(near, far, samples + 1), (*rays.shape, samples + 1))
        return _solid(volume.integrate(field_fn, rays, edges))

    return _of_rays(drawn, size)


def of_planes(planes: Planes, size: tuple[int, int]) -> ProxyFn:
    """Expected depths of a multi-plane image, where it is more than half opaque."""
    return _of_rays(lambda rays: _solid(planes_lib.render(planes.rgba, planes.depths, planes.camera, rays)), size)


def _of_rays(drawn, size: tuple[int, int]) -> ProxyFn:
    pixels = cameras.pixel_centers(*size)
    return jax.jit(lambda camera: drawn(cameras.rays(camera, pixels)))


def _solid(found: Rendering) -> Rendering:
    return dataclasses.replace(found, depth=jnp.where(found.alpha > 0.5, found.depth, 0))
