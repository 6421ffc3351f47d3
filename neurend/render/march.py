"""Sphere tracing (Hart, 1996): first hits of rays with the zero level of a distance function.

A distance function is `distance_fn(points) -> distances` of world points `... 3`: positive outside, negative inside,
and nowhere more than the true distance to the surface (less is slower, more may jump over thin parts). It treats points
one by one, and may close over whatever it needs, parameters under differentiation included.

Gradients are those of the implicit function at the hit: the search itself is not differentiated, so that memory does
not grow with its steps. They reach rays, hence cameras, and whatever the distance function closes over, in reverse and
in forward mode, under `jit` and `vmap`, without a custom rule that would forbid one of them.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import flax.struct
import jax
import jax.numpy as jnp

from neurend import checks
from neurend.geometry.rays import Rays
from neurend.numerics import normalize, safe_norm
from neurend.render import compositing
from neurend.render.rendering import Rendering
from neurend.render.volume import compact
from neurend.typing import Array

DistanceFn = Callable[[Array], Array]
ColorFn = Callable[[Array, Array, Array], Array]
"""`(points, normals, viewdirs) -> colours`, `... 3` each and `... c`."""

_PROBES = 6  # a crossing is looked for up to 2^6 tolerances away from where the march ended
_TOGETHER, _LEAST_ROOM = 16, 512  # steps between choices of the rays that go on; how many of them at least
_SLOPE = 1e-3  # least cosine between ray and normal that gradients divide by


@flax.struct.dataclass
class Hits:
    """Where rays meet a surface, over any leading dims `...`.

    Attributes:
        t: `...` ray parameter of the hit; that of the end of the search where there is none.
        hit: `...` bool.
        points: `... 3` in the world.
        steps: `...` int32, how often the march asked for the ray's distance (refinement not counted).
    """

    t: Array
    hit: Array
    points: Array
    steps: Array


def trace(
    distance_fn: DistanceFn,
    rays: Rays,
    *,
    near: Array | float,
    far: Array | float,
    steps: int = 512,
    relaxation: float = 1.0,
    tolerance: float = 1e-4,
    bisections: int = 10,
) -> Hits:
    """Marches rays to the surface. A ray that starts inside looks for the way out.

    Args:
        distance_fn: see the module.
        rays: any leading dims `...`; directions of any length.
        near, far: `...` or numbers, where in t the search begins and ends.
        steps: at most so many; rays that have not arrived by then miss. Most take a dozen, one that just passes an edge
            a hundred.
        relaxation: factor of steps, 1 up to below 2. Above 1 the march is over-relaxed (Keinert et al., 2014): where
            the balls around successive points do not overlap, a ray goes back, and on with factor 1.
        tolerance: distance at which a ray has arrived, in world units.
        bisections: halvings of the interval between a point outside and one behind the surface.

    Raises:
        InputError: an option out of its range, or distances of another shape than points.

    >>> ray = Rays(origins=jnp.zeros(3), directions=jnp.array([0.0, 0.0, 1.0]), viewdirs=jnp.array([0.0, 0.0, 1.0]),
    ...            radii=jnp.zeros(1), index=jnp.zeros((), int))
    >>> ball = lambda points: jnp.linalg.norm(points - jnp.array([0.0, 0.0, 4.0]), axis=-1) - 1.0
    >>> hits = trace(ball, ray, near=0.0, far=10.0)
    >>> bool(hits.hit), round(float(hits.t), 4)
    (True, 3.0)
    """
    if not 1 <= relaxation < 2:
        raise checks.InputError(f'relaxation: got {relaxation}, expected 1 (plain) to below 2')
    if steps < 1 or bisections < 0 or not tolerance > 0:
        raise checks.InputError(
            f'steps, bisections, tolerance: got {steps}, {bisections}, {tolerance}, expected at least 1, 0 and above 0'
        )
    line = _Line(distance_fn, rays, near, far)
    side = jnp.where(line.distance(line.near) < 0, -1, 1).astype(line.near.dtype)
    start = _March(
        t=line.near,
        before=line.near,
        ball=jnp.zeros_like(line.near),
        factor=jnp.full_like(line.near, relaxation),
        asked=jnp.zeros(line.near.shape, jnp.int32),
        done=jnp.zeros(line.near.shape, bool),
        hit=jnp.zeros(line.near.shape, bool),
    )
    found = _march(line, side, start, steps=steps, tolerance=tolerance)
    t = _refine(line, side, found.t, found.before, tolerance=tolerance, bisections=bisections)
    t, hit, asked = (part.reshape(rays.shape) for part in (jnp.where(found.hit, t, line.far), found.hit, found.asked))
    t = jnp.where(hit, attach(distance_fn, rays, t), t)
    return Hits(t=t, hit=hit, points=_at(rays, t), steps=asked)


def attach(distance_fn: DistanceFn, rays: Rays, t: Array) -> Array:
    """Hits at known parameters `t` `...`, with the gradient that the surface and the rays give them.

    The value is that of t; its derivative is the implicit function's: minus that of the distance at the fixed t, over
    the distance's slope along the ray. Near grazing rays, where hits run away, the slope is bounded from below.
    """
    t = jax.lax.stop_gradient(t)
    value, slope = jax.jvp(lambda s: distance_fn(_at(rays, s)), (t,), (jnp.ones_like(t),))
    least = _SLOPE * safe_norm(rays.directions)
    slope = jnp.where(jnp.abs(slope) < least, jnp.where(slope < 0, -least, least), slope)
    return t - (value - jax.lax.stop_gradient(value)) / jax.lax.stop_gradient(slope)


def normals(distance_fn: DistanceFn, points: Array) -> Array:
    """Unit normals `... 3` at points `... 3`: where the distance grows, by automatic differentiation."""
    return normalize(jax.grad(lambda x: jnp.sum(distance_fn(x)))(points))


def least_distance(
    distance_fn: DistanceFn,
    rays: Rays,
    *,
    near: Array | float,
    far: Array | float,
    steps: int = 64,
    bisections: int = 12,
) -> tuple[Array, Array]:
    """The least distance along each ray, negative where it goes through the inside: by how much it hits or misses.

    The march goes by distances, but through surfaces, by a share of the whole way at least; then the slope is bisected
    around the least sample. The gradient is that at the place found (the place itself is stationary).

    Args:
        distance_fn, rays, near, far: as for `trace`.
        steps: of the march, which sees parts that are at least the whole way over this number long.
        bisections: of the slope.

    Returns:
        Distances `...` and the parameters t `...` where they are.
    """
    line = _Line(distance_fn, rays, near, far)
    share = (line.far - line.near) / steps

    def step(_: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        t, before, best, best_t, low, high = state
        value = line.distance(t)
        onward = jnp.minimum(t + jnp.maximum(jnp.abs(value) / line.speed, share), line.far)
        nearer = value < best
        return (
            onward,
            t,
            jnp.where(nearer, value, best),
            jnp.where(nearer, t, best_t),
            jnp.where(nearer, before, low),
            jnp.where(nearer, onward, high),
        )

    start = line.near
    state = (start, start, jnp.full_like(start, jnp.inf), start, start, start)
    *_, low, high = jax.lax.fori_loop(0, steps + 1, step, state)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        _, slope = jax.jvp(line.distance, (middle,), (jnp.ones_like(middle),))
        return jnp.where(slope < 0, middle, low), jnp.where(slope < 0, high, middle)

    low, high = jax.lax.fori_loop(0, bisections, halve, (low, high))
    t = (0.5 * (low + high)).reshape(rays.shape)
    return distance_fn(_at(rays, t)), t


def render(
    distance_fn: DistanceFn,
    color_fn: ColorFn,
    rays: Rays,
    *,
    near: Array | float,
    far: Array | float,
    background: Array | None = None,
    softness: float | None = None,
    steps: int = 512,
    relaxation: float = 1.0,
    tolerance: float = 1e-4,
) -> Rendering:
    """Draws the surface of a distance function.

    Args:
        distance_fn: see the module.
        color_fn: `(points, normals, viewdirs) -> colours`; view directions go from the eye.
        rays, near, far, steps, relaxation, tolerance: as for `trace`.
        background: `... c` or `c`, put behind; by default none, so that the colour is multiplied by alpha.
        softness: if given, alpha is a sigmoid of the least distance along the ray over this length, in world units, so
            that silhouettes have gradients (not outlines before another surface); else it is 1 where there is a hit.

    Returns:
        A Rendering over `...` with normals (zero where nothing is hit); extras hold 'hit' and 'steps' as in `Hits`.
    """
    hits = trace(distance_fn, rays, near=near, far=far, steps=steps, relaxation=relaxation, tolerance=tolerance)
    points, alpha = hits.points, hits.hit.astype(hits.t.dtype)
    if softness is not None:
        if not softness > 0:
            raise checks.InputError(f'softness: got {softness}, expected a length above 0, or None')
        distance, t = least_distance(distance_fn, rays, near=near, far=far)
        alpha = jax.nn.sigmoid(-distance / softness)
        points = jnp.where(hits.hit[..., None], points, _at(rays, t))
    normal = normals(distance_fn, points)
    rgb = color_fn(points, normal, rays.viewdirs) * alpha[..., None]
    if background is not None:
        rgb = compositing.on_background(rgb, alpha, background)
    return Rendering(
        rgb=rgb,
        alpha=alpha,
        depth=jnp.where(hits.hit, hits.t, 0),
        normal=jnp.where(hits.hit[..., None], normal, 0),
        extras={'hit': hits.hit, 'steps': hits.steps},
    )


class _March(NamedTuple):
    """A search under way, all [n]: the point, the last one known to be outside and its ball, and how it stands."""

    t: Array
    before: Array
    ball: Array
    factor: Array
    asked: Array
    done: Array
    hit: Array


class _Line:
    """What a search sees of rays [n] and distance function: their values, without derivatives."""

    def __init__(self, distance_fn: DistanceFn, rays: Rays, near: Array | float, far: Array | float):
        stop = jax.lax.stop_gradient
        self.origins, self.directions = (stop(leaf).reshape(-1, 3) for leaf in (rays.origins, rays.directions))
        ends = (jnp.broadcast_to(jnp.asarray(end, self.origins.dtype), rays.shape) for end in (near, far))
        self.near, self.far = (stop(end).reshape(-1) for end in ends)
        self.speed = safe_norm(self.directions)
        self._given = distance_fn
        self._called = _without_derivatives(distance_fn, self.origins)
        found = jax.eval_shape(self._called, self.origins).shape
        if found != self.near.shape:
            raise checks.InputError(
                f'distance_fn: got shape {found} for points {self.origins.shape}, expected {self.near.shape}'
            )

    def parts(self, count: int) -> Callable[[Array], '_Line']:
        """What gives some of the rays by their numbers [count]."""
        called = _without_derivatives(self._given, self.origins[:count])

        def part(index: Array) -> '_Line':
            line = copy.copy(self)
            line._called = called
            line.origins, line.directions = self.origins[index], self.directions[index]
            line.near, line.far, line.speed = self.near[index], self.far[index], self.speed[index]
            return line

        return part

    def distance(self, t: Array) -> Array:
        return self._called(self.origins + t[:, None] * self.directions)


def _without_derivatives(fn: DistanceFn, points: Array) -> DistanceFn:
    """The function, for as many points. What it closes over becomes arguments, which loops need not differentiate."""
    called, consts = jax.closure_convert(fn, points)
    consts = jax.lax.stop_gradient(consts)
    return lambda points: called(points, *consts)


def _march(line: _Line, side: Array, start: _March, *, steps: int, tolerance: float) -> _March:
    """The march of all rays. The few that take long go on together, so that the others do not wait for them."""
    count = len(line.near)
    rooms = [room for room in (count // 8, count // 64) if room > _LEAST_ROOM] + [_LEAST_ROOM]
    if count <= _LEAST_ROOM:
        return _advance(line, side, start, steps=steps, more=steps, tolerance=tolerance)
    state = _advance(line, side, start, steps=steps, more=_TOGETHER, tolerance=tolerance)
    for room, enough in zip(rooms, (*rooms[1:], 0)):
        part_of = line.parts(room)

        def some(state: _March, room: int = room, part_of: Callable[[Array], _Line] = part_of) -> _March:
            chosen = compact(~state.done, room)
            index = jnp.minimum(chosen.index, count - 1)
            part = _March(*(leaf[index] for leaf in state))
            part = part._replace(done=part.done | ~chosen.mask)
            part = _advance(part_of(index), side[index], part, steps=steps, more=_TOGETHER, tolerance=tolerance)
            return _March(*(whole.at[chosen.index].set(new, mode='drop') for whole, new in zip(state, part)))

        def more(state: _March, enough: int = enough) -> Array:
            return jnp.sum(~state.done) > enough

        state = jax.lax.while_loop(more, some, state)
    return state


def _advance(line: _Line, side: Array, start: _March, *, steps: int, more: int, tolerance: float) -> _March:
    """Up to `more` steps of rays that are not done; a ray that has had `steps` is done."""

    def going(carry: tuple[Array, _March]) -> Array:
        return (carry[0] < more) & ~jnp.all(carry[1].done)

    def step(carry: tuple[Array, _March]) -> tuple[Array, _March]:
        count, state = carry
        t, before, ball, factor, asked, done, hit = state
        value = side * line.distance(t)
        apart = (factor > 1) & (value + ball < (t - before) * line.speed)
        arrived = ~apart & (value < tolerance)
        ended = arrived | (~apart & (t >= line.far))
        onward = jnp.minimum(t + factor * value / line.speed, line.far)
        moves = ~done & ~ended
        asked = asked + jnp.where(done, 0, 1)
        return count + 1, _March(
            t=jnp.where(moves, jnp.where(apart, before + ball / line.speed, onward), t),
            before=jnp.where(moves & ~apart, t, before),
            ball=jnp.where(moves & ~apart, value, ball),
            factor=jnp.where(moves & apart, 1, factor),
            asked=asked,
            done=done | ended | (asked >= steps),
            hit=jnp.where(done, hit, arrived),
        )

    return jax.lax.while_loop(going, step, (jnp.zeros((), jnp.int32), start))[1]


def _at(rays: Rays, t: Array) -> Array:
    return rays.origins + t[..., None] * rays.directions


def _refine(line: _Line, side: Array, t: Array, before: Array, *, tolerance: float, bisections: int) -> Array:
    """Hits between a point outside and one behind the surface, halved; as they came where none is found behind.

    The other end of the interval is looked for near t, so that a march that ended on the surface, a rounding error
    behind it, is not searched back to its point before.
    """
    behind = side * line.distance(t) <= 0
    way = jnp.where(behind, -1, 1) * tolerance / line.speed

    def probe(k: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        other, found = state
        there = jnp.maximum(t + way * 2.0 ** (k + 1), before)
        crossed = ~found & ((side * line.distance(there) <= 0) != behind)
        return jnp.where(crossed, there, other), found | crossed

    other, found = jax.lax.fori_loop(0, _PROBES, probe, (jnp.where(behind, before, t), behind & False))
    low, high = jnp.where(behind, other, t), jnp.where(behind, t, other)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        inside = side * line.distance(middle) <= 0
        return jnp.where(inside, low, middle), jnp.where(inside, middle, high)

    low, high = jax.lax.fori_loop(0, bisections, halve, (low, high))
    return jnp.where(found | behind, 0.5 * (low + high), t)
