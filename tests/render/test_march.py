import dataclasses
import functools

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, clip, intersect, rotations, transforms
from neurend.geometry.rays import Rays
from neurend.render import march, rasterize, texture
from neurend.scenes import distances, level_sets, primitives

SIZE = 24
EYE = jnp.array([0.3, -3.0, 0.8])


def view(eye=EYE, turn=None, size=SIZE):
    pose = transforms.look_at(eye, jnp.array([0.1, 0.0, 0.05]), jnp.array([0.0, 0.0, 1.0]))
    if turn is not None:
        pose = transforms.from_rt(jnp.matmul(pose[:3, :3], rotations.exp(turn), precision='highest'), pose[:3, 3])
    return cameras.make(pose, 1.2 * size, size=(size, size))


@functools.partial(jax.jit, static_argnames='size')
def rays_of(camera, size=SIZE):
    return cameras.rays(camera, cameras.pixel_centers(size, size))


def towards(origins, directions):
    origins, directions = jnp.asarray(origins), jnp.asarray(directions)
    index = jnp.zeros(origins.shape[:-1], jnp.int32)
    unit = directions / jnp.linalg.norm(directions, axis=-1, keepdims=True)
    return Rays(origins, directions, unit, jnp.zeros((*origins.shape[:-1], 1)), index)


def traced(fn, rays, near=0.5, far=6.0, **options):
    return jax.jit(lambda rays: march.trace(fn, rays, near=near, far=far, **options))(rays)


@pytest.mark.parametrize('relaxation', [1.0, 1.6])
def test_a_ball_is_hit_where_geometry_says(relaxation):
    rays = rays_of(view())
    hits = traced(distances.sphere(1.0), rays, relaxation=relaxation)
    enter, _, meets = intersect.ray_sphere(rays.origins, rays.directions, jnp.zeros(3), 1.0)
    np.testing.assert_array_equal(hits.hit, meets)
    assert 100 < hits.hit.sum() < SIZE**2 - 100
    np.testing.assert_allclose(hits.t[meets], enter[meets], atol=5e-5)
    np.testing.assert_allclose(jnp.linalg.norm(hits.points[meets], axis=-1), 1, atol=2e-6)
    np.testing.assert_array_equal(hits.t[~meets], 6)


def test_directions_need_not_be_unit_and_ends_may_differ():
    rays = rays_of(view())
    long = dataclasses.replace(rays, directions=3.0 * rays.directions)
    fn = distances.torus(0.8, 0.3)
    plain, scaled = traced(fn, rays), traced(fn, long, near=0.5 / 3, far=2.0)
    np.testing.assert_array_equal(plain.hit, scaled.hit)
    np.testing.assert_allclose(plain.t, 3 * scaled.t, atol=2e-4)
    near = jnp.where(jnp.arange(SIZE)[:, None] < SIZE // 2, 0.5, 5.0) * jnp.ones((SIZE, SIZE))
    halves = traced(fn, rays, near=near)
    np.testing.assert_array_equal(halves.hit[: SIZE // 2], plain.hit[: SIZE // 2])
    assert not halves.hit[SIZE // 2 :].any()


def test_rays_from_inside_find_the_way_out():
    directions = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    rays = towards(np.tile(np.array([0.3, 0.2, -0.4], np.float32), (50, 1)), directions)
    hits = traced(distances.sphere(1.0), rays, near=0.0, far=9.0)
    _, leave, _ = intersect.ray_sphere(rays.origins, rays.directions, jnp.zeros(3), 1.0)
    assert hits.hit.all()
    np.testing.assert_allclose(hits.t, leave, rtol=1e-4)


def test_grazing_rays_and_misses_are_finite():
    heights = jnp.array([0.0, 0.9, 0.999, 0.99999, 1.0, 1.00001, 1.0005, 1.1, 5.0])
    origins = jnp.stack([heights, jnp.zeros(9), jnp.full(9, -3.0)], axis=-1)
    rays = towards(origins, jnp.tile(jnp.array([0.0, 0.0, 1.0]), (9, 1)))

    def total(radius, origins):
        moved = dataclasses.replace(rays, origins=origins)
        hits = march.trace(distances.sphere(radius), moved, near=0.0, far=6.0, steps=400)
        return jnp.where(hits.hit, hits.t, 0).sum(), hits

    grads, hits = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(1.0, origins)
    assert hits.hit[:4].all() and not hits.hit[6:].any()
    depth = 3 - jnp.sqrt(jnp.maximum(1 - heights**2, 0))
    np.testing.assert_allclose(hits.t[:2], depth[:2], atol=1e-5)
    np.testing.assert_allclose(hits.t[2:4], depth[2:4], atol=0.015)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    np.testing.assert_array_equal(grads[1][6:], 0)
    # dt/dr = -1 / cos, dt/do = -n / cos.
    np.testing.assert_allclose(grads[1][0], [0, 0, -1], atol=1e-5)
    np.testing.assert_allclose(grads[1][1], [0.9 / np.sqrt(0.19), 0, -1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('mode', ['reverse', 'forward'])
def test_the_implicit_gradient_is_the_unrolled_one(mode):
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(SIZE, SIZE, 4)), jnp.float32)
    plain = rays_of(view())

    def unrolled(fn, rays):
        def step(t, _):
            return t + fn(march._at(rays, t)) / jnp.linalg.norm(rays.directions, axis=-1), None

        return jax.lax.scan(step, jnp.full(rays.shape, 0.5), None, length=60)[0]

    fn = distances.torus(0.7, 0.25)
    hits, others = traced(fn, plain, far=5.0), jax.jit(lambda rays: march._at(rays, unrolled(fn, rays)))(plain)
    # Where rays graze, sixty steps have not arrived.
    facing = jnp.abs((march.normals(fn, hits.points) * plain.viewdirs).sum(-1))
    sure = hits.hit & (facing > 0.3) & (jnp.abs(fn(others)) < 1e-6)
    assert sure.sum() > 80

    def loss(parameters, implicit):
        rays = rays_of(view(EYE + parameters['eye'], parameters['turn']))
        fn = distances.torus(0.7 + parameters['radius'], 0.25 + parameters['tube'])
        t = march.trace(fn, rays, near=0.5, far=5.0).t if implicit else unrolled(fn, rays)
        values = jnp.concatenate([march._at(rays, t), t[..., None]], axis=-1) * weights
        return jnp.where(sure[..., None], values, 0).sum() / sure.sum()

    zero = {'eye': jnp.zeros(3), 'turn': jnp.zeros(3), 'radius': jnp.zeros(()), 'tube': jnp.zeros(())}
    derive = jax.grad if mode == 'reverse' else jax.jacfwd
    ours, theirs = (jax.jit(derive(lambda p, which=which: loss(p, which)))(zero) for which in (True, False))
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(theirs)) > 0.03
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), ours, theirs)


@pytest.mark.slow
def test_gradients_by_differences_in_float64():
    with jax.enable_x64(True):
        pixels = jnp.array([[12.0, 12.0], [9.0, 14.0], [15.0, 11.0]])

        def depth(eye, turn, radius):
            rays = cameras.rays(view(eye, turn), pixels)
            hits = march.trace(
                distances.sphere(radius), rays, near=0.5, far=5.0, tolerance=1e-7, bisections=40, steps=300
            )
            return jnp.concatenate([hits.t, hits.points.ravel()])

        arguments = (jnp.asarray(np.asarray(EYE), jnp.float64), jnp.array([0.01, -0.02, 0.03]), jnp.asarray(1.0))
        jax.test_util.check_grads(jax.jit(depth), arguments, order=1, modes=('fwd', 'rev'), atol=1e-4, rtol=1e-4)


def test_many_scenes_under_one_vmap():
    rays = rays_of(view())
    radii = jnp.array([0.5, 0.8, 1.1])

    def depth(radius):
        hits = march.trace(distances.sphere(radius), rays, near=0.5, far=6.0)
        return jnp.where(hits.hit, hits.t, 0).sum()

    together = jax.jit(jax.vmap(jax.value_and_grad(depth)))(radii)
    for k, radius in enumerate(radii):
        alone = jax.jit(jax.value_and_grad(depth))(radius)
        np.testing.assert_allclose([part[k] for part in together], alone, rtol=1e-4)
    forward = jax.jit(jax.vmap(lambda r: jax.jvp(depth, (r,), (1.0,))[1]))(radii)
    np.testing.assert_allclose(forward, together[1], rtol=1e-4)


def test_relaxed_marches_ask_less_and_find_the_same():
    floor = distances.box((30.0, 30.0, 0.2), jnp.array([0.0, 0.0, -0.8]))
    scene = distances.union(distances.torus(0.7, 0.25), floor)
    low = rays_of(view(jnp.array([0.3, -3.0, -0.5])))
    for rays, relaxation, share in ((rays_of(view()), 1.2, 0.9), (low, 1.6, 0.8)):
        plain, relaxed = (traced(scene, rays, far=12.0, relaxation=w, steps=300) for w in (1.0, relaxation))
        assert plain.hit.sum() > 200
        assert relaxed.steps.sum() < share * plain.steps.sum()
        assert (plain.hit != relaxed.hit).sum() <= 2
        both = plain.hit & relaxed.hit
        np.testing.assert_allclose(plain.t[both], relaxed.t[both], atol=2e-3)
    # The longest steps that are allowed fall back wherever they overshot, and step over nothing.
    far = traced(distances.sphere(0.05), towards([[0.0, 0, -3]], [[0.0, 0, 1]]), near=0.0, relaxation=1.99)
    assert far.hit.all() and float(far.t[0]) == pytest.approx(2.95, abs=1e-4)


def test_too_few_steps_are_a_miss_and_too_small_distances_only_slow():
    rays = rays_of(view())
    few = traced(distances.sphere(1.0), rays, steps=2)
    assert not few.hit.any()
    slow = traced(lambda x: 0.3 * distances.sphere(1.0)(x), rays, steps=300)
    plain = traced(distances.sphere(1.0), rays)
    assert (slow.hit != plain.hit).sum() <= 4 and slow.steps.sum() > 2 * plain.steps.sum()
    both = slow.hit & plain.hit
    np.testing.assert_allclose(slow.t[both], plain.t[both], atol=1e-3)


def test_surfaces_that_steps_jump_over_are_bisected():
    # Distances half again as large as they are: the march ends behind the surface, the bisection on it.
    rays = rays_of(view())
    hits = traced(lambda x: 1.5 * distances.sphere(1.0)(x), rays, bisections=20)
    assert hits.hit.sum() > 100
    np.testing.assert_allclose(jnp.linalg.norm(hits.points[hits.hit], axis=-1), 1, atol=1e-4)


@pytest.mark.slow
def test_agrees_with_the_rasterizer():
    camera = view(size=48)
    rays = rays_of(camera, 48)
    draw = jax.jit(lambda vertices, faces: rasterize.rasterize(vertices, faces, width=48, height=48))
    for mesh, fn in (
        (primitives.sphere(5), distances.sphere(1.0)),
        (primitives.torus(0.8, 0.3, 160, 64), distances.torus(0.8, 0.3)),
    ):
        vertices = np.pad(mesh.vertices, ((0, 10300 - len(mesh.vertices)), (0, 0)))
        faces = jnp.asarray(np.pad(mesh.faces, ((0, 20480 - len(mesh.faces)), (0, 0)), constant_values=-1))
        hits = traced(fn, rays)
        found = draw(clip.from_camera(camera, jnp.asarray(vertices)), faces)
        assert ((found.face >= 0) != hits.hit).sum() <= 6
        _, depth = cameras.project(camera, texture.interpolate(jnp.asarray(vertices), faces, found))
        facing = jnp.abs((march.normals(fn, hits.points) * rays.viewdirs).sum(-1)) > 0.2
        both = (found.face >= 0) & hits.hit & facing
        assert both.sum() > 500
        np.testing.assert_allclose(depth[both], hits.t[both], atol=5e-3)


@pytest.mark.slow
def test_grids_of_distances_are_marched_and_learn():
    rays = rays_of(view())
    low, high = (-1.1, -1.1, -0.5), (1.1, 1.1, 0.5)
    values = jnp.asarray(level_sets.sample(distances.torus(0.7, 0.25), low, high, 40))
    grid, exact = traced(distances.grid(values, low, high), rays), traced(distances.torus(0.7, 0.25), rays)
    assert (grid.hit != exact.hit).sum() <= 6
    facing = jnp.abs((march.normals(distances.torus(0.7, 0.25), exact.points) * rays.viewdirs).sum(-1)) > 0.3
    both = grid.hit & exact.hit & facing
    assert both.sum() > 80
    np.testing.assert_allclose(grid.t[both], exact.t[both], atol=0.02)

    # Moving the level by h moves hits by h over the cosine, whatever corners the rays have met.
    def depth(change):
        hits = march.trace(distances.grid(values + change, low, high), rays, near=0.5, far=6.0)
        return jnp.where(both, hits.t, 0)

    @jax.jit
    def moved(h):
        return depth(jnp.full_like(values, h))

    @jax.jit
    def slopes():
        change = jnp.zeros_like(values)
        return jax.grad(lambda change: depth(change).sum())(change), jax.jvp(depth, (change,), (change + 1,))[1]

    by_corner, along = slopes()
    np.testing.assert_allclose(by_corner.sum(), along.sum(), rtol=1e-4)
    h = 2e-3
    differences = (moved(h) - moved(-h)) / (2 * h)
    # A few rays pass from a rim to what is behind it, or from cell to cell.
    assert (jnp.abs(along - differences) > 0.1 * jnp.abs(differences)).sum() <= 0.08 * both.sum()


def test_the_rays_that_take_long_go_on_together():
    size = 80
    rays = rays_of(view(size=size), size)
    floor = distances.box((4.0, 4.0, 0.1), jnp.array([0.0, 0, -0.7]))

    def depth(tube, rays):
        scene = distances.union(distances.torus(0.8, tube), floor)
        hits = march.trace(scene, rays, near=0.5, far=9.0, steps=200, relaxation=1.2)
        return hits.t.sum(), hits

    trace = jax.jit(jax.grad(depth, has_aux=True))
    slope, together = trace(0.2, rays)
    assert size**2 // 8 > march._LEAST_ROOM and together.steps.max() > 4 * march._TOGETHER
    parts = [trace(0.2, jax.tree.map(lambda leaf, k=k: leaf[k : k + 8], rays)) for k in range(0, size, 8)]
    np.testing.assert_allclose(slope, sum(part for part, _ in parts), rtol=1e-4)
    alone = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *(hits for _, hits in parts))
    np.testing.assert_array_equal(together.hit, alone.hit)
    np.testing.assert_allclose(together.t, alone.t, atol=1e-4)
    apart = jnp.abs(together.steps - alone.steps)
    assert apart.max() <= 2 and (apart > 0).mean() < 0.01


def test_normals_are_those_of_the_shape():
    hits = traced(distances.sphere(0.9), rays_of(view()))
    np.testing.assert_allclose(
        march.normals(distances.sphere(0.9), hits.points)[hits.hit], hits.points[hits.hit] / 0.9, atol=1e-5
    )


def test_the_least_distance_is_that_of_the_line():
    rays = rays_of(view())
    least, t = jax.jit(lambda r: march.least_distance(distances.sphere(0.6), r, near=0.5, far=6.0))(rays)
    nearest, _, _ = intersect.ray_sphere(rays.origins, rays.directions, jnp.zeros(3), 0.0)
    across = jnp.linalg.norm(march._at(rays, nearest), axis=-1) - 0.6
    assert across.min() < -0.5 and across.max() > 0.5
    np.testing.assert_allclose(least, across, atol=1e-4)
    np.testing.assert_allclose(t, nearest, atol=5e-3)


def test_soft_silhouettes_have_the_gradient_of_the_area():
    # The ball's picture is the set of rays within a cone: its area has a closed form, as has the area's derivative.
    size = 64
    camera = cameras.make(transforms.look_at(jnp.array([0.0, -3, 0]), jnp.zeros(3), jnp.array([0.0, 0, 1])), 64.0,
                          size=(size, size))  # fmt: skip
    rays = rays_of(camera, size)

    def area(radius):
        drawn = march.render(
            distances.sphere(radius), lambda x, n, v: jnp.ones_like(x), rays, near=0.5, far=6.0, softness=0.01
        )
        return drawn.alpha.sum()

    def truth(radius):
        return np.pi * (64 * jnp.tan(jnp.arcsin(radius / 3))) ** 2

    np.testing.assert_allclose(jax.jit(area)(0.8), truth(0.8), rtol=0.01)
    expected = jax.grad(truth)(0.8)
    np.testing.assert_allclose(jax.jit(jax.grad(area))(0.8), expected, rtol=0.03)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(area))(0.8), expected, rtol=0.03)


def test_a_rendering_has_everything():
    rays = rays_of(view())
    drawn = jax.jit(
        lambda r: march.render(
            distances.sphere(1.0), lambda x, n, v: 0.5 * n + 0.5, r, near=0.5, far=6.0, background=jnp.ones(3)
        )
    )(rays)
    hits = traced(distances.sphere(1.0), rays)
    np.testing.assert_array_equal(drawn.alpha, hits.hit)
    np.testing.assert_allclose(drawn.depth, jnp.where(hits.hit, hits.t, 0), atol=1e-6)
    np.testing.assert_allclose(drawn.rgb[hits.hit], 0.5 * hits.points[hits.hit] + 0.5, atol=1e-5)
    np.testing.assert_array_equal(drawn.rgb[~hits.hit], 1)
    np.testing.assert_array_equal(drawn.normal[~hits.hit], 0)


def test_bad_input():
    rays = rays_of(view())
    for options, match in (
        ({'relaxation': 2.0}, 'relaxation'),
        ({'steps': 0}, 'steps'),
        ({'tolerance': 0.0}, 'tolerance'),
    ):
        with pytest.raises(InputError, match=match):
            march.trace(distances.sphere(), rays, near=0.0, far=1.0, **options)
    with pytest.raises(InputError, match=r'distance_fn: got shape \(576, 1\)'):
        march.trace(lambda x: distances.sphere()(x)[..., None], rays, near=0.0, far=1.0)
    with pytest.raises(InputError, match='softness'):
        march.render(distances.sphere(), lambda x, n, v: x, rays, near=0.0, far=1.0, softness=0.0)
