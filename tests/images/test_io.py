import io as stdio

import numpy as np
import pytest
from PIL import Image

from neurend.checks import InputError
from neurend.images import io


def photo(height=13, width=17, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_png_round_trip_is_exact(tmp_path, channels):
    image = photo(channels=channels)
    io.write(tmp_path / 'a.png', image)
    np.testing.assert_array_equal(io.read(tmp_path / 'a.png'), image)
    np.testing.assert_array_equal(io.decode(io.encode_png(image)), image)
    assert io.probe(tmp_path / 'a.png') == (17, 13, channels, 8, 1)
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']


def test_floats_are_rounded_to_the_nearest_and_clipped():
    values = np.array([[-1.0, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 2.0]])
    np.testing.assert_array_equal(io.to_uint8(values), [[0, 0, 0, 1, 255, 255]])
    with pytest.raises(InputError, match='1 of 2 values not finite'):
        io.to_uint8(np.array([0.0, np.nan]))
    with pytest.raises(InputError, match='dtype int64'):
        io.to_uint8(np.zeros((2, 2, 3), np.int64))


def test_jpeg_is_close_on_a_smooth_image(tmp_path):
    ramp = np.linspace(0, 1, 32, dtype=np.float32)
    image = np.stack([np.tile(ramp, (32, 1)), np.tile(ramp[:, None], (1, 32)), np.full((32, 32), 0.5)], -1)
    io.write(tmp_path / 'a.jpg', image)
    np.testing.assert_allclose(io.read(tmp_path / 'a.jpg') / 255, image, atol=0.04)


def test_16_bit_gray_without_loss_and_rounded(tmp_path):
    depth = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16, 1) + np.uint16(0)
    depth[0, 0] = 200
    io.write(tmp_path / 'd.png', depth)
    np.testing.assert_array_equal(io.read_uint16(tmp_path / 'd.png'), depth)
    np.testing.assert_array_equal(io.read(tmp_path / 'd.png')[..., 0].ravel(), [1, *range(1, 256)])
    assert io.probe(tmp_path / 'd.png').bits == 16
    io.write(tmp_path / 'rgb.png', photo())
    with pytest.raises(InputError, match='expected 16-bit gray'):
        io.read_uint16(tmp_path / 'rgb.png')


def test_palette_gray_alpha_cmyk_and_bilevel_come_as_plain_channels(tmp_path):
    image = Image.fromarray(photo())
    image.quantize(16).save(tmp_path / 'p.png')
    assert io.read(tmp_path / 'p.png').shape == (13, 17, 3)
    image.convert('LA').save(tmp_path / 'la.png')
    assert io.read(tmp_path / 'la.png').shape == (13, 17, 4)
    image.convert('CMYK').save(tmp_path / 'c.jpg')
    assert io.read(tmp_path / 'c.jpg').shape == (13, 17, 3)
    image.convert('1').save(tmp_path / 'b.png')
    assert set(np.unique(io.read(tmp_path / 'b.png'))) == {0, 255}
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / 'f.tif')
    with pytest.raises(InputError, match='mode F'):
        io.read(tmp_path / 'f.tif')


def test_channels_are_converted_and_alpha_never_lost(tmp_path):
    gray = photo(channels=1)
    data = io.encode_png(gray)
    np.testing.assert_array_equal(io.decode(data, channels=3), np.repeat(gray, 3, -1))
    np.testing.assert_array_equal(io.decode(data, channels=4)[..., 3], 255)
    opaque = np.concatenate([photo(), np.full((13, 17, 1), 255, np.uint8)], -1)
    np.testing.assert_array_equal(io.decode(io.encode_png(opaque), channels=3), opaque[..., :3])
    opaque[3, 4, 3] = 254
    with pytest.raises(InputError, match='transparent pixels'):
        io.decode(io.encode_png(opaque), channels=3)


def test_exif_orientation_is_reported_and_applied_only_on_request(tmp_path):
    image = Image.fromarray(photo())
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / 'a.png', exif=exif)
    assert io.probe(tmp_path / 'a.png') == (17, 13, 3, 8, 6)
    np.testing.assert_array_equal(io.read(tmp_path / 'a.png'), photo())
    np.testing.assert_array_equal(io.read(tmp_path / 'a.png', upright=True), np.rot90(photo(), -1))


@pytest.mark.parametrize('kind', ['PNG', 'JPEG'])
@pytest.mark.parametrize('keep', [0.02, 0.3, 0.9])
def test_truncated_files_name_themselves(tmp_path, kind, keep):
    buffer = stdio.BytesIO()
    Image.fromarray(photo(64, 64)).save(buffer, kind)
    data = buffer.getvalue()
    path = tmp_path / 'cut.png'
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(InputError, match=r'cut\.png'):
        io.read(path)


def test_flipped_bytes_raise_input_errors_or_decode(tmp_path):
    data = bytearray(io.encode_png(photo(32, 32)))
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        broken = bytearray(data)
        broken[rng.integers(8, len(data))] ^= 1 << rng.integers(0, 8)
        try:
            io.decode(bytes(broken))
        except InputError:
            refused += 1
    assert refused > 150


def test_missing_file_wrong_suffix_and_missing_folder(tmp_path):
    with pytest.raises(InputError, match='does not exist'):
        io.read(tmp_path / 'none.png')
    with pytest.raises(InputError, match=r"suffix '\.bmp'"):
        io.write(tmp_path / 'a.bmp', photo())
    with pytest.raises(InputError, match='cannot be written'):
        io.write(tmp_path / 'none' / 'a.png', photo())
    with pytest.raises(InputError, match='C one of'):
        io.write(tmp_path / 'a.jpg', photo(channels=4))
