import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from neurend import checks
from neurend.geometry import cameras, intersect, transforms
from neurend.render import volume

DENSITY, RADIUS = 2.0, 1.0
# Compiled once per field, for the time that operation by operation takes.
integrate = jax.jit(volume.integrate, static_argnums=0)
integrate_compacted = jax.jit(volume.integrate_compacted, static_argnums=0, static_argnames='budget')


def ball(points, directions):
    """A ball of constant density whose colour is its position."""
    inside = jnp.sum(points**2, axis=-1) < RADIUS**2
    return jnp.where(inside, DENSITY, 0.0), 0.5 + 0.5 * points


def smooth(points, directions):
    """Density and colour without corners, for gradients; the colour depends on the view."""
    density = 3 * jnp.exp(-2 * jnp.sum(points**2, axis=-1))
    return density, jax.nn.sigmoid(jnp.sin(2 * points) + directions)


def _camera(model='pinhole', *, size=8, distortion=None):
    eye = jnp.array([0.5, -3.0, 1.0])
    pose = transforms.look_at(eye, jnp.zeros(3), jnp.array([0.0, 0.0, 1.0]))
    return cameras.make(pose, 1.2 * size, size=(size, size), model=model, distortion=distortion)


def _rays(size=8):
    camera = _camera(size=size)
    return cameras.rays(camera, cameras.pixel_centers(size, size))


def _edges(rays, n, near=1.0, far=6.0):
    return jnp.broadcast_to(jnp.linspace(near, far, n + 1, dtype=rays.origins.dtype), (*rays.shape, n + 1))


def test_ball_of_constant_density():
    rays = _rays()
    enter, leave, hit = intersect.ray_sphere(rays.origins, rays.directions, jnp.zeros(3), RADIUS)
    chord = jnp.where(hit, (leave - enter) * jnp.linalg.norm(rays.directions, axis=-1), 0.0)
    rendering = jax.jit(lambda rays: volume.integrate(ball, rays, _edges(rays, 2000)))(rays)
    assert hit.sum() > 20 and (~hit).sum() > 10
    np.testing.assert_allclose(rendering.alpha, -jnp.expm1(-DENSITY * chord), atol=6e-3)
    # Where the light halves: log(2 / (1 + exp(-density chord))) / density behind the front.
    half = jnp.log(2 / (1 + jnp.exp(-DENSITY * chord))) / DENSITY / jnp.linalg.norm(rays.directions, axis=-1)
    np.testing.assert_allclose(rendering.median[hit], (enter + half)[hit], atol=6e-3)
    np.testing.assert_allclose(rendering.weights.sum(-1), rendering.alpha, rtol=1e-6)


def test_does_not_depend_on_the_frame():
    rays = _rays(4)
    motion = transforms.look_at(jnp.array([1.0, 2.0, 3.0]), jnp.zeros(3), jnp.array([0.0, 1.0, 0.2]))

    def moved_field(points, directions):
        return smooth(transforms.apply_inverse(motion, points), transforms.rotate_back(motion, directions))

    moved = rays.replace(
        origins=transforms.apply(motion, rays.origins),
        directions=transforms.rotate(motion, rays.directions),
        viewdirs=transforms.rotate(motion, rays.viewdirs),
    )
    background = jnp.array([0.1, 0.5, 0.9])
    edges = _edges(rays, 32)
    a = integrate(smooth, rays, edges, background=background)
    b = integrate(moved_field, moved, edges, background=background)
    for name in ('rgb', 'alpha', 'depth', 'median'):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-4, atol=1e-5)


def test_length_of_directions_does_not_matter():
    rays = _rays(4)
    a = integrate(smooth, rays, _edges(rays, 16))
    b = integrate(smooth, rays.replace(directions=2 * rays.directions), 0.5 * _edges(rays, 16))
    np.testing.assert_allclose(a.rgb, b.rgb, rtol=1e-5)
    np.testing.assert_allclose(a.depth, 2 * b.depth, rtol=1e-5)


@pytest.mark.parametrize('model', ['pinhole', 'opencv', 'fisheye'])
def test_gradients_with_respect_to_every_camera_quantity(model):
    """Through camera, field and compositing, both modes agree with central differences."""
    with jax.enable_x64(True):
        distortion = None if model == 'pinhole' else jnp.array([0.05, -0.02, 0.01, 0.005, 0.01, -0.02])
        camera = _camera(model, distortion=distortion)
        camera = jax.tree.map(lambda leaf: leaf.astype(float) if leaf.dtype != jnp.int32 else leaf, camera)
        pixels = jnp.array([[1.5, 2.5], [6.2, 3.1], [4.0, 4.0]])
        truth = jnp.array([[0.2, 0.5, 0.7], [0.9, 0.1, 0.4], [0.3, 0.3, 0.3]])

        def loss(motion, focal, center, distortion):
            moved = camera.replace(
                world_from_camera=camera.world_from_camera @ transforms.se3_exp(motion),
                focal=focal,
                center=center,
                distortion=distortion,
            )
            rays = cameras.rays(moved, pixels)
            rendering = volume.integrate(smooth, rays, _edges(rays, 24), background=jnp.ones(3))
            return jnp.mean((rendering.rgb - truth) ** 2) + 0.1 * rendering.depth.mean()

        quantities = (0.1 * jnp.arange(6.0), camera.focal, camera.center, camera.distortion)
        gradients = jax.jit(jax.grad(loss, argnums=(0, 1, 2, 3)))(*quantities)
        forward = jax.jit(jax.jacfwd(loss, argnums=(0, 1, 2, 3)))(*quantities)
        used = (True, True, True, model != 'pinhole')
        jitted = jax.jit(loss)
        for i, name in enumerate(('pose', 'focal', 'center', 'distortion')):
            np.testing.assert_allclose(gradients[i], forward[i], rtol=1e-9, atol=1e-15)
            step = 1e-5 * max(1.0, float(jnp.abs(quantities[i]).max()))
            differences = np.zeros(quantities[i].shape)
            for k in range(quantities[i].size):
                moved = (quantities[i].at[k].add(sign * step) for sign in (1, -1))
                up, down = (jitted(*quantities[:i], quantity, *quantities[i + 1 :]) for quantity in moved)
                differences[k] = (up - down) / (2 * step)
            scale = np.abs(differences).max()
            assert (scale > 1e-6) == used[i], name
            np.testing.assert_allclose(gradients[i], differences, rtol=1e-4, atol=1e-6 * scale, err_msg=name)


@pytest.mark.parametrize(('share', 'budget'), [(0.3, 256), (0.0, 16), (1.0, 256)])
def test_compaction_finds_the_first_live_places(share, budget):
    live = jax.random.uniform(jax.random.key(0), (200,)) < share
    chosen = volume.compact(live, budget)
    places = np.flatnonzero(live)
    np.testing.assert_array_equal(chosen.index[: len(places)], places)
    np.testing.assert_array_equal(chosen.index[len(places) :], 200)
    np.testing.assert_array_equal(chosen.mask, np.arange(budget) < len(places))
    assert chosen.overflow == 0 and (chosen.kept == live).all()


def _occupied(rays, edges, radius=RADIUS):
    middles = 0.5 * (edges[..., 1:] + edges[..., :-1])
    points = rays.origins[..., None, :] + middles[..., None] * rays.directions[..., None, :]
    return jnp.sum(points**2, axis=-1) < radius**2


def _flat(rays):
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), rays)


def test_compacted_equals_dense():
    rays = _flat(_rays())
    edges = _edges(rays, 40)
    live = _occupied(rays, edges)
    background = jnp.array([1.0, 0.0, 0.5])
    dense = integrate(ball, rays, edges, background=background)
    compacted = integrate_compacted(ball, rays, edges, live, budget=1024, background=background)
    assert compacted.extras['overflow'] == 0 and compacted.extras['complete'].all()
    for name in ('rgb', 'alpha', 'depth', 'median', 'weights'):
        np.testing.assert_allclose(getattr(compacted, name), getattr(dense, name), rtol=1e-6, atol=1e-7)


def test_compacted_gradients_equal_dense_ones_and_survive_bad_unused_places():
    rays = _flat(_rays(4))
    edges = _edges(rays, 12)
    live = _occupied(rays, edges)

    def loss(scale, integrate, **options):
        def field_fn(points, directions):
            density, rgb = ball(points, directions)
            # Its gradient is not finite outside the ball, where no live sample is.
            inside = jnp.sqrt(scale * (jnp.sum(points**2, -1) < RADIUS**2))
            return density * inside, rgb * scale

        return (integrate(field_fn, rays, edges, **options).rgb ** 2).sum()

    compacted = jax.jit(lambda s: loss(s, volume.integrate_compacted, live=live, budget=256))
    dense = jax.jit(lambda s: loss(s, volume.integrate))
    np.testing.assert_allclose(compacted(1.3), dense(1.3), rtol=1e-6)
    assert jnp.isnan(jax.grad(dense)(1.3))
    difference = (dense(1.3 + 1e-2) - dense(1.3 - 1e-2)) / 2e-2
    np.testing.assert_allclose(jax.grad(compacted)(1.3), difference, rtol=1e-3)


def test_overflow_is_reported_and_spares_complete_rays():
    rays = _flat(_rays())
    edges = _edges(rays, 40)
    live = _occupied(rays, edges)
    count = int(live.sum())
    cut = integrate_compacted(ball, rays, edges, live, budget=count // 2)
    assert cut.extras['overflow'] == count - count // 2
    complete = np.asarray(cut.extras['complete'])
    assert 0 < complete.sum() < len(complete)
    dense = integrate(ball, rays, edges)
    np.testing.assert_allclose(cut.rgb[complete], dense.rgb[complete], rtol=1e-6, atol=1e-7)
    assert (cut.alpha[~complete] < dense.alpha[~complete]).all()


def test_one_compilation_whatever_is_live():
    rays = _flat(_rays())
    edges = _edges(rays, 40)
    traces = []

    @jax.jit
    def render(live):
        traces.append(1)
        return volume.integrate_compacted(ball, rays, edges, live, budget=512).alpha

    totals = [float(render(_occupied(rays, edges, radius)).sum()) for radius in (0.0, 0.3, 0.7, 1.0)]
    assert totals == sorted(set(totals)) and totals[0] == 0.0
    assert len(traces) == 1 and render._cache_size() == 1


def test_dropping_what_light_does_not_reach_changes_little():
    rays = _flat(_rays())
    edges = _edges(rays, 64)

    def fog(points, directions):
        density, rgb = ball(points, directions)
        return 20 * density, rgb

    dense = integrate(fog, rays, edges)
    density = jnp.where(_occupied(rays, edges), 20 * DENSITY, 0.0)
    deltas = jnp.diff(edges) * jnp.linalg.norm(rays.directions, axis=-1, keepdims=True)
    live = volume.visible(density, deltas, min_transmittance=1e-3) & (density > 0)
    assert live.sum() < 0.4 * _occupied(rays, edges).sum()
    early = integrate_compacted(fog, rays, edges, live, budget=512)
    assert early.extras['overflow'] == 0
    np.testing.assert_allclose(early.alpha, dense.alpha, atol=1e-3)
    np.testing.assert_allclose(early.rgb, dense.rgb, atol=1e-3)


def test_integrate_gradients_to_the_field():
    with jax.enable_x64(True):
        rays = jax.tree.map(lambda x: x.astype(float) if x.dtype != jnp.int32 else x, _rays(2))

        def render(scale):
            def field_fn(points, directions):
                density, rgb = smooth(points, directions)
                return scale[0] * density, scale[1] * rgb

            result = volume.integrate(field_fn, rays, _edges(rays, 8), background=jnp.ones(3))
            return (result.rgb**2).sum() + result.median.sum()

        check_grads(jax.jit(render), (jnp.array([1.2, 0.8]),), order=1, modes=('fwd', 'rev'), rtol=1e-5)


def test_errors_say_what_was_expected():
    rays = _flat(_rays(2))
    with pytest.raises(checks.InputError, match=r'edges: got shape \(4, 9\), expected \(r=4, k=10\)'):
        volume.integrate_compacted(ball, rays, _edges(rays, 8), jnp.ones((4, 9), bool), budget=4)
    with pytest.raises(checks.InputError, match=r'live: got shape \(2, 2\), expected \(n,\)'):
        volume.compact(jnp.ones((2, 2), bool), 3)
    with pytest.raises(checks.InputError, match='budget: got 0'):
        volume.compact(jnp.ones(2, bool), 0)
    with pytest.raises(checks.InputError, match=r'density: got shape'):
        volume.composite(jnp.ones((4, 8)), jnp.ones((4, 8, 3)), _edges(rays, 9), rays.directions)
