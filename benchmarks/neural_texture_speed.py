"""Milliseconds of the parts of a neural texture, forward and with gradients, and frames per second of its pictures.

    python -m benchmarks.neural_texture_speed

The true mesh of spot under a camera of `spot_views`, at 256x256 and 512x512: rasterizing it, looking up and modulating
its texture of 16 channels and four levels, the network, a picture, and a step of training on a whole picture. Gradients
are those of vertices, of texels, and of the network's weights and inputs. Two configurations: that of
`neural_texture_spot.flags` and the narrow one of `neural_texture_spot_fast.flags`. Beside them a plain texture of three
channels without a network, which is what a picture of the classical kind takes. The least of many calls. The last line
printed is JSON. `--quick` takes few calls, at 256x256 alone.
"""

import argparse
import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments import neural_texture as experiment
from experiments import proxy_meshes
from neurend import allocation, config
from neurend.data import scenes
from neurend.data.photographs import Photographs
from neurend.geometry import clip
from neurend.geometry.cameras import Camera
from neurend.models.neural_texture import deferred
from neurend.models.neural_texture.config import NetworkConfig, NeuralTextureConfig, TextureConfig
from neurend.models.neural_texture.deferred import Shot, Window
from neurend.models.neural_texture.method import neural_texture, shader
from neurend.numerics import materialize_rows
from neurend.render import rasterize, texture
from neurend.scenes import textures
from neurend.scenes.meshes import Mesh
from neurend.train import step
from neurend.typing import Array

CONFIGS = Path(__file__).parents[1] / 'configs'
CLASSICAL = NeuralTextureConfig(
    TextureConfig(channels=3, levels=1, harmonics=-1), NetworkConfig(unet=0, width=0, reflection=0)
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='../shared/data')
    parser.add_argument('--quick', action='store_true')
    options = parser.parse_args()
    allocation.keep_freed_memory()
    root, calls = Path(options.data_root), 3 if options.quick else 30
    train = scenes.read(root / 'spot_views', split='train')
    mesh = proxy_meshes.make('mesh', str(root / 'meshes' / 'spot_triangulated.obj'), train, texture=256)
    result = {}
    for side in (256,) if options.quick else (256, 512):
        camera = jax.tree.map(jnp.asarray, train.camera(0))
        scale = side / 256
        camera = dataclasses.replace(
            camera, focal=camera.focal * scale, center=camera.center * scale, size=jnp.array([side, side])
        )
        for name, model in configurations().items():
            for part, function, arguments in parts(model, mesh, camera, side):
                value = least(function, arguments, calls)
                result[f'{name}_{side}_{part}_ms'] = value
                print(f'{name:10} {side:4}  {part:22}{value:9.2f} ms', flush=True)
            print(
                f'{name:10} {side:4}  {1000 / result[f"{name}_{side}_picture_ms"]:9.1f} frames per second', flush=True
            )
    numbers = {name: float(f'{value:.4g}') for name, value in result.items()}
    print(json.dumps({**numbers, 'device': jax.devices()[0].device_kind}))


def configurations() -> dict[str, NeuralTextureConfig]:
    """By name, each drawing whole photographs."""
    files = {'full': 'spot', 'fast': 'spot_fast'}
    found = {
        name: config.parse(experiment.Config, f'--flagfile={CONFIGS / f"neural_texture_{file}.flags"}').model
        for name, file in files.items()
    }
    return {name: dataclasses.replace(model, crop=0) for name, model in {**found, 'classical': CLASSICAL}.items()}


def parts(
    model: NeuralTextureConfig, mesh: Mesh, camera: Camera, side: int
) -> list[tuple[str, Callable[..., Any], tuple[Any, ...]]]:
    """Names, compiled functions and their arguments."""
    method = neural_texture(model, mesh, size=(side, side), stepper=step.stepper(optax.adam(1e-3)))
    state = jax.jit(method.init)(jax.random.key(0))
    levels, which = state.params['texture'], deferred.surface(mesh)
    vertices, window = jnp.asarray(mesh.vertices), Window(side, side)

    def rasterized(vertices: Array) -> Any:
        projected = clip.from_camera(camera, vertices)
        return rasterize.rasterize(projected, which.faces, width=side, height=side)

    fragments = jax.jit(rasterized)(vertices)

    def sampled(levels: list[Array]) -> Array:
        uv = texture.interpolate(which.uvs, which.uv_faces, fragments)
        found = sum((texture.bilinear(level, uv) for level in levels[1:]), texture.bilinear(levels[0], uv))
        found = materialize_rows(found)
        view = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), (side, side, 3))
        degree = model.texture.harmonics
        return textures.modulate(found, view, first=3, degree=degree) if degree >= 0 else found

    shot = Shot(camera, jnp.ones(3))
    rgb = jnp.full((1, side, side, 3), 0.5)
    batch = Photographs(jax.tree.map(lambda leaf: leaf[None], camera), rgb, jnp.ones((1, 3)))
    found = [
        ('rasterize', jax.jit(rasterized), (vertices,)),
        ('rasterize_gradient', gradient(lambda v: rasterized(v).barycentrics), (vertices,)),
        ('sample', jax.jit(sampled), (levels,)),
        ('sample_gradient', gradient(sampled), (levels,)),
    ]
    if (network := shader(model)) is not None:
        pixels = jax.jit(functools.partial(deferred.pixels, model, levels, which, vertices, camera, window))()
        weights = (state.params['network'], pixels.inputs[None])
        drawn = jax.jit(lambda params, inputs: network.apply({'params': params}, inputs))
        found += [
            ('network', drawn, weights),
            ('network_gradient', gradient(drawn, (0, 1)), weights),
        ]
    return [
        *found,
        ('picture', jax.jit(method.render), (state, shot)),
        ('step', jax.jit(method.step), (jax.random.key(0), state, batch)),
    ]


def gradient(function: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """The value's mean square and its gradient, compiled."""
    return jax.jit(jax.value_and_grad(lambda *given: jnp.mean(jnp.square(function(*given))), argnums))


def least(function: Callable[..., Any], arguments: tuple[Any, ...], calls: int) -> float:
    """Milliseconds of the fastest of some calls."""
    jax.block_until_ready(function(*arguments))
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - began)
    return 1000 * min(seconds)


if __name__ == '__main__':
    main()
