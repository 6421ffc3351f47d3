import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.render import texture
from neurend.scenes import atlas
from neurend.scenes.meshes import Material, Mesh

SQUARE = np.array([[0, 1, 2], [0, 2, 3]])


def quads(*boxes):
    """A mesh of squares apart, whose UVs fill the boxes (left, bottom, right, top)."""
    vertices, uvs = [], []
    for k, (left, bottom, right, top) in enumerate(boxes):
        vertices += [[2 * k, 0, 0], [2 * k + 1, 0, 0], [2 * k + 1, 1, 0], [2 * k, 1, 0]]
        uvs += [[left, bottom], [right, bottom], [right, top], [left, top]]
    faces = np.concatenate([SQUARE + 4 * k for k in range(len(boxes))]).astype(np.int32)
    return Mesh(np.array(vertices, np.float32), faces, uvs=np.array(uvs, np.float32), uv_faces=faces)


def test_charts_are_the_texels_whose_centres_lie_in_a_triangle():
    rng = np.random.default_rng(0)
    uvs = rng.uniform(0, 1, (12, 2))
    faces = np.concatenate([np.arange(12).reshape(4, 3), [[-1, -1, -1], [0, 1, -1]]])
    got = atlas.charts(uvs, faces, 40)
    u, v = np.meshgrid((np.arange(40) + 0.5) / 40, 1 - (np.arange(40) + 0.5) / 40)
    want = np.zeros((40, 40), bool)
    for a, b, c in uvs.reshape(4, 3, 2):
        sides = [(q[0] - p[0]) * (v - p[1]) - (q[1] - p[1]) * (u - p[0]) for p, q in ((a, b), (b, c), (c, a))]
        want |= np.all([side > 0 for side in sides], axis=0) | np.all([side < 0 for side in sides], axis=0)
    assert 0.2 < want.mean() < 0.9
    np.testing.assert_array_equal(got, want)


def test_a_triangulated_square_covers_each_texel_once():
    """Points inside in random order: faces share edges, and on some of them lie centres of texels."""
    rng = np.random.default_rng(0)
    side, cells = 32, 8
    corners = np.stack(np.meshgrid(np.arange(cells + 1.0), np.arange(cells + 1.0)), axis=-1)
    corners[1:-1, 1:-1] += rng.choice([0, 0.125, 0.25, 0.37], (cells - 1, cells - 1, 2))
    index = np.arange((cells + 1) ** 2).reshape(cells + 1, cells + 1)
    a, b, c, d = (index[i : i + cells, j : j + cells].ravel() for i, j in ((0, 0), (0, 1), (1, 1), (1, 0)))
    faces = np.concatenate([np.stack([a, b, c], -1), np.stack([a, d, c], -1)])  # half of them mirrored
    mesh = Mesh(np.zeros((len(faces), 3), np.float32), faces, corners.reshape(-1, 2) / cells, faces)
    mesh = mesh.replace(vertices=np.zeros((index.size, 3), np.float32))
    assert atlas.check(mesh, side=side) == 0
    assert atlas.charts(mesh.uvs, mesh.uv_faces, side).all()


def test_the_share_of_texels_that_places_have_in_common():
    halves = (0, 0, 0.5, 1), (0.25, 0, 0.75, 1)
    assert atlas.check(quads(*halves), side=32) == pytest.approx(1 / 3)
    assert atlas.check(quads(halves[0], halves[0]), side=32) == 1
    # Coordinates beyond the texture repeat it: here the square meets itself in a quarter of all texels.
    wide = quads((-0.25, 0.5, 1.0, 1.5))
    assert atlas.check(wide, side=32) == pytest.approx(0.25)
    assert atlas.charts(wide.uvs, wide.uv_faces, 32).all()
    assert atlas.check(quads((3, 2, 5, 3)), side=32) == 1  # twice around
    assert atlas.check(quads((0.75, 0.0, 1.25, 0.5), (0, 0.5, 1, 1)), side=32) == 0


def test_dilation_continues_a_texture_evenly():
    covered = np.zeros((9, 9), bool)
    covered[4, 4] = True
    image = np.where(covered[..., None], 5.0, np.nan).astype(np.float32)
    got = np.asarray(atlas.dilate(image, covered, 2))[..., 0]
    np.testing.assert_allclose(got[2:7, 2:7], 5.0)
    assert np.isnan(got[[0, 1, 7, 8]]).all()
    two = np.zeros((3, 5, 1), np.float32)
    two[:, 0], two[:, 4] = 1.0, 3.0
    sides = np.zeros((3, 5), bool)
    sides[:, [0, 4]] = True
    np.testing.assert_allclose(np.asarray(atlas.dilate(two, sides, 9))[1, :, 0], [1, 1, 2, 3, 3], rtol=1e-6)
    np.testing.assert_array_equal(atlas.dilate(two, sides, 0), two)


def test_dilation_step_by_step():
    """Against loops over texels, and linear in the texture."""
    rng = np.random.default_rng(0)
    image, covered = rng.normal(size=(7, 6, 2)), rng.uniform(size=(7, 6)) < 0.15
    assert 2 < covered.sum() < 12
    values, known = image.copy(), covered.copy()
    for _ in range(2):
        before, reached = values.copy(), known.copy()
        for i in range(7):
            for j in range(6):
                around = [(a, b) for a in range(i - 1, i + 2) for b in range(j - 1, j + 2)]
                found = [before[a, b] for a, b in around if 0 <= a < 7 and 0 <= b < 6 and reached[a, b]]
                if found and not reached[i, j]:
                    values[i, j], known[i, j] = np.mean(found, axis=0), True
    dilated = jax.jit(lambda image: atlas.dilate(image, covered, 2))
    image = jnp.asarray(image, jnp.float32)
    np.testing.assert_allclose(dilated(image), values, atol=1e-5)
    y = jnp.asarray(rng.normal(size=(7, 6, 2)), jnp.float32)
    pulled = jax.vjp(dilated, image)[1](y)[0]
    np.testing.assert_allclose(float((pulled * image).sum()), float((y * dilated(image)).sum()), rtol=1e-4)


def test_colours_do_not_bleed_across_seams():
    """Two charts of flat colour, a gap of 16 texels between them, on a ground of a third colour."""
    side, gap = 64, 16
    mesh = quads((0.05, 0.05, 0.375, 0.95), (0.375 + gap / side, 0.05, 0.95, 0.95))
    first, second = (atlas.charts(mesh.uvs, faces, side) for faces in (mesh.uv_faces[:2], mesh.uv_faces[2:]))
    ground = np.zeros((side, side, 3), np.float32)
    ground[..., 2] = 1
    painted = np.where(first[..., None], [1.0, 0, 0], np.where(second[..., None], [0, 1.0, 0], ground))
    painted = painted.astype(np.float32)
    continued = atlas.dilate(painted, atlas.charts(mesh.uvs, mesh.uv_faces, side), gap // 2)
    rng = np.random.default_rng(0)
    # Places at all four borders of both charts, and within them.
    boxes = np.array([[mesh.uvs[4 * k], mesh.uvs[4 * k + 2]] for k in (0, 1)])
    share = rng.uniform(0, 1, (400, 2))
    share[200:300, 0], share[300:, 1] = np.round(share[200:300, 0]), np.round(share[300:, 1])
    for (low, high), color in zip(boxes, ([1, 0, 0], [0, 1, 0])):
        uv = jnp.asarray(low + share * (high - low), jnp.float32)
        want = np.broadcast_to(color, (400, 3))
        np.testing.assert_allclose(texture.bilinear(continued, uv, wrap='clamp'), want, atol=1e-6)
        assert np.abs(texture.bilinear(painted, uv, wrap='clamp') - want).max() > 0.3  # as it is without
        levels = texture.pyramid(continued)
        for level in (0.5, 1.0, 2.0):
            change = jnp.broadcast_to(jnp.eye(2)[None] * 2**level / side, (400, 2, 2))
            found = texture.trilinear(levels, uv, change, wrap='clamp')
            np.testing.assert_allclose(found, want, atol=1e-6)


def test_tiles_lie_side_by_side():
    """Looked up in the packed texture every place has what it had in its tile."""
    boxes = (0.1, 0.1, 0.9, 0.9), (1.0, 0.0, 2.0, 1.0), (3.2, 0.5, 3.7, 0.9), (0.3, 1.2, 0.6, 1.9), (1.5, 1.5, 1.6, 1.6)
    mesh = quads(*boxes)
    mesh = mesh.replace(materials=(Material(np.ones(3), 0.0, 1.0, np.zeros((2, 2, 3))),))
    packed = atlas.packed(mesh)
    assert packed.uvs.min() >= 0 and packed.uvs.max() <= 1
    assert packed.materials[0].texture is None
    assert atlas.check(mesh, side=64) > 0.2
    assert atlas.check(packed, side=64) == 0
    # Five tiles in three columns; each is a third as large.
    tiles = [(0, 0), (1, 0), (3, 0), (0, 1), (1, 1)]
    for k, (tile, box) in enumerate(zip(tiles, boxes)):
        slot = np.array([k % 3, k // 3])
        want = (np.array([[box[0], box[1]], [box[2], box[3]]]) - tile + slot) / 3
        np.testing.assert_allclose(packed.uvs[[4 * k, 4 * k + 2]], want, atol=1e-6)


def test_repeated_textures_and_those_of_one_tile_stay():
    for mesh in (
        quads((0, 0, 1, 1)),
        quads((0.2, 0.1, 3.5, 1.0)),
        quads((-1, 0, 0, 1), (0, 0, 1, 1)),
        quads((0.5, 0.5, 1.5, 1.5), (0, 0, 0.5, 0.5)),
    ):
        assert atlas.packed(mesh) is mesh


def test_what_cannot_be_told_is_said():
    with pytest.raises(
        InputError, match='got 1 charts that run over borders.* 0 cut at such borders and 1 within other'
    ):
        atlas.packed(quads((0.5, 0, 1.5, 1), (1, 0, 2, 1)))
    # Two squares in one piece, cut where a tile ends: a wall of bricks, or two tiles.
    wall = quads((0, 0, 1, 1), (1, 0, 2, 1))
    joined = np.where(wall.uv_faces == 4, 1, np.where(wall.uv_faces == 7, 2, wall.uv_faces))
    with pytest.raises(InputError, match='1 cut at such borders'):
        atlas.packed(wall.replace(uv_faces=joined))


def test_faces_need_uvs():
    mesh = quads((0, 0, 0.4, 0.4), (0.5, 0.5, 1, 1))
    with pytest.raises(InputError, match=r'mesh.uvs: got none.*scenes.remesh.unwrap.*neurend\[mesh\]'):
        atlas.check(mesh.replace(uvs=None, uv_faces=None))
    some = np.where(np.arange(4)[:, None] == 2, -1, mesh.uv_faces)
    with pytest.raises(InputError, match='got 1 of 4 faces without UVs'):
        atlas.packed(mesh.replace(uv_faces=some))
    # Padding needs none.
    padded = mesh.replace(uv_faces=some, faces=np.where(some < 0, -1, mesh.faces))
    assert atlas.check(padded, side=16) == 0


@pytest.mark.parametrize(
    'call, message',
    [
        (lambda: atlas.charts(np.full((3, 2), np.nan), [[0, 1, 2]], 8), 'uvs: 6 of 6 values not finite'),
        (lambda: atlas.charts(np.zeros((3, 2)), [[0, 1, 2]], 0), 'side: got 0'),
        (lambda: atlas.charts(np.eye(3)[:, :2] * 1e9, [[0, 1, 2]], 8), 'Check the range of the UVs'),
        (lambda: atlas.dilate(np.zeros((4, 4, 1)), np.zeros((4, 5), bool), 1), r'covered: got shape \(4, 5\)'),
        (lambda: atlas.dilate(np.zeros((4, 4, 1)), np.zeros((4, 4), bool), -1), 'steps: got -1'),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_tiles_of_the_face_model(data_root):
    """UVs of the ICT face: four tiles in a row, whose charts stay apart; the eyes share theirs."""
    path = data_root / 'ict_face' / 'ict_face.npz'
    if not path.is_file():
        pytest.skip(f'no {path}')
    with np.load(path, allow_pickle=False) as file:
        mesh = Mesh(file['vertices'], file['faces'], file['uvs'], file['uv_faces'])
    packed = atlas.packed(mesh)
    tile = np.floor(mesh.uvs[mesh.uv_faces].mean(1))[:, 0].astype(int)
    slot = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])[tile]
    corners = packed.uvs[packed.uv_faces] * 2 - slot[:, None]
    assert corners.min() >= 0 and corners.max() <= 1
    np.testing.assert_allclose(corners, mesh.uvs[mesh.uv_faces] % 1, atol=2e-6)
    assert atlas.check(packed, side=512) < atlas.check(mesh, side=512) - 0.4
