"""DeepVoxels as a method of the training loop (Sitzmann, Thies, Heide, Niessner, Wetzstein and Zollhoefer, 2019)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neurend import checks, draws
from neurend.geometry import cameras
from neurend.geometry.cameras import Camera
from neurend.losses import adversarial, photometric
from neurend.models.deepvoxels import networks
from neurend.models.deepvoxels.config import DeepVoxelsConfig
from neurend.models.method import Method
from neurend.models.nerf import evaluation
from neurend.models.nerf.evaluation import Example
from neurend.models.state import State
from neurend.render import lift
from neurend.render.lift import Cube
from neurend.render.rendering import Rendering
from neurend.typing import Array, Key, Metrics, PyTree

_WHITE = np.ones(3, np.float32)
_LEAST = 1e-3  # of a ray that stops, for its depth to be that of what stopped it


def deepvoxels(
    config: DeepVoxelsConfig, cube: Cube, *, size: tuple[int, int], optimizer: optax.GradientTransformation
) -> Method:
    """Makes the method: features of photographs are lifted into a volume, and a camera's view of it becomes a picture.

    `state.params` holds the networks by name, and 'volume' where it is learned; otherwise `state.aux['volume']`,
    [n n n c], is what all steps so far have integrated. Batches are `neurend.data.nearest_views.NearestViews`; `render`
    takes a `Camera` of the photographs' size. Pictures hold the background of the photographs. `Rendering.depth` is
    soft, of the size of the feature maps and enlarged, as is `alpha`, what of a ray of 'rays' stops, and 1 otherwise;
    `extras` have 'visibility', [h w d], and 'planes', [d].

    Args:
        config: see there.
        cube: where the volume lies, in the world of the cameras.
        size: (width, height) of photographs. Those whose sides are no multiples of `config.multiple` go on a little to
            the right and below while they are drawn, which is cut off again.
        optimizer: of all that is learned, the discriminator's too.

    Returns:
        A Method; `evaluate` takes an `Example` of `neurend.models.nerf.evaluation`, which is put on white.

    Raises:
        InputError: photographs that are much smaller than what can be halved as often as the model does.
    """
    whole = (-(-size[0] // config.multiple) * config.multiple, -(-size[1] // config.multiple) * config.multiple)
    if any(2 * larger > 3 * side for larger, side in zip(whole, size)):
        raise checks.InputError(
            f'size: got photographs of {size[0]} x {size[1]}, expected about multiples of {config.multiple}, which can '
            'be halved as often as the model does; reduce its halvings, depth or occlusion_depth, or take larger '
            'photographs'
        )
    map_size = (whole[0] // 2**config.halvings, whole[1] // 2**config.halvings)
    cube = Cube(jnp.asarray(cube.center, jnp.float32), jnp.asarray(cube.side, jnp.float32))
    offset = 0.0 if config.released else 0.5
    parts = {
        'extractor': networks.FeatureExtractor(config),
        'integration': networks.Integration(config),
        'inpainting': networks.Inpainting(config),
        'occlusion': networks.Occlusion(config) if config.occlusion != 'none' else networks.Flattening(config),
        'renderer': networks.Renderer(config),
        'discriminator': networks.Discriminator(config),
    }
    learned = config.volume == 'learned'
    unused = {'extractor', 'integration'} if learned else set()
    unused |= set() if config.inpainting else {'inpainting'}
    unused |= set() if config.adversarial else {'discriminator'}

    def apply(params: PyTree, name: str, *inputs: Array, key: Key | None = None) -> Array:
        options: dict[str, Any] = {} if key is None else {'deterministic': False, 'rngs': {'dropout': key}}
        found = parts[name].apply({'params': params[name]}, *inputs, **options)
        assert isinstance(found, Array)
        return found

    @draws.quickly
    def init(key: Key) -> State:
        side, (width, height) = config.grid_dim, map_size
        volume = jnp.zeros((1, side, side, side, config.features))
        picture = jnp.zeros((1, whole[1], whole[0], 3))
        shapes = {
            'extractor': (picture,),
            'integration': (volume, volume),
            'inpainting': (volume,),
            'occlusion': (jnp.zeros((1, height, width, config.planes, config.features)),),
            'renderer': (jnp.zeros((1, height, width, config.features)),),
            'discriminator': (picture,),
        }
        keys = dict(zip((*parts, 'volume'), jax.random.split(key, len(parts) + 1)))
        params = {name: parts[name].init(keys[name], *shapes[name])['params'] for name in parts if name not in unused}
        if learned:
            params['volume'] = 0.1 * jax.random.normal(keys['volume'], volume.shape[1:])
        aux = None if learned else {'volume': volume[0]}
        return State(jnp.zeros((), jnp.int32), params, optimizer.init(params), aux=aux)

    def at_map(camera: Camera) -> Camera:
        """The camera of a feature map."""
        camera = cameras.resize(cameras.crop(camera, 0, 0, *whole), 2.0**-config.halvings)
        return dataclasses.replace(camera, center=camera.center + 0.5) if config.released else camera

    def observed(params: PyTree, pictures: Any) -> Array:
        beside = [(0, 0), (0, whole[1] - size[1]), (0, whole[0] - size[0]), (0, 0)]
        maps = apply(params, 'extractor', jnp.pad(pictures.rgb, beside, mode='edge') - 0.5)
        points = lift.cell_centers(cube, config.grid_dim, offset=offset)
        views = [lift.lift(maps[k], at_map(pictures.camera[k]), points) for k in range(len(maps))]
        return lift.mean(views)[0]

    def filled(params: PyTree, volume: Array) -> Array:
        return apply(params, 'inpainting', volume[None])[0] if config.inpainting else volume

    def depths(camera: Camera) -> Array:
        if config.released:
            return config.near + jnp.arange(config.planes) * cube.side / config.grid_dim
        return lift.plane_depths(camera, cube, config.planes, span=config.span)

    def draw(params: PyTree, volume: Array, camera: Camera, key: Key | None) -> Rendering:
        """Pictures [n H W 3] of cameras [n] with the soft depths of the feature maps."""
        views = [camera[k] for k in range(len(camera.world_from_camera))]
        planes = jnp.stack([depths(view) for view in views])
        seen = jnp.stack(
            [
                lift.resample(volume, cube, at_map(view), planes[k], map_size, offset=offset)
                for k, view in enumerate(views)
            ]
        )
        found = apply(params, 'occlusion', seen)
        if config.occlusion == 'none':
            weights, depth = None, jnp.zeros((len(views), *map_size[::-1]))
            alpha = jnp.ones_like(depth)
        else:
            weights, depth, alpha = jax.vmap(stops)(found, planes)
            found = lift.collapse(weights, seen) / (config.planes if config.released else 1)
        rgb = apply(params, 'renderer', found, key=key)[:, : size[1], : size[0]] + 0.5
        extras = {} if weights is None else {'visibility': weights, 'planes': planes}
        return Rendering(rgb, alpha, depth, extras=extras)

    def stops(logits: Array, planes: Array) -> tuple[Array, Array, Array]:
        """Where rays stop [h w d], the mean depth of those parts of them that do, and how much that is."""
        if config.occlusion != 'rays':
            weights, depth = lift.visibility(logits, planes)
            return weights, depth, jnp.ones_like(depth)
        weights = jax.nn.softmax(logits, axis=-1)[..., :-1]
        alpha = jnp.sum(weights, axis=-1)
        return weights, weights @ planes / jnp.maximum(alpha, _LEAST), alpha

    def silhouette(drawn: Rendering, alpha: Array) -> Array:
        """Mean squared difference of what stops and the alpha [n H W] of photographs, in pixels of the feature maps."""
        beside = [(0, 0), (0, whole[1] - size[1]), (0, whole[0] - size[0])]
        each = 2**config.halvings
        parts = jnp.pad(alpha, beside, mode='edge').reshape(len(alpha), map_size[1], each, map_size[0], each)
        return jnp.mean(jnp.square(drawn.alpha - jnp.mean(parts, axis=(2, 4))))

    def variance(drawn: Rendering) -> Array:
        """Of where rays stop, in squares of the cube's side, the mean over rays."""
        weights, planes = drawn.extras['visibility'], drawn.extras['planes'] / cube.side
        off = planes[:, None, None] - drawn.depth[..., None] / cube.side
        return jnp.mean(jnp.sum(weights * jnp.square(off), axis=-1))

    def loss(params: PyTree, volume: Array, key: Key, batch: Any) -> tuple[Array, tuple[Array, Metrics]]:
        keys = jax.random.split(key, 3)
        if learned:
            volume = params['volume']
        else:
            new = observed(params, batch.source)
            volume = apply(params, 'integration', volume[None], new[None], key=keys[0])[0]
        complete = filled(params, volume)
        drawn = draw(params, complete, batch.target.camera, keys[2])
        inner = slice(config.border, -config.border or None)
        rgb, truth = drawn.rgb[:, inner, inner], batch.target.rgb[:, inner, inner]
        values = {'l1': photometric.l1(rgb, truth), 'psnr': photometric.psnr(photometric.mse(rgb, truth))}
        total = config.l1 * values['l1']
        if config.compact:
            values['variance'] = variance(drawn)
            total = total + config.compact * values['variance']
        if config.silhouette:
            values['silhouette'] = silhouette(drawn, batch.target.alpha)
            total = total + config.silhouette * values['silhouette']
        if config.adversarial:
            objective = adversarial.objective('non_saturating')
            still = jax.lax.stop_gradient(params)

            def judge(params: PyTree, pictures: Array) -> Array:
                return apply(params, 'discriminator', pictures - 0.5, key=keys[1])

            values['adversarial'] = objective.generator(judge(still, rgb))
            fake = judge(params, jax.lax.stop_gradient(rgb))
            values['discriminator'] = objective.discriminator(judge(params, truth), fake) / 2
            total = total + config.adversarial * values['adversarial'] + values['discriminator']
        return total, (jax.lax.stop_gradient(volume), values)

    def step(key: Key, state: State, batch: Any) -> tuple[State, Metrics]:
        told = 'The method was made for photographs of this size'
        checks.shape('batch.target.rgb', batch.target.rgb, f'n {size[1]} {size[0]} 3', told)
        if config.silhouette:
            told = 'With a weight for silhouettes photographs need alpha or masks; set silhouette to 0'
            if batch.target.alpha is None:
                raise checks.InputError(f'batch.target.alpha: got None. {told}')
            checks.shape('batch.target.alpha', batch.target.alpha, f'n {size[1]} {size[0]}', told)
        volume = None if learned else state.aux['volume']
        (value, (volume, values)), grads = jax.value_and_grad(loss, has_aux=True)(state.params, volume, key, batch)
        updates, optimizers = optimizer.update(grads, state.optimizer, state.params)
        new = {'params': optax.apply_updates(state.params, updates), 'optimizer': optimizers}
        aux = None if learned else {'volume': volume}
        return dataclasses.replace(state, step=state.step + 1, aux=aux, **new), {'loss': value, **values}

    def render(state: State, camera: Camera) -> Rendering:
        params = state.weights
        volume = params['volume'] if learned else state.aux['volume']
        drawn = draw(params, filled(params, volume), jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], camera), None)
        found = jax.tree.map(lambda leaf: leaf[0], drawn)
        # Where nothing stops there is no depth to mix with that of what is beside it.
        parts = (found.depth * found.alpha, found.alpha)
        depth, alpha = (jax.image.resize(part, whole[::-1], 'linear')[: size[1], : size[0]] for part in parts)
        return dataclasses.replace(found, depth=depth / jnp.maximum(alpha, _LEAST), alpha=alpha)

    compiled = jax.jit(render)

    def evaluate(state: State, example: Example) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        found = jax.device_get(compiled(state, jax.tree.map(jnp.asarray, example.camera)))
        return evaluation.compare(found, example, background=_WHITE)

    return Method(init, step, render, evaluate)
