import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.geometry import cameras, transforms
from neurend.render import tiled, volume
from neurend.render.rendering import Rendering


def _camera(width, height, model='pinhole'):
    pose = transforms.look_at(jnp.array([0.0, -3.0, 0.5]), jnp.zeros(3), jnp.array([0.0, 0.0, 1.0]))
    focal = {'equirectangular': width / 6.3, 'orthographic': width / 3}.get(model, float(width))
    return cameras.make(pose, focal, size=(width, height), model=model)


def _render(scale, rays):
    def field_fn(points, directions):
        density = scale * 4 * jnp.exp(-3 * jnp.sum(points**2, axis=-1))
        return density, jax.nn.sigmoid(points + directions)

    edges = jnp.broadcast_to(jnp.linspace(1.0, 5.0, 25), (*rays.shape, 25))
    return volume.integrate(field_fn, rays, edges, background=jnp.ones(3))


def _bare(rays):
    """Shows the rays themselves."""
    points = rays.origins + 2 * rays.directions
    return Rendering(
        rgb=jnp.sin(points),
        alpha=rays.viewdirs[:, 0],
        depth=points[:, 1] + rays.radii[:, 0],
        weights=points,
        extras={'all': points},
    )


@pytest.mark.parametrize('model', ['pinhole', 'opencv', 'fisheye', 'orthographic', 'equirectangular'])
def test_tiled_equals_untiled(model, monkeypatch):
    monkeypatch.setattr(tiled, '_LARGEST_CHUNK', 64)  # an image of several chunks and a rest
    camera = _camera(19, 13, model)
    rays = cameras.rays(camera, cameras.pixel_centers(19, 13))
    whole = _bare(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), rays))
    image = tiled.full_image(_bare, camera)
    assert isinstance(image.rgb, np.ndarray) and image.rgb.shape == (13, 19, 3) and image.alpha.shape == (13, 19)
    for name in ('rgb', 'alpha', 'depth'):
        want = getattr(whole, name)
        np.testing.assert_allclose(getattr(image, name), want.reshape(13, 19, *want.shape[1:]), rtol=1e-5, atol=1e-6)
    assert image.median is None and image.weights is None and image.edges is None and image.extras == {}


def test_one_chunk_and_one_compilation_for_all_sizes_and_states():
    traces = []

    def render(scale, rays):
        traces.append(rays.shape)
        return _render(scale, rays)

    tiler = tiled.Tiler(render, memory_mb=300)
    first = tiler(jnp.float32(1.0), _camera(12, 10)).alpha
    count = len(traces)
    other = tiler(jnp.float32(2.0), _camera(12, 10)).alpha
    for width, height in ((10, 12), (1, 1), (40, 30)):
        assert tiler(jnp.float32(1.0), _camera(width, height)).rgb.shape == (height, width, 3)
    assert len(traces) == count == 1
    assert (other > first).all()


def test_the_chunk_follows_the_budget():
    camera = _camera(64, 64)
    chunks, images = [], []
    for memory_mb in (135, 150, 1000):
        sizes = []

        def render(weights, rays, sizes=sizes):
            sizes.append(rays.shape[0])
            hidden = jnp.sin(rays.viewdirs @ weights)  # 8 kB a ray that two matrix products keep XLA from fusing away
            return Rendering(rgb=hidden @ weights.T, alpha=rays.viewdirs[:, 0], depth=rays.viewdirs[:, 1])

        weights = jax.random.normal(jax.random.key(0), (3, 2000))
        images.append(tiled.Tiler(render, memory_mb=memory_mb)(weights, camera).rgb)
        chunks.append(sizes[-1])
        assert chunks[-1] * 8000 <= (0.8 * memory_mb - 100) * 1e6
    assert chunks[0] < chunks[1] < chunks[2] == 64 * 64
    np.testing.assert_allclose(chunks[1] / chunks[0], 20 / 8, rtol=0.2)
    np.testing.assert_allclose(images[0], images[2], rtol=1e-4, atol=1e-4)


def test_states_on_a_mesh():
    mesh = jax.make_mesh((2,), ('data',), devices=jax.devices()[:2], axis_types=(jax.sharding.AxisType.Auto,))
    tiler = tiled.Tiler(_render, memory_mb=300)
    alone = tiler(jnp.float32(1.0), _camera(8, 8))
    replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    for _ in range(2):
        shared = tiler(jax.device_put(jnp.float32(1.0), replicated), _camera(8, 8))
        np.testing.assert_allclose(shared.rgb, alone.rgb, rtol=1e-6)


def test_index_reaches_the_rays():
    def render(rays):
        return Rendering(
            rgb=jnp.broadcast_to(rays.index[:, None].astype(float), (*rays.shape, 3)),
            alpha=jnp.ones(rays.shape),
            depth=rays.viewdirs[:, 2],
        )

    image = tiled.full_image(render, _camera(3, 2), index=-1)
    assert (image.rgb == -1).all() and image.median is None


def test_errors_say_what_was_expected():
    with pytest.raises(checks.InputError, match='memory_mb: got 0'):
        tiled.Tiler(_render, memory_mb=0)
    with pytest.raises(checks.InputError, match='memory_mb: got 100, expected at least about 1[0-9][0-9]'):
        tiled.Tiler(_render, memory_mb=100)(jnp.float32(1), _camera(8, 8))
    several = jax.tree.map(lambda leaf: leaf[None], _camera(8, 8))
    with pytest.raises(checks.InputError, match=r'camera.focal: got shape \(1, 2\)'):
        tiled.full_image(lambda rays: _render(1.0, rays), several)
