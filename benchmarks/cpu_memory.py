"""What a CPU's memory costs: Adam beside optax's, and a million triangles with and without freed memory kept.

    python -m benchmarks.cpu_memory

Milliseconds of an update of the 54 million parameters of pix2pix's U-Net by `neurend.adam` and by optax, in
alternation, and of a z-buffer of a million triangles at 256x256 in two processes, with and without
`neurend.allocation.keep_freed_memory`. Medians. The last line printed is JSON. `--quick` takes fewer repetitions.
"""

import argparse
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import optax

from benchmarks import rasterize
from neurend import allocation
from neurend.adam import adam
from neurend.geometry import clip
from neurend.nn.unet import UNet


class Update:
    """One optimizer's update in place, as a call."""

    def __init__(self, optimizer):
        def update(params, state, grads):
            updates, state = optimizer.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        keys = {'params': jax.random.key(0), 'dropout': jax.random.key(0)}
        shapes = jax.eval_shape(UNet(3).init, keys, jnp.zeros((1, 256, 256, 3)))
        self._grads = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), shapes)
        params = jax.tree.map(jnp.ones_like, self._grads)
        self._state = params, optimizer.init(params)
        self._update = jax.jit(update, donate_argnums=(0, 1))

    def __call__(self):
        self._state = jax.block_until_ready(self._update(*self._state, self._grads))


def triangles(seconds: float) -> float:
    """Milliseconds of the z-buffer."""
    mesh, view = rasterize.bumpy(1000, 500), rasterize.camera(256, False)
    vertices = jax.jit(clip.from_camera)(view, jnp.asarray(mesh.vertices))
    call, _, _ = rasterize.compiled(rasterize.functions(256)['zbuffer'], vertices, jnp.asarray(mesh.faces))
    return rasterize.measure({'zbuffer': call}, seconds)['zbuffer'][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data_root', default='', help='not needed: arrays are made')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--triangles', choices=('kept', 'returned'), help='print the milliseconds of one way and stop')
    options = parser.parse_args()
    seconds = 1.0 if options.quick else 4.0
    if options.triangles != 'returned':
        allocation.keep_freed_memory()
    if options.triangles:
        print(triangles(seconds))
        return
    calls = {'neurend_adam': Update(adam(2e-4, 0.5)), 'optax_adam': Update(optax.adam(2e-4, 0.5))}
    result = {f'{name}_ms': round(wall, 1) for name, (wall, _) in rasterize.measure(calls, seconds).items()}
    for way in ('kept', 'returned'):
        quick = ['--quick'] if options.quick else []
        command = [sys.executable, '-m', 'benchmarks.cpu_memory', '--triangles', way, *quick]
        result[f'triangles_{way}_ms'] = round(float(subprocess.check_output(command, text=True).split()[-1]), 1)
    print(json.dumps(result | {'device': jax.devices()[0].device_kind}))


if __name__ == '__main__':
    main()
