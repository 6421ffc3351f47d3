"""Scene Representation Networks on Shepard-Metzler figures, and seconds of a step here and in PyTorch.

    python -m benchmarks.srn

Trains `configs/srn_figures.flags`: 1500 figures, 15 views of each at 64x64. PSNR of other views of these figures; of 20
figures that were not seen, from one picture and from two; of the mean picture, and of the training figure that is most
like the one picture, rendered by the very cameras. Steps alternate with those of the same marcher and hypernetwork in
PyTorch (extra `benchmarks`), alone on the same cores, after compilation, at the sizes trained and, with fewer rays, at
the paper's widths. The last line printed is JSON.

`--minutes` of steps (those of the flag file by default); a trial of 30 steps says how many steps that is. `--quick`
takes a few steps only. `--only_steps` compares steps and stops.
"""

import argparse
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.pix2pix_step import alternate
from experiments import srn as program
from neurend import allocation, config
from neurend.data.category_batches import category_source
from neurend.models.srn.config import SRNConfig
from neurend.models.srn.method import srn
from neurend.train import step

FLAGS = Path(__file__).parents[1] / 'configs' / 'srn_figures.flags'


class Ours:
    """A step of neurend."""

    def __init__(self, settings: program.Config, setup: program.Setup):
        source = category_source(
            setup.data.train, instances=settings.instances, rays=settings.rays, on_object=settings.on_object
        )
        assert source.draw is not None
        key = jax.random.key(0)
        self.batch = jax.jit(source.draw)(key, source.data)
        optimizer = program.make_optimizer(settings.optimizer, steps=settings.steps)
        method = srn(
            settings.model, instances=len(setup.data.train), stepper=step.stepper(optimizer), ball=setup.data.ball
        )
        self._state, self._key = jax.jit(method.init)(key), key
        self._step = jax.jit(method.step, donate_argnums=1).lower(key, self._state, self.batch).compile()

    def step(self):
        self._state, values = self._step(self._key, self._state, self.batch)
        jax.block_until_ready((self._state, values))


class Theirs:
    """The same in PyTorch, on the same rays; where they start is known beforehand."""

    def __init__(self, model: SRNConfig, batch: Any, radius: float, instances: int):
        import torch

        self._torch, self._model = torch, model
        nn = torch.nn

        def block(units: int, width: int, depth: int, out: int):
            layers = []
            for layer in range(depth):
                layers += [nn.Linear(width if layer else units, width), nn.LayerNorm(width), nn.ReLU(inplace=True)]
            return nn.Sequential(*layers, nn.Linear(width, out))

        self._codes = nn.Embedding(instances, model.code_size)
        nn.init.normal_(self._codes.weight, std=0.01)
        self._hyper = nn.ModuleList(
            block(model.code_size, model.hyper_width, model.hyper_depth, units * out + out)
            for units, out in model.sizes
        )
        self._cell = nn.LSTMCell(model.width, model.marcher_width)
        self._length = nn.Linear(model.marcher_width, 1)
        self._generator = block(model.width, model.width, model.generator_depth, 3)
        parts = (self._codes, self._hyper, self._cell, self._length, self._generator)
        self._optimizer = torch.optim.Adam([p for part in parts for p in part.parameters()], 1e-3)
        origins, directions = (torch.tensor(np.array(leaf)) for leaf in (batch.rays.origins, batch.rays.viewdirs))
        self._origins, self._directions = origins / radius, directions
        self._start = torch.tensor(np.linalg.norm(np.array(batch.rays.origins), axis=-1) / radius - 1)[..., None]
        self._z = torch.tensor(1 / np.linalg.norm(np.array(batch.rays.directions), axis=-1))[..., None]
        self._rgb, self._instance = torch.tensor(np.array(batch.rgb)), torch.tensor(np.array(batch.instance)).long()

    def step(self):
        torch, model = self._torch, self._model
        codes = self._codes(self._instance)
        made = []
        for network, (units, out) in zip(self._hyper, model.sizes):
            numbers = network(codes)
            made.append((numbers[:, : units * out].view(-1, out, units), numbers[:, None, units * out :]))

        def field(x):
            if model.frequencies:
                octaves = [f(2.0**k * x) for k in range(model.frequencies) for f in (torch.sin, torch.cos)]
                x = torch.cat([x, *octaves], -1)
            for kernel, bias in made:
                x = torch.relu(torch.nn.functional.layer_norm(torch.baddbmm(bias, x, kernel.mT), (model.width,)))
            return x

        t, state = self._start, None
        last = model.gradient == 'last'
        for number in range(model.steps):
            with torch.set_grad_enabled(not last or number == model.steps - 1):
                seen = field(self._origins + t * self._directions)
                state = self._cell(seen.reshape(-1, model.width), state)
                if state[0].requires_grad:
                    state[0].register_hook(lambda grad: grad.clamp(-10, 10))
                t = t + self._length(state[0]).view(t.shape)
        color = self._generator(field(self._origins + t * self._directions))
        loss = model.color_weight * (color - (2 * self._rgb - 1)).square().mean()
        loss = loss + model.depth_weight * (t * self._z).clamp(max=0).square().mean()
        loss = loss + model.code_weight * codes.square().mean()
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()


def compare_steps(settings: program.Config, setup: program.Setup, repetitions: int) -> dict[str, float]:
    """Median seconds of steps here and there."""
    ours = Ours(settings, setup)
    theirs = Theirs(settings.model, ours.batch, setup.data.ball.radius, len(setup.data.train))
    return alternate({'neurend_step_s': ours.step, 'torch_step_s': theirs.step}, repetitions)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data_root', default='', help='not needed: figures are rendered')
    parser.add_argument('--workdir', default='out/srn_benchmark')
    parser.add_argument('--minutes', type=float)
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--only_steps', action='store_true')
    parser.add_argument('--keep', action='store_true', help='go on with what is in the workdir')
    options = parser.parse_args()
    allocation.keep_freed_memory()
    if not options.keep:
        shutil.rmtree(options.workdir, ignore_errors=True)
    flags = [f'--flagfile={FLAGS}', f'--workdir={options.workdir}', '--evaluate_every=0']
    if options.quick:
        flags += ['--steps=20', '--reconstruct_steps=10', '--data.instances=10', '--data.unseen=2', '--frames=0']
    settings = config.parse(program.Config, *flags)
    setup = program.build(settings)
    repetitions = 5 if options.quick else 40
    result: dict[str, Any] = compare_steps(settings, setup, repetitions)
    paper = dataclasses.replace(settings, model=SRNConfig(start='ball'), instances=2, rays=512)
    found = compare_steps(paper, setup, 2 if options.quick else 6)
    result |= {f'paper_{name}': value for name, value in found.items()}
    print('seconds of a step', {name: round(value, 4) for name, value in result.items()}, flush=True)
    if not options.only_steps:
        if options.minutes is not None and not options.quick:
            steps = max(1, round(options.minutes * 60 / result['neurend_step_s']))
            settings = dataclasses.replace(settings, steps=steps)
        tables = program.main(settings)
        guesses = tables['1_shot'].baselines
        result = {
            'psnr_train_instances': tables['novel'].mean['psnr'],
            'psnr_one_shot': tables['1_shot'].mean['psnr'],
            'psnr_two_shot': tables['2_shot'].mean['psnr'],
            'psnr_mean_image': guesses['mean image']['psnr'],
            'psnr_nearest_instance': guesses['nearest instance']['psnr'],
            'steps': settings.steps,
        } | result
    result = {name: round(value, 4) for name, value in result.items()}
    print(json.dumps(result | {'device': jax.devices()[0].device_kind}))


if __name__ == '__main__':
    main()
