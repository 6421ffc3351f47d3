"""Frames per second of a textured head that changes its expression, beside Mitsuba 3 drawing one that does not.

    python -m benchmarks.head --data_root=../shared/data

A frame is all of it, from 53 expression coefficients to 512 x 512 bytes on the host: blend, vertex normals,
projection, rasterization, interpolation, texture, light (spherical harmonics and a lamp with the GGX model),
antialiasing, encoding. Stages are also timed one by one, each compiled by itself, so that they need not add up to a
frame. Two heads: the ICT face decimated to some 10 thousand triangles, and whole, with 49 thousand.

Frames are drawn by one device, and by two that halve the picture, each with a row of the other's for antialiasing: one
device uses the second core in few operations only. Stages are those of one device.

Mitsuba (extra `benchmarks`, variants as in `benchmarks.rasterize`) draws the decimated head without expression, with
the same texture, camera and lamp under an even sky, direct light only, one sample a pixel; its acceleration structure
is built before the clock starts. Calls alternate. The last line printed is JSON. `--quick` takes the decimated head and
few repetitions. `--pictures` is a folder for two frames and Mitsuba's.
"""

import argparse
import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from benchmarks.rasterize import Mitsuba, measure
from neurend.geometry import cameras, clip, transforms, triangles
from neurend.images import color, io
from neurend.render import antialias, rasterize, texture
from neurend.render.shade import ggx, harmonics, lights, vectors
from neurend.scenes import remesh
from neurend.scenes.meshes import Mesh
from neurend.typing import Array

SIZE = 512
# Radiance of the surroundings as harmonics of degree 2, by up, right and towards the camera; and a lamp.
LIGHT = np.array(
    [[1.5, 1.55, 1.7], [0.3, 0.35, 0.45], [0.25, 0.25, 0.25], [-0.2, -0.2, -0.15], *[[0.0] * 3] * 5], np.float32
)
LAMP = lights.Directional(np.array([[0.48, 0.6, 0.64]], np.float32), np.array([[2.2, 2.0, 1.8]], np.float32))
BACKGROUND = 0.05
ROUGHNESS = 0.45
LAUGH = {'mouthSmile_L': 0.9, 'mouthSmile_R': 0.9, 'jawOpen': 0.45, 'browInnerUp_L': 0.8, 'browInnerUp_R': 0.8}


class Head(NamedTuple):
    """A head with expressions, y up, looking along z.

    Attributes:
        vertices: [V 3] without expression, in centimetres.
        deltas: [53 V 3] of the expressions.
        faces: int32 [F 3].
        uvs: [T 2], and `uv_faces` int32 [F 3] into them.
        topology: of the faces.
        albedo: [h w 3] linear.
    """

    vertices: Array
    deltas: Array
    faces: Array
    uvs: Array
    uv_faces: Array
    topology: triangles.Topology
    albedo: Array


def read(root: Path, count: int | None) -> tuple[Head, list[str]]:
    """The head of the talking-head set, decimated to about `count` triangles, and the names of its expressions."""
    model, track = np.load(root / 'ict_face' / 'ict_face.npz'), np.load(root / 'talking_head' / 'tracking.npz')
    names = [str(name) for name in model['expression_names']]
    source, faces, uvs = (track[f'mesh_{name}'] for name in ('vertex_source', 'faces', 'uvs'))
    identity = np.tensordot(track['identity'], model['identity_deltas'].astype(np.float32), 1)
    vertices = (model['vertices'] + identity)[source]
    deltas = model['expression_deltas'].astype(np.float32)[:, source]
    if count is not None:
        # With the mouth open, where what is near on one lip is not near on the other.
        opened = vertices + deltas[names.index('jawOpen')]
        small = remesh.decimate(Mesh(opened, faces), count)
        index, weights = correspond(opened, faces, small)
        uvs = np.einsum('vk,vkc->vc', weights, uvs[index])
        deltas = np.einsum('vk,evkc->evc', weights, deltas[:, index])
        vertices, faces = np.asarray(small.vertices) - deltas[names.index('jawOpen')], np.asarray(small.faces)
    # Vertices are split at the seams of the texture, the surface is not.
    _, first, same = np.unique(np.round(vertices, 4), axis=0, return_index=True, return_inverse=True)
    welded = same.reshape(-1)[faces].astype(np.int32)
    albedo = color.linear_from_srgb(
        io.read(root / 'talking_head' / 'albedo_for_reference.png')[..., :3] / np.float32(255)
    )
    arrays = (vertices[first], deltas[:, first], welded, uvs, faces.astype(np.int32))
    topology = triangles.Topology(*map(jnp.asarray, triangles.topology(welded)))
    return Head(
        *(jnp.asarray(a, a.dtype if a.dtype == np.int32 else np.float32) for a in arrays), topology, albedo
    ), names


def correspond(vertices: np.ndarray, faces: np.ndarray, small: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """For each vertex of a decimated mesh three of the same piece of the original [v 3], and their weights [v 3]."""
    index, weights = np.zeros((len(small.vertices), 3), int), np.zeros((len(small.vertices), 3), np.float32)
    own = pieces(np.asarray(small.faces), len(small.vertices))
    piece, places = pieces(faces, len(vertices)), np.asarray(small.vertices)
    _, nearest = KDTree(vertices).query(places)
    for part in np.unique(own):
        mine = np.flatnonzero(own == part)
        # Of the pieces of the original, the one that most of its vertices lie on.
        candidates = np.flatnonzero(piece == np.bincount(piece[nearest[mine]]).argmax())
        distance, found = KDTree(vertices[candidates]).query(places[mine], k=3)
        weight = 1 / np.maximum(distance, 1e-6) ** 2
        index[mine], weights[mine] = candidates[found], weight / weight.sum(1, keepdims=True)
    return index, weights


def pieces(faces: np.ndarray, count: int) -> np.ndarray:
    """Which connected piece each vertex is of."""
    ends = (faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1))
    return connected_components(coo_array((np.ones(faces.size), ends), shape=(count, count)), directed=False)[1]


def camera() -> cameras.Camera:
    pose = transforms.look_at(jnp.array([14.0, 3.0, 74.0]), jnp.array([0.0, -1.0, 2.0]), jnp.array([0.0, 1.0, 0.0]))
    return cameras.make(pose, 1080.0, size=(SIZE, SIZE))


def stages(head: Head, view: cameras.Camera, top: Array | int = 0, height: int = SIZE) -> dict[str, Callable[..., Any]]:
    """What rows of a frame are made of: each takes the results of those before by name, and adds its own."""
    corner = jnp.array([0, top], jnp.int32)
    centers = cameras.pixel_centers(SIZE, height) + jnp.array([0, top], jnp.float32)[None, None]
    toward = -vectors.unit(cameras.rays(view, centers).directions)[0]
    flat = head.deltas.reshape(len(head.deltas), -1)

    def blend(expression: Array) -> Any:
        return {'points': head.vertices + jnp.matmul(expression, flat).reshape(-1, 3)}

    def normals(points: Array) -> Any:
        return {'normals': triangles.vertex_normals(points, head.faces)}

    def project(points: Array) -> Any:
        return {'vertices': clip.from_camera(view, points)}

    def raster(vertices: Array) -> Any:
        return {
            'found': rasterize.rasterize(vertices, head.faces, width=SIZE, height=height, corner=corner, cull='back')
        }

    def interpolate(found: Any, normals: Array) -> Any:
        smooth = texture.interpolate(normals, head.faces, found)
        return {'uv': texture.interpolate(head.uvs, head.uv_faces, found), 'normal': vectors.unit(smooth)[0]}

    def look_up(uv: Array) -> Any:
        return {'base': vectors.kept(texture.bilinear(head.albedo, uv))}

    def shade(base: Array, normal: Array) -> Any:
        ambient = base / jnp.pi * harmonics.irradiance(jnp.asarray(LIGHT), normal)
        brdf = functools.partial(ggx.brdf, base_color=base, metallic=0.0, roughness=ROUGHNESS)
        return {'linear': ambient + lights.shade(brdf, normal, toward, LAMP)}

    def smooth_edges(linear: Array, found: Any, vertices: Array) -> Any:
        shown = jnp.where((found.face >= 0)[..., None], linear, BACKGROUND)
        return {'picture': antialias.antialias(shown, found, vertices, head.topology, corner=corner)}

    def encode(picture: Array) -> Any:
        return {'bytes': jnp.round(255 * jnp.clip(color.srgb_from_linear(picture), 0, 1)).astype(jnp.uint8)}

    return {
        'blend': blend,
        'vertex normals': normals,
        'projection': project,
        'rasterization': raster,
        'interpolation': interpolate,
        'texture': look_up,
        'shading': shade,
        'antialiasing': smooth_edges,
        'encoding': encode,
    }


def asked(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of what a stage asks for."""
    return tuple(inspect.signature(function).parameters)


def run(function: Callable[..., Any], known: dict[str, Any]) -> dict[str, Any]:
    return function(**{name: known[name] for name in asked(function)})


def on_host(function: Callable[..., Any], argument: Any) -> np.ndarray:
    return np.asarray(function(argument))


def on_device(function: Callable[..., Any], argument: Any) -> Any:
    return jax.block_until_ready(function(argument))


def frame(parts: dict[str, Callable[..., Any]], expression: Array) -> Array:
    known: dict[str, Any] = {'expression': expression}
    for part in parts.values():
        known |= run(part, known)
    return known['bytes']


def halves(head: Head, view: cameras.Camera) -> Callable[[Array], Array]:
    """A frame by two devices."""
    half, mesh = SIZE // 2, jax.make_mesh((2,), ('rows',), axis_types=(jax.sharding.AxisType.Auto,))

    def one(expression: Array) -> Array:
        parts = stages(head, view, jax.lax.axis_index('rows') * half - 1, half + 2)
        return frame(parts, expression)[1:-1]

    spread = jax.sharding.PartitionSpec('rows')
    return jax.jit(
        jax.shard_map(one, mesh=mesh, in_specs=jax.sharding.PartitionSpec(), out_specs=spread, check_vma=False)
    )


def traced(head: Head, view: cameras.Camera) -> Callable[[], np.ndarray]:
    """Mitsuba's call for one frame of the head without expression."""
    import mitsuba

    mi: Any = mitsuba
    print(f'mitsuba {Mitsuba().variant}')
    corners = np.stack([np.asarray(head.faces), np.asarray(head.uv_faces)], axis=-1).reshape(-1, 2)
    pairs, faces = np.unique(corners, axis=0, return_inverse=True)
    normal = np.asarray(triangles.vertex_normals(head.vertices, head.faces))
    properties = mi.Properties()
    bitmap = {'type': 'bitmap', 'bitmap': mi.Bitmap(np.array(head.albedo)), 'raw': True}  # linear already
    properties['bsdf'] = mi.load_dict(
        {'type': 'principled', 'base_color': bitmap, 'roughness': ROUGHNESS, 'specular': 0.5}
    )
    mesh = mi.Mesh('head', len(pairs), len(corners) // 3, properties, True, True)
    values = mi.traverse(mesh)
    values['vertex_positions'] = np.asarray(head.vertices)[pairs[:, 0]].reshape(-1)
    values['vertex_normals'] = normal[pairs[:, 0]].reshape(-1)
    # Its v runs downwards.
    values['vertex_texcoords'] = (np.asarray(head.uvs)[pairs[:, 1]] * [1, -1] + [0, 1]).reshape(-1)
    values['faces'] = faces.reshape(-1).astype(np.uint32)
    values.update()
    pose = np.asarray(view.world_from_camera, np.float64) @ np.diag([-1, -1, 1, 1])
    scene = mi.load_dict(
        {
            'type': 'scene',
            'integrator': {'type': 'direct'},
            'sensor': {
                'type': 'perspective',
                'fov': float(np.degrees(2 * np.arctan(SIZE / 2 / float(view.focal[0])))),
                'to_world': mi.ScalarTransform4f(pose),
                'film': {'type': 'hdrfilm', 'width': SIZE, 'height': SIZE, 'rfilter': {'type': 'box'}},
                'sampler': {'type': 'independent', 'sample_count': 1},
            },
            'mesh': mesh,
            'sky': {'type': 'constant', 'radiance': {'type': 'rgb', 'value': [0.42, 0.44, 0.48]}},
            'lamp': {
                'type': 'directional',
                'direction': (-LAMP.directions[0]).tolist(),
                'irradiance': {'type': 'rgb', 'value': LAMP.irradiance[0].tolist()},
            },
        }
    )
    return lambda: np.array(mi.render(scene, spp=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--seconds', type=float, default=5.0, help='of each comparison')
    parser.add_argument('--pictures', default='', help='folder for two frames and what Mitsuba draws')
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    seconds = 1.0 if options.quick else options.seconds
    jax.config.update('jax_num_cpu_devices', 2)
    view, result = camera(), {}
    for count in (10_000,) if options.quick else (10_000, None):
        head, names = read(Path(options.data_root), count)
        name, parts = f'{len(head.faces) / 1000:.0f}k', stages(head, view)
        whole = jax.jit(functools.partial(frame, parts))
        neutral, laughing = np.zeros(len(names), np.float32), np.zeros(len(names), np.float32)
        laughing[[names.index(expression) for expression in LAUGH]] = list(LAUGH.values())
        known: dict[str, Any] = {'expression': jnp.asarray(laughing)}
        calls: dict[str, Callable[[], Any]] = {
            'frame': functools.partial(on_host, halves(head, view), laughing),
            'by one device': functools.partial(on_host, whole, laughing),
        }
        for part, function in parts.items():
            compiled = jax.jit(functools.partial(run, function))
            before = {key: known[key] for key in asked(function)}
            known |= compiled(before)
            calls[part] = functools.partial(on_device, compiled, before)
        # But for the rounding of the last bit, since XLA fuses the two programs differently.
        if np.max(np.abs(calls['frame']().astype(int) - calls['by one device']())) > 1:
            raise RuntimeError('the two halves are not the whole picture')
        pictures = {'neutral': on_host(whole, neutral), 'laughing': on_host(whole, laughing)}
        if count is not None:
            calls['mitsuba'] = trace = traced(head, view)
            drawn = trace()
            covered = np.mean(np.asarray(known['found'].face) >= 0)
            print(f'{name}: {covered:.0%} of the pixels are covered', flush=True)
            pictures['mitsuba'] = io.to_uint8(np.clip(color.srgb_from_linear(drawn[..., :3]), 0, 1))
        times = measure(calls, seconds)
        print(f'{name} triangles, wall / CPU ms: {1000 / times["frame"][0]:.1f} frames per second')
        for part, (wall, processor) in times.items():
            print(f'  {part:16s} {wall:7.2f} /{processor:7.2f}', flush=True)
        result[name] = {part: round(float(wall), 2) for part, (wall, _) in times.items()}
        result[name]['frame_processor'] = round(float(times['frame'][1]), 2)
        result[name]['frames_per_second'] = round(float(1000 / times['frame'][0]), 1)
        if options.pictures:
            folder = Path(options.pictures)
            folder.mkdir(parents=True, exist_ok=True)
            for title, picture in pictures.items():
                io.write(folder / f'head_{name}_{title}.png', picture)
    print(json.dumps(result | {'device': jax.devices()[0].device_kind}))


if __name__ == '__main__':
    main()
