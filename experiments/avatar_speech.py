"""What a mouth does by what is heard: the network from speech to expressions for one person, trained or mapped."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, special

from experiments import audio_expression, trained
from experiments.translation import RunConfig
from neurend import app, checks
from neurend.data import expression_batches
from neurend.data.expression_batches import Spoken
from neurend.data.tracked_head import PARTS, FaceMesh, TrackedHead
from neurend.models.puppetry import method as puppetry
from neurend.models.puppetry.config import PuppetryConfig
from neurend.speech import expression, expression_losses, mapping, released, text
from neurend.speech.expression_losses import LossConfig, Space
from neurend.speech.mapping import Mapping
from neurend.speech.windows import CENTER
from neurend.train import loop, step
from neurend.train.optimizers import OptimizerConfig
from neurend.train.optimizers import make as make_optimizer
from neurend.typing import Array, Key, PyTree, Source

Letters = Literal['probabilities', 'logits']
_SPOKEN = ('jaw', 'mouth', 'tongue', 'cheekPuff')
_LIPS = slice(48, 68)  # of the landmarks
_SPACE = text.LETTERS.index(' ')
_UNIT = 0.01  # metres of the mesh's unit


@dataclasses.dataclass(frozen=True)
class SpeechConfig:
    """How the network is trained on one person's film.

    Attributes:
        letters: what it hears: 'probabilities' of letters, which add up to 1 in each row, or the 'logits' themselves.
            Of a few seconds of speech it learns more by the first: what is unlikely is near 0, however unlikely.
        model: the network and its losses.
        mixed: whether each stretch is blended with another, speech and face by the same random share (mixup, Zhang et
            al., 2018), for networks that are to learn from a few seconds.
        batch: stretches of film in a batch.
        moments: consecutive frames of a stretch.
        optimizer: its rates.
        ema: decay of the running average of weights that is used.
        strength: of the ridge regression by which a network that was trained elsewhere is mapped to the person.
        run: length and records.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = ('strength',)

    letters: Letters = 'probabilities'
    model: PuppetryConfig = dataclasses.field(
        default_factory=lambda: PuppetryConfig(noise=0.3, spread=0.1, loss=LossConfig('rms', 1000, 0, 10000))
    )
    mixed: bool = True
    batch: int = 16
    moments: int = 6
    optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-3, final_learning_rate=1e-4)
    )
    ema: float = 0.99
    strength: float = 0.01
    run: RunConfig = dataclasses.field(default_factory=lambda: RunConfig(steps=1800, evaluate_every=0))


class Speaker(NamedTuple):
    """A network that has a person's map.

    Attributes:
        params: of `expression.Audio2Expression`.
        mapping: to the expressions of the mouth.
        look_ahead: see `expression.neighbours`.
        letters: what the network hears.
        extremes: `2 m`, least and greatest expressions of the film, which what is heard does not leave.
    """

    params: PyTree
    mapping: Mapping
    look_ahead: bool
    letters: Letters
    extremes: np.ndarray

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        """Expressions of the mouth, float32 `[t m]`, of a film's windows of logits `[t 16 l]`.

        Raises:
            InputError: windows of another shape, or of other letters than the network hears.
        """
        known = self.params['encoder']['convolution_0']['kernel'].shape[1]
        checks.shape('windows', windows, f't 16 {known}', 'The network was trained for these letters')
        given = hear(windows, self.letters)
        audio = _audio(self.params, jnp.asarray(given), self.look_ahead)
        return np.clip(np.asarray(self.mapping(audio), np.float32), *self.extremes[:, None])


def mouth(names: tuple[str, ...]) -> np.ndarray:
    """Places of the expressions that speech drives: of jaw, mouth, tongue and cheeks; blinks and brows it cannot tell.

    Raises:
        InputError: there are none.
    """
    places = [k for k, name in enumerate(names) if name.startswith(_SPOKEN)]
    if not places:
        raise checks.InputError(f'expressions: got {names}, expected some whose names begin with {", ".join(_SPOKEN)}')
    return np.array(places)


def hear(windows: np.ndarray, letters: Letters) -> np.ndarray:
    """What a network hears of windows of logits `[t 16 l]`."""
    return np.asarray(windows, np.float32) if letters == 'logits' else np.asarray(_softmax(windows))


def speaking(windows: np.ndarray) -> np.ndarray:
    """Whether something is said in windows of logits `[t 16 29]`, or just before or after, by likely letters: `[t]`."""
    said = np.asarray(_softmax(windows))
    letters = 1 - said[..., text.BLANK] - said[..., _SPACE]
    return letters.max(1) > 0.5


def as_often(windows: np.ndarray, film: np.ndarray) -> np.ndarray:
    """Windows of logits `[t 16 29]` whose blanks are as likely, on average, as in those of a film, `[m 16 29]`.

    Recognisers differ in how often they say that they hear no letter, and lips would open less by one that says so
    oftener than that of the film. The same number is added to all logits of the blank. Pauses do not count; where
    nothing is said at all, windows stay as they are.
    """
    given = windows[speaking(windows), CENTER].astype(np.float64)
    there = film[speaking(film), CENTER]
    if not len(given) or not len(there):
        return windows
    wanted = float(np.asarray(_softmax(there))[:, text.BLANK].mean())
    wanted = min(max(wanted, 0.01), 0.99)
    others: Any = special.logsumexp(np.delete(given, text.BLANK, axis=1), axis=1)
    # Of each row the blank's probability is a logistic function of what is added, so that the mean grows with it.
    more = given[:, text.BLANK] - others
    added: Any = optimize.brentq(lambda x: special.expit(more + x).mean() - wanted, -100, 100)
    result = windows.copy()
    result[..., text.BLANK] += np.float32(float(added))
    return result


def space(mesh: FaceMesh, names: tuple[str, ...]) -> Space:
    """Where expressions of the mouth are compared: vertices, of which those of the lips count most."""
    deltas, lips = mesh.deltas[mouth(names)], mesh.vertices[mesh.landmarks[_LIPS]]
    nearest = np.min([np.linalg.norm(mesh.vertices - point[None], axis=-1) for point in lips], axis=0)
    weights = np.exp(-((nearest / (0.1 * np.ptp(lips[:, 0]))) ** 2)) * (mesh.parts == PARTS.index('skin'))
    return expression_losses.vertex_space(_UNIT * deltas, weights, least=0.01)


def learn(config: SpeechConfig, head: TrackedHead, windows: np.ndarray, workdir: str | Path) -> Speaker:
    """Trains a network on the frames to learn from, or goes on with an earlier run in the workdir.

    Args:
        config: how.
        head: the person.
        windows: of logits `[t 16 l]`, one for each frame of the film.
        workdir: of this training.

    Raises:
        InputError: windows that do not fit the film.
    """
    film = spoken(config.letters, head, windows)
    sizes = puppetry.scale([film.windows], [film.expressions], [0])
    if config.letters == 'probabilities':
        # All have the same unit: a letter that is rarely heard must not be the loudest.
        spread = np.full_like(sizes.deviation, film.windows.std())
        sizes = sizes._replace(deviation=spread)
    optimizer = make_optimizer(config.optimizer, steps=config.run.steps)
    stepper = step.stepper(optimizer, ema_decay=config.ema or None)
    method = puppetry.puppetry(config.model, space(head.mesh, head.names), sizes, stepper=stepper)
    source = expression_batches.source(
        [film], batch=config.batch, moments=config.moments, before=config.model.before, after=config.model.after
    )
    state = loop.fit(
        method,
        mixed(source) if config.mixed else source,
        workdir=workdir,
        steps=config.run.steps,
        seed=config.run.seed,
        log_every=config.run.log_every,
        checkpoint_every=config.run.checkpoint_every,
        main_metric='frames',
    )
    state, ahead = jax.device_get(state), config.model.look_ahead
    own = puppetry.speaker(state, look_ahead=ahead)
    return Speaker(puppetry.network(state), own, ahead, config.letters, _extremes(film))


def mixed(source: Source) -> Source:
    """Blends each stretch of a batch with another, by a random share of its own."""
    draw = source.draw
    assert draw is not None

    def blend(key: Key, data: Any) -> Any:
        draw_key, share_key = jax.random.split(key)
        batch = draw(draw_key, data)
        share = jax.random.uniform(share_key, (len(batch.windows), 1, 1))

        def mix(values: Array) -> Array:
            part = share.reshape(share.shape + (1,) * (values.ndim - 3))
            return part * values + (1 - part) * values[::-1]

        return batch.replace(windows=mix(batch.windows), expressions=mix(batch.expressions))

    return Source(data=source.data, draw=blend)


def adopt(config: SpeechConfig, network: str, head: TrackedHead, windows: np.ndarray, workdir: str | Path) -> Speaker:
    """Maps a network that was trained elsewhere, on raw logits, to the person; the map is kept in the workdir.

    Args:
        config: of which the strength of the regression is used.
        network: workdir of `experiments.audio_expression`, or a checkpoint of Neural Voice Puppetry (`.pth`).
        head, windows, workdir: see `learn`.

    Raises:
        InputError: the network cannot be read, windows do not fit the film, or the map that is kept belongs to another
            network or to another number of expressions.
    """
    params, look_ahead = read_network(network)
    film = spoken('logits', head, windows)
    name = mapping.fingerprint(params, look_ahead=look_ahead)
    path = Path(workdir) / 'mapping.npz'
    if path.is_file():
        found = mapping.load(path, network=name, expressions=film.expressions.shape[1])
        return Speaker(params, found, look_ahead, 'logits', _extremes(film))
    audio = np.asarray(_audio(params, jnp.asarray(film.windows), look_ahead))
    rest = film.expressions.mean(0)
    compared = space(head.mesh, head.names)
    found = mapping.ridge(audio, film.expressions, space=compared, strength=config.strength, rest=rest, network=name)
    mapping.save(path, found)
    app.say(f'{path}: map of {network} to {len(rest)} expressions of the mouth')
    return Speaker(params, found, look_ahead, 'logits', _extremes(film))


def read_network(path: str) -> tuple[PyTree, bool]:
    """Parameters of a network that was trained elsewhere, and whether it looks ahead.

    Raises:
        InputError: it cannot be read.
    """
    if not Path(path).is_dir():
        return released.read(path), True
    settings = trained.configuration(audio_expression.Config, path, 'experiments.audio_expression')
    _, state = audio_expression.train(settings, audio_expression.read(settings))
    return puppetry.network(jax.device_get(state)), settings.model.look_ahead


def spoken(letters: Letters, head: TrackedHead, windows: np.ndarray) -> Spoken:
    """The frames to learn from: what is heard and what the mouth does.

    Raises:
        InputError: windows that are not as many as the film's frames, or not finite.
    """
    checks.shape('logits', windows, f'{len(head)} 16 _', 'Give one window for each frame of the film')
    checks.finite('logits', windows)
    expressions = head.performance.expressions[: head.train, mouth(head.names)]
    return Spoken(hear(windows[: head.train], letters), expressions)


def _extremes(film: Spoken) -> np.ndarray:
    return np.stack([film.expressions.min(0), film.expressions.max(0)])


@jax.jit
def _softmax(windows: Any) -> Array:
    return jax.nn.softmax(jnp.asarray(windows, jnp.float32), axis=-1)


def _listened(params: PyTree, windows: Array, look_ahead: bool) -> Array:
    return expression.audio_expressions(params, windows, look_ahead=look_ahead)


_audio = jax.jit(_listened, static_argnums=2)
