"""The pose of a known mesh from one picture, by Gauss-Newton steps in forward mode.

Residuals are differences between the picture and one that is drawn of the mesh, both blurred, less and less as the pose
comes nearer: a blur of b pixels lets outlines and texture find each other from about as far. The Jacobian passes
through rasterization, texture and antialiasing once for each of the six unknowns.
"""

from collections.abc import Callable, Sequence

import flax.struct
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry import clip, rotations, transforms, triangles
from neurend.geometry.cameras import Camera
from neurend.least_squares import levenberg_marquardt
from neurend.numerics import normalize, safe_norm
from neurend.render import antialias, rasterize, texture
from neurend.scenes import meshes
from neurend.scenes.meshes import Mesh
from neurend.typing import Array, Key

Draw = Callable[[Array], Array]
"""`draw(world_from_mesh) -> [H W c]`: a differentiable picture of a mesh in a pose."""


def drawn(mesh: Mesh, camera: Camera, size: tuple[int, int], *, texture_map: Array | None = None) -> Draw:
    """Draws a mesh in a pose: its coverage, and with a texture its colours before black, with antialiased outlines.

    Args:
        mesh: without leading dims, with UVs where there is a texture.
        camera: one, without leading dims.
        size: (width, height) of the picture, in pixels.
        texture_map: [h w c], of texels about as large as pixels, see `images.resample`; None for coverage alone.

    Returns:
        `draw(world_from_mesh [4 4]) -> [H W 1]`, or `[H W 1 + c]`.

    Raises:
        InputError: the mesh is not sound, or has no UVs for its texture.
    """
    meshes.check(mesh)
    if texture_map is not None and mesh.uvs is None:
        raise checks.InputError('mesh.uvs: got none, expected UVs for the texture. Unwrap the mesh, or leave it out')
    (width, height), topology = size, triangles.topology(mesh.faces)
    vertices, faces = jnp.asarray(mesh.vertices), jnp.asarray(mesh.faces)

    def draw(world_from_mesh: Array) -> Array:
        projected = clip.from_camera(camera, transforms.apply(world_from_mesh, vertices))
        found = rasterize.rasterize(projected, faces, width=width, height=height)
        planes = (found.face >= 0).astype(projected.dtype)[..., None]
        if texture_map is not None:
            uvs = texture.interpolate(mesh.uvs, mesh.uv_faces, found)
            planes = jnp.concatenate([planes, planes * texture.bilinear(texture_map, uvs)], axis=-1)
        return antialias.antialias(planes, found, projected, topology)

    return draw


@flax.struct.dataclass
class Found:
    """A pose and the way to it.

    Attributes:
        world_from_mesh: [4 4].
        path: [k 4 4] the poses after each step.
        costs: [k] half the mean squared residual after each step, of the blur of that step.
    """

    world_from_mesh: Array
    path: Array
    costs: Array


def find(
    draw: Draw,
    target: Array,
    world_from_mesh: Array,
    *,
    center: Array | tuple[float, float, float] = (0.0, 0.0, 0.0),
    blurs: Sequence[float] = (16.0, 8.0, 4.0, 2.0, 1.0, 0.5),
    steps: int = 6,
    damping: float = 1e-2,
) -> Found:
    """Finds the pose in which a mesh looks like the target (Levenberg-Marquardt, coarse to fine).

    Args:
        draw: see `Draw`, e.g. of `drawn`.
        target: [H W c] what `draw` should give, c of any kind: coverage, colours, both.
        world_from_mesh: [4 4] rigid, to start from.
        center: [3] of the mesh, in its frame; rotations are about it.
        blurs: standard deviations in pixels, one after the other.
        steps: with each.
        damping: of each blur's first step, see `least_squares.levenberg_marquardt`.

    Raises:
        InputError: a shape does not fit, or a blur is not positive.
    """
    checks.shape('world_from_mesh', world_from_mesh, '4 4', 'One mesh; use jax.vmap for more')
    sizes = checks.shape('target', target, 'H W c')
    if not blurs or min(blurs) <= 0:
        raise checks.InputError(f'blurs: got {tuple(blurs)}, expected some, positive')
    to_center = transforms.from_rt(jnp.eye(3), jnp.asarray(center, jnp.float32))
    from_center = transforms.inverse(to_center)

    def at(twist: Array, pose: Array) -> Array:
        return transforms.compose(pose, to_center, transforms.se3_exp(twist), from_center)

    def one(pose: Array, blur: Array) -> tuple[Array, tuple[Array, Array]]:
        rows, columns = (_kernel(sizes[axis], blur) for axis in 'HW')

        def residuals(twist: Array) -> Array:
            change = draw(at(twist, pose)) - target
            return jnp.einsum('ij,jkc,lk->ilc', rows, change, columns, precision='highest') / change.size**0.5

        found = levenberg_marquardt(residuals, jnp.zeros(6, pose.dtype), steps=steps, damping=damping)
        return at(found.x, pose), (jax.vmap(lambda twist: at(twist, pose))(found.path), found.costs)

    last, (path, costs) = jax.lax.scan(one, world_from_mesh, jnp.asarray(blurs, world_from_mesh.dtype))
    return Found(last, path.reshape(-1, 4, 4), costs.reshape(-1))


def errors(pose: Array, truth: Array, center: Array) -> tuple[Array, Array]:
    """How far poses [... 4 4] of a mesh are from the true one [4 4]: angles in degrees, and by how far `center` moved.

    Args:
        pose, truth: world_from_mesh.
        center: [3] a point of the mesh, in its frame.

    Returns:
        Angles [...] and distances [...].
    """
    turn = transforms.compose(transforms.inverse(truth), pose)[..., :3, :3]
    place = transforms.apply(pose, center)
    moved = place - jnp.broadcast_to(transforms.apply(truth, center), place.shape)
    return jnp.rad2deg(safe_norm(rotations.log(turn))), safe_norm(moved)


def perturbed(key: Key, world_from_mesh: Array, *, center: Array, degrees: float, distance: float) -> Array:
    """A pose [4 4] turned by so many degrees about a random axis through `center`, which moves by a random step.

    Args:
        key: random key.
        world_from_mesh: [4 4].
        center: [3] in the frame of the mesh.
        degrees: of the turn.
        distance: length of the step.
    """
    axis, step = (normalize(jax.random.normal(part, (3,))) for part in jax.random.split(key))
    turn = rotations.exp(jnp.deg2rad(degrees) * axis)
    change = transforms.from_rt(turn, center + distance * step - transforms.rotate(turn, center))
    return transforms.compose(world_from_mesh, change)


def _kernel(size: int, blur: Array) -> Array:
    """Matrix [size size] that blurs an axis by a Gaussian; what is outside of the picture is zero."""
    distance = jnp.arange(size)[:, None] - jnp.arange(size)[None]
    weights = jnp.exp(-0.5 * jnp.square(distance / blur))
    return weights / jnp.sum(weights[size // 2])
