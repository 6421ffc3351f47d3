"""A training step of DeepVoxels in PyTorch, of the layers that the paper's code lists, and beside it ours.

Both have the paper's widths, 32^3 cells of 64 features, maps of 64 x 64 with 64 planes, one view lifted and two drawn,
the discriminator, and Adam. PyTorch's maps between pictures and volumes come from `grid_sample`.
"""

import argparse
import itertools
import json
import subprocess
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.pix2pix_step import peak
from neurend import allocation
from neurend.data.nearest_views import NearestViews
from neurend.data.photographs import Photographs
from neurend.geometry import cameras, paths
from neurend.models.deepvoxels.config import DeepVoxelsConfig
from neurend.models.deepvoxels.method import deepvoxels
from neurend.render.lift import Cube

_GRID, _FEATURES, _MAP, _PLANES = 32, 64, 64, 64


class Ours:
    """A step of neurend."""

    def __init__(self, side: int):
        halvings = (side // _MAP).bit_length() - 1
        config = DeepVoxelsConfig(halvings=halvings)
        cube = Cube(jnp.zeros(3), jnp.float32(1.0))
        method = deepvoxels(config, cube, size=(side, side), optimizer=optax.adam(4e-4))
        key = jax.random.key(0)
        self._state, self._key = jax.jit(method.init)(key), key
        poses = paths.orbit(3, radius=2.0, elevation=0.5)
        camera = cameras.make(poses, 1.2 * side, size=(side, side))
        rgb = jax.random.uniform(key, (3, side, side, 3))
        views, parts = Photographs(camera, rgb, jnp.ones((3, 3))), (slice(2), slice(2, 3))
        self._batch = NearestViews(*(jax.tree.map(lambda leaf, part=part: leaf[part], views) for part in parts))
        began = time.perf_counter()
        self._step = jax.jit(method.step, donate_argnums=1).lower(key, self._state, self._batch).compile()
        print(f'compiled in {time.perf_counter() - began:.0f} s', flush=True)
        found = self._step.memory_analysis()
        assert found is not None
        needed = found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes
        self.memory_mb = (needed - found.alias_size_in_bytes) / 1e6

    def step(self) -> None:
        self._state, values = self._step(self._key, self._state, self._batch)
        jax.block_until_ready((self._state, values))


class Theirs:
    """The same layers in PyTorch."""

    def __init__(self, side: int):
        import torch

        torch.manual_seed(0)
        self._torch, halvings = torch, (side // _MAP).bit_length() - 1
        nets = _modules(torch, halvings)
        self._judge = nets.pop('discriminator')
        self._nets = torch.nn.ModuleDict(nets)
        self._optimizers = [torch.optim.Adam(net.parameters(), 4e-4) for net in (self._nets, self._judge)]
        self._volume = torch.zeros(1, _FEATURES, _GRID, _GRID, _GRID)
        self._lift = torch.rand(1, _GRID**3, 1, 2) * 2 - 1
        self._views = [torch.rand(1, _PLANES, _MAP, _MAP, 3) * 3 - 1.5 for _ in range(2)]
        self._pictures = torch.rand(3, 3, side, side) - 0.5
        self._places = _coordinates(torch, _GRID)
        self._depth = (torch.arange(_PLANES) / _PLANES - 0.5).reshape(1, 1, -1, 1, 1).expand(-1, -1, -1, _MAP, _MAP)

    def step(self) -> None:
        torch, nets = self._torch, self._nets
        functional = torch.nn.functional
        maps = nets['extractor'](self._pictures[:1])
        new = functional.grid_sample(maps, self._lift, align_corners=False).reshape(1, -1, _GRID, _GRID, _GRID)
        old, new = (torch.cat([x, self._places], 1) for x in (self._volume, new))
        reset, update = (
            torch.sigmoid(nets[f'{name}_old'](old) + nets[f'{name}_new'](new)) for name in ('reset', 'update')
        )
        fresh = torch.relu(
            functional.dropout3d(nets['new'](new), 0.2) + functional.dropout3d(nets['old'](reset * old), 0.2)
        )
        volume = (1 - update) * self._volume + update * fresh
        self._volume = volume.detach()
        whole = nets['inpainting'](torch.cat([volume, self._places], 1))
        losses, judged = [], []
        for view, truth in zip(self._views, self._pictures[1:]):
            seen = functional.grid_sample(whole, view, align_corners=False)
            first = nets['occlusion_first'](torch.cat([self._depth, seen], 1))
            logits = nets['occlusion_last'](torch.cat([first, nets['occlusion'](first), self._depth], 1))
            picture = 0.5 * nets['renderer']((torch.softmax(logits, 2) * seen).sum(2))
            picture, truth = picture[..., 5:-5, 5:-5], truth[None, ..., 5:-5, 5:-5]
            real, fake = self._judge(truth), self._judge(picture.detach())
            judged.append((functional.softplus(-real).mean() + functional.softplus(fake).mean()) / 2)
            for parameter in self._judge.parameters():
                parameter.requires_grad_(False)
            against = functional.softplus(-self._judge(picture)).mean()
            for parameter in self._judge.parameters():
                parameter.requires_grad_(True)
            losses.append(200 * (picture - truth).abs().mean() + against)
        for optimizer, parts in zip(self._optimizers, (losses, judged)):
            optimizer.zero_grad()
            torch.stack(parts).mean().backward()
            optimizer.step()


def _coordinates(torch: Any, side: int) -> Any:
    along = torch.arange(side) / side - 0.5
    return torch.stack(torch.meshgrid(along, along, along, indexing='ij'))[None]


def _modules(torch: Any, halvings: int) -> dict[str, Any]:
    nn = torch.nn
    kinds = {
        2: (nn.ReflectionPad2d, nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d),
        3: (nn.ReplicationPad3d, nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d),
    }

    def unit(
        i: int, o: int, *, scale: int = 1, slope: float | None = 0.0, norm: bool = True, drop: float = 0.0, rank=2
    ):
        pad, conv, transposed, normalize = kinds[rank]
        bias = not norm or slope is None
        layers = [] if scale == 2 else [pad(1)]
        if scale == 2:
            layers += [transposed(i, o, 4, 2, 1, bias=bias)]
        else:
            layers += [conv(i, o, 3, bias=bias) if scale == 1 else conv(i, o, 4, 2, bias=bias)]
        if slope is not None:
            layers += [normalize(o)] if norm else []
            layers += [nn.LeakyReLU(slope) if slope else nn.ReLU()]
            layers += [nn.Dropout2d(drop)] if drop else []
        return nn.Sequential(*layers)

    class Block(nn.Module):
        def __init__(self, outer: int, inner: int, inside: Any, drop: float, rank: int):
            super().__init__()
            common = {'norm': inside is not None, 'drop': drop, 'rank': rank}
            down = [unit(outer, inner, scale=-1, slope=0.2, **common)]
            up = [unit(inner if inside is None else 2 * inner, outer, scale=2, **common)]
            if rank == 2:
                down, up = [unit(outer, outer, slope=0.2, **common), *down], [*up, unit(outer, outer, **common)]
            self.layers = nn.Sequential(*down, *([] if inside is None else [inside]), *up)

        def forward(self, x: Any) -> Any:
            return torch.cat([x, self.layers(x)], 1)

    def unet(i: int, o: int, width: int, depth: int, most: int, *, drop: float = 0.0, rank: int = 2):
        inside = None
        for level in reversed(range(depth)):
            outer, inner = (min(2 ** min(k, depth - 1) * width, most) for k in (level, level + 1))
            inside = Block(outer, inner, inside, drop, rank)
        first = unit(i, width, slope=0.2, drop=drop, rank=rank)
        return nn.Sequential(first, inside, unit(2 * width, o, drop=drop, rank=rank))

    def gate(o: int, *, bias: bool):
        return nn.Sequential(nn.ReplicationPad3d(1), nn.Conv3d(_FEATURES + 3, o, 3, bias=bias))

    width, extractor, before = 64, [], 3
    for level in range(halvings):
        after = width * 2**level
        extractor += [unit(before, after if level == 0 else before, slope=0.2)]
        extractor += [unit(after if level == 0 else before, after, scale=-1, slope=0.2)]
        before = after
    renderer = [unet(_FEATURES, 4 * width, width * 2**halvings, 6, 8 * width, drop=0.1)]
    for level in range(halvings):
        renderer += [unit(4 * width if level == 0 else width, width, scale=2, drop=0.1), unit(width, width, drop=0.1)]
    renderer += [unit(width, width // 2), unit(width // 2, 3, slope=None), nn.Tanh()]
    judge, channels = [], (3, 28, 56, 112, 224, 1)
    for layer, (i, o) in enumerate(itertools.pairwise(channels)):
        judge += [nn.ReflectionPad2d(1), nn.Conv2d(i, o, 4, 2 if layer < 3 else 1)]
        judge += [nn.BatchNorm2d(o), nn.Dropout2d(0.5)] if 0 < layer < 4 else []
        judge += [nn.LeakyReLU(0.2)] if layer < 4 else []
    gates = {
        f'{name}_{which}': gate(1, bias=which == 'old') for name in ('reset', 'update') for which in ('old', 'new')
    }
    return {
        **gates,
        'new': gate(_FEATURES, bias=True),
        'old': gate(_FEATURES, bias=False),
        'extractor': nn.Sequential(*extractor, unet(before, _FEATURES, before, 6, 8 * width)),
        'inpainting': unet(_FEATURES + 3, _FEATURES, _FEATURES, 2, 4 * _FEATURES, rank=3),
        'occlusion_first': unit(_FEATURES + 1, 4, rank=3),
        'occlusion': unet(4, 4, 4, 6, 16, rank=3),
        'occlusion_last': unit(9, 1, slope=None, rank=3),
        'renderer': nn.Sequential(*renderer),
        'discriminator': nn.Sequential(*judge),
    }


def steps_alone(side: int, *, repetitions: int) -> dict[str, float]:
    """Median seconds of a step at photographs of this side, here and in PyTorch, by the clock and of the processor.

    And the megabytes that a step needs: what XLA allots, and the growth of a fresh process with steps of PyTorch's.
    Each has a process of its own, since both together have no room in 16 GB.
    """
    found = {}
    for which in ('neurend', 'torch'):
        command = [
            sys.executable,
            '-m',
            'benchmarks.deepvoxels_torch',
            str(side),
            which,
            f'--repetitions={repetitions}',
        ]
        values = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
        found |= {f'{which}_{name}': value for name, value in values.items()}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('side', type=int, help='of the photographs')
    parser.add_argument('which', choices=('neurend', 'torch'))
    parser.add_argument('--repetitions', type=int, default=5)
    options = parser.parse_args()
    allocation.keep_freed_memory(everything=True)
    before = peak()
    model = Ours(options.side) if options.which == 'neurend' else Theirs(options.side)
    wall, processor = [], []
    for _ in range(options.repetitions + 1):
        began = time.perf_counter(), time.process_time()
        model.step()
        wall.append(time.perf_counter() - began[0])
        processor.append(time.process_time() - began[1])
    found = {'step_s': wall, 'step_processor_s': processor}
    memory = model.memory_mb if isinstance(model, Ours) else peak() - before
    print(json.dumps({name: float(np.median(values[1:])) for name, values in found.items()} | {'memory_mb': memory}))


if __name__ == '__main__':
    main()
