"""Edits of scenes: meshes change as they are told, and trained textures follow them."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import edit, fit_appearance, mesh_edits, neural_texture
from experiments.mesh_edits import EditConfig
from neurend import app
from neurend.checks import InputError
from neurend.geometry import cameras, paths, rotations, transforms
from neurend.images import io, video
from neurend.models import state as states
from neurend.models.appearance import AppearanceConfig
from neurend.models.neural_texture.config import NetworkConfig, NeuralTextureConfig, TextureConfig
from neurend.models.neural_texture.deferred import Shot
from neurend.scenes import editing, mesh_files, primitives, proxies
from neurend.scenes.meshes import Material

SIZE = 32
WORLD = np.array([[0.0, -2, 0, 0.3], [2, 0, 0, -0.4], [0, 0, 2, 0.1], [0, 0, 0, 1]])


def in_world(mesh):
    vertices = np.asarray(mesh.vertices) @ WORLD[:3, :3].T + WORLD[:3, 3]
    return dataclasses.replace(mesh, vertices=vertices.astype(np.float32))


def in_file(mesh):
    return (np.asarray(mesh.vertices, np.float64) - WORLD[:3, 3]) @ np.linalg.inv(WORLD[:3, :3]).T


def boxes():
    """Two boxes, at -1 and at 1 along x."""
    pair = [proxies.box_about((x - 0.4, -0.4, -0.4), (x + 0.4, 0.4, 0.4), resolution=32) for x in (-1.0, 1.0)]
    return editing.merge(pair)


RIGHT = {'select': 'box', 'low': (0.5, -1.0, -1.0), 'high': (2.0, 1.0, 1.0)}


def test_parts_are_removed_copied_and_moved_in_the_world_of_the_file():
    mesh = in_world(boxes())
    removed = mesh_edits.apply(EditConfig('remove', **RIGHT), mesh, WORLD)
    assert len(removed.faces) == 12 and in_file(removed)[removed.faces][..., 0].max() < 0
    place = {'rotate': (0.0, 0.0, 90.0), 'scale': 0.5, 'translate': (0.0, 2.0, 0.5)}
    turn = np.array([[0.0, -0.5, 0], [0.5, 0, 0], [0, 0, 0.5]])
    expected = (np.asarray(boxes().vertices)[8:] - [1, 0, 0]) @ turn.T + [1, 2, 0.5]
    copied = mesh_edits.apply(EditConfig('copy', **RIGHT, **place), mesh, WORLD)
    np.testing.assert_array_equal(copied.vertices[:16], mesh.vertices)
    np.testing.assert_allclose(in_file(copied)[16:], expected, atol=1e-5)
    assert len(copied.faces) == 36
    np.testing.assert_array_equal(copied.uv_faces[24:], mesh.uv_faces[12:])
    moved = mesh_edits.apply(EditConfig('move', **RIGHT, **place), mesh, WORLD)
    assert len(moved.faces) == 24
    np.testing.assert_allclose(in_file(moved)[moved.faces[12:]], expected[mesh.faces[12:] - 8], atol=1e-5)


@pytest.mark.parametrize(
    'chosen', [{'select': 'component', 'point': (1.2, 0.3, 0.0)}, {'select': 'material', 'material': 'b'}]
)
def test_parts_are_selected_by_component_and_material(chosen):
    mesh = in_world(boxes())
    materials = tuple(Material(np.ones(3), 0.0, 1.0, name=name) for name in 'ab')
    mesh = dataclasses.replace(mesh, material=np.repeat(np.arange(2, dtype=np.int32), 12), materials=materials)
    found = mesh_edits.apply(EditConfig('remove', **chosen), mesh, WORLD)
    np.testing.assert_array_equal(found.faces, mesh.faces[:12])


def test_a_bar_bends_between_what_is_fixed_and_what_moves():
    bar = proxies.box_about((-2, -0.25, -0.25), (2, 0.25, 0.25), cells=16, resolution=256)
    alone = proxies.box_about((-1, 3, -1), (1, 4, 1), resolution=256)
    mesh = in_world(editing.merge([bar, alone]))
    config = EditConfig(
        'deform',
        low=(1.5, -1, -1),
        high=(3, 1, 1),
        rotate=(0, 0, 40.0),
        translate=(-0.3, 0.6, 0),
        fixed_low=(-3, -1, -1),
        fixed_high=(-1.5, 1, 1),
    )
    before, after = in_file(mesh), in_file(mesh_edits.apply(config, mesh, WORLD))
    fixed, moved, rest = before[:, 0] <= -1.5, before[:, 0] >= 1.5, before[:, 1] > 2
    np.testing.assert_allclose(after[fixed | rest], before[fixed | rest], atol=1e-5)
    turn = np.asarray(rotations.exp(jnp.radians(jnp.array([0, 0, 40.0]))))
    middle = (before[moved & ~rest].min(0) + before[moved & ~rest].max(0)) / 2
    expected = (before[moved & ~rest] - middle) @ turn.T + middle + [-0.3, 0.6, 0]
    np.testing.assert_allclose(after[moved & ~rest], expected, atol=1e-4)
    # What is between keeps the lengths of its edges, nearly, although its ends have turned.
    edges = np.asarray(mesh.faces)[: len(bar.faces)][:, :2]
    lengths = [np.linalg.norm(np.diff(each[edges], axis=1)[:, 0], axis=-1) for each in (before, after)]
    assert np.abs(lengths[1] / lengths[0] - 1).mean() < 0.06
    between = ~(fixed | moved | rest)
    assert np.abs(after - before)[between].max(1).min() > 1e-3


def test_bad_edits():
    mesh = in_world(boxes())
    with pytest.raises(InputError, match=r'no face lies within .* reaches from \[-1.4, -0.4, -0.4\]'):
        mesh_edits.apply(EditConfig(low=(5, 5, 5), high=(6, 6, 6)), mesh, WORLD)
    with pytest.raises(InputError, match='all faces are selected'):
        mesh_edits.apply(EditConfig(low=(-9, -9, -9), high=(9, 9, 9)), mesh, WORLD)
    with pytest.raises(InputError, match='no vertex but selected ones'):
        mesh_edits.apply(EditConfig('deform', **RIGHT, fixed_low=(0.6, -1, -1), fixed_high=(2, 1, 1)), mesh, WORLD)
    with pytest.raises(InputError, match=r'scale: got 0\.0'):
        mesh_edits.apply(EditConfig('copy', **RIGHT, scale=0.0), mesh, WORLD)
    with pytest.raises(InputError, match=r'material|name'):
        mesh_edits.apply(EditConfig(select='material', material='wood'), mesh, WORLD)
    with pytest.raises(InputError, match='--truth_workdir: got one with --add'):
        edit.Config('a', add='b', truth_workdir='c')


def look(eye, turn=None):
    pose = transforms.look_at(jnp.array(eye), jnp.zeros(3), jnp.array([0.0, 1.0, 0.0]))
    return cameras.make(pose if turn is None else turn @ pose, 40.0, size=(SIZE, SIZE))


@pytest.mark.slow
def test_copies_look_like_what_they_are_copies_of():
    """Features that do not turn with the view: a moved object, seen by a camera that moved along, looks the same."""
    model = NeuralTextureConfig(
        TextureConfig(32, 4, 1, harmonics=-1, deviation=0.5),
        NetworkConfig(unet=4, depth=2, maximum=2, context=4, width=8, normals=False, views=False, reflection=0),
        opacity='network',
        crop=0,
    )
    mesh = boxes()
    size = (SIZE, SIZE)
    original = edit.method_of(model, mesh, size)
    state = original.init(jax.random.key(0))
    # The network begins near zero; here it must say something.
    params = dict(state.params)
    params['network'] = jax.tree.map(
        lambda leaf: leaf + 0.3 * jnp.sin(jnp.arange(leaf.size, dtype=jnp.float32)).reshape(leaf.shape),
        params['network'],
    )
    state = dataclasses.replace(state, params=params)
    moves = EditConfig('copy', **RIGHT, translate=(0.0, 4.0, 0.0), rotate=(0.0, 30.0, 0.0))
    copied = mesh_edits.apply(moves, mesh, np.eye(4))
    # The right box alone, and of the copy alone.
    alone = editing.remove(mesh, np.arange(24) < 12)
    other = editing.remove(copied, np.arange(36) < 24)
    middle = jnp.array([1.0, 0.0, 0.0])
    turn = transforms.from_rt(rotations.exp(jnp.radians(jnp.array([0.0, 30.0, 0.0]))), jnp.zeros(3))
    shift = jnp.eye(4).at[:3, 3].set(middle + jnp.array([0.0, 4.0, 0.0]))
    back = jnp.eye(4).at[:3, 3].set(-middle)
    cam = look((2.5, 1.2, 3.0))
    moved = cam.replace(world_from_camera=shift @ turn @ back @ cam.world_from_camera)
    first = edit.method_of(model, alone, size).render(state, Shot(cam, jnp.ones(3)))
    second = edit.method_of(model, other, size).render(state, Shot(moved, jnp.ones(3)))
    assert float(jnp.std(first.rgb)) > 0.05
    # Corners are rounded to 1/256 pixel, and fall differently at a few pixels of edges.
    difference = np.abs(np.asarray(first.rgb - second.rgb)).max(-1)
    assert np.median(difference) < 1e-3 and (difference > 0.05).mean() < 0.03
    # A removed part leaves what a mesh without it shows, and the copy alone is not what the original was.
    gone = edit.method_of(model, mesh_edits.apply(EditConfig('remove', **RIGHT), mesh, np.eye(4)), size)
    left = edit.method_of(model, editing.extract(mesh, np.arange(24) < 12), size)
    shot = Shot(cam, jnp.ones(3))
    np.testing.assert_allclose(gone.render(state, shot).rgb, left.render(state, shot).rgb, atol=1e-5)
    assert np.abs(np.asarray(original.render(state, shot).rgb - gone.render(state, shot).rgb)).max() > 0.2


@pytest.mark.slow
def test_footprints_are_where_something_else_is_seen():
    mesh = boxes()
    cam = look((0.0, 0.0, 6.0))
    moved = mesh_edits.apply(EditConfig('move', **RIGHT, translate=(0.5, 0.0, 0.0)), mesh, np.eye(4))
    found = np.asarray(edit.footprint_of(mesh, moved, (SIZE, SIZE))(cam))
    # The front side z = 0.4 is 5.6 away: x in [0.6, 1.9], y in [-0.4, 0.4], 40/5.6 pixels to a unit.
    x, y = np.meshgrid(*[(np.arange(SIZE) + 0.5 - SIZE / 2) * 5.6 / 40] * 2)
    x = x if np.asarray(cam.world_from_camera)[0, 0] > 0 else -x
    edge = 5.6 / 40
    inside = (x > 0.6 + edge) & (x < 1.9 - edge) & (np.abs(y) < 0.4 - edge)
    outside = (x < 0.55 - edge) | (x > 1.9 + edge) | (np.abs(y) > 0.4 + edge)
    assert inside.sum() > 20 and found[inside].all() and not found[outside].any()
    still = edit.footprint_of(mesh, mesh, (SIZE, SIZE))(cam)
    assert not np.asarray(still).any()


def test_margins_around_regions():
    region = np.zeros((9, 9), bool)
    region[4, 0] = True
    grown = edit._grown(region, 2)
    y, x = np.mgrid[:9, :9]
    np.testing.assert_array_equal(grown, (np.abs(y - 4) <= 2) & (x <= 2))


@pytest.fixture(scope='module')
def trained_rings(tmp_path_factory):
    """Two rings beside each other, photographed; a neural texture and a material learned of them."""
    folder = tmp_path_factory.mktemp('rings')
    ring = primitives.torus(radius=0.6, tube=0.25, around=32, across=16)
    parts = []
    for k, x in enumerate((-0.9, 0.9)):
        vertices = np.asarray(ring.vertices) + [x, 0, 0]
        uvs = np.asarray(ring.uvs) * [1, 0.5] + [0, 0.5 * k]
        parts.append(dataclasses.replace(ring, vertices=vertices.astype(np.float32), uvs=uvs.astype(np.float32)))
    mesh = editing.merge(parts)
    mesh_files.write(folder / 'rings.obj', mesh)
    model = NeuralTextureConfig(TextureConfig(32, 3, 1, harmonics=-1), NetworkConfig(unet=0, width=0), crop=0)
    draw = edit.method_of(model, mesh, (SIZE, SIZE))
    u, v = np.meshgrid((np.arange(32) + 0.5) / 32, 1 - (np.arange(32) + 0.5) / 32)
    colors = np.stack([0.5 + 0.35 * np.sin(4 * np.pi * u), 0.3 + 0.4 * v, 0.5 + 0.3 * np.cos(2 * np.pi * u)], -1) - 0.5
    state = states.State(jnp.zeros((), jnp.int32), {'texture': [jnp.asarray(colors, jnp.float32)]}, None)
    poses = np.asarray(paths.sphere(24, radius=4.0))
    render = jax.jit(lambda camera: draw.render(state, Shot(camera, jnp.zeros(3))))
    for split, chosen in (('train', slice(0, 20)), ('test', slice(20, 24))):
        (folder / 'data' / split).mkdir(parents=True)
        frames = []
        for k, pose in enumerate(poses[chosen]):
            drawn = render(cameras.make(jnp.asarray(pose), 40.0, size=(SIZE, SIZE)))
            alpha = np.asarray(drawn.alpha)[..., None]
            rgb = np.asarray(drawn.rgb) / np.maximum(alpha, 1e-3)
            io.write(folder / 'data' / split / f'{k}.png', np.clip(np.concatenate([rgb, alpha], axis=-1), 0, 1))
            opengl = pose @ np.diag([1.0, -1.0, -1.0, 1.0])
            frames.append({'file_path': f'./{split}/{k}', 'transform_matrix': opengl.tolist()})
        layout = {'camera_angle_x': 2 * float(np.arctan(SIZE / 2 / 40)), 'frames': frames}
        (folder / 'data' / f'transforms_{split}.json').write_text(json.dumps(layout))
    common = {'data_dir': str(folder / 'data'), 'mesh': str(folder / 'rings.obj')}
    quiet = {'log_every': 100, 'evaluate_every': 0, 'checkpoint_every': 0, 'frames': 0}
    small = NeuralTextureConfig(
        TextureConfig(64, levels=3), NetworkConfig(unet=8, depth=2, context=4, width=16), crop=0
    )
    run = neural_texture.Config(**common, **quiet, workdir=str(folder / 'texture'), model=small, steps=400)
    neural_texture.main(run)
    app.write_record(run, Path(run.workdir), 'config.flags')
    material = fit_appearance.Config(
        **common,
        **quiet,
        workdir=str(folder / 'material'),
        appearance=AppearanceConfig(texture=64, levels=4),
        steps=300,
    )
    fit_appearance.main(material)
    app.write_record(material, Path(material.workdir), 'config.flags')
    return folder


@pytest.mark.slow
def test_trained_scenes_are_edited_and_compared_with_the_true_mesh_edited(trained_rings):
    config = edit.Config(
        str(trained_rings / 'texture'),
        EditConfig('move', low=(0, -2, -2), high=(2, 2, 2), translate=(0.0, 0.5, 0.3), rotate=(40.0, 0, 0)),
        truth_workdir=str(trained_rings / 'material'),
        frames=3,
    )
    table = edit.main(config)
    assert len(table.rows) == 4 and table.mean['edited'] > 0.05
    assert table.mean['psnr_before'] > 25
    # Light is even and colours are fixed: what has moved looks nearly as well as what has stayed.
    assert table.mean['psnr'] > table.mean['psnr_before'] - 3 and table.mean['psnr_edited'] > 18
    assert table.mean['unchanged'] < 2
    folder = trained_rings / 'texture' / 'edited_move'
    assert len(list(video.read(folder / 'turntable.mp4'))) == 3
    assert io.read(folder / 'contact_sheet.png').size and (folder / 'evaluation.json').is_file()


@pytest.mark.slow
def test_an_object_of_another_run_is_added_in_front(trained_rings):
    own = str(trained_rings / 'texture')
    config = edit.Config(own, EditConfig(translate=(0.0, 0.0, 1.0), scale=0.5), add=own, frames=0)
    table = edit.main(config)
    assert table.mean['unchanged'] < 1e-3 and table.mean['edited'] > 0.05
    with pytest.raises(InputError, match='Expected the workdir of a run of experiments.neural_texture'):
        edit.main(edit.Config(own, add=str(trained_rings / 'data')))
