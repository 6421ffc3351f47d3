import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.numerics import normalize
from neurend.render.shade import tangents
from neurend.scenes import primitives

TILT = np.array([0.6, 0.0, 0.8], np.float32)
SQUARE = primitives.plane()


@jax.jit
def _tilted(uvs, texel, strength=1.0):
    """Normals at the corners of a square that faces +z."""
    along = tangents.tangents(SQUARE.vertices, SQUARE.faces, uvs, SQUARE.uv_faces)
    normals = jnp.broadcast_to(jnp.array([0, 0, 1.0]), (4, 3))
    return tangents.perturb(normals, along, texel, strength=strength)


@pytest.mark.parametrize(
    'uvs, tilt',
    [
        (SQUARE.uvs, [0.6, 0, 0.8]),
        (SQUARE.uvs * np.float32([-1, 1]) + 1, [-0.6, 0, 0.8]),
        (SQUARE.uvs * np.float32([1, -3]), [0.6, 0, 0.8]),
        (SQUARE.uvs[:, ::-1] * np.float32([1, -1]), [0, 0.6, 0.8]),
        (0 * SQUARE.uvs, [0, 0, 1]),
    ],
    ids=['plain', 'mirrored u', 'mirrored v', 'turned', 'without area'],
)
def test_a_tilt_along_u_on_a_plane(uvs, tilt):
    np.testing.assert_allclose(_tilted(uvs, (TILT + 1) / 2), 4 * [tilt], atol=1e-6)
    np.testing.assert_allclose(_tilted(uvs, (TILT + 1) / 2, 0.0), 4 * [[0, 0, 1]], atol=1e-6)


def test_a_tilt_along_v_is_upwards_in_the_texture_mirrored_or_not():
    for uvs in (SQUARE.uvs, SQUARE.uvs * np.float32([-1, 1])):
        np.testing.assert_allclose(_tilted(uvs, jnp.array([0.5, 0.8, 0.9])), 4 * [[0, 0.6, 0.8]], atol=1e-6)


def test_bumps_on_a_ring_are_those_of_the_displaced_ring():
    radius, tube, height = 1.0, 0.4, 1e-3
    mesh = primitives.torus(radius, tube, around=96, across=64)

    def surface(uv, height):
        u, v = 2 * jnp.pi * uv
        outward = jnp.array([jnp.cos(u) * jnp.cos(v), jnp.sin(u) * jnp.cos(v), jnp.sin(v)])
        place = jnp.array([radius * jnp.cos(u), radius * jnp.sin(u), 0]) + tube * outward
        return place + height * jnp.sin(40 * u + 1) * jnp.cos(30 * v) * outward

    def normal(uv, height):
        du, dv = jax.jacfwd(surface)(uv, height).T
        return normalize(jnp.cross(du, dv)), jnp.linalg.norm(du), jnp.linalg.norm(dv)

    def slopes(uv):
        return jax.grad(lambda uv: height * jnp.sin(80 * jnp.pi * uv[0] + 1) * jnp.cos(60 * jnp.pi * uv[1]))(uv)

    @jax.jit
    def compare(uvs):
        smooth, du, dv = jax.vmap(lambda uv: normal(uv, 0.0))(uvs)
        slope = jax.vmap(slopes)(uvs) / jnp.stack([du, dv], axis=-1)
        local = normalize(jnp.concatenate([-slope, jnp.ones_like(slope[:, :1])], axis=-1))
        along = tangents.tangents(mesh.vertices, mesh.faces, uvs, mesh.uv_faces)
        want = jax.vmap(lambda uv: normal(uv, height)[0])(uvs)
        return tangents.perturb(smooth, along, (local + 1) / 2), want, smooth

    got, want, smooth = compare(jnp.asarray(mesh.uvs))
    assert np.abs(smooth - want).max() > 0.06
    np.testing.assert_allclose(got, want, atol=4e-3)


def test_degenerate_meshes_and_pixels_have_finite_gradients():
    faces, uv_faces = np.array([[0, 1, 2], [0, 0, 1], [-1, -1, -1]]), np.array([[0, 1, 2], [0, 1, 2], [-1, -1, -1]])

    def loss(vertices, uvs, normals):
        along = tangents.tangents(vertices, faces, uvs, uv_faces)
        return tangents.perturb(normals, along, jnp.full((3, 3), 0.7)).sum()

    gradient = jax.jit(jax.grad(loss, argnums=range(3)))
    shape = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3)), jnp.float32)
    for scale in (0.0, 1.0):
        found = gradient(scale * shape, scale * shape[:, :2], scale * shape)
        assert all(np.all(np.isfinite(x)) for x in found)


@pytest.mark.parametrize(
    'call, message',
    [
        (lambda s: tangents.tangents(s.vertices, s.faces, s.uvs, s.uv_faces[:1]), 'uv_faces: got shape'),
        (lambda s: tangents.perturb(s.vertices, s.vertices, s.vertices), 'tangents: got shape'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(checks.InputError, match=message):
        call(SQUARE)
