import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend import checks
from neurend.geometry import cameras, clip, transforms, triangles
from neurend.numerics import normalize
from neurend.render import texture
from neurend.render.rasterize import rasterize
from neurend.render.shade import classic, lights, shadows, tangents
from neurend.scenes import meshes, primitives

TILT = np.array([0.6, 0.0, 0.8], np.float32)
SQUARE = primitives.plane()
# Of one size, so that all pictures are drawn by one program.
SIDE, PADDED = 128, (642, 1280)


def _scene():
    """A square with sides of 1 at height 1 over a floor."""
    floor = primitives.plane(cells=2, size=3.0)
    above = SQUARE.vertices + np.float32([0, 0, 1])
    return _padded(meshes.join([floor, meshes.Mesh(above, SQUARE.faces)]))


def _padded(mesh):
    return meshes.pad(meshes.Mesh(mesh.vertices, mesh.faces), *PADDED)


def _floor(count=150, size=3.0):
    steps = (np.arange(count) + 0.5) / count * size - size / 2
    return np.stack([*np.meshgrid(steps, steps), np.zeros((count, count))], axis=-1).astype(np.float32)


def _lamp(place, focal, side):
    pose = transforms.look_at(jnp.asarray(place), jnp.zeros(3), jnp.array([0.0, 1, 0]))
    return cameras.make(pose, focal, size=(side, side))


# Not compiled as a whole: both kinds of cameras and the picture share the rasterizer's own program.
DRAW = functools.partial(shadows.shadow_map, width=SIDE, height=SIDE)
VISIBLE = jax.jit(shadows.visibility, static_argnames='taps')


@pytest.mark.parametrize('kind', ['directional', 'point'])
def test_a_square_over_a_floor_casts_its_shadow(kind):
    scene, floor = _scene(), _floor()
    if kind == 'directional':
        direction = jnp.array([0.3, -0.2, 1.0])
        camera = shadows.directional_camera(direction, scene.vertices, side=SIDE)
        middle, half = np.array([-0.3, 0.2]), 0.5
        texel = 1.07 / float(camera.focal[0])  # stretched on the floor
    else:
        camera = _lamp([0.0, 0, 3], 110.0, SIDE)
        middle, half, texel = np.zeros(2), 0.75, 3 / 110
    visible = np.asarray(VISIBLE(DRAW(camera, scene.vertices, scene.faces), floor))
    # How far inside the shadow's edges, in units of the world.
    inside = half - np.abs(floor[..., :2] - middle).max(-1)
    assert (visible[inside > texel] < 1e-6).all()
    assert (visible[inside < -texel] == 1).all()
    np.testing.assert_allclose((1 - visible).sum() * (3 / 150) ** 2, (2 * half) ** 2, rtol=0.01)
    # Wider filters blur the edge and keep the area.
    wide = np.asarray(VISIBLE(DRAW(camera, scene.vertices, scene.faces), floor, taps=5))
    np.testing.assert_allclose((1 - wide).sum() * (3 / 150) ** 2, (2 * half) ** 2, rtol=0.01)
    assert ((wide > 0.01) & (wide < 0.99)).sum() > 2 * ((visible > 0.01) & (visible < 0.99)).sum()
    assert ((inside < -3 * texel) <= (wide == 1)).all() and ((inside > 3 * texel) <= (wide < 1e-6)).all()


@pytest.mark.slow
def test_lit_surfaces_do_not_shade_themselves():
    floor = _padded(primitives.plane(cells=3, size=3.0))
    places = _floor(size=2.8)
    for height in (2.0, 0.3, 0.05):
        direction = normalize(jnp.array([1, 0.4, height]))
        sun = shadows.directional_camera(direction, floor.vertices, side=SIDE)
        for camera in (sun, _lamp(4 * direction, 100.0, SIDE)):
            seen = DRAW(camera, floor.vertices, floor.faces)
            for taps in (2, 5):
                assert (np.asarray(VISIBLE(seen, places, taps=taps)) == 1).all()


def test_a_ball_is_dark_behind():
    ball = _padded(primitives.sphere(3))
    direction = normalize(jnp.array([0.4, -0.7, 0.5]))
    camera = shadows.directional_camera(direction, ball.vertices, side=SIDE)
    places = triangles.corners(ball.vertices, ball.faces).mean(1)
    visible = np.asarray(VISIBLE(DRAW(camera, ball.vertices, ball.faces), places, bias=0.01))
    cosine = np.asarray(triangles.face_normals(ball.vertices, ball.faces) @ direction)
    assert (visible[cosine > 0.5] == 1).all()
    assert visible[cosine > 0.3].mean() > 0.99
    assert (visible[cosine < -0.4] < 1e-6).all()


def test_beyond_the_map_all_is_lit_and_nothing_has_a_gradient():
    scene, camera = _scene(), _lamp([0.0, 0, 3], 110.0, SIDE)
    outside = jnp.array([[9.0, 0, 0], [0, 0, 4], [0, 0, 3]])
    seen = DRAW(camera, scene.vertices, scene.faces)
    np.testing.assert_array_equal(VISIBLE(seen, outside), 1)

    def loss(vertices, places):
        return shadows.visibility(DRAW(camera, vertices, scene.faces), places).sum()

    for gradient in jax.jit(jax.grad(loss, (0, 1)))(jnp.asarray(scene.vertices), jnp.asarray([[0.75, 0, 0]])):
        assert (np.asarray(gradient) == 0).all()


def test_a_picture_with_normal_map_lights_and_shadows():
    mesh, scene = meshes.pad(primitives.plane(size=3.0), *PADDED, 4), _scene()
    camera = cameras.make(
        transforms.look_at(jnp.array([0.0, 0, -5]), jnp.zeros(3), jnp.array([0.0, 1, 0])), 80.0, size=(SIDE, SIDE)
    )
    suns = lights.Directional(normalize(jnp.array([[0.0, 0, 1], [0.3, -0.2, 1]])), jnp.pi * jnp.eye(3)[:2])
    maps = [shadows.directional_camera(d, scene.vertices, side=SIDE) for d in suns.directions]
    maps = [DRAW(c, scene.vertices, scene.faces) for c in maps]
    maps = jax.tree.map(lambda *leaves: jnp.stack(leaves), *maps)

    # From below, where the square does not hide the floor.
    found = rasterize(clip.from_camera(camera, mesh.vertices), mesh.faces, width=SIDE, height=SIDE)

    @jax.jit
    def draw(vertices, found):
        along = tangents.tangents(vertices, mesh.faces, mesh.uvs, mesh.uv_faces)
        attributes = [(vertices, mesh.faces), (along, mesh.uv_faces), (mesh.uvs, mesh.uv_faces)]
        places, along, uv = (texture.interpolate(values, faces, found) for values, faces in attributes)
        texels = texture.bilinear(jnp.broadcast_to(jnp.asarray((TILT + 1) / 2), (4, 4, 3)), uv)
        up = jnp.broadcast_to(jnp.array([0, 0, 1.0]), places.shape)
        normals = tangents.perturb(up, along, texels)
        visible = jax.vmap(lambda s: shadows.visibility(s, places))(maps)
        matte = functools.partial(classic.lambert, albedo=jnp.ones(3))
        return places, found.face >= 0, lights.shade(matte, normals, up, suns, visibility=visible)

    places, shown, picture = (np.asarray(x) for x in draw(mesh.vertices, found))
    assert shown.sum() > 1500
    cosines = np.array([0.8, (0.6 * 0.3 + 0.8) / np.sqrt(1.13)])
    for k, middle in enumerate(([0.0, 0.0], [-0.3, 0.2])):
        inside = 0.5 - np.abs(places[..., :2] - np.array(middle)).max(-1)
        np.testing.assert_allclose(picture[..., k][shown & (inside < -0.07)], cosines[k], rtol=1e-4)
        np.testing.assert_allclose(picture[..., k][shown & (inside > 0.07)], 0, atol=1e-6)


@pytest.mark.parametrize(
    'call, message',
    [
        (
            lambda c, s: shadows.shadow_map(c.replace(model='opencv'), s.vertices, s.faces, width=8, height=8),
            'model: got',
        ),
        (
            lambda c, s: shadows.visibility(
                shadows.ShadowMap(c, jnp.ones((8, 8)), jnp.ones((8, 8, 2))), jnp.zeros(3), taps=1
            ),
            'taps: got 1',
        ),
        (lambda c, s: shadows.directional_camera(jnp.ones(2), s.vertices, side=8), 'direction: got shape'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(checks.InputError, match=message):
        call(_lamp([0.0, 0, 3], 110.0, SIDE), SQUARE)
