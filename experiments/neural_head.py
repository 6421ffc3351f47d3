r"""Learns a neural texture of a filmed head from its tracking, and lets others move its face (Thies et al., 2019).

    python -m experiments.neural_head --flagfile=configs/neural_head_talking_head.flags --data_dir=talking_head \
        --workdir=out/neural_head

The tracked mesh of each frame, with its expression and pose, is rasterized over the known background. Texture and
network are those of all frames. Without --data_dir the head is a procedural one (`experiments.toy_head`).

Writes to the workdir, beside checkpoints, metrics and pictures: `evaluation_test/` with the table of the frames held
out, drawn from their own tracking, baselines below them, and a contact sheet; `driven.mp4`, for these frames the mesh
in its mean colours, the result and the truth; `reenacted.mp4`, the mesh and the result of other expressions in the
head's own poses.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from experiments import head_motion, reenact_face, surroundings, translation
from experiments.face_drawing import Drawn, artist, unit
from experiments.toy_head import tracked_or_toy
from experiments.translation import RunConfig
from neurend import app, checks
from neurend.data import tracked_head
from neurend.data.tracked_head import Part, Performance, TrackedHead
from neurend.data.tracked_shots import before, behind, shot_source
from neurend.images import io, metrics, show
from neurend.models.method import Method
from neurend.models.neural_texture.config import NeuralTextureConfig
from neurend.models.neural_texture.deferred import Shot
from neurend.models.neural_texture.method import Code, Example, neural_texture
from neurend.models.state import State
from neurend.scenes.meshes import Mesh
from neurend.train import evaluate as evaluation
from neurend.train import loop, step
from neurend.train.optimizers import OptimizerConfig, by_name
from neurend.train.optimizers import make as make_optimizer

_COLUMNS = ('mean texture', 'result', 'truth', 'error')
_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        data_dir: folder of a tracked head, see `neurend.data.tracked_head.read`; empty for the procedural one.
        face: file of the face model; '' for ../ict_face/ict_face.npz beside the folder.
        driver: tracking.npz of whoever's expressions drive the second video, or the folder with it; '' for those of the
            frames held out, mirrored and exaggerated.
        workdir: where results go.
        size: side of the pictures in pixels, to which frames are brought.
        mean_texture: side in texels, a power of two, of the mean of the frames to learn from, to compare with.
        exaggeration: factor of the expressions that drive the second video, if nobody else does.
        part: of the mesh that has the texture: the whole 'head', or the 'face' alone, where hair and clothes are not
            those of the model. What is around it then is the film's, see `hole`.
        hole: above 0 each frame stands around its own mesh, but for a hole, which `model.inpaint` fills in; this is the
            factor of its published size, see `neurend.data.backdrop.hole`. 0 for the background without the head.
        model: what is learned.
        frames: in the batch of a step.
        texture_optimizer, network_optimizer: of each.
        run: length and records.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = reenact_face.Config.MAY_CHANGE

    data_dir: str = ''
    face: str = ''
    driver: str = ''
    workdir: str = 'out/neural_head'
    size: int = 256
    mean_texture: int = 512
    exaggeration: float = 1.5
    part: Part = 'head'
    hole: float = 0.0
    model: NeuralTextureConfig = dataclasses.field(default_factory=NeuralTextureConfig)
    frames: int = 1
    texture_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-2, final_learning_rate=1e-3)
    )
    network_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-3, final_learning_rate=1e-4)
    )
    run: RunConfig = dataclasses.field(default_factory=RunConfig)

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if self.size < 16:
            raise checks.InputError(f'--size: got {self.size}, expected at least 16')
        if self.mean_texture < 2 or self.mean_texture & (self.mean_texture - 1):
            raise checks.InputError(f'--mean_texture: got {self.mean_texture}, expected a power of two')
        check_hole(self.part, self.hole, self.model)


def main(config: Config) -> evaluation.Table:
    """Learns, evaluates, writes; returns the table of the frames held out."""
    head = read(config)
    split, count = head.train, len(head)
    if split == count:
        raise checks.InputError(f'{config.data_dir}: all {count} frames are to learn from, expected some held out')
    given = config.data_dir or 'procedural head, no --data_dir given'
    app.say(f'{given}: {split} frames to learn from, {count - split} held out')
    other = driver(config, head)
    method, state = learn(config, head)
    folder, draw = Path(config.workdir), drawer(head, method, state, config.model.window)
    sketch = artist(head, 'mesh', background=True, texels=config.mean_texture)
    drawn, results = sketch(head.performance), draw(part(head.performance, split, count), np.arange(split, count))
    table = report(config, head, method, state, results, drawn, other)

    def film(name: str, *columns: Iterable[np.ndarray]) -> None:
        translation.write_video(folder / f'{name}.mp4', [list(column) for column in columns], fps=head.fps)

    film('driven', drawn.conditions[split:, ..., :3], results, head.images[split:])
    film('reenacted', sketch(other).conditions[..., :3], draw(other, held_out_in_turn(head, len(other.expressions))))
    return table


def check_hole(part: Part, hole: float, model: NeuralTextureConfig) -> None:
    """Raises `InputError` where there is a hole and no network that fills it in, or a face and nothing around it."""
    if part == 'face' and not hole:
        raise checks.InputError('--part: got face without --hole, expected one: nothing else shows hair and neck')
    if hole < 0 or bool(hole) != bool(model.inpaint.width):
        raise checks.InputError(
            f'--hole, --model.inpaint.width: got {hole:g} and {model.inpaint.width}, expected both above 0, or both 0'
        )


def read(config: Config) -> TrackedHead:
    """The head of a run, with its surroundings.

    Raises:
        InputError: it cannot be read.
    """
    return around(config, tracked_or_toy(config.data_dir, face=config.face, size=config.size))


def around(config: Config, head: TrackedHead) -> TrackedHead:
    """The head with surroundings, where a run has them."""
    return surroundings.surrounded(head, part=config.part, margin=config.hole) if config.hole else head


def learn(config: Config, head: TrackedHead) -> tuple[Method, State]:
    """Trains the method of a head, or goes on with an earlier run in the workdir; the state is on the host."""
    method, examples = build(config, head), examples_of(head, config.model.window)
    state = loop.fit(
        method,
        shot_source(head, frames=config.frames, window=config.model.window),
        workdir=config.workdir,
        steps=config.run.steps,
        seed=config.run.seed,
        evaluation=examples[:: max(1, len(examples) // 4)][:4],
        log_every=config.run.log_every,
        evaluate_every=config.run.evaluate_every,
        checkpoint_every=config.run.checkpoint_every,
    )
    return method, jax.device_get(state)


def build(config: Config, head: TrackedHead) -> Method:
    """The method of a head."""
    faces = tracked_head.triangles_of(head.mesh, config.part)
    mesh = Mesh(head.mesh.vertices, faces, head.mesh.uvs, faces)
    optimizers = {'^texture/': config.texture_optimizer, '': config.network_optimizer}
    optimizer = by_name({name: make_optimizer(each, steps=config.run.steps) for name, each in optimizers.items()})
    return neural_texture(
        config.model,
        mesh,
        size=(config.size, config.size),
        stepper=step.stepper(optimizer),
        pose=lambda tracked: tracked_head.pose(head.mesh, *tracked),
        code=Code(len(head.names), lambda tracked: tracked[0]) if config.model.texture.dynamic >= 0 else None,
        vgg=translation.vgg(config.model),
    )


def drawer(
    head: TrackedHead, method: Method, state: State, window: int = 1
) -> Callable[[Performance, np.ndarray], list[np.ndarray]]:
    """Makes a function that draws performances over what is behind frames [t] of the film: [h w 3] in [0, 1] each."""
    drawn = jax.jit(lambda state, shot: jnp.clip(method.render(state, shot).rgb, 0, 1))

    def draw(performance: Performance, places: np.ndarray) -> list[np.ndarray]:
        return [np.asarray(drawn(state, each)) for each in shots(head, performance, places, window)]

    return draw


def shots(head: TrackedHead, performance: Performance, places: np.ndarray, window: int) -> list[Shot]:
    """Of each frame, with those before it in the window, over what is behind frames `places` of the film."""
    camera = jax.tree.map(jnp.asarray, head.camera)
    tracked = tuple(map(jnp.asarray, performance))
    chosen = [before(k, window) for k in jnp.arange(len(tracked[0]))]
    return [
        Shot(camera, unit(back), tuple(each[k] for each in tracked)) for k, back in zip(chosen, behind(head, places))
    ]


def examples_of(head: TrackedHead, window: int = 1) -> list[Example]:
    """The frames held out, whose masks are the region of the mouth."""
    held_out = part(head.performance, head.train, len(head))
    masks = head_motion.mouth_masks(head, held_out)
    places = np.arange(head.train, len(head))
    names, drawn = [f'{k:04d}' for k in places], shots(head, held_out, places, window)
    return [Example(*each) for each in zip(names, drawn, head.images[head.train :], masks)]


def driver(config: Config, head: TrackedHead) -> Performance:
    """Expressions that drive the second video, in the poses of the frames held out, forwards and backwards in turn."""
    own = part(head.performance, head.train, len(head))
    if config.driver:
        expressions = tracked_head.read_performance(config.driver, head.names).expressions
    else:
        expressions = np.clip(config.exaggeration * tracked_head.mirrored(own, head.names).expressions, 0, 1)
    return Performance(expressions, head.performance.world_from_head[held_out_in_turn(head, len(expressions))])


def held_out_in_turn(head: TrackedHead, length: int) -> np.ndarray:
    """Numbers [length] of the frames held out, forwards and backwards in turn."""
    places = np.arange(head.train, len(head))
    return np.resize(np.concatenate([places, places[::-1]]), length)


def part(performance: Performance, start: int, stop: int) -> Performance:
    """Some frames of a performance."""
    return Performance(*(each[start:stop] for each in performance))


def report(
    config: Config,
    head: TrackedHead,
    method: Method,
    state: State,
    results: Sequence[np.ndarray],
    drawn: Drawn,
    other: Performance,
) -> evaluation.Table:
    """Evaluates, prints and writes the table, with flicker beside that of the film, baselines, and pictures."""
    split, count = head.train, len(head)
    examples, film = examples_of(head, config.model.window), part(head.performance, split, count)
    gaps = {name: head_motion.gap(head.mesh, p) for name, p in (('film', head.performance), ('driver', other))}
    protocol = {
        'frames': f'{config.data_dir or "procedural head"}, the last {count - split} of {count}, by their own tracking',
        'method': f'neural texture, {int(state.step)} steps, {dataclasses.asdict(config.model)}',
        'geometry': f'tracked mesh, {config.part}, {len(tracked_head.triangles_of(head.mesh, config.part))} faces',
        'size': f'{config.size} x {config.size}',
        'background': 'known' if head.surroundings is None else surroundings.told(head),
        'mask': 'the mouth: the box of its landmarks, a third of its width larger on every side',
        'warp_error': 'mean absolute difference from the frame before, carried along by the motion of the mesh, where '
        'both show the same point; warp_error_truth is that of the true frames',
        'gap between the lips, units of the mesh': {
            name: f'{gap.min():.2f} to {gap.max():.2f}' for name, gap in gaps.items()
        },
    }
    folder = Path(config.workdir) / 'evaluation_test'
    measured = evaluation.evaluate(method, state, examples, protocol=protocol)
    truths = [np.asarray(unit(image)) for image in head.images[split:]]
    for name, frames in (('warp_error', results), ('warp_error_truth', truths)):
        # The first frame has none before it.
        for example, error in zip(examples[1:], head_motion.flicker(head, film, frames)):
            measured.rows[example.name][name] = error
    guesses = reenact_face.baselines(head, drawn, colored=True)
    colored = [np.asarray(unit(picture[..., :3])) for picture in drawn.conditions[split:]]
    guesses['colour of the condition'] |= {
        'psnr_masked': float(np.mean([_masked(*each) for each in zip(colored, truths, (e.mask for e in examples))])),
        'warp_error': float(np.mean(head_motion.flicker(head, film, colored))),
    }
    table = dataclasses.replace(measured, baselines=guesses)
    table.write(folder)
    print(table.text(), end='')
    rows, labels = [], []
    for k in np.linspace(0, len(examples) - 1, min(_SHOWN, len(examples))).round().astype(int):
        rows.append([colored[k], results[k], truths[k], show.error_picture(results[k], truths[k])])
        labels.append(f'{examples[k].name}   {table.rows[examples[k].name]["psnr"]:.2f} dB')
    io.write(folder / 'contact_sheet.png', show.contact_sheet(rows, columns=_COLUMNS, labels=labels))
    return table


def _masked(a: Any, b: Any, mask: Any) -> float:
    return float(metrics.psnr(jnp.asarray(a), jnp.asarray(b), jnp.asarray(mask > 0, jnp.float32)))


if __name__ == '__main__':
    app.run(main, Config)
