"""Seconds of a pix2pix step and of its generator, here and in PyTorch, and of every layer of the U-Net.

    python -m benchmarks.pix2pix_step

A step is that of Isola et al. (2017) at 256x256, one pair: generator (U-Net of 54 million parameters), 70x70
discriminator, both updates by Adam. PyTorch (extra `benchmarks`) runs the same networks and the same order of updates
on the same cores. Calls of both alternate and medians are compared; memory is the growth of the process's largest
resident set in a process of its own. Per layer: forward, gradient of the input and gradient of the kernel. The last
line printed is JSON. `--quick` takes few repetitions and leaves out the layers.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurend import allocation
from neurend.data.pair_batches import PairBatch
from neurend.models.pix2pix.config import Pix2PixConfig
from neurend.models.pix2pix.method import Inputs, pix2pix
from neurend.nn.convolution import convolve, convolve_transposed

# Side of the input and channels of each convolution of the U-Net and of the discriminator.
DOWN = [
    (256, 3, 64),
    (128, 64, 128),
    (64, 128, 256),
    (32, 256, 512),
    (16, 512, 512),
    (8, 512, 512),
    (4, 512, 512),
    (2, 512, 512),
]
UP = [
    (1, 512, 512),
    (2, 1024, 512),
    (4, 1024, 512),
    (8, 1024, 512),
    (16, 1024, 256),
    (32, 512, 128),
    (64, 256, 64),
    (128, 128, 3),
]
FLAT = [(32, 256, 512), (31, 512, 1)]


class Ours:
    """Step and forward pass of neurend."""

    def __init__(self):
        method = pix2pix(Pix2PixConfig(), channels=3, size=(256, 256), steps=1000)
        key = jax.random.key(0)
        self._key = key
        self._state = jax.jit(method.init)(key)
        images = jax.random.uniform(key, (2, 1, 256, 256, 3))
        self._batch = PairBatch(images[0], images[1])
        self._step = jax.jit(method.step, donate_argnums=1).lower(key, self._state, self._batch).compile()
        render = jax.jit(lambda state, inputs: method.render(state, inputs).rgb)
        self._render = render.lower(self._state, Inputs(images[0])).compile()

    def step(self):
        self._state, values = self._step(self._key, self._state, self._batch)
        jax.block_until_ready((self._state, values))

    def forward(self):
        jax.block_until_ready(self._render(self._state, Inputs(self._batch.condition)))


class Theirs:
    """The same in PyTorch."""

    def __init__(self):
        import torch

        self._torch = torch
        nn, functional = torch.nn, torch.nn.functional
        torch.manual_seed(0)

        class UNet(nn.Module):
            def __init__(self):
                super().__init__()
                self.down = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1) for _, i, o in DOWN)
                self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 4, 2, 1) for _, i, o in UP)

            def forward(self, x):
                skips = []
                for level, layer in enumerate(self.down):
                    x = layer(functional.leaky_relu(x, 0.2) if level else x)
                    x = functional.instance_norm(x) if 0 < level < len(DOWN) - 1 else x
                    skips.append(x)
                skips.pop()
                for level, layer in enumerate(self.up[:-1]):
                    x = functional.instance_norm(layer(functional.relu(x)))
                    x = functional.dropout(x, 0.5) if 0 < level < 4 else x
                    x = torch.cat([skips.pop(), x], 1)
                return torch.tanh(self.up[-1](functional.relu(x)))

        def normed(i, o, stride):
            return [nn.Conv2d(i, o, 4, stride, 1), nn.InstanceNorm2d(o), nn.LeakyReLU(0.2)]

        judge = [nn.Conv2d(6, 64, 4, 2, 1), nn.LeakyReLU(0.2), *normed(64, 128, 2), *normed(128, 256, 2)]
        self._judge = nn.Sequential(*judge, *normed(256, 512, 1), nn.Conv2d(512, 1, 4, 1, 1))
        self._generator = UNet()
        self._optimizers = [
            torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999)) for network in (self._generator, self._judge)
        ]
        self._condition, self._image = torch.rand(2, 1, 3, 256, 256) * 2 - 1

    def step(self):
        torch = self._torch
        cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
        fake = self._generator(self._condition)
        generator, judge = self._optimizers
        for parameter in self._judge.parameters():
            parameter.requires_grad_(True)
        judge.zero_grad()
        seen = self._judge(torch.cat([self._condition, fake.detach()], 1))
        real = self._judge(torch.cat([self._condition, self._image], 1))
        loss = cross_entropy(real, torch.ones_like(real)) + cross_entropy(seen, torch.zeros_like(seen))
        (0.5 * loss).backward()
        judge.step()
        for parameter in self._judge.parameters():
            parameter.requires_grad_(False)
        generator.zero_grad()
        seen = self._judge(torch.cat([self._condition, fake], 1))
        loss = cross_entropy(seen, torch.ones_like(seen)) + 100 * (fake - self._image).abs().mean()
        loss.backward()
        generator.step()

    def forward(self):
        with self._torch.no_grad():
            self._generator(self._condition)


def alternate(calls: dict[str, Callable[[], Any]], repetitions: int) -> dict[str, float]:
    """Median seconds of calls that alternate."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(repetitions):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    return {name: float(np.median(found)) for name, found in times.items()}


def layer(kind: str, side: int, channels: int, out: int) -> dict[str, Callable[[], Any]]:
    """Forward, gradient of the input and gradient of the kernel of one convolution, here and in PyTorch."""
    import torch

    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, side, side, channels)).astype(np.float32)
    ends = (out, channels) if kind == 'up' else (channels, out)
    kernel = (0.02 * rng.normal(size=(4, 4, *ends))).astype(np.float32)
    stride = 1 if kind == 'flat' else 2

    def ours(x, kernel):
        if kind == 'up':
            return convolve_transposed(x, kernel, stride=2, padding=1)
        return convolve(x, kernel, stride=stride, padding=1)

    tx = torch.tensor(x).permute(0, 3, 1, 2).contiguous()
    tk = torch.tensor(kernel).permute(3, 2, 0, 1).contiguous()
    ty = (
        torch.nn.functional.conv_transpose2d(tx, tk, None, 2, 1)
        if kind == 'up'
        else torch.nn.functional.conv2d(tx, tk, None, stride, 1)
    )
    tg = torch.ones_like(ty)

    def theirs(*, mask):
        if not any(mask):
            if kind == 'up':
                return torch.nn.functional.conv_transpose2d(tx, tk, None, 2, 1)
            return torch.nn.functional.conv2d(tx, tk, None, stride, 1)
        return torch.ops.aten.convolution_backward(
            tg, tx, tk, None, [stride] * 2, [1] * 2, [1] * 2, kind == 'up', [0] * 2, 1, [*mask, False]
        )

    jx, jk = jnp.asarray(x), jnp.asarray(kernel)
    y = jax.jit(ours)(jx, jk)
    np.testing.assert_allclose(np.asarray(y), ty.permute(0, 2, 3, 1).numpy(), atol=1e-3)
    g = jnp.ones_like(y)
    programs = {
        'forward': jax.jit(ours).lower(jx, jk).compile(),
        'input': jax.jit(lambda x, k, g: jax.vjp(lambda x: ours(x, k), x)[1](g)[0]).lower(jx, jk, g).compile(),
        'kernel': jax.jit(lambda x, k, g: jax.vjp(lambda k: ours(x, k), k)[1](g)[0]).lower(jx, jk, g).compile(),
    }
    masks = {'forward': (False, False), 'input': (True, False), 'kernel': (False, True)}
    calls: dict[str, Callable[[], Any]] = {}
    for name, program in programs.items():
        arguments = (jx, jk) if name == 'forward' else (jx, jk, g)
        calls[f'neurend {name}'] = lambda program=program, arguments=arguments: jax.block_until_ready(
            program(*arguments)
        )
        calls[f'torch {name}'] = lambda mask=masks[name]: theirs(mask=mask)
    return calls


def peak() -> float:
    """Megabytes of this process's largest resident set; getrusage would give a parent's."""
    found = re.search(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())
    assert found
    return int(found[1]) / 1024


def memory(which: str) -> float:
    """Megabytes by which two steps make a fresh process grow."""
    return float(
        subprocess.check_output([sys.executable, '-m', 'benchmarks.pix2pix_step', '--memory', which], text=True)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--data_root', default='', help='not needed: pictures are random')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--memory', choices=('neurend', 'torch'), help='print the megabytes of one of the two and stop')
    parser.add_argument('--layers', action='store_true', help='only the layers')
    options = parser.parse_args()
    allocation.keep_freed_memory()
    if options.memory:
        before = peak()
        made = Ours() if options.memory == 'neurend' else Theirs()
        made.step()
        made.step()
        print(peak() - before)
        return
    repetitions = 3 if options.quick else 12
    result: dict[str, Any] = {}
    if not options.layers:
        ours, theirs = Ours(), Theirs()
        steps = alternate({'neurend_step_s': ours.step, 'torch_step_s': theirs.step}, repetitions)
        forward = alternate({'neurend_forward_s': ours.forward, 'torch_forward_s': theirs.forward}, repetitions)
        result = {name: round(value, 4) for name, value in (steps | forward).items()}
        result |= {f'{which}_memory_mb': round(memory(which)) for which in ('neurend', 'torch')}
        print(result, flush=True)
    if not options.quick:
        rows = {}
        columns = [f'{who} {what}' for what in ('forward', 'input', 'kernel') for who in ('neurend', 'torch')]
        print(f'{"milliseconds":24s} {" ".join(f"{column:>16s}" for column in columns)}')
        for kind, shapes in (('down', DOWN), ('up', UP), ('flat', FLAT)):
            for side, channels, out in shapes:
                name = f'{kind} {side}x{side} {channels}>{out}'
                found = alternate(layer(kind, side, channels, out), 7)
                rows[name] = {column: round(1e3 * found[column], 2) for column in columns}
                print(f'{name:24s} {" ".join(f"{rows[name][column]:16.2f}" for column in columns)}', flush=True)
        result['layers_ms'] = rows
    result['device'] = jax.devices()[0].device_kind
    print(json.dumps(result))


if __name__ == '__main__':
    main()
