"""Captures: what is gathered from photographs and videos, what is refused, and a reconstruction end to end."""

import json

import numpy as np
import pytest
from PIL import Image

from experiments import prepare_data
from neurend.checks import InputError
from neurend.data import scenes
from neurend.images import io, resample, video

Config = prepare_data.Config


def textured(rng, height, width):
    """Blobs of all sizes: a picture full of features."""
    total = np.zeros((height, width, 3))
    for factor in (1, 2, 4, 8):
        noise = rng.uniform(size=(height // factor + 1, width // factor + 1, 3))
        total += np.kron(noise, np.ones((factor, factor, 1)))[:height, :width] * factor
    total = (total - total.min()) / np.ptp(total)
    return (255 * total).astype(np.uint8)


def test_refuses_what_it_cannot_use(tmp_path):
    with pytest.raises(InputError, match='--source'):
        prepare_data.main(Config(source=str(tmp_path / 'none'), output=str(tmp_path / 'out')))
    (tmp_path / 'photos').mkdir()
    with pytest.raises(InputError, match='does not exist yet'):
        prepare_data.main(Config(source=str(tmp_path / 'photos'), output=str(tmp_path)))
    with pytest.raises(InputError, match='--factors'):
        prepare_data.main(Config(source=str(tmp_path / 'photos'), output=str(tmp_path / 'out'), factors=(1,)))
    pytest.importorskip('pycolmap')
    (tmp_path / 'notes.txt').write_text('hello')
    with pytest.raises(InputError, match='no video'):
        prepare_data.main(Config(source=str(tmp_path / 'notes.txt'), output=str(tmp_path / 'out')))
    with pytest.raises(InputError, match='at least 3'):
        prepare_data.main(Config(source=str(tmp_path / 'photos'), output=str(tmp_path / 'out')))
    assert sorted(path.name for path in tmp_path.iterdir()) == ['notes.txt', 'photos']


def test_masks_must_fit(tmp_path):
    sizes = {'a.jpg': (30, 20)}
    with pytest.raises(InputError, match='no folder'):
        prepare_data._gather_masks(tmp_path / 'none', tmp_path / 'out', sizes)
    (tmp_path / 'in').mkdir()
    with pytest.raises(InputError, match=r'none for a\.jpg'):
        prepare_data._gather_masks(tmp_path / 'in', tmp_path / 'out1', sizes)
    io.write(tmp_path / 'in' / 'a.png', np.zeros((20, 31, 1), np.uint8))
    with pytest.raises(InputError, match=r'\(31, 20\) pixels, expected \(30, 20\)'):
        prepare_data._gather_masks(tmp_path / 'in', tmp_path / 'out2', sizes)


def test_gathers_upright_and_names_the_broken(tmp_path):
    source, folder = tmp_path / 'in', tmp_path / 'out'
    source.mkdir()
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = [textured(rng, 20, 30) for _ in range(4)]
    for k, image in enumerate(images[:3]):
        io.write(source / f'{k}.png', image)
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    Image.fromarray(images[3]).save(source / 'turned.png', exif=exif)
    (source / 'broken.jpg').write_bytes(b'\xff\xd8\xff')
    (source / 'notes.txt').write_text('hello')
    sizes, unreadable = prepare_data._gather(source, folder, 2.0)
    assert unreadable == ['broken.jpg']
    assert sizes == {'0.png': (30, 20), '1.png': (30, 20), '2.png': (30, 20), 'turned.png': (20, 30)}
    np.testing.assert_array_equal(io.read(folder / 'turned.png'), np.rot90(images[3], -1))
    np.testing.assert_array_equal(io.read(folder / '1.png'), images[1])


def test_takes_the_sharpest_frame_of_each_stretch(tmp_path):
    pytest.importorskip('av')
    rng = np.random.default_rng(1)
    sharp = textured(rng, 32, 48)
    blurred = resample.resize(resample.resize(sharp, 12, 8), 48, 32)
    frames = [blurred] * 12
    frames[2], frames[9] = sharp, 255 - sharp
    video.write(tmp_path / 'walk.mp4', frames, fps=12, quality=1)
    found = list(prepare_data._sharpest(tmp_path / 'walk.mp4', 2.0))
    assert len(found) == 2
    assert np.abs(found[0].astype(float) - sharp).mean() < 20
    assert np.abs(found[1].astype(float) - (255 - sharp)).mean() < 20


def test_report_speaks_plainly():
    report = {
        'pictures': 10,
        'registered': 4,
        'not_registered': ['a.jpg'],
        'unreadable': ['b.jpg'],
        'models': [4, 3],
        'points': 100,
        'mean_reprojection_error_pixels': 0.5,
        'mean_track_length': 3.0,
        'near': 0.5,
        'far': 2.0,
        'forward_facing': False,
    }
    text = prepare_data._text(report)
    for part in ('4 of 10', 'not registered: a.jpg', 'unreadable: b.jpg', '2 parts', 'many pictures did not register'):
        assert part in text


@pytest.mark.slow
def test_reconstructs_a_textured_corner(tmp_path):
    pytest.importorskip('pycolmap')
    source = tmp_path / 'photos'
    source.mkdir()
    truth = corner_views(source)
    output, masks = tmp_path / 'scene', tmp_path / 'masks'
    masks.mkdir()
    shape = np.full((240, 320, 1), 255, np.uint8)
    shape[:, :20] = 0
    for k in range(len(truth)):
        io.write(masks / f'view_{k}.png', shape)
    prepare_data.main(
        Config(
            source=str(source),
            output=str(output),
            masks=str(masks),
            factors=(2,),
            camera_model='PINHOLE',
            focal=300.0,
            max_features=2000,
        )
    )
    report = json.loads((output / 'report.json').read_text())
    assert report['registered'] == len(truth)
    images = scenes.read(output, test_every=0)
    half = scenes.read(output, test_every=0, factor=2)
    assert abs(half.images[0].shape[0] * 2 - images.images[0].shape[0]) <= 1
    np.testing.assert_allclose(images.cameras.focal, 300, rtol=0.01)
    for scene, border in ((images, 20), (half, 10)):
        assert scene.masks is not None
        columns = np.mean(scene.masks[3], axis=0)
        assert columns[: border - 3].max() < 5
        assert columns[border + 3 :].min() > 250
    # Up to a similarity: distances between cameras keep their ratios.
    found = np.asarray(images.cameras.world_from_camera)[:, :3, 3]
    ratio = pairwise(found) / pairwise(truth)
    np.testing.assert_allclose(ratio / np.median(ratio), 1, atol=0.03)


def pairwise(centers):
    i, j = np.triu_indices(len(centers), 1)
    return np.linalg.norm(centers[i] - centers[j], axis=-1)


def corner_views(folder):
    """Photographs of three textured walls that meet in a corner, ray traced; the camera centres."""
    rng = np.random.default_rng(2)
    walls = [textured(rng, 512, 512) for _ in range(3)]
    width, height, focal = 320, 240, 300.0
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    local = np.stack([(x - width / 2) / focal, (y - height / 2) / focal, np.ones_like(x)], axis=-1)
    centers = []
    for k in range(8):
        angle = np.radians(25 + 40 * k / 7)
        center = np.array([3.2 * np.cos(angle), 3.2 * np.sin(angle), 1.6 + 0.25 * (k % 2)])
        forward = np.array([0.7, 0.7, 0.7]) - center
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1])
        right = right / np.linalg.norm(right)
        directions = local @ np.stack([right, np.cross(forward, right), forward])
        with np.errstate(divide='ignore', invalid='ignore'):
            distance = np.where(directions < 0, -center / directions, np.inf)
        nearest = distance.argmin(-1)
        points = center + distance.min(-1)[..., None] * directions
        image = np.zeros((height, width, 3), np.uint8)
        for axis in range(3):
            on = nearest == axis
            u, v = (
                np.clip((points[on][:, other] / 4 * 512).astype(int), 0, 511) for other in range(3) if other != axis
            )
            image[on] = walls[axis][v, u]
        io.write(folder / f'view_{k}.png', image)
        centers.append(center)
    return np.array(centers)
