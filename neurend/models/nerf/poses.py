"""Camera refinement: learns corrections of poses and intrinsics together with a field.

Any method whose loss takes rays can refine its cameras: `refining` wraps its factory, so that rays are cast inside the
step from corrected cameras and the loss's gradient reaches them through the field. A coarse field first, that sharpens
later (Lin et al., "BARF", 2021), lets poses converge from farther away.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry import cameras as cameras_lib
from neurend.geometry import transforms
from neurend.geometry.cameras import Camera
from neurend.models.method import LossFn, Method, Stepper
from neurend.models.state import State
from neurend.typing import Array, Key, Metrics, PyTree

Part = Literal['pose', 'focal', 'center', 'distortion']

# Ratio of depth to the radius of what is seen, as usual where a camera looks at an object: a unit of any of the six
# numbers then moves the picture about equally far, and an optimizer that treats them alike is right to.
_PARALLAX = 3.0

PARTS: tuple[Part, ...] = ('pose', 'focal', 'center', 'distortion')


def init(count: int, parts: tuple[Part, ...] = ('pose',)) -> dict[str, Array]:
    """Corrections that change nothing yet.

    Args:
        count: number of images.
        parts: what to correct: 'pose' of every image, and, shared by all images, 'focal', 'center' (the principal
            point) and 'distortion'.

    Returns:
        Those of 'pose' [count 6] (twists, see `correct`), 'focal' [2] (logarithms), 'center' [2] (fractions of the
        focal length) and 'distortion' [6] that were asked for.

    Raises:
        InputError: a part of another name.
    """
    for part in parts:
        checks.one_of('parts', part, PARTS)
    shapes = {'pose': (count, 6), 'focal': (2,), 'center': (2,), 'distortion': (6,)}
    return {part: jnp.zeros(shapes[part]) for part in PARTS if part in parts}


def correct(corrections: PyTree, cameras: Camera, *, depth: float = 1.0) -> Camera:
    """Applies corrections, as made by `init`, to cameras [n].

    A twist turns its camera about the point at `depth` on its optical axis and moves it in units of that depth, along
    the camera's axes. Turning about its own centre instead would be nearly the same image motion as moving it
    sideways, and the valley along which the two cancel takes descent long to walk down. Motions that only parallax
    tells of, which are turning about that point (but for rolling) and moving along the axis, are in units three times
    as large.

    Args:
        corrections: of the parts to be corrected.
        cameras: [n].
        depth: of what the cameras look at.

    >>> camera = cameras_lib.make(jnp.eye(4)[None], 50.0, size=(8, 8))
    >>> bool((correct(init(1, PARTS), camera.replace(model='opencv')).focal == camera.focal).all())
    True
    """
    if 'distortion' in corrections and cameras.model not in ('opencv', 'fisheye'):
        raise checks.InputError(
            f'distortion of {cameras.model!r} cameras cannot be refined; make them model opencv or fisheye'
        )
    changed: dict[str, Array] = {}
    shared = {
        part: jnp.broadcast_to(value, (*cameras.shape, len(value)))
        for part, value in corrections.items()
        if part != 'pose'
    }
    if 'pose' in corrections:
        unit = jnp.asarray([depth, depth, _PARALLAX * depth, _PARALLAX, _PARALLAX, 1], corrections['pose'].dtype)
        twist = corrections['pose']
        turned = transforms.se3_exp(twist * unit[None])
        # Conjugation by the shift to the pivot: p + R (x - p) + t.
        pivot = jnp.asarray([0, 0, depth], turned.dtype)
        shift = pivot[None] - transforms.rotate(turned, pivot) + turned[..., :3, 3]
        moved = transforms.from_rt(turned[..., :3, :3], shift)
        changed['world_from_camera'] = transforms.compose(jnp.asarray(cameras.world_from_camera), moved)
    if 'focal' in corrections:
        changed['focal'] = cameras.focal * jnp.exp(shared['focal'])
    if 'center' in corrections:
        changed['center'] = cameras.center + cameras.focal * shared['center']
    if 'distortion' in corrections:
        changed['distortion'] = cameras.distortion + shared['distortion']
    return dataclasses.replace(cameras, **changed)


def correcting_loss(loss_fn: LossFn, cameras: Camera, *, depth: float = 1.0) -> LossFn:
    """A loss of parameters {'method': ..., 'cameras': corrections} from a loss of the method's own.

    Args:
        loss_fn: the method's; it reads `batch.rays`.
        cameras: [n], to be corrected.
        depth: see `correct`.

    Returns:
        A loss whose batches need `index` [n] int32 and `pixels` [n 2]; the `rays` they have are replaced.
    """
    cameras = jax.tree.map(jnp.asarray, cameras)

    def loss(key: Key, params: PyTree, aux: PyTree, batch: Any, step: Array) -> tuple[Array, Metrics]:
        corrected = correct(params['cameras'], cameras, depth=depth)
        rays = cameras_lib.rays(corrected[batch.index], batch.pixels, index=batch.index)
        return loss_fn(key, params['method'], aux, batch.replace(rays=rays), step)

    return loss


def refining(
    factory: Callable[[Stepper], Method],
    stepper: Stepper,
    cameras: Camera,
    *,
    parts: tuple[Part, ...] = ('pose',),
    depth: float = 1.0,
) -> Method:
    """Makes a method that also refines the cameras of its images.

    Args:
        factory: makes the method from a stepper, e.g. `lambda stepper: hash_grid(config, near=2, far=6,
            stepper=stepper)`. Its step must come from the stepper and it must have no `update`.
        stepper: minimises the loss over {'method': parameters, 'cameras': corrections}; corrections want a learning
            rate of their own (`train.optimizers.by_name`), near 1e-3 for poses.
        cameras: [n], those of the images in their order.
        parts: what to correct, see `init`.
        depth: of what the cameras look at, see `correct`.

    Returns:
        The method. `correct(state.weights['cameras'], cameras, depth=depth)` are the refined
        cameras; it renders and evaluates with the cameras it is given.

    Raises:
        InputError: the method has an `update`, which knows only its own parameters.
    """
    count = cameras.world_from_camera.shape[0]

    def join(params: PyTree) -> PyTree:
        return {'method': params, 'cameras': init(count, parts)}

    inner = factory(
        Stepper(
            init=lambda params: stepper.init(join(params)),
            step=lambda loss_fn: stepper.step(correcting_loss(loss_fn, cameras, depth=depth)),
            ema=stepper.ema,
        )
    )
    if inner.update is not None:
        raise checks.InputError('refining: the method changes its parameters between steps, expected one that does not')

    def outer_state(key: Key) -> State:
        state = inner.init(key)
        ema = None if state.ema is None else join(state.ema)
        return dataclasses.replace(state, params=join(state.params), ema=ema)

    def own(state: State) -> State:
        ema = None if state.ema is None else state.ema['method']
        return dataclasses.replace(state, params=state.params['method'], ema=ema)

    return Method(
        init=outer_state,
        step=inner.step,
        render=lambda state, rays: inner.render(own(state), rays),
        evaluate=lambda state, example: inner.evaluate(own(state), example),
    )
