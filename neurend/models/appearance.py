"""How a known mesh looks, learned from photographs: the albedo of its surface, the light, and a glossy coat.

Pictures are drawn whole: rasterized, textured, shaded, and antialiased in linear light. Light that does not turn with
the camera and albedo are only known as a product, up to a factor for each colour channel, and where the light changes
slowly over the surface up to that too; `smoothness` draws slow changes from the albedo to the light, but not all of
them. Shadows and light from surface to surface become part of the albedo.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.geometry import cameras, clip, triangles
from neurend.geometry.cameras import Camera
from neurend.images import color
from neurend.models import state as states
from neurend.models.mesh import pictures
from neurend.models.method import Method, Stepper
from neurend.models.nerf.evaluation import Example, compare
from neurend.models.state import State
from neurend.numerics import safe_divide
from neurend.render import antialias, rasterize, texture
from neurend.render.rasterize import Fragments
from neurend.render.rendering import Rendering
from neurend.render.shade import ggx, harmonics, lights, splitsum, vectors
from neurend.scenes import textures
from neurend.scenes.meshes import Mesh
from neurend.typing import Array, Key, Metrics, PyTree

# Degree of the light that the coat mirrors, the highest there is.
_MIRRORED = 4
# Of the first harmonic, so that the light is white with radiance 1.
_WHITE = float(np.sqrt(4 * np.pi))


@dataclasses.dataclass(frozen=True)
class AppearanceConfig:
    """What is learned.

    Attributes:
        texture: side of the albedo texture, in texels.
        levels: of the pyramid whose sum it is: each level has half the texels of the one before. Coarse ones learn
            fast, and fill in what no photograph shows.
        degree: of the spherical harmonics of the light on matte surfaces, 0 to 4.
        coat: whether a clear coat mirrors light, with a roughness and a blurred environment that are learned.
        lamps: directional lamps that the coat shows as highlights, at most 6; their directions are learned.
        smoothness: weight of the mean change of log albedo from texel to texel.
    """

    texture: int = 512
    levels: int = 6
    degree: int = 2
    coat: bool = False
    lamps: int = 0
    smoothness: float = 0.0


class Geometry(NamedTuple):
    """What else is learned: where the surface is, and from where it was photographed.

    Attributes:
        params: parameters to begin with, beside those of the appearance; names of their own.
        vertices: `params -> [V 3]` of the mesh, in the world; None where they stay.
        camera: `(params, view) -> camera` that took a photograph of a batch, as it is believed to be.
        penalty: `vertices -> scalar`, added to the loss.
        mismatch: `(rendering, view) -> scalar` of a photograph, added to the error of its colours.
    """

    params: dict[str, Array]
    vertices: Callable[[PyTree], Array] | None
    camera: Callable[[PyTree, Any], Camera]
    penalty: Callable[[Array], Array]
    mismatch: Callable[[Rendering, Any], Array]


class _Scene(NamedTuple):
    """The albedo texture, and vertices and their normals [V 3]."""

    albedo: Array
    vertices: Array
    normals: Array


def appearance(
    config: AppearanceConfig,
    mesh: Mesh,
    *,
    size: tuple[int, int],
    stepper: Stepper,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
    geometry: Geometry | None = None,
) -> Method:
    """Makes the method.

    Args:
        config: see `AppearanceConfig`.
        mesh: with UVs, on which no two places of the surface share texels; in the world of the cameras.
        size: (width, height) of pictures, in pixels.
        stepper: how the loss, the mean squared error of sRGB pixels, is minimised.
        background: sRGB colour that `render` and `evaluate` have behind the mesh.
        geometry: what is learned of it; None where mesh and cameras are right.

    Returns:
        A Method whose batches are photographs [n ...] as of `data.photographs`; `render` takes one camera, `evaluate`
        an `Example` of the radiance fields, and gives what theirs does.

    Raises:
        InputError: a mesh without UVs, or options out of range.
    """
    if mesh.uvs is None:
        raise checks.InputError('mesh.uvs: got none, expected UVs; lay some out with scenes.remesh.unwrap')
    if config.texture < 1 or config.levels < 1 or config.texture % 2 ** (config.levels - 1):
        raise checks.InputError(
            f'texture, levels: got {config.texture} and {config.levels}, expected a side that can be halved '
            'levels - 1 times'
        )
    if not 0 <= config.lamps <= 6 or (config.lamps and not config.coat):
        raise checks.InputError(f'lamps: got {config.lamps}, expected 0 to 6, and a coat to show them')
    width, height = size
    vertices, faces, uvs, uv_faces = map(jnp.asarray, (mesh.vertices, mesh.faces, mesh.uvs, mesh.uv_faces))
    normals = triangles.vertex_normals(vertices, faces)
    topology = jax.tree.map(jnp.asarray, triangles.topology(mesh.faces))

    @draws.quickly
    def init(key: Key) -> State:
        del key
        return states.create(_first(config) | (geometry.params if geometry else {}), stepper)

    def scene(params: PyTree) -> _Scene:
        if geometry is None or geometry.vertices is None:
            return _Scene(albedo_of(params), vertices, normals)
        moved = geometry.vertices(params)
        return _Scene(albedo_of(params), moved, triangles.vertex_normals(moved, faces))

    def colors(params: PyTree, scene: _Scene, camera: Camera, found: Fragments) -> Array:
        base = texture.bilinear(scene.albedo, texture.interpolate(uvs, uv_faces, found))
        normal = vectors.kept(vectors.unit(texture.interpolate(scene.normals, faces, found))[0])
        matte = base / jnp.pi * harmonics.irradiance(params['light'], normal)
        if not config.coat:
            return matte
        view = -vectors.unit(cameras.rays(camera, cameras.pixel_centers(width, height)).directions)[0]
        return matte + _coat(params, base, normal, view)

    def picture(params: PyTree, scene: _Scene, camera: Camera, behind: Array) -> Rendering:
        projected = clip.from_camera(camera, scene.vertices)
        found = rasterize.rasterize(projected, faces, width=width, height=height)
        seen = (found.face >= 0)[..., None]
        planes = jnp.where(seen, colors(params, scene, camera, found), 0)
        planes = jnp.concatenate([planes, seen.astype(planes.dtype)], axis=-1)
        # Pixels mix light before it is encoded, and the encoded colour with the background's.
        planes = antialias.antialias(planes, found, projected, topology)
        alpha = planes[..., 3:]
        straight = color.srgb_from_linear(safe_divide(planes[..., :3], alpha))
        depth = texture.interpolate(projected[:, 3:], faces, found)[..., 0]
        return Rendering(color.composite(jnp.concatenate([straight, alpha], axis=-1), behind), alpha[..., 0], depth)

    def loss(key: Key, params: PyTree, aux: PyTree, batch: Any, step: Array) -> tuple[Array, Metrics]:
        del key, aux, step
        there = scene(params)

        def one(view: Any) -> tuple[Array, Array]:
            camera = geometry.camera(params, view) if geometry else view.camera
            drawn = picture(params, there, camera, view.background)
            error = jnp.mean(jnp.square(drawn.rgb - view.rgb))
            return error, error + (geometry.mismatch(drawn, view) if geometry else 0)

        errors, totals = (jnp.stack(each) for each in zip(*map(one, pictures.unrolled(batch))))
        total = jnp.mean(totals) + (config.smoothness * _change(there.albedo) if config.smoothness else 0)
        total = total + (geometry.penalty(there.vertices) if geometry else 0)
        return total, {'psnr': -10 * jnp.log10(jnp.mean(errors))}

    def render(state: State, camera: Camera) -> Rendering:
        return picture(state.weights, scene(state.weights), camera, jnp.asarray(background))

    rendered = jax.jit(render)

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        drawn = jax.device_get(rendered(state, jax.tree.map(jnp.asarray, example.camera)))
        return compare(drawn, example, background=np.asarray(background, np.float32))

    return Method(init, stepper.step(loss), render, evaluate)


def albedo_of(params: PyTree) -> Array:
    """The albedo texture [side side 3], linear in [0, 1]: the levels, put on one another, through a sigmoid."""
    return jax.nn.sigmoid(textures.compose(params['texture']))


def roughness_of(params: PyTree) -> Array:
    """Of the coat, in [0, 1]."""
    return jax.nn.sigmoid(params['roughness'])


def lamps_of(params: PyTree) -> lights.Directional:
    """The lamps."""
    return lights.Directional(vectors.unit(params['directions'])[0], jax.nn.softplus(params['strengths']))


def _first(config: AppearanceConfig) -> PyTree:
    sides = [config.texture >> k for k in range(config.levels)]
    params: dict[str, Any] = {'texture': [jnp.zeros((side, side, 3)) for side in sides], 'light': _white(config.degree)}
    if config.coat:
        params |= {'mirrored': _white(_MIRRORED), 'roughness': jnp.zeros(())}
    if config.lamps:
        directions = jnp.concatenate([jnp.eye(3), -jnp.eye(3)])[: config.lamps]
        params |= {'directions': directions, 'strengths': jnp.full((config.lamps, 3), -1.0)}
    return params


def _white(degree: int) -> Array:
    return jnp.zeros(((degree + 1) ** 2, 3)).at[0].set(_WHITE)


def _coat(params: PyTree, base: Array, normal: Array, view: Array) -> Array:
    """What the coat mirrors of the blurred environment, and surface and coat reflect of lamps."""
    roughness = roughness_of(params)
    facing = vectors.dot(normal, view)
    lobe = splitsum.lookup(splitsum.table(), facing, jnp.broadcast_to(roughness, facing.shape))
    blurred = harmonics.radiance(params['mirrored'], vectors.reflect(view, normal))
    total = vectors.scaled(blurred, ggx.DIELECTRIC * lobe.scale + lobe.bias)
    if 'directions' not in params:
        return total
    brdf = functools.partial(ggx.brdf, base_color=base, metallic=0.0, roughness=roughness)
    return total + lights.shade(brdf, normal, view, lamps_of(params))


def _change(albedo: Array) -> Array:
    """Mean change of log albedo between neighbouring texels; a square near 0, so that its gradient is smooth."""
    logs = jnp.log(albedo + 1e-2)
    down, right = (jnp.mean(jnp.sqrt(jnp.square(jnp.diff(logs, axis=axis)) + 1e-6)) for axis in (0, 1))
    return down + right
