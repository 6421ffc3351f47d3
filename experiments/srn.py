r"""Scene Representation Networks (Sitzmann et al., 2019): many instances of a category, then new ones from one picture.

    python -m experiments.srn --flagfile=configs/srn_figures.flags --workdir=out/figures
    python -m experiments.srn --flagfile=configs/srn_spot.flags --data_dir=spot_views --workdir=out/spot

A category is learned together, each instance by a code of its own; codes of instances that were not seen are then found
from one picture and from several, while the networks stay as they are. A single scene has no codes. Without --data_dir
Shepard-Metzler figures are rendered and learned.

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_novel/` with the table of other views of
the training instances; `evaluation_1_shot/` and so on with tables of instances that were not seen, beside simple
guesses; contact sheets of each; `trajectory.mp4`, pictures and depths along a path that was not seen, of an instance
that was not; and `interpolation.mp4`, from code to code. `load` gives back what was trained.
"""

import dataclasses
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import category_baselines, srn_data, srn_videos, trained
from experiments.srn_data import Data, DataConfig
from neurend import app, checks
from neurend.data import shepard_metzler
from neurend.data.category_batches import category_source, reduced
from neurend.geometry.cameras import Camera
from neurend.images import io, show
from neurend.models.method import Method
from neurend.models.srn.config import SRNConfig
from neurend.models.srn.method import Example, srn
from neurend.models.srn.reconstruct import nearest_codes, reconstruction
from neurend.models.state import State
from neurend.train import evaluate as evaluation
from neurend.train import loop, step
from neurend.train.optimizers import OptimizerConfig
from neurend.train.optimizers import make as make_optimizer

_SHOWN = ('truth', 'prediction', 'depth', 'error')
_PROBES = 100  # pixels of each picture by which the code to begin with is chosen


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder of a category or of a single scene; without one, figures are rendered, or the embedded scene.
        workdir: where results go.
        data: what is learned.
        model: networks and weights of the loss.
        instances: in the batch of a step.
        rays: through each of them.
        on_object: part of the rays that are aimed at what is not white.
        factors: by which pictures are reduced, stage by stage; the last is 1.
        stages: numbers of steps after which the next stage begins, one less than factors.
        optimizer: of training.
        steps: of training.
        reconstruct_optimizer: of the codes of instances that were not seen.
        reconstruct_steps: for all of them together.
        seed: of all randomness.
        log_every: steps between lines of metrics.
        evaluate_every: steps between pictures of a few views held out; 0 for the end alone.
        checkpoint_every: steps between checkpoints; 0 for the end alone.
        shard_above: parameters of more bytes, as the codes of thousands of instances, are cut over the devices.
        frames: of each video; 0 for none.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (
        'steps',
        'reconstruct_steps',
        'log_every',
        'evaluate_every',
        'checkpoint_every',
        'shard_above',
        'frames',
    )

    data_dir: str = ''
    workdir: str = 'out/srn'
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: SRNConfig = dataclasses.field(
        default_factory=lambda: SRNConfig(
            width=64, code_size=64, hyper_width=128, steps=6, generator_depth=3, start='ball'
        )
    )
    instances: int = 16
    rays: int = 128
    on_object: float = 0.5
    factors: tuple[int, ...] = (1,)
    stages: tuple[int, ...] = ()
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-3, final_learning_rate=1e-4)
    )
    steps: int = 5000
    reconstruct_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=5e-3, final_learning_rate=5e-4)
    )
    reconstruct_steps: int = 300
    seed: int = 0
    log_every: int = 100
    evaluate_every: int = 1000
    checkpoint_every: int = 1000
    shard_above: int | None = None
    frames: int = 60

    def __post_init__(self):
        """Raises `InputError` for a curriculum that makes no sense."""
        if len(self.factors) != len(self.stages) + 1 or self.factors[-1] != 1:
            raise checks.InputError(
                f'--factors, --stages: got {self.factors}, {self.stages}, expected one factor more, the last of them 1'
            )
        if any(later <= earlier for earlier, later in zip((0, *self.stages), self.stages)):
            raise checks.InputError(f'--stages: got {self.stages}, expected numbers of steps that grow')

    @property
    def single(self) -> bool:
        """Whether there is a single scene, without codes."""
        return self.data.kind == 'scene'


class Setup(NamedTuple):
    """What `build` makes: the data, and the method to train or to draw with."""

    data: Data
    method: Method


def build(config: Config) -> Setup:
    """Reads the data and makes the method.

    Raises:
        InputError: something cannot be read.
    """
    data = srn_data.read(config.data, config.data_dir, config.workdir)
    method = srn(
        config.model,
        instances=0 if config.single else len(data.train),
        stepper=step.stepper(make_optimizer(config.optimizer, steps=config.steps)),
        ball=data.ball,
    )
    return Setup(data, method)


def main(config: Config) -> dict[str, evaluation.Table]:
    """Trains, reconstructs, evaluates, writes; returns the tables, 'novel', '1_shot' and so on."""
    setup = build(config)
    state = train(config, setup)
    folder, data = Path(config.workdir), setup.data
    protocol = {
        'data': f'{config.data_dir or "embedded"}, {config.data.kind}: {len(data.train)} instances, '
        f'{data.train.num_views} views of each, {data.train.images.shape[3]} x {data.train.images.shape[2]}',
        'method': f'Scene Representation Networks, {int(state.step)} steps, {config.model}',
    }
    novel = srn_data.examples(data.novel)
    tables = {'novel': report(folder / 'evaluation_novel', setup.method, state, novel, {}, protocol)}
    drawn = setup.method, state
    if data.unseen is not None and not config.single:
        known = config.data.observed
        others = tuple(v for v in range(data.unseen.num_views) if v not in known)
        examples = srn_data.examples(data.unseen, others)
        for shots in dict.fromkeys((1, len(known))):
            method, found = reconstruct(config, setup, state, known[:shots])
            observed = srn_data.examples(data.unseen, known[:shots])
            guesses = category_baselines.measure(data.train, redraw(config, data), observed, examples)
            seen = protocol | {'known': f'{shots} of {data.unseen.num_views} views of {len(data.unseen)} instances'}
            name = f'{shots}_shot'
            tables[name] = report(folder / f'evaluation_{name}', method, found, examples, guesses, seen)
            drawn = (method, found) if shots == 1 else drawn
    if config.frames:
        srn_videos.trajectory(folder / 'trajectory.mp4', *drawn, data.unseen or data.train, frames=config.frames)
        if not config.single and len(data.train) > 1:
            srn_videos.interpolation(
                folder / 'interpolation.mp4', setup.method, state, data.train, frames=config.frames
            )
    return tables


def train(config: Config, setup: Setup) -> State:
    """Trains in the stages of the curriculum, or goes on with an earlier run; returns the state on the host."""
    state = None
    ends = (*[end for end in config.stages if end < config.steps], config.steps)
    for end, factor in zip(ends, config.factors):
        state = loop.fit(
            setup.method,
            category_source(
                reduced(setup.data.train, factor),
                instances=config.instances,
                rays=config.rays,
                on_object=config.on_object,
            ),
            workdir=config.workdir,
            steps=end,
            seed=config.seed,
            evaluation=srn_data.examples(setup.data.novel, (0,), limit=4) if end == config.steps else (),
            log_every=config.log_every,
            evaluate_every=config.evaluate_every,
            checkpoint_every=config.checkpoint_every,
            shard_above=config.shard_above,
        )
    return jax.device_get(state)


def reconstruct(config: Config, setup: Setup, learned: State, known: tuple[int, ...]) -> tuple[Method, State]:
    """Finds the codes of the instances that were not seen from the views that are known."""
    assert setup.data.unseen is not None
    seen = setup.data.unseen.views(known)
    everyone = {'instances': len(seen), 'on_object': config.on_object}
    probes = category_source(seen, rays=_PROBES * len(known), **everyone)
    batch = jax.jit(probes.draw)(jax.random.key(config.seed), probes.data) if probes.draw else None
    assert batch is not None
    # The batch's instances come in another order.
    order = np.argsort(np.asarray(batch.instance))
    batch = jax.tree.map(lambda leaf: leaf[order], batch)
    codes = jax.jit(lambda state, batch: nearest_codes(config.model, state, batch, ball=setup.data.ball))(
        jax.tree.map(jnp.asarray, learned), batch
    )
    method = reconstruction(
        config.model,
        learned,
        codes,
        stepper=step.stepper(make_optimizer(config.reconstruct_optimizer, steps=config.reconstruct_steps)),
        ball=setup.data.ball,
    )
    state = loop.fit(
        method,
        category_source(seen, rays=config.rays, **everyone),
        # A longer training is another start, from which earlier codes must not go on.
        workdir=Path(config.workdir) / f'{len(known)}_shot_from_{int(learned.step)}',
        steps=config.reconstruct_steps,
        seed=config.seed,
        log_every=config.log_every,
        checkpoint_every=0,
    )
    return method, jax.device_get(state)


def report(
    folder: Path,
    method: Method,
    state: State,
    examples: list[Example],
    guesses: dict[str, dict[str, float]],
    protocol: dict[str, str],
) -> evaluation.Table:
    """Evaluates all examples, prints the mean, and writes the table with a contact sheet of some."""
    shown = {examples[k].name for k in np.linspace(0, len(examples) - 1, min(8, len(examples))).round().astype(int)}
    rows: list[list[np.ndarray]] = []
    labels: list[str] = []

    def each(name: str, values: dict[str, float], pictures: dict[str, np.ndarray]) -> None:
        if name in shown:
            rows.append([pictures[kind] for kind in _SHOWN])
            labels.append(f'{name}   {values["psnr"]:.2f} dB')

    table = evaluation.evaluate(method, state, examples, protocol=protocol, each=each)
    table = dataclasses.replace(table, baselines=guesses)
    table.write(folder)
    io.write(folder / 'contact_sheet.png', show.contact_sheet(rows, columns=_SHOWN, labels=labels))
    beside = ''.join(f', {name} {values["psnr"]:.2f}' for name, values in guesses.items())
    app.say(f'{folder.name}: PSNR {table.mean["psnr"]:.2f} dB, SSIM {table.mean["ssim"]:.3f}{beside}')
    return table


def redraw(config: Config, data: Data) -> category_baselines.DrawFn:
    """What shows training instances from any camera: figures are rendered anew, of others the nearest view is taken."""
    if config.data.kind != 'figures':
        return category_baselines.nearest_views(data.train)
    figures = [shepard_metzler.figure((0, k, 0), cubes=config.data.cubes) for k in range(len(data.train))]

    def draw(instance: int, camera: Camera) -> np.ndarray:
        return shepard_metzler.render(figures[instance], camera)

    return draw


def load(workdir: str) -> tuple[Config, Setup, State]:
    """Loads what a run trained, with its data.

    Raises:
        InputError: no run there, no checkpoint, or the data are gone.
    """
    config = trained.configuration(Config, workdir, 'experiments.srn')
    setup = build(config)
    return config, setup, trained.restore(setup.method, Path(workdir))


if __name__ == '__main__':
    app.run(main, Config)
