import dataclasses

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import skeletons
from neurend.geometry.skeletons import BODY_25, LAYOUTS, Person
from neurend.models.reenactment import normalization
from neurend.models.reenactment.normalization import PoseNormalization

WIDTH = 1920


def person(layout, toe, height, x=900.0, seed=0):
    """Somebody whose lower ankle is at y = toe and whose nose is straight above the middle of level ankles."""
    rng = np.random.default_rng(seed)
    body = np.stack(
        [x + rng.uniform(-80, 80, len(layout.joints)), toe - rng.uniform(0, height, len(layout.joints))], -1
    )
    body[layout.nose] = (x, toe - height)
    body[layout.ankles[0]] = (x - 30, toe)
    body[layout.ankles[1]] = (x + 30, toe)
    points = np.concatenate([body, np.full((len(body), 1), 0.9)], -1)
    hand = np.concatenate([rng.uniform(300, 500, (21, 2)), np.ones((21, 1))], -1)
    return Person(points, None, hand, None, layout)


def walk(layout, toes, heights):
    return [person(layout, toe, height, seed=k) for k, (toe, height) in enumerate(zip(toes, heights))]


def there_and_back(layout=BODY_25):
    """Feet from y = 700 to 1000 and back; the height in the picture grows from 300 to 420."""
    depth = np.abs(np.linspace(-1, 1, 31))
    return walk(layout, 1000 - 300 * depth, 420 - 120 * depth)


def transform(people, scale, down):
    """Larger by `scale` about the middle column, and lower."""
    shift = (WIDTH / 2 * (1 - scale), down)
    return [None if person is None else skeletons.moved(person, scale=scale, shift=shift) for person in people]


def assert_same(people, expected, atol):
    assert len(people) == len(expected)
    for a, b in zip(people, expected):
        np.testing.assert_allclose(a.body, b.body, atol=atol)
        np.testing.assert_allclose(a.left_hand, b.left_hand, atol=atol)


@pytest.mark.parametrize('layout', LAYOUTS, ids=lambda layout: layout.name)
def test_a_scaled_and_shifted_copy_maps_onto_the_original(layout):
    target = there_and_back(layout)
    source = transform(target, 1.25, -180)
    fitted = normalization.fit(source, target)
    np.testing.assert_allclose([fitted.scale_close, fitted.scale_far], 0.8, rtol=1e-6)
    assert_same(fitted.apply(source, width=WIDTH), target, 1e-3)


def test_layouts_may_differ():
    target = there_and_back()
    source = [skeletons.body_23_from_25(whom) for whom in transform(target, 1.25, -180)]
    same = normalization.fit(transform(target, 1.25, -180), target)
    assert normalization.fit(source, target) == same


def test_equal_videos_stay_as_they_are():
    target = there_and_back()
    assert_same(normalization.fit(target, target).apply(target, width=WIDTH), target, 1e-3)
    # Also somebody who stands still and jumps once, whose range is empty.
    standing = walk(BODY_25, [900, 900, 900, 850, 900], [400] * 5)
    fitted = normalization.fit(standing, standing)
    assert fitted.maxtoe_source == fitted.horizon_source == 900
    assert_same(fitted.apply(standing, width=WIDTH), standing, 1e-3)


def test_the_range_is_that_of_the_definition():
    """By a loop over frames; the jump at 500 is not the horizon, with any fraction."""
    toes = [500, 700, 760, 800, 820, 840, 850, 900, 930, 980, 1000]
    people = walk(BODY_25, toes, [300] * 11)
    for fraction in (0.3, 0.5, 0.7, 1.0):
        fitted = normalization.fit(people, people, fraction=fraction)
        median = sorted(toes)[5]
        largest = 0
        for toe in toes:
            d = median - toe
            if 0 < d < fraction * (1000 - median) and d > largest:
                largest = d
        assert fitted.maxtoe_source == fitted.maxtoe_target == 1000
        assert fitted.horizon_source == median - largest
    assert normalization.fit(people, people).horizon_source == 800


def test_a_larger_target_range_shrinks_about_its_middle():
    target = there_and_back()
    source = walk(BODY_25, [800, 820, 840, 860, 880], [300] * 5)
    fitted = normalization.fit(source, target)
    whole = normalization.fit(target, target)
    extent = fitted.maxtoe_source - fitted.horizon_source
    assert 0 < extent < whole.maxtoe_target - whole.horizon_target
    np.testing.assert_allclose(fitted.maxtoe_target - fitted.horizon_target, extent)
    np.testing.assert_allclose(
        fitted.maxtoe_target + fitted.horizon_target, whole.maxtoe_target + whole.horizon_target, rtol=1e-9
    )


def test_scales_are_ratios_of_heights_at_the_ends():
    source = walk(BODY_25, [700, 710, 800, 850, 900, 1000, 995], [200, 210, 1, 1, 1, 400, 390])
    target = walk(BODY_25, [500, 510, 600, 650, 700, 795, 794], [100, 90, 1, 1, 1, 300, 320])
    # Fraction 1: the horizons are 850 - 140 = 710 and 650 - 140 = 510; jumps are left out of the range alone.
    fitted = normalization.fit(source, target, fraction=1.0)
    assert (fitted.horizon_source, fitted.horizon_target) == (710, 510)
    np.testing.assert_allclose(fitted.scale_close, 320 / 400, rtol=1e-6)
    np.testing.assert_allclose(fitted.scale_far, 100 / 210, rtol=1e-6)
    # A tall frame in the middle: the closest are then more than a tenth lower, and the tallest counts.
    tall = walk(BODY_25, [500, 510, 600, 650, 700, 795, 794], [100, 90, 500, 1, 1, 300, 320])
    np.testing.assert_allclose(normalization.fit(source, tall, fraction=1.0).scale_close, 500 / 400, rtol=1e-6)
    slightly = walk(BODY_25, [500, 510, 600, 650, 700, 795, 794], [100, 90, 350, 1, 1, 300, 320])
    np.testing.assert_allclose(normalization.fit(source, slightly, fraction=1.0).scale_close, 320 / 400, rtol=1e-6)


def test_feet_land_where_the_map_says():
    fitted = PoseNormalization(1.5, 0.5, 900, 700, 1000, 600)
    for toe, y, scale in ((600, 700, 0.5), (1000, 900, 1.5), (800, 800, 1.0), (1200, 1000, 1.5), (400, 600, 0.5)):
        given = person(BODY_25, toe, 300, x=WIDTH / 2)
        (placed,) = fitted.apply([given], width=WIDTH)
        expected = np.stack([960 + scale * (given.body[:, 0] - 960), y + scale * (given.body[:, 1] - toe)], -1)
        np.testing.assert_allclose(placed.body[:, :2], expected, atol=1e-3)
        hand = np.stack([960 + scale * (given.left_hand[:, 0] - 960), y + scale * (given.left_hand[:, 1] - toe)], -1)
        np.testing.assert_allclose(placed.left_hand[:, :2], hand, atol=1e-3)


@pytest.mark.parametrize('lacking', ['left ankle', 'right ankle', 'head'])
def test_frames_without_ankles_reuse_the_last_placement(lacking):
    fitted = PoseNormalization(1.5, 0.5, 900, 700, 1000, 600)
    clip = walk(BODY_25, [620, 700, 950, 800], [300] * 4)
    for k in (0, 2):
        joints = [0, 17, 18] if lacking == 'head' else [BODY_25.joints.index(lacking)]
        clip[k].body[joints] = 0
    placed = fitted.apply([*clip, None], width=WIDTH)
    assert placed[4] is None
    for k, like in ((0, 1), (1, 1), (2, 1), (3, 3)):
        scale, shift = fitted.placement(clip[like].body[11, 1], width=WIDTH)
        np.testing.assert_array_equal(placed[k].body, skeletons.moved(clip[k], scale=scale, shift=shift).body)
    # Such frames are passed over when videos are measured.
    target = there_and_back()
    assert normalization.fit([clip[1], clip[3]], target) == normalization.fit([*clip, None], target)


def test_files(tmp_path):
    fitted = normalization.fit(there_and_back(), walk(BODY_25, [500, 600, 655.3], [100, 111, 133.7]))
    path = tmp_path / 'norm_params.txt'
    normalization.write(path, fitted)
    assert normalization.read(path) == fitted
    first, second = path.read_text().splitlines()
    assert [float(word) for word in first.split()] == [fitted.scale_close, fitted.scale_far]
    maxima = [fitted.maxtoe_target, fitted.horizon_target, fitted.maxtoe_source, fitted.horizon_source]
    assert [float(word) for word in second.split()] == maxima
    path.write_text('0.9 0.8\n900 700 1000 600\n')
    assert normalization.read(path) == PoseNormalization(0.9, 0.8, 900, 700, 1000, 600)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', r'got lines of \[\] numbers'),
        ('1 2\n3 4 5\n', r'got lines of \[2, 3\] numbers, expected \[2, 4\]'),
        ('1 two\n3 4 5 6\n', 'two'),
        ('1 nan\n900 700 1000 600\n', 'not finite'),
        ('1 0\n900 700 1000 600\n', 'expected positive scales'),
        ('1 1\n600 700 1000 600\n', 'each maxtoe at least its horizon'),
        ('\xff', 'utf-8'),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    path = tmp_path / 'norm_params.txt'
    path.write_bytes(text.encode('latin-1'))
    with pytest.raises(InputError, match=message) as caught:
        normalization.read(path)
    assert 'norm_params.txt' in str(caught.value)


def test_videos_without_people():
    target = there_and_back()
    footless = dataclasses.replace(target[0], body=np.where(np.arange(25)[:, None] == 11, 0, target[0].body))
    with pytest.raises(InputError, match='source_people: none of 3 frames'):
        normalization.fit([footless, None, footless], target)
    with pytest.raises(InputError, match='target_people: none of 0 frames'):
        normalization.fit(target, [])
    with pytest.raises(InputError, match='people: none of 1 frames'):
        PoseNormalization(1, 1, 9, 7, 9, 7).apply([footless], width=WIDTH)
    with pytest.raises(InputError, match='fraction: got 0'):
        normalization.fit(target, target, fraction=0)
    with pytest.raises(InputError, match='does not exist'):
        normalization.read('/nonexistent/norm_params.txt')
