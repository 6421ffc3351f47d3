"""Pairs, clips and their batches: what belongs together stays together, to the pixel."""

import jax
import numpy as np
import pytest
from PIL import Image

from neurend.checks import InputError
from neurend.data import clips, pair_batches, pairs
from neurend.images import io, video


def coded(number, height=20, width=24):
    """A picture whose pixels say where they are: x, y and the number of the picture."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, number)], axis=-1).astype(np.uint8)


def coded_pairs(count, **size):
    images = tuple(coded(k, **size) for k in range(count))
    return pairs.Pairs(tuple(f'p{k}' for k in range(count)), tuple(image[..., [2, 1, 0]] for image in images), images)


def coded_clip(name, first, count, **size):
    images = np.stack([coded(first + k, **size) for k in range(count)])
    return clips.Clip(name, images, images[..., [2, 1, 0]])


def integers(array):
    return np.rint(np.asarray(array) * 255).astype(int)


def write_folder(folder, pictures):
    folder.mkdir(parents=True)
    for name, picture in pictures.items():
        io.write(folder / name, picture)
    return folder


def test_side_by_side_splits_in_the_middle(tmp_path):
    folder = write_folder(tmp_path / 'a', {f'{k}.png': np.hstack([coded(k), coded(100 + k)]) for k in (10, 2, 1)})
    (folder / 'notes.txt').write_text('passed over')
    left = pairs.side_by_side(folder)
    assert left.names == ('1', '2', '10')
    for k, condition, image in zip((1, 2, 10), left.conditions, left.images):
        np.testing.assert_array_equal(condition, coded(k))
        np.testing.assert_array_equal(image, coded(100 + k))
    right = pairs.side_by_side(folder, condition='right')
    np.testing.assert_array_equal(right.conditions, left.images)
    np.testing.assert_array_equal(right.images, left.conditions)


def test_two_folders_match_by_stem_and_keep_colours_of_palettes(tmp_path):
    images = write_folder(tmp_path / 'images', {f'f{k}.png': coded(k) for k in range(3)})
    conditions = tmp_path / 'conditions'
    conditions.mkdir()
    palette = [(200, 10, 30), (0, 0, 0), (7, 150, 255)]
    index = np.random.default_rng(0).integers(0, 3, (3, 20, 24)).astype(np.uint8)
    for k in range(3):
        picture = Image.frombytes('P', (24, 20), index[k].tobytes())
        picture.putpalette([value for color in palette for value in color])
        picture.save(conditions / f'f{k}.png')
    found = pairs.two_folders(conditions, images)
    assert found.names == ('f0', 'f1', 'f2')
    np.testing.assert_array_equal(found.conditions, np.array(palette, np.uint8)[index])
    np.testing.assert_array_equal(found.images, [coded(k) for k in range(3)])


def test_bad_pairs_say_what_is_wrong(tmp_path):
    images = write_folder(tmp_path / 'i', {'a.png': coded(1), 'b.png': coded(2)})
    small = write_folder(tmp_path / 's', {'a.png': coded(1), 'b.png': coded(2, height=18)})
    with pytest.raises(InputError, match=r's/b\.png has 24 x 18 pixels, .*i/b\.png 24 x 20'):
        pairs.two_folders(small, images)
    other = write_folder(tmp_path / 'o', {'a.png': coded(1), 'c.png': coded(2)})
    with pytest.raises(InputError, match=r'c\.png of .*o not in .*; b\.png of .*i not in'):
        pairs.two_folders(other, images)
    gray = write_folder(tmp_path / 'g', {'a.png': coded(1), 'b.png': coded(2)[..., :1]})
    with pytest.raises(InputError, match='condition of b: 1 channels where a has 3'):
        pairs.two_folders(gray, images)
    odd = write_folder(tmp_path / 'odd', {'a.png': coded(1, width=23)})
    with pytest.raises(InputError, match='23 pixels wide, expected an even width'):
        pairs.side_by_side(odd)
    with pytest.raises(InputError, match='no such folder'):
        pairs.facades(tmp_path, 'train')
    (tmp_path / 'train').mkdir()
    with pytest.raises(InputError, match='no pictures'):
        pairs.facades(tmp_path, 'train')
    with pytest.raises(InputError, match='split'):
        pairs.facades(tmp_path, 'all')
    io.write(images / 'a.jpg', coded(1))
    with pytest.raises(InputError, match=r'both a\.jpg and a\.png'):
        pairs.two_folders(images, images)
    with pytest.raises(InputError, match='dtype float32, expected uint8'):
        pairs.checked(pairs.Pairs(('a',), (coded(1),), (coded(1).astype(np.float32),)))


def test_facades_have_photographs_and_labels(data_root):
    folder = data_root / 'facades'
    sizes = {(info.width, info.height) for info in map(io.probe, pairs.pictures(folder / 'val'))}
    if sizes != {(512, 256)}:
        pytest.skip(f'{folder}: holds pictures of {sorted(sizes)} pixels, those of the CMP facades have 512 x 256')
    found = pairs.facades(folder, 'val')
    assert len(found.names) == 100 and found.images[0].shape == (256, 256, 3)

    def saturation(pictures):
        return np.mean([np.ptp(picture.astype(float), axis=-1) for picture in pictures[:20]])

    # Labels are painted in few strong colours, photographs are not.
    assert saturation(found.conditions) > 3 * saturation(found.images)


def test_facades_of_another_size_are_refused(tmp_path):
    write_folder(tmp_path / 'train', {'1.png': np.zeros((256, 256, 3), np.uint8)})
    with pytest.raises(InputError, match=r'1\.png: 256 x 256 pixels, expected 512 x 256'):
        pairs.facades(tmp_path, 'train')


def test_resizing_keeps_labels_and_means():
    labels = np.random.default_rng(1).choice(np.array([3, 90, 201], np.uint8), (12, 10, 1))
    assert set(np.unique(pairs.resize(labels, (23, 29), labels=True))) == {3, 90, 201}
    image = np.random.default_rng(2).integers(0, 256, (12, 10, 5)).astype(np.uint8)
    half = pairs.resize(image, (5, 6))
    mean = image.reshape(6, 2, 5, 2, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(half, mean, atol=0.5)
    # Enlarging is smooth: a ramp stays one away from the borders, which nearest values would not.
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None], 8, axis=0)
    slopes = np.diff(pairs.resize(ramp, (60, 8))[4, 9:-9, 0].astype(int))
    assert slopes.min() >= 2 and slopes.max() <= 5


def test_crops_and_mirrors_are_the_same_for_both_and_cover_everything():
    source = pair_batches.pair_source(coded_pairs(3), batch=64, load_size=None, crop=(16, 12))
    draw = jax.jit(source.draw)
    seen, mirrored, indices = set(), 0, np.zeros(3)
    for k in range(12):
        batch = draw(jax.random.key(k), source.data)
        image, condition = integers(batch.image), integers(batch.condition)
        assert batch.image.dtype == np.float32 and image.shape == (64, 12, 16, 3)
        np.testing.assert_array_equal(condition, image[..., [2, 1, 0]])
        np.testing.assert_array_equal(image[..., 2], np.broadcast_to(batch.index[:, None, None], image.shape[:3]))
        for picture, index in zip(image, np.asarray(batch.index)):
            step = picture[0, 1, 0] - picture[0, 0, 0]
            x, y = picture[0, :, 0].min(), picture[0, 0, 1]
            expected = coded(index)[y : y + 12, x : x + 16]
            np.testing.assert_array_equal(picture, expected[:, ::step])
            seen.add((x, y))
            mirrored += step < 0
            indices[index] += 1
    assert seen == {(x, y) for x in range(9) for y in range(9)}
    # 768 draws: five standard deviations around a half and a third.
    assert abs(mirrored - 384) < 5 * np.sqrt(768 / 4) and abs(indices - 256).max() < 5 * np.sqrt(768 * 2 / 9)


def test_a_draw_is_a_function_of_its_key():
    source = pair_batches.pair_source(coded_pairs(3), batch=64, load_size=None, crop=(16, 12))
    first, again, other = (source.draw(jax.random.key(k), source.data) for k in (5, 5, 6))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert np.any(np.asarray(first.image) != np.asarray(other.image))


def test_pictures_of_several_sizes_are_resized_once():
    several = pairs.Pairs(
        ('a', 'b'), (coded(0), coded(1, height=40, width=48)), (coded(0), coded(1, height=40, width=48))
    )
    source = pair_batches.pair_source(several, batch=2, load_size=(12, 10), crop=None, flip=False, labels=True)
    assert source.data.images.shape == (2, 10, 12, 3)
    # Each new pixel of the image covers 2x2 old ones of a, whose x have this mean.
    np.testing.assert_array_equal(source.data.images[0, 3, :, 0], np.rint(2 * np.arange(12) + 0.5))
    assert set(np.unique(source.data.conditions[1, ..., 2])) <= set(range(48))
    with pytest.raises(InputError, match='b: shape'):
        pair_batches.pair_source(several, batch=2, load_size=None)
    with pytest.raises(InputError, match='crop: got 13 x 10, expected within 12 x 10'):
        pair_batches.pair_source(several, batch=2, load_size=(12, 10), crop=(13, 10))
    with pytest.raises(InputError, match='batch'):
        pair_batches.pair_source(several, batch=0)


def test_windows_never_leave_their_clip_and_all_are_drawn():
    two = [coded_clip('a', 0, 6), coded_clip('b', 6, 4)]
    source = pair_batches.clip_source(two, batch=64, frames=3, crop=(16, 12), flip=True)
    draw = jax.jit(source.draw)
    counts = dict.fromkeys([0, 1, 2, 3, 6, 7], 0)
    for k in range(6):
        batch = draw(jax.random.key(k), source.data)
        image = integers(batch.image)
        assert image.shape == (64, 3, 12, 16, 3)
        np.testing.assert_array_equal(integers(batch.condition), image[..., [2, 1, 0]])
        for window, first in zip(image, np.asarray(batch.index)):
            assert [int(frame[0, 0, 2]) for frame in window] == [first, first + 1, first + 2]
            # One crop and one mirroring for all frames.
            np.testing.assert_array_equal(window[..., :2], np.broadcast_to(window[:1, ..., :2], (3, 12, 16, 2)))
            counts[int(first)] += 1
    assert sum(counts.values()) == 384 and set(counts) == {0, 1, 2, 3, 6, 7}
    assert max(abs(count - 64) for count in counts.values()) < 5 * np.sqrt(384 * 5 / 36)


def test_windows_are_neither_cropped_nor_mirrored_by_default():
    clip = coded_clip('a', 0, 4)
    source = pair_batches.clip_source(clip, batch=8, frames=4)
    batch = source.draw(jax.random.key(0), source.data)
    np.testing.assert_array_equal(integers(batch.image), np.broadcast_to(clip.images, (8, *clip.images.shape)))


def test_bad_clips_say_what_is_wrong(tmp_path):
    clip = coded_clip('short', 0, 2)
    with pytest.raises(InputError, match='clip short: 2 frames, expected at least 3'):
        pair_batches.clip_source([coded_clip('a', 0, 5), clip], batch=1, frames=3)
    with pytest.raises(InputError, match='clip bare: has no conditions'):
        pair_batches.clip_source(clips.Clip('bare', clip.images), batch=1, frames=1)
    with pytest.raises(InputError, match=r'wide: shape \(20, 30, 3\)'):
        pair_batches.clip_source([clip, coded_clip('wide', 0, 2, width=30)], batch=1, frames=1)
    with pytest.raises(InputError, match='got 0 clips'):
        pair_batches.clip_source([], batch=1, frames=1)
    with pytest.raises(InputError, match='clip none: no frames'):
        clips.Clip('none', clip.images[:0])
    with pytest.raises(InputError, match='conditions of clip a'):
        clips.Clip('a', clip.images, clip.images[:1])
    with pytest.raises(InputError, match='dtype'):
        clips.Clip('a', clip.images / 255)
    with pytest.raises(InputError, match='got frames 1 to 3, expected within 0 to 2'):
        clip.part(1, 3)


def test_frames_are_read_in_order_with_what_lies_beside_them(tmp_path):
    folder = write_folder(tmp_path / 'walk', {f'f{k}.png': coded(k) for k in range(12)})
    poses = write_folder(tmp_path / 'poses', {f'f{k}.png': coded(100 + k) for k in range(12)})
    clip = clips.read_frames(folder, conditions=poses, fps=12)
    assert (clip.name, clip.fps, len(clip)) == ('walk', 12, 12)
    assert clip.images[:, 0, 0, 2].tolist() == list(range(12))
    assert clip.conditions is not None and clip.conditions[:, 0, 0, 2].tolist() == list(range(100, 112))
    assert clip.part(3, 5).images[:, 0, 0, 2].tolist() == [3, 4]
    assert clips.read_frames(folder).conditions is None
    for k in range(12):
        (poses / f'f{k}_keypoints.json').write_text('{}')
    found = clips.beside(poses, 12)
    assert [path.name for path in found] == [f'f{k}_keypoints.json' for k in range(12)]
    with pytest.raises(InputError, match='12 .json files, expected 11'):
        clips.beside(poses, 11)
    with pytest.raises(InputError, match='no such folder'):
        clips.beside(tmp_path / 'none', 11)
    io.write(folder / 'f12.png', coded(12, height=22))
    with pytest.raises(InputError, match='frame f12 has 24 x 22 pixels'):
        clips.read_frames(folder)
    assert clips.read_frames(folder, size=(12, 10)).images.shape == (13, 10, 12, 3)
    (folder / 'f3.png').write_bytes((folder / 'f3.png').read_bytes()[:60])
    with pytest.raises(InputError, match=r'f3\.png: truncated or damaged'):
        clips.read_frames(folder, size=(12, 10))


def test_videos_are_read(tmp_path):
    pytest.importorskip('av')
    pictures = [np.full((32, 48, 3), 20 * k, np.uint8) for k in range(6)]
    video.write(tmp_path / 'v.mp4', pictures, 10)
    clip = clips.read_video(tmp_path / 'v.mp4')
    assert (clip.name, clip.fps, clip.images.shape) == ('v', 10, (6, 32, 48, 3))
    np.testing.assert_allclose(clip.images.mean(axis=(1, 2, 3)), 20 * np.arange(6), atol=3)
    short = clips.read_video(tmp_path / 'v.mp4', size=(24, 16), limit=4)
    np.testing.assert_allclose(short.images.mean(axis=(1, 2, 3)), 20 * np.arange(4), atol=3)
    assert short.images.shape == (4, 16, 24, 3)
    (tmp_path / 'empty.mp4').write_bytes(b'')
    with pytest.raises(InputError, match='empty.mp4: cannot be decoded'):
        clips.read_video(tmp_path / 'empty.mp4')
    with pytest.raises(InputError, match='limit'):
        clips.read_video(tmp_path / 'v.mp4', limit=0)
