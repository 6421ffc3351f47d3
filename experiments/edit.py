r"""Edits the scene of a trained neural texture: texture and network stay, the mesh changes (Thies et al., 2019).

    python -m experiments.edit --workdir=out/texture --edit.kind=copy --edit.low=-0.3,0.5,-1 --edit.high=0.3,1,-0.3 \
        --edit.translate=0.6,0,0

A copy looks up the texels of what it is a copy of; what is moved takes its own along. `--add` puts an object of another
run into the scene, each drawn by its own texture and network, the nearer one in front.

Writes to `edited_<kind>/` in the workdir: `evaluation.txt` and `evaluation.json` with the table of the test views,
`contact_sheet.png` with some before and after, and `turntable.mp4`. With `--truth_workdir`, a run of
`experiments.fit_appearance`, its mesh is edited alike and drawn with the material that was found, to compare with.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import fit_appearance, mesh_edits, mesh_views, neural_texture, proxy_meshes, trained
from experiments.mesh_edits import EditConfig
from experiments.mesh_views import DrawFn
from neurend import app, checks
from neurend.data import photographs
from neurend.geometry import clip
from neurend.geometry.cameras import Camera
from neurend.images import io, metrics, show, video
from neurend.models.appearance import appearance
from neurend.models.method import Method
from neurend.models.neural_texture import deferred
from neurend.models.neural_texture.config import NeuralTextureConfig
from neurend.models.neural_texture.deferred import Shot
from neurend.models.neural_texture.method import neural_texture as textured
from neurend.models.state import State
from neurend.render import objects, rasterize, texture
from neurend.render.rendering import Rendering
from neurend.scenes.meshes import Mesh
from neurend.train import evaluate as evaluation
from neurend.train import step
from neurend.train.optimizers import make as make_optimizer
from neurend.typing import Array

_WHITE = (1.0, 1.0, 1.0)
_SHOWN = 4
_SAME = 1e-3  # of what is seen, in textures and in parts of the mesh's size
_MARGIN = 4  # pixels around an edit that count as neither edited nor unchanged


@dataclasses.dataclass(frozen=True)
class Config:
    """One edit of one trained scene.

    Attributes:
        workdir: of a run of `experiments.neural_texture`.
        edit: what happens to its mesh.
        add: workdir of another such run, of pictures of the same size, whose object is added instead; `edit.rotate`,
            `edit.scale` and `edit.translate` place it, from where it is in the world of its own file.
        truth_workdir: of a run of `experiments.fit_appearance` of the same scene; '' for no comparison.
        truth_mesh: file of its mesh, if that has moved.
        views: of the test views, evenly spread; 0 for all.
        frames: of the turntable; 0 for none.
        output: folder; edited_<kind> in the workdir if empty.
    """

    workdir: str
    edit: EditConfig = dataclasses.field(default_factory=EditConfig)
    add: str = ''
    truth_workdir: str = ''
    truth_mesh: str = ''
    views: int = 0
    frames: int = 60
    output: str = ''

    def __post_init__(self):
        """Raises `InputError` for flags that do not go together."""
        if self.add and self.truth_workdir:
            raise checks.InputError('--truth_workdir: got one with --add, expected none: it lacks what is added')

    @property
    def kind(self) -> str:
        """Of the edit."""
        return 'add' if self.add else self.edit.kind


class Edited(NamedTuple):
    """A scene before and after.

    Attributes:
        before, after: draw it from a camera, on white.
        footprint: where what is seen of the surface differs, bool [H W], from a camera.
    """

    before: DrawFn
    after: DrawFn
    footprint: Callable[[Camera], Array]


def main(config: Config) -> evaluation.Table:
    """Edits, draws, compares, writes; returns the table."""
    settings, setup, state = neural_texture.load(config.workdir)
    size = photographs.size_of(setup.train)
    world, model = setup.train.scene_from_source, settings.model
    if config.add:
        scene = added(config, model, setup.mesh, state, size, world)
    else:
        scene = edited(model, setup.mesh, mesh_edits.apply(config.edit, setup.mesh, world), state, size)
    truth = true_edit(config, size, world) if config.truth_workdir else None
    test, count = setup.test, config.views or len(setup.test)
    chosen = np.linspace(0, len(test) - 1, min(count, len(test))).round().astype(int)
    views = {test.names[k]: jax.tree.map(jnp.asarray, test.camera(k)) for k in chosen}
    rows, pictures = compare(scene, truth, views)
    protocol = {
        'scene': f'{settings.data_dir or "embedded"}, {len(views)} test views',
        'edit': f'add {config.add}' if config.add else dataclasses.asdict(config.edit),
        **MEANINGS,
    }
    table = evaluation.Table(rows, protocol)
    folder = Path(config.output or Path(config.workdir) / f'edited_{config.kind}')
    table.write(folder)
    print(table.text(), end='')
    shown = np.linspace(0, len(views) - 1, min(_SHOWN, len(views))).round().astype(int)
    columns = ('before', 'after') if truth is None else ('before', 'after', 'true mesh, edited')
    names = list(views)
    sheet = show.contact_sheet([pictures[k] for k in shown], columns=columns, labels=[names[k] for k in shown])
    io.write(folder / 'contact_sheet.png', sheet)
    if config.frames:
        video.write(folder / 'turntable.mp4', mesh_views.turntable(scene.after, setup.train, config.frames), fps=30)
    app.say(str(folder))
    return table


MEANINGS = {
    'edited': 'share of the pixels in which other parts of the mesh are seen than before, or from elsewhere',
    'unchanged': f'mean absolute change, in 1/255, of pixels that showed the object, farther than {_MARGIN} from those',
    'psnr_before, psnr': 'of all pixels; truth is the true mesh in the estimated material, before and after its edit',
    'psnr_edited': 'of the edited pixels',
}


def compare(
    scene: Edited, truth: Edited | None, views: dict[str, Camera]
) -> tuple[dict[str, dict[str, float]], list[list[np.ndarray]]]:
    """Numbers of each view, see `MEANINGS`, and its pictures: before, after, and the truth if there is one."""
    measure = jax.jit(metrics.psnr)
    rows, pictures = {}, []
    for name, camera in views.items():
        first = scene.before(camera)
        before, after = (np.clip(np.asarray(each.rgb), 0, 1) for each in (first, scene.after(camera)))
        footprint = np.asarray(scene.footprint(camera))
        same = (np.asarray(first.alpha) > 0.5) & ~_grown(footprint, _MARGIN)
        row = {'edited': float(footprint.mean())}
        if same.any():
            row['unchanged'] = float(255 * np.abs(after - before)[same].mean())
        shown = [before, after]
        if truth is not None:
            known, expected = (np.clip(np.asarray(draw(camera).rgb), 0, 1) for draw in (truth.before, truth.after))
            row |= {'psnr_before': float(measure(before, known)), 'psnr': float(measure(after, expected))}
            region = footprint | np.asarray(truth.footprint(camera))
            if region.any():
                row['psnr_edited'] = float(measure(after, expected, region.astype(np.float32)))
            shown.append(expected)
        rows[name] = row
        pictures.append(shown)
    return rows, pictures


def edited(model: NeuralTextureConfig, mesh: Mesh, changed: Mesh, state: State, size: tuple[int, int]) -> Edited:
    """A trained texture and network on the mesh that they were trained on, and on an edit of it."""
    before, after = (neural_texture.drawer(method_of(model, each, size), state) for each in (mesh, changed))
    return Edited(before, after, footprint_of(mesh, changed, size))


def added(
    config: Config, model: NeuralTextureConfig, mesh: Mesh, state: State, size: tuple[int, int], world: np.ndarray
) -> Edited:
    """A trained object, and another one of a run of its own beside it."""
    other, setup, other_state = neural_texture.load(config.add)
    if photographs.size_of(setup.train) != size:
        raise checks.InputError(
            f'--add={config.add}: is of pictures of {photographs.size_of(setup.train)}, expected {size} as of '
            f'{config.workdir}'
        )
    placed = mesh_edits.placed(config.edit, setup.mesh, setup.train.scene_from_source, world)
    parts = [(method_of(model, mesh, size), state), (method_of(other.model, placed, size), other_state)]

    @jax.jit
    def both(states: list[State], camera: Camera) -> tuple[Rendering, Array]:
        drawn = [each.render(own, Shot(camera, jnp.zeros(3))) for (each, _), own in zip(parts, states)]
        return objects.together(drawn, jnp.array(_WHITE)), drawn[1].alpha > 0

    states = [own for _, own in parts]
    return Edited(
        neural_texture.drawer(*parts[0]), lambda camera: both(states, camera)[0], lambda camera: both(states, camera)[1]
    )


def true_edit(config: Config, size: tuple[int, int], world: np.ndarray) -> Edited:
    """The true mesh with its estimated material, before and after the same edit."""
    settings = trained.configuration(fit_appearance.Config, config.truth_workdir, 'experiments.fit_appearance')
    mesh = proxy_meshes.placed(config.truth_mesh or settings.mesh, world)
    changed = mesh_edits.apply(config.edit, mesh, world)
    stepper = step.stepper(make_optimizer(settings.optimizer, steps=settings.steps))
    methods = [appearance(settings.appearance, each, size=size, stepper=stepper) for each in (mesh, changed)]
    state = jax.device_get(trained.restore(methods[0], Path(config.truth_workdir)))
    draws = [jax.jit(each.render) for each in methods]
    return Edited(
        lambda camera: draws[0](state, camera),
        lambda camera: draws[1](state, camera),
        footprint_of(mesh, changed, size),
    )


def method_of(model: NeuralTextureConfig, mesh: Mesh, size: tuple[int, int]) -> Method:
    """Draws what was learned on another mesh; it cannot be trained."""
    return textured(model, mesh, size=size, stepper=step.stepper(optax.set_to_zero()))


def footprint_of(mesh: Mesh, changed: Mesh, size: tuple[int, int]) -> Callable[[Camera], Array]:
    """Makes a function of a camera: where another point of the surface, or the same elsewhere, is seen, bool [H W]."""
    width, height = size
    extent = float(np.ptp(np.asarray(mesh.vertices), axis=0).max())
    sides = [(deferred.surface(each), jnp.asarray(each.vertices)) for each in (mesh, changed)]

    def seen(which: deferred.Surface, vertices: Array, camera: Camera) -> Array:
        found = rasterize.rasterize(clip.from_camera(camera, vertices), which.faces, width=width, height=height)
        place = texture.interpolate(vertices / extent, which.faces, found)
        uv = texture.interpolate(which.uvs, which.uv_faces, found)
        return jnp.concatenate([place, uv, (found.face >= 0)[..., None].astype(uv.dtype)], axis=-1)

    @jax.jit
    def footprint(camera: Camera) -> Array:
        first, second = (seen(which, vertices, camera) for which, vertices in sides)
        return jnp.any(jnp.abs(first - second) > _SAME, axis=-1)

    return footprint


def _grown(region: np.ndarray, margin: int) -> np.ndarray:
    """A region [H W] with all pixels that far around it."""
    for axis, side in enumerate(region.shape):
        wide = np.pad(region, [(margin, margin) if k == axis else (0, 0) for k in range(2)])
        shifts = [np.take(wide, np.arange(k, k + side), axis=axis) for k in range(2 * margin + 1)]
        region = np.logical_or.reduce(shifts)
    return region


if __name__ == '__main__':
    app.run(main, Config, record=None)
