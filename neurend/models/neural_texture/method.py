"""Deferred neural rendering as a method of the training loop (Thies, Zollhoefer and Niessner, 2019)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks, draws
from neurend.geometry.cameras import Camera
from neurend.images import backbones, color
from neurend.models import state as states
from neurend.models.method import Method, Stepper
from neurend.models.nerf import evaluation
from neurend.models.neural_texture import deferred, objective, windows
from neurend.models.neural_texture.config import NeuralTextureConfig
from neurend.models.neural_texture.deferred import Pixels, Shot, Window
from neurend.models.neural_texture.network import DeferredShader, Inpainter
from neurend.models.neural_texture.objective import Drawn
from neurend.models.state import State
from neurend.numerics import safe_divide
from neurend.render import antialias
from neurend.render.rendering import Rendering
from neurend.scenes import textures
from neurend.scenes.meshes import Mesh
from neurend.typing import Array, Key, Metrics, PyTree

_SURE = 4.0  # logit of the opacity that a network begins with where the mesh is seen

PoseFn = Callable[[Any], Array]
"""`deformation -> vertices [V 3]` in the world, differentiable."""


class Code(NamedTuple):
    """What changes a texture.

    Attributes:
        length: e, how many numbers.
        of: `deformation -> [e]`, differentiable.
    """

    length: int
    of: Callable[[Any], Array]


class Example(NamedTuple):
    """A held-out view.

    Attributes:
        name: of the image.
        shot: what is drawn.
        image: uint8 [H W 3], or [H W 4] with straight alpha, which is put on the shot's background.
        mask: uint8 [H W], positive where 'psnr_masked' is measured, or None.
    """

    name: str
    shot: Shot
    image: np.ndarray
    mask: np.ndarray | None = None


def neural_texture(
    config: NeuralTextureConfig,
    mesh: Mesh,
    *,
    size: tuple[int, int],
    stepper: Stepper,
    pose: PoseFn | None = None,
    code: Code | None = None,
    vgg: backbones.Weights | None = None,
) -> Method:
    """Makes the method: a mesh is rasterized, its texture of features looked up, and a network makes colours of them.

    The texture's first three channels are the picture already, and have a loss of their own; the network adds to them.
    With `config.opacity` 'mesh' the picture is that inside the mesh's antialiased outline, on the background. With
    'network' the network draws outline and surroundings as well: the mesh may be coarse, wrong, or a box. With
    `config.inpaint` a second network paints what neither mesh nor background shows.

    `state.params` is {'texture': levels, 'network': ..., 'inpaint': ...}. Batches are
    `neurend.data.photographs.Photographs` [n ...].

    Args:
        config: see `NeuralTextureConfig`.
        mesh: with UVs, on which no two places of the surface that differ share texels; in the world of the cameras.
        size: (width, height) of pictures, in pixels.
        stepper: how the loss is minimised; texture and network may have rates of their own
            (`train.optimizers.by_name`).
        pose: where the mesh's vertices are, from the `deformation` of a frame; None where it stands still.
        code: what changes the texture, from the same, where `config.texture.dynamic` is not -1.
        vgg: VGG19's weights, where `config.perceptual` is not 0; see `neurend.images.backbones.load`.

    Returns:
        A Method; `render` takes a `Shot`, `evaluate` an `Example`.

    Raises:
        InputError: a mesh without UVs or not sound, a crop larger than the pictures, `vgg` or `code` where the
            configuration does not use them, or none where it does.
    """
    for name, given, used in (
        ('vgg', vgg, config.perceptual),
        ('code', code, config.texture.dynamic >= 0),
    ):
        if (given is not None) != bool(used):
            raise checks.InputError(f'{name}: got {"one" if given else "none"}, expected one where the model uses it')
    which = deferred.surface(mesh, config.shells.count)
    still = jnp.asarray(mesh.vertices)
    whole = Window(*size)
    check_size(config, size)
    chosen, network = config.network, shader(config)
    judge, dynamic, painter = objective.discriminator(config), deferred.dynamic(config), inpainter(config)

    @draws.quickly
    def init(key: Key) -> State:
        keys = jax.random.split(key, 5)
        params: dict[str, PyTree] = {'texture': deferred.parameters(keys[0], config)}
        if network is not None:
            side = 2**chosen.depth
            seen = jnp.zeros((1, side, side, deferred.channels(config)))
            params['network'] = network.init(keys[1], seen)['params']
        if judge is not None:
            width, height = (config.crop, config.crop) if config.crop else size
            params['discriminator'] = judge.init(keys[2], jnp.zeros((1, height, width, 6)))['params']
        if code is not None and dynamic is not None:
            params['dynamic'] = dynamic.init(keys[3], jnp.zeros((1, code.length)))['params']
        if painter is not None:
            params['inpaint'] = painter.init(keys[4], jnp.zeros((1, 8, 8, 5)))['params']
        return states.create(params, stepper)

    def frames(deformation: Any) -> list[Any]:
        if config.window == 1:
            return [deformation]
        return [jax.tree.map(lambda leaf, k=k: leaf[k], deformation) for k in range(config.window)]

    def vertices_of(deformation: Any) -> Array:
        return still if pose is None else pose(deformation)

    def seen_at(params: PyTree, camera: Camera, deformation: Any, window: Window) -> Pixels:
        levels = list(params['texture'])
        if code is not None and dynamic is not None:
            changed = dynamic.apply({'params': params['dynamic']}, code.of(deformation)[None])
            assert isinstance(changed, Array)
            levels[config.texture.dynamic] += config.texture.deviation * changed[0]
        return deferred.pixels(config, levels, which, vertices_of(deformation), camera, window)

    def look(params: PyTree, shot: Shot, window: Window) -> Pixels:
        found = [seen_at(params, shot.camera, each, window) for each in frames(shot.deformation)]
        return found[0]._replace(inputs=jnp.concatenate([each.inputs for each in found], axis=-1))

    def finish(params: PyTree, found: Pixels, behind: Array, window: Window) -> tuple[Array, Array]:
        """Colours on the background and opacity of a window."""
        rgb, alpha = drawn_over(params, found, behind[..., :3], window)
        if painter is None:
            return rgb, alpha
        known = behind[..., 3:]
        seen = jnp.concatenate([rgb, alpha[..., None], known], axis=-1)
        painted = painter.apply({'params': params['inpaint']}, seen[None])
        assert isinstance(painted, Array)
        return rgb + (1 - known) * painted[0], alpha

    def drawn_over(params: PyTree, found: Pixels, behind: Array, window: Window) -> tuple[Array, Array]:
        rgb, alpha = found.color, found.seen
        if network is not None:
            inputs = jnp.concatenate([found.inputs, behind], axis=-1) if chosen.behind else found.inputs
            drawn = network.apply({'params': params['network']}, inputs[None])
            assert isinstance(drawn, Array)
            rgb = rgb + drawn[0, ..., :3]
            if config.opacity == 'network':
                alpha = jax.nn.sigmoid(drawn[0, ..., 3:] + _SURE * (2 * found.seen - 1))
            elif config.opacity == 'texture':
                alpha = jnp.clip(alpha + drawn[0, ..., 3:], 0, 1)
        if config.opacity == 'mesh':
            return _edged(rgb, found, which, behind, window)
        if config.opacity == 'network':
            rgb = alpha * rgb
        return rgb + (1 - alpha) * behind, alpha[..., 0]

    def picture(params: PyTree, shot: Shot) -> Rendering:
        found = look(params, shot, whole)
        rgb, alpha = finish(params, found, windows.spread(shot.background, *size), whole)
        return Rendering(rgb, alpha, found.depth)

    def loss(key: Key, params: PyTree, aux: PyTree, batch: Any, step: Array) -> tuple[Array, Metrics]:
        del aux, step
        checks.shape(
            'batch.rgb', batch.rgb, f'n {size[1]} {size[0]} 3', 'The method was made for pictures of this size'
        )
        if painter is not None:
            known = f'n {size[1]} {size[0]} 4'
            checks.shape('batch.background', batch.background, known, 'inpaint: expected pictures with a hole')

        def one(view: tuple[Key, Any]) -> Drawn:
            key, shown = view
            shot = Shot(shown.camera, shown.background, shown.deformation)
            vertices = vertices_of(frames(shot.deformation)[0])
            part = windows.draw(key, config, vertices, shot, shown.rgb, even=config.even)
            found = look(params, shot._replace(camera=part.camera), part.window)
            rgb, _ = finish(params, found, part.background, part.window)
            flat = found.color + (1 - found.seen) * part.background[..., :3]
            counts = jnp.ones_like(found.depth) if config.opacity == 'texture' else found.seen[..., 0]
            return Drawn(rgb, flat, counts, part.rgb)

        keys = jax.random.split(key, batch.rgb.shape[0])
        views = [jax.tree.map(lambda leaf, k=k: leaf[k], (keys, batch)) for k in range(len(keys))]
        judging = None if judge is None else (judge, params['discriminator'])
        value, values = objective.total(
            config, [one(view) for view in views], layered=network is not None, vgg=vgg, judge=judging
        )
        if config.texture.penalty:
            value = value + deferred.penalty(config, params['texture'])
        return value, values

    def render(state: State, shot: Shot) -> Rendering:
        return picture(state.weights, shot)

    drawn = jax.jit(render)

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        found = jax.device_get(drawn(state, jax.tree.map(jnp.asarray, example.shot)))
        background = np.asarray(example.shot.background, np.float32)[..., :3]
        view = evaluation.Example(example.name, example.shot.camera, example.image, example.mask)
        return evaluation.compare(found, view, background=background)

    return Method(init, stepper.step(loss), render, evaluate)


def check_size(config: NeuralTextureConfig, size: tuple[int, int]) -> None:
    """Checks that windows fit into pictures of (width, height), and that memory holds the texture.

    Raises:
        InputError: they do not.
    """
    if config.crop > min(size):
        raise checks.InputError(
            f'model.crop: got {config.crop}, expected at most {min(size)}, a side of the pictures, or 0 for all of them'
        )
    chosen = config.texture
    textures.check(chosen.side, chosen.channels, chosen.levels, count=config.shells.count)


def shader(config: NeuralTextureConfig) -> DeferredShader | None:
    """The network of a configuration; None where it has none."""
    chosen = config.network
    if not (chosen.unet or chosen.width):
        return None
    names = ('unet', 'depth', 'maximum', 'context', 'width', 'layers', 'dilated')
    return DeferredShader(3 if config.opacity == 'mesh' else 4, **{name: getattr(chosen, name) for name in names})


def inpainter(config: NeuralTextureConfig) -> Inpainter | None:
    """The network that paints around the mesh; None where there is none."""
    chosen = config.inpaint
    return Inpainter(chosen.width, chosen.depth, chosen.maximum) if chosen.width else None


def _edged(rgb: Array, found: Pixels, which: deferred.Surface, behind: Array, window: Window) -> tuple[Array, Array]:
    """Colours inside the mesh's outline, whose edges are antialiased, on the background."""
    planes = jnp.concatenate([rgb * found.seen, found.seen], axis=-1)
    planes = antialias.antialias(planes, found.fragments, found.vertices, which.topology, corner=window.corner)
    alpha = planes[..., 3:]
    straight = safe_divide(planes[..., :3], alpha)
    return color.composite(jnp.concatenate([straight, alpha], axis=-1), behind), alpha[..., 0]
