"""What a neural texture's network sees: a mesh rasterized, its features looked up and turned by the view."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry import cameras, clip, triangles
from neurend.geometry.cameras import Camera
from neurend.geometry.triangles import Topology
from neurend.models.neural_texture import shells
from neurend.models.neural_texture.config import NeuralTextureConfig
from neurend.nn.dynamic_texture import DynamicTexture
from neurend.nn.encodings import spherical_harmonics
from neurend.numerics import materialize_rows, safe_divide, unstack
from neurend.render import rasterize, texture
from neurend.render.rasterize import Fragments
from neurend.render.shade import vectors
from neurend.scenes import meshes, textures
from neurend.scenes.meshes import Mesh
from neurend.typing import Array, Key

_FAINT = -1.5  # logit of the opacity that a shell begins with


class Shot(NamedTuple):
    """What is to be drawn.

    Attributes:
        camera: one camera.
        background: what is behind, a colour [3] or a picture [H W 3], in [0, 1]; with `config.inpaint` a picture
            [H W 4] whose alpha is 0 in the hole that is to be painted.
        deformation: what shapes the mesh, see `neural_texture`; None where it stands still. With `config.window` above
            1 its leaves have a leading axis of as many frames, the one that is drawn first and older ones after it.
    """

    camera: Camera
    background: Array
    deformation: Any = None


class Window(NamedTuple):
    """The part of a camera's image that is drawn.

    Attributes:
        width, height: in pixels.
        corner: int32 [2], its first pixel (x, y).
    """

    width: int
    height: int
    corner: Array | tuple[int, int] = (0, 0)


class Surface(NamedTuple):
    """The parts of a mesh, or of its shells, that stay as they are when it deforms.

    Attributes:
        own: [F 3] faces of the mesh itself.
        faces: [F 3] of all shells.
        uvs, uv_faces: [T 2] and [F 3] of all shells.
        topology: of all shells.
    """

    own: Array
    faces: Array
    uvs: Array
    uv_faces: Array
    topology: Topology


class Pixels(NamedTuple):
    """What is known at the pixels of a window.

    Attributes:
        inputs: [H W c] what the network sees, see `channels`; zeros beyond the mesh.
        color: [H W 3] the texture's own colour, multiplied by `seen`.
        seen: [H W 1] 1 where the mesh is seen, 0 elsewhere, or how opaque its shells are.
        depth: [H W] along the camera's axis, 0 beyond the mesh.
        fragments: of the rasterizer.
        vertices: [V 4] homogeneous pixels.
    """

    inputs: Array
    color: Array
    seen: Array
    depth: Array
    fragments: Fragments
    vertices: Array


def surface(mesh: Mesh, count: int = 1) -> Surface:
    """Checks a mesh and takes what is needed of it.

    Args:
        mesh: with UVs.
        count: of its shells.

    Raises:
        InputError: it is not sound, has no UVs, or has such as no shells can have.
    """
    meshes.check(mesh)
    if mesh.uvs is None:
        raise checks.InputError('mesh.uvs: got none, expected UVs; lay some out with neurend.scenes.remesh.unwrap')
    own, mesh = mesh.faces, shells.stacked(mesh, count)
    topology = jax.tree.map(jnp.asarray, triangles.topology(mesh.faces))
    own, faces, uvs, uv_faces = map(jnp.asarray, (own, mesh.faces, mesh.uvs, mesh.uv_faces))
    return Surface(own, faces, uvs, uv_faces, topology)


def pixels(
    config: NeuralTextureConfig, levels: list[Array], which: Surface, vertices: Array, camera: Camera, window: Window
) -> Pixels:
    """Rasterizes, looks features up, and gathers what the network sees.

    Args:
        config: what that is.
        levels: of the texture, see `neurend.scenes.textures`.
        which: the mesh.
        vertices: [V 3] where it is, in the world.
        camera: of the whole picture.
        window: the part of it.
    """
    vertices = shells.places(config.shells, vertices, which.own)
    projected = clip.from_camera(camera, vertices)
    width, height, corner = window
    count, cull = config.network.surfaces, 'back' if config.shells.count > 1 and config.shells.facing else 'none'
    layers = rasterize.peel(projected, which.faces, layers=count, width=width, height=height, corner=corner, cull=cull)
    view = None
    if _sees_directions(config):
        centers = cameras.pixel_centers(width, height) + jnp.asarray(corner, jnp.float32)[None, None]
        view = -vectors.unit(cameras.rays(camera, centers).directions)[0]
    normals = triangles.vertex_normals(vertices, which.faces)
    fragments = [jax.tree.map(lambda leaf, k=k: leaf[k], layers) for k in range(count)]
    seen = [(found.face >= 0)[..., None].astype(projected.dtype) for found in fragments]
    features = unstack(_features(config, levels, which, layers), axis=0)
    planes = [
        jnp.concatenate([*_turned(config, each, which, normals, view, found), shows], axis=-1) * shows
        for each, found, shows in zip(features, fragments, seen)
    ]
    depths = [texture.interpolate(projected[:, 3:], which.faces, found) for found in fragments]
    colors = [(0.5 + each[..., :3]) * shows for each, shows in zip(features, seen)]
    if config.opacity == 'texture':
        alphas = [_alpha(each) * shows for each, shows in zip(features, seen)]
        weights, opacity = shells.weights(alphas)
        planes, colors, depths = ([shells.weighted(weights, each)] for each in (planes, colors, depths))
        depths, seen = [safe_divide(depths[0], opacity)], [opacity]
    # The direction of view is the same on all surfaces.
    planes += [view * seen[0]] if config.network.views and view is not None else []
    return Pixels(jnp.concatenate(planes, axis=-1), colors[0], seen[0], depths[0][..., 0], fragments[0], projected)


def channels(config: NeuralTextureConfig) -> int:
    """How many channels the network sees.

    For each surface those of the texture, modulated, its normal, the mirrored view's harmonics but for the constant,
    and whether it is there, and once the direction towards the camera: that is what `pixels` finds for one frame. All
    frames of the window, and at the end what is behind.
    """
    network = config.network
    each = config.texture.channels + 3 * network.normals + (network.reflection + 1) ** 2
    frame = each * (1 if config.opacity == 'texture' else network.surfaces) + 3 * network.views
    return config.window * frame + 3 * network.behind


def _sees_directions(config: NeuralTextureConfig) -> bool:
    return config.texture.harmonics >= 0 or config.network.views or config.network.reflection > 0


def _turned(
    config: NeuralTextureConfig, features: Array, which: Surface, normals: Array, view: Array | None, found: Fragments
) -> list[Array]:
    """What one surface shows the network, but for whether it is there."""
    network, planes = config.network, [features]
    if view is not None and config.texture.harmonics >= 0:
        planes = [textures.modulate(features, view, first=config.modulated, degree=config.texture.harmonics)]
    if network.normals or network.reflection:
        normal = vectors.kept(vectors.unit(texture.interpolate(normals, which.faces, found))[0])
        planes += [normal] if network.normals else []
        if view is not None and network.reflection:
            mirrored = vectors.reflect(view, normal)
            planes.append(spherical_harmonics(mirrored, degree=network.reflection)[..., 1:])
    return planes


def _features(config: NeuralTextureConfig, levels: list[Array], which: Surface, layers: Fragments) -> Array:
    """Of all surfaces [n H W c], looked up together: the gradients of many look-ups in one texture take longer."""
    uv = vectors.kept(texture.interpolate(which.uvs, which.uv_faces, layers))
    if not config.texture.mip:
        # A look-up in every level, of pixels alone, is cheaper than adding levels up, which touches all texels.
        found = sum((texture.bilinear(level, uv) for level in levels[1:]), texture.bilinear(levels[0], uv))
        return materialize_rows(found)
    derivatives = texture.interpolate_derivatives(which.uvs, which.uv_faces, layers)
    return materialize_rows(texture.trilinear(texture.pyramid(textures.compose(levels)), uv, derivatives))


def _alpha(features: Array) -> Array:
    return jax.nn.sigmoid(_FAINT + features[..., 3:4])


def colors(config: NeuralTextureConfig, levels: Sequence[Array]) -> Array:
    """The texture's own colours [n side, side, 3], or 4 with opacity, in [0, 1], of n shells above each other."""
    whole = textures.compose(levels)
    rgb = jnp.clip(0.5 + whole[..., :3], 0, 1)
    return jnp.concatenate([rgb, _alpha(whole)], axis=-1) if config.opacity == 'texture' else rgb


def parameters(key: Key, config: NeuralTextureConfig) -> list[Array]:
    """Levels of the texture to begin with, those of shells above each other."""
    chosen = config.texture
    shell = functools.partial(
        textures.create, side=chosen.side, channels=chosen.channels, levels=chosen.levels, deviation=chosen.deviation
    )
    parts = [shell(each) for each in jax.random.split(key, config.shells.count)]
    return [jnp.concatenate(level) for level in zip(*parts)]


def dynamic(config: NeuralTextureConfig) -> DynamicTexture | None:
    """What changes with a code, and is added to a level of the texture; None where nothing does."""
    chosen = config.texture
    return DynamicTexture(chosen.side >> chosen.dynamic, chosen.channels) if chosen.dynamic >= 0 else None


def penalty(config: NeuralTextureConfig, levels: list[Array]) -> Array:
    """The penalty of the texture's levels, weighted."""
    count = len(levels)
    weights = [config.texture.penalty * 0.1**k for k in range(count - 1)] + [0.0]
    return textures.penalty(levels, weights)
