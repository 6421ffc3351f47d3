"""Milliseconds of the rasterizer, of gradients through it and of antialiasing, beside Mitsuba 3's.

    python -m benchmarks.rasterize --data_root=../shared/data

Mitsuba (extra `benchmarks`) traces primary rays with its depth integrator, one sample a pixel, in `llvm_ad_rgb` where
LLVM is installed (Debian: libllvm19) and `scalar_rgb` otherwise; its acceleration structure is built before the clock
starts. Calls of both alternate, each is timed by the clock and by the processor time of all threads, and medians are
compared. Value and gradient are of interpolated vertex colours with respect to vertices and colours; of antialiasing
with respect to the colours of pixels and vertices; of soft silhouettes (sigma 1e-5 of half the picture's width squared)
with respect to vertices. How times grow is drawn into the workdir as growth.png. The last line printed is JSON.
`--quick` takes the small rows and few repetitions.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import allocation
from neurend.geometry import cameras, clip, transforms, triangles
from neurend.render import antialias, rasterize, soft, texture
from neurend.scenes import obj
from neurend.scenes.meshes import Mesh

SIZES = (256, 512, 1024)
COLUMNS = ('zbuffer', 'mitsuba', 'value_and_grad', 'antialias_grad', 'soft_grad')


def bumpy(around: int, along: int) -> Mesh:
    """A sphere with ripples, of 2 * around * along triangles."""
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, around, endpoint=False), np.linspace(0, np.pi, along + 1))
    r = 1 + 0.15 * np.sin(5 * u) * np.sin(4 * v)
    places = np.stack([r * np.cos(u) * np.sin(v), r * np.cos(v), r * np.sin(u) * np.sin(v)], axis=-1)
    index = np.arange(around * (along + 1)).reshape(along + 1, around)
    a, b, c, d = index[:-1], np.roll(index, -1, 1)[:-1], np.roll(index, -1, 1)[1:], index[1:]
    faces = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    return Mesh(places.reshape(-1, 3).astype(np.float32), faces.astype(np.int32))


def overdrawn() -> Mesh:
    """Ten thousand small triangles, and behind them a hundred that fill the picture, one behind the other."""
    mesh = bumpy(100, 50)
    forward, right, up = np.array([0, 0, -1.0]), np.array([1.0, 0, 0]), np.array([0, 1.0, 0])
    large = [
        forward * (1.2 + 0.01 * k) + 12 * (np.cos(turn) * right + np.sin(turn) * up)
        for k in range(100)
        for turn in (0.1 * k, 0.1 * k + 2.1, 0.1 * k + 4.2)
    ]
    faces = np.arange(300).reshape(100, 3) + len(mesh.vertices)
    return Mesh(
        np.concatenate([mesh.vertices, np.array(large, np.float32)]),
        np.concatenate([mesh.faces, faces.astype(np.int32)]),
    )


def camera(size: int, straight: bool) -> cameras.Camera:
    elevation, azimuth = (0.0, 0.0) if straight else np.radians([10, 150])
    eye = 2.7 * np.array(
        [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)], np.float32
    )
    pose = transforms.look_at(jnp.asarray(eye), jnp.zeros(3), jnp.array([0.0, 1.0, 0.0]))
    return cameras.make(pose, size / 2 / np.tan(np.radians(30)), size=(size, size))


class Mitsuba:
    """Primary visibility of the same mesh through the same camera."""

    def __init__(self):
        import mitsuba

        self._mitsuba: Any = mitsuba
        for variant in ('llvm_ad_rgb', 'scalar_rgb'):
            try:
                mitsuba.set_variant(variant)
                mitsuba.ScalarTransform4f()
                self.variant = variant
                mitsuba.load_dict({'type': 'sphere'})
                return
            except (ImportError, RuntimeError) as error:
                print(f'mitsuba {variant}: {error}')
        raise RuntimeError('no variant of mitsuba runs')

    def scene(self, mesh: Mesh, view: cameras.Camera, folder: Path) -> Callable[[], np.ndarray]:
        path = folder / 'mesh.ply'
        write_ply(path, mesh)
        size = int(view.size[0])
        pose = np.asarray(view.world_from_camera, np.float64) @ np.diag([-1, -1, 1, 1])  # x left, y up, z forward
        scene = self._mitsuba.load_dict(
            {
                'type': 'scene',
                'integrator': {'type': 'depth'},
                'sensor': {
                    'type': 'perspective',
                    'fov': 60,
                    'to_world': self._mitsuba.ScalarTransform4f(pose),
                    'near_clip': 1e-3,
                    'far_clip': 1e4,
                    'film': {
                        'type': 'hdrfilm',
                        'width': size,
                        'height': size,
                        'pixel_format': 'luminance',
                        'rfilter': {'type': 'box'},
                    },
                    'sampler': {'type': 'independent', 'sample_count': 1},
                },
                'mesh': {'type': 'ply', 'filename': str(path), 'face_normals': True},
            }
        )
        return lambda: np.array(self._mitsuba.render(scene, spp=1))


def write_ply(path: Path, mesh: Mesh) -> None:
    header = (
        f'ply\nformat binary_little_endian 1.0\nelement vertex {len(mesh.vertices)}\nproperty float x\n'
        f'property float y\nproperty float z\nelement face {len(mesh.faces)}\n'
        'property list uchar int vertex_indices\nend_header\n'
    )
    faces = np.zeros(len(mesh.faces), [('n', 'u1'), ('i', '<i4', 3)])
    faces['n'], faces['i'] = 3, mesh.faces
    path.write_bytes(header.encode() + np.asarray(mesh.vertices, '<f4').tobytes() + faces.tobytes())


def measure(calls: dict[str, Callable[[], Any]], seconds: float) -> dict[str, tuple[float, float]]:
    """Median milliseconds by the clock and of processor time, of calls that alternate."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 3:
        for name, call in calls.items():
            wall, processor = time.perf_counter(), time.process_time()
            call()
            times[name].append((time.perf_counter() - wall, time.process_time() - processor))
    return {name: tuple(1e3 * np.median(found, axis=0)) for name, found in times.items()}


def compiled(function: Callable[..., Any], *arguments: Any) -> tuple[Callable[[], Any], float, float]:
    """The call, seconds to compile, and megabytes of temporary memory."""
    begin = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    took = time.perf_counter() - begin
    analysis = program.memory_analysis()
    memory = 0.0 if analysis is None else analysis.temp_size_in_bytes / 1e6
    return lambda: jax.block_until_ready(program(*arguments)), took, memory


def functions(size: int) -> dict[str, Callable[..., Any]]:
    """What is measured, as functions of arrays, so that a mesh is no part of the program."""
    target = jnp.full((size, size, 3), 0.5)

    def zbuffer(vertices: Any, faces: Any) -> Any:
        found = rasterize.rasterize(vertices, faces, width=size, height=size)
        return found.face, found.depth

    def pictures(vertices: Any, colors: Any, faces: Any) -> Any:
        found = rasterize.rasterize(vertices, faces, width=size, height=size)
        return texture.interpolate(colors, faces, found), found

    def loss(vertices: Any, colors: Any, faces: Any) -> Any:
        return jnp.mean((pictures(vertices, colors, faces)[0] - target) ** 2)

    def antialiased(vertices: Any, image: Any, found: Any, topology: Any) -> Any:
        return jnp.mean((antialias.antialias(image, found, vertices, topology) - target) ** 2)

    def silhouette(vertices: Any, faces: Any) -> Any:
        shown = soft.silhouette(vertices, faces, sigma=1e-5 * (size / 2) ** 2, width=size, height=size)
        return jnp.mean((shown - target[..., 0]) ** 2)

    return {
        'zbuffer': zbuffer,
        'pictures': pictures,
        'value_and_grad': jax.value_and_grad(loss, argnums=(0, 1)),
        'antialias_grad': jax.value_and_grad(antialiased, argnums=(0, 1)),
        'soft_grad': jax.value_and_grad(silhouette),
    }


def row(mesh: Mesh, view: cameras.Camera, mitsuba: Mitsuba, folder: Path, seconds: float) -> dict[str, dict[str, Any]]:
    """Milliseconds by the clock and of processors, seconds of compilation and megabytes of temporary memory."""
    size = int(view.size[0])
    vertices = jax.jit(clip.from_camera)(view, jnp.asarray(mesh.vertices))
    colors = jnp.asarray(np.random.default_rng(0).uniform(size=mesh.vertices.shape), jnp.float32)
    faces, topology = jax.tree.map(jnp.asarray, (mesh.faces, triangles.topology(mesh.faces)))
    made = functions(size)
    image, found = jax.jit(made['pictures'])(vertices, colors, faces)
    programs = {
        'zbuffer': compiled(made['zbuffer'], vertices, faces),
        'value_and_grad': compiled(made['value_and_grad'], vertices, colors, faces),
        'antialias_grad': compiled(made['antialias_grad'], vertices, image, found, topology),
        'soft_grad': compiled(made['soft_grad'], vertices, faces),
    }
    trace = mitsuba.scene(mesh, view, folder)
    agree(found, trace(), view)
    calls = {name: call for name, (call, _, _) in programs.items()}
    times = measure({'zbuffer': calls.pop('zbuffer'), 'mitsuba': trace}, seconds)
    for name, call in calls.items():
        times |= measure({name: call}, seconds)
    return {
        'wall': {name: wall for name, (wall, _) in times.items()},
        'processor': {name: processor for name, (_, processor) in times.items()},
        'compile': {name: took for name, (_, took, _) in programs.items()},
        'memory': {name: memory for name, (_, _, memory) in programs.items()},
    }


def plot(found: dict[str, dict[str, dict[str, Any]]], path: Path) -> None:
    """How times grow with triangles at 512x512, and with pixels for spot and 100k triangles."""
    import matplotlib

    matplotlib.use('agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4), sharey=True, constrained_layout=True)
    counts = {'1k_512': 1024, '10k_512': 10000, '100k_512': 99856, '1M_512': 1000000}
    series = [('triangles, 512x512', counts)]
    series += [(f'pixels, {name}', {f'{name}_{size}': size * size for size in SIZES}) for name in ('spot', '100k')]
    for axis, (title, places) in zip(axes, series):
        rows = {name: place for name, place in places.items() if name in found}
        for column in COLUMNS:
            axis.loglog(list(rows.values()), [found[name]['wall'][column] for name in rows], 'o-', label=column)
        axis.set_xlabel(title)
        axis.grid(True, which='both', alpha=0.3)
    axes[0].set_ylabel('milliseconds')
    axes[0].legend()
    figure.savefig(path, dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--workdir', default='out/rasterize')
    parser.add_argument('--seconds', type=float, default=3.0, help='of each row')
    parser.add_argument('--rows', default='', help='only those whose name begins so')
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    allocation.keep_freed_memory()
    folder = Path(options.workdir)
    folder.mkdir(parents=True, exist_ok=True)
    meshes = {
        'spot': obj.read(Path(options.data_root) / 'meshes' / 'spot_triangulated.obj'),
        '1k': bumpy(32, 16),
        '10k': bumpy(100, 50),
        '100k': bumpy(316, 158),
        '1M': bumpy(1000, 500),
        'overdraw': overdrawn(),
    }
    mitsuba = Mitsuba()
    print(f'{"wall / CPU ms":14s} {" ".join(f"{column:>16s}" for column in COLUMNS)}  compile s; temporary MB')
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, mesh in meshes.items():
        for size in SIZES[: 1 if options.quick else None]:
            label = f'{name}_{size}'
            if not label.startswith(options.rows) or (options.quick and name in ('100k', '1M')):
                continue
            view = camera(size, name == 'overdraw')
            found[label] = row(mesh, view, mitsuba, folder, 1.0 if options.quick else options.seconds)
            wall, processor, took, memory = found[label].values()
            cells = ' '.join(f'{wall[column]:8.2f} /{processor[column]:6.1f}' for column in COLUMNS)
            took, memory = (', '.join(f'{value:.0f}' for value in part.values()) for part in (took, memory))
            print(f'{label:14s} {cells}  {took}; {memory}', flush=True)
    plot(found, folder / 'growth.png')
    result: dict[str, Any] = {
        f'{column}_ms': {label: round(parts['wall'][column], 2) for label, parts in found.items()} for column in COLUMNS
    }
    result['compile_s'] = round(max(max(parts['compile'].values()) for parts in found.values()), 1)
    result |= {'mitsuba_variant': mitsuba.variant, 'device': jax.devices()[0].device_kind}
    print(json.dumps(result))


def agree(found: Any, distance: np.ndarray, view: cameras.Camera) -> None:
    """Both renderers must show the same but at edges, where Mitsuba's samples lie elsewhere in the pixel."""
    ours = np.asarray(found.face) >= 0
    theirs = distance[..., 0] > 0
    different = (ours != theirs).mean()
    if different > 0.02:
        raise RuntimeError(f'{different:.1%} of the pixels are covered in one renderer only')


if __name__ == '__main__':
    main()
