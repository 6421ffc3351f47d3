"""A soft coloured ball that can be integrated in closed form, for methods to learn."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from neurend.geometry import cameras, intersect, transforms
from neurend.geometry.rays import Rays
from neurend.models.method import Stepper
from neurend.models.state import State

NEAR, FAR = 2.0, 6.0
RADIUS, DENSITY = 1.0, 3.0
COLOR = (0.8, 0.3, 0.1)


class RayBatch(NamedTuple):
    rays: Rays
    rgb: jax.Array
    alpha: jax.Array
    mask: jax.Array
    background: jax.Array


def camera(azimuth, *, size=16):
    eye = 4.0 * jnp.stack([jnp.cos(azimuth), jnp.sin(azimuth), jnp.zeros_like(azimuth)], axis=-1)
    pose = transforms.look_at(eye, jnp.zeros_like(eye), jnp.array([0.0, 0.0, 1.0]))
    return cameras.make(pose, 1.25 * size, size=(size, size))


def opacity(rays):
    """Closed form: 1 - exp(-density times the chord)."""
    enter, leave, hit = intersect.ray_sphere(rays.origins, rays.directions, jnp.zeros(3), RADIUS)
    length = (leave - enter) * jnp.linalg.norm(rays.directions, axis=-1)
    return jnp.where(hit, -jnp.expm1(-DENSITY * length), 0.0)


@functools.partial(jax.jit, static_argnames='num')
def batch(key, num, *, background=1.0):
    keys = jax.random.split(key, 2)
    azimuths = 2 * jnp.pi * jax.random.uniform(keys[0], (num,))
    pixels = 16 * jax.random.uniform(keys[1], (num, 2))
    rays = cameras.rays(jax.vmap(camera)(azimuths), pixels)
    alpha = opacity(rays)
    behind = jnp.full((num, 3), background)
    rgb = alpha[:, None] * jnp.array([COLOR]) + (1 - alpha[:, None]) * behind
    return RayBatch(rays, rgb, alpha, jnp.ones(num), behind)


def adam(learning_rate):
    """A plain stepper, so that methods are tested apart from the training loop's."""
    optimizer = optax.adam(learning_rate)

    def step(loss_fn):
        def run(key, state, batch):
            (_, metrics), gradients = jax.value_and_grad(loss_fn, argnums=1, has_aux=True)(
                key, state.params, state.aux, batch, state.step
            )
            updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
            params = optax.apply_updates(state.params, updates)
            return State(state.step + 1, params, optimizer_state, state.ema, state.aux), metrics

        return run

    return Stepper(init=optimizer.init, step=step)


def train(method, *, steps, num, seed=0, background=1.0):
    """State and last metrics after some steps on fresh rays."""

    @jax.jit
    def run(state):
        def body(state, key):
            state, metrics = method.step(key, state, batch(key, num, background=background))
            return state, metrics

        return jax.lax.scan(body, state, jax.random.split(jax.random.key(seed), steps))

    return run(jax.jit(method.init)(jax.random.key(seed)))
