"""The procedural person: joints lie in what was drawn, nearer parts hide farther ones, bodies stand on the floor."""

import dataclasses
import itertools

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import figure, figure_motion, figure_paint, figure_room

INDEX = {name: k for k, name in enumerate(figure_motion.BODY_25)}
LIMBS = {
    'upper_arm': ('shoulder', 'elbow'),
    'forearm': ('elbow', 'wrist'),
    'thigh': ('hip', 'knee'),
    'shank': ('knee', 'ankle'),
}
SIZE = 96


@pytest.fixture(scope='module')
def clips():
    return {name: figure.frames(*figure.person(name), 40, SIZE, fps=2.5) for name in 'ab'}


def point(clip, name):
    return clip.keypoints[:, INDEX[name], :2]


def sample(pictures, points):
    """The pixels [t c] that points [t 2] lie in."""
    x, y = np.floor(points).astype(int).T
    return pictures[np.arange(len(pictures)), y, x]


def number(part):
    return figure.PARTS.index(part) + 1


@pytest.mark.parametrize('name', ['a', 'b'])
def test_keypoints_lie_on_the_limbs_that_were_drawn(clips, name):
    clip = clips[name]
    for side, (limb, ends) in itertools.product('lr', LIMBS.items()):
        middle = (point(clip, f'{side}_{ends[0]}') + point(clip, f'{side}_{ends[1]}')) / 2
        parts = sample(clip.iuv, middle)[:, 0]
        assert (parts > 0).all()  # never on the room
        assert (parts == number(f'{side}_{limb}')).mean() > 0.7  # elsewhere something nearer hides it
    nose = sample(clip.iuv, point(clip, 'nose'))[:, 0]
    assert np.isin(nose, [number('nose'), number('head')]).all() and (nose == number('nose')).mean() > 0.5


@pytest.mark.parametrize('name', ['a', 'b'])
def test_limbs_have_the_colours_of_their_clothes(clips, name):
    clip, look = clips[name], figure.person(name).appearance
    for side in 'lr':
        middle = (point(clip, f'{side}_hip') + point(clip, f'{side}_knee')) / 2
        shown = sample(clip.iuv, middle)[:, 0] == number(f'{side}_thigh')
        color = sample(clip.images, middle)[shown] / 255
        # Light changes how bright a colour is, not which it is.
        chroma = color / color.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(
            chroma, np.broadcast_to(look.trousers / np.sum(look.trousers), chroma.shape), atol=0.03
        )
    inside = clip.iuv[..., 0] == number('torso')
    shirt = clip.images[inside].astype(float)
    near = [
        np.abs(shirt / shirt.sum(-1, keepdims=True) - np.divide(c, np.sum(c))).max(-1) < 0.04
        for c in (look.shirt, look.accent)
    ]
    assert min(part.mean() for part in near) > 0.05  # both colours of the pattern show


@pytest.mark.parametrize('name', ['a', 'b'])
def test_bodies_are_upright_inside_the_picture_and_face_the_camera(clips, name):
    clip = clips[name]
    assert clip.keypoints.shape == (40, 25, 3) and (clip.keypoints[..., 2] == 1).all()
    assert clip.keypoints[..., :2].min() > 0 and clip.keypoints[..., :2].max() < SIZE
    for side in 'lr':
        levels = [point(clip, f'{side}_{joint}')[:, 1] for joint in ('ear', 'shoulder', 'hip', 'knee', 'ankle', 'heel')]
        assert (np.diff(levels, axis=0) > 0).all()
    assert (point(clip, 'r_shoulder')[:, 0] < point(clip, 'l_shoulder')[:, 0]).all()


def test_bones_keep_their_lengths_and_the_lower_foot_stands_on_the_floor():
    look, motion = figure.person('b')
    times = np.linspace(0, 20, 101)
    skeleton = figure_motion.move(motion, look.proportions, times, 1.12)
    joints = skeleton.joints
    for side, (start, end) in itertools.product('lr', LIMBS.values()):
        length = np.linalg.norm(joints[f'{side}_{start}'] - joints[f'{side}_{end}'], axis=-1)
        np.testing.assert_allclose(length, length[0], rtol=1e-9)
    for axes in (skeleton.pelvis, skeleton.chest, skeleton.head):
        np.testing.assert_allclose(axes @ axes.swapaxes(-1, -2), np.broadcast_to(np.eye(3), axes.shape), atol=1e-12)
        np.testing.assert_allclose(np.linalg.det(axes), 1)
    soles = np.max([joints[f'{side}_{part}'][:, 1] for side in 'lr' for part in ('heel', 'big_toe')], axis=0)
    np.testing.assert_allclose(1.12 - soles, 0.012 * look.height)
    depth = joints['mid_hip'][:, 2]
    assert motion.near <= depth.min() < motion.near + 0.1 and motion.far - 0.1 < depth.max() <= motion.far


def test_standing_bodies_are_as_tall_as_stated():
    for name in 'ab':
        look, motion = figure.person(name)
        still = dataclasses.replace(motion, kind='walk', tempo=0, near=4.2, far=4.2, x=0.0)
        clip = figure.frames(look, still, 1, 400)
        rows = np.flatnonzero((clip.iuv[0, ..., 0] > 0).any(axis=1))
        # The crown, seen from the camera's height. Knees are a little bent in a frozen walk.
        crown = figure_room.CAMERA_HEIGHT - (rows[0] / 400 - 0.5) * 4.2 / figure_room.FOCAL
        assert 0.96 * look.height < crown < 1.02 * look.height
    assert figure.person('a').appearance.height == 1.84 and figure.person('b').appearance.height == 1.58


def test_the_two_persons_differ_in_size_and_place(clips):
    def height(clip):
        ankles = (point(clip, 'l_ankle') + point(clip, 'r_ankle')) / 2
        return np.linalg.norm(point(clip, 'nose') - ankles, axis=-1)

    ratio = np.median(height(clips['a'])) / np.median(height(clips['b']))
    assert 1.1 < ratio < 1.35  # 1.84 / 1.58 = 1.16, and a is nearer on the whole
    assert point(clips['a'], 'mid_hip')[:, 0].mean() + 0.1 * SIZE < point(clips['b'], 'mid_hip')[:, 0].mean()
    # Coming and going: ankles go down as the figure grows, as pose normalisation has it.
    ankle = np.maximum(point(clips['a'], 'l_ankle')[:, 1], point(clips['a'], 'r_ankle')[:, 1])
    assert np.ptp(ankle) > 0.05 * SIZE and np.corrcoef(ankle, height(clips['a']))[0, 1] > 0.7


def test_frames_are_a_function_of_their_arguments_and_move_smoothly():
    look, motion = figure.person('a')
    first, again = (figure.frames(look, motion, 3, 48) for _ in range(2))
    for a, b in zip(first[:4], again[:4]):
        np.testing.assert_array_equal(a, b)
    other = figure.frames(look, dataclasses.replace(motion, seed=5), 3, 48)
    assert np.abs(other.keypoints - first.keypoints).max() > 1
    # Which frames there are does not change what they show.
    longer = figure.frames(look, motion, 5, 48)
    np.testing.assert_array_equal(longer.images[:3], first.images)
    for kind in figure_motion.KINDS:
        times = np.arange(0, 30, 0.04)
        joints = figure_motion.move(dataclasses.replace(motion, kind=kind), look.proportions, times, 1.12).joints
        speeds = [np.linalg.norm(np.diff(joint, axis=0), axis=-1).max() / 0.04 for joint in joints.values()]
        assert 0.5 < max(speeds) < 6  # metres a second: somebody moves, nobody jumps


def test_the_room_is_still():
    look, motion = figure.person('a')
    clip = figure.frames(look, motion, 4, 64, fps=1)
    wall = clip.iuv[..., 0] == 0
    wall[:, 40:] = False  # shadows fall on the floor
    # Edges of the person are blends that the part map does not tell: only pixels some way off are compared.
    for axis, shift in itertools.product((1, 2), (-2, -1, 1, 2)):
        wall &= np.roll(wall, shift, axis)
    inner = wall[:, 4:36, 4:60]
    background = np.broadcast_to(clip.background, clip.images.shape)
    assert inner.mean() > 0.3
    np.testing.assert_array_equal(clip.images[:, 4:36, 4:60][inner], background[:, 4:36, 4:60][inner])
    assert not np.array_equal(figure_room.draw(32, 0), figure_room.draw(32, 1))


def test_placed_poses_are_seen_where_they_were_put_and_as_large():
    (look, motion), (other, elsewhere) = figure.person('a'), figure.person('b')
    skeleton = figure.pose(other, elsewhere, 4, fps=1)
    scale, shift = np.array([1.0, 1.2, 0.9, 1.1]), np.array([[-20.0, -2], [-30, -12], [3, 7], [-4, -9]])
    before = figure.film(other, skeleton, SIZE).keypoints[..., :2]
    growth = look.height / other.height
    placed = figure.placed(skeleton, scale, shift, size=SIZE, growth=growth)
    clip = figure.film(look, placed, SIZE)
    np.testing.assert_allclose(clip.keypoints[..., :2], scale[:, None, None] * before + shift[:, None], atol=1e-4)
    # As far away as a body of that height is, so that clothes have their widths: those of a in its own poses.
    length = [np.linalg.norm(s.joints['l_knee'] - s.joints['l_hip'], axis=-1) for s in (skeleton, placed)]
    np.testing.assert_allclose(length[1] / length[0], growth, rtol=0.1)
    own = figure.frames(look, motion, 4, SIZE, fps=1)

    def breadth(clip):
        """Pixels of the shirt over the square of its height in pixels."""
        height = clip.keypoints[:, INDEX['mid_hip'], 1] - clip.keypoints[:, INDEX['neck'], 1]
        return ((clip.iuv[..., 0] == number('torso')).sum((1, 2)) / height**2).mean()

    assert breadth(clip) == pytest.approx(breadth(own), rel=0.2)


def test_shadows_lie_under_the_feet_wherever_these_are():
    look, motion = figure.person('a')
    skeleton = figure.pose(look, dataclasses.replace(motion, kind='walk'), 1)
    lifted = figure.placed(skeleton, np.ones(1), np.array([[10.0, -9.0]]), size=SIZE)
    clips = [figure.film(look, each, SIZE) for each in (skeleton, lifted)]
    centers = []
    for clip in clips:
        dark = clip.background.astype(float).sum(-1) - clip.images[0].astype(float).sum(-1)
        dark[clip.iuv[0, ..., 0] > 0] = 0
        dark[: SIZE // 2] = 0
        y, x = np.mgrid[:SIZE, :SIZE] + 0.5
        centers.append([(dark.clip(0) * axis).sum() / dark.clip(0).sum() for axis in (x, y)])
    np.testing.assert_allclose(np.diff(centers, axis=0)[0], [10, -9], atol=2.5)


def cross(tilt):
    """Two limbs that cross in the middle of a canvas: red from left to right, green from top to bottom."""
    canvas = figure_paint.canvas(np.zeros((60, 60, 3), np.float32))

    def paint(color):
        return lambda angle, along: np.broadcast_to(np.float32(color), (len(angle), 3))

    def bone(start, end):
        return figure_paint.Limb(np.array(start), np.array(end), np.array([6.0, 6.0]), (6.0, 6.0), 0.02)

    figure_paint.limb(canvas, bone([10.0, 30, 2 - tilt], [50.0, 30, 2 + tilt]), 1, paint((1, 0, 0)))
    figure_paint.limb(canvas, bone([30.0, 10, 2.1], [30.0, 50, 1.8]), 2, paint((0, 1, 0)))
    return canvas


def test_nearer_parts_hide_farther_ones_pixel_by_pixel():
    canvas = cross(0.0)  # depth of green passes that of red (2.0) at a third of its length: y = 23.3
    middle = canvas.iuv[:, 30, 0]
    assert (middle[25:36] == 2).all() and (canvas.rgb[30, 30] > [-1, 0.4, -1]).all() and canvas.rgb[30, 30, 0] == 0
    turned = cross(1.0)  # red comes nearer at its left end, goes away at its right
    left, right = turned.iuv[27, 25, 0], turned.iuv[27, 35, 0]
    assert (left, right) == (1, 2)
    assert np.isinf(canvas.depth[5, 5]) and canvas.depth[30, 30] < 2


def test_ellipsoid_has_its_silhouette_and_front():
    canvas = figure_paint.canvas(np.zeros((80, 80, 3), np.float32))
    radii, angle = np.array([0.1, 0.25, 0.15]), 0.4
    c, s = np.cos(angle), np.sin(angle)
    axes = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    seen = []

    def paint(points):
        seen.append(points)
        return np.ones_like(points)

    solid = figure_paint.Ellipsoid(np.array([41.0, 38.0, 3.0]), axes, radii, 100.0)
    figure_paint.ellipsoid(canvas, solid, 3, paint)
    y, x = np.mgrid[:80, :80] + 0.5
    own = np.stack([(x - 41) / 100, (y - 38) / 100, 0 * x], axis=-1) @ axes / radii
    inside = np.sum(own**2, axis=-1) < 1
    np.testing.assert_array_equal(canvas.iuv[..., 0] == 3, inside)
    front = 3 - 0.15 * np.sqrt(1 - np.sum(own**2, axis=-1)[inside])
    np.testing.assert_allclose(canvas.depth[inside], front, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(seen[0], axis=-1), 1, atol=1e-4)


def test_bad_input():
    look, motion = figure.person('a')
    with pytest.raises(InputError, match='name'):
        figure.person('c')  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match='count, fps: got 0'):
        figure.frames(look, motion, 0, 64)
    with pytest.raises(InputError, match='size, fps: got 8'):
        figure.frames(look, motion, 1, 8)
    with pytest.raises(InputError, match=r'scale: got shape \(2,\)'):
        figure.placed(figure.pose(look, motion, 3), np.ones(2), np.zeros((2, 2)), size=64)
    with pytest.raises(InputError, match='near, far: got 0.5'):
        figure.frames(look, dataclasses.replace(motion, near=0.5), 1, 64)
    with pytest.raises(InputError, match='kind'):
        figure.frames(look, dataclasses.replace(motion, kind='swim'), 1, 64)
    with pytest.raises(InputError, match='pattern'):
        figure.frames(dataclasses.replace(look, pattern='paisley'), motion, 1, 64)
