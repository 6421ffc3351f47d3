import numpy as np
import pytest

from neurend.checks import InputError
from neurend.images import show


def test_turbo_runs_from_blue_over_green_to_red_without_bands():
    colors = show.turbo(np.linspace(0, 1, 513))
    dominant = colors[[128, 256, 400]].argmax(-1)
    np.testing.assert_array_equal(dominant, [2, 1, 0])
    assert np.abs(np.diff(colors, axis=0)).max() < 0.03
    np.testing.assert_array_equal(show.turbo([-5.0, 7.0]), show.turbo([0.0, 1.0]))


def test_depth_near_is_red_far_is_blue_empty_is_background():
    depth = np.tile(np.linspace(2, 6, 40), (10, 1))
    alpha = np.ones_like(depth)
    alpha[0] = 0
    depth[1] = np.nan
    picture = show.depth_picture(depth, alpha, near=1.5, far=6.5)
    np.testing.assert_array_equal(picture[:2], 255)
    assert picture[5, 2].argmax() == 0 and picture[5, -3].argmax() == 2
    # The default range does not depend on what transparent pixels hold.
    spoiled = np.where(alpha > 0, depth, 1e9)
    np.testing.assert_array_equal(show.depth_picture(depth, alpha)[2:], show.depth_picture(spoiled, alpha)[2:])
    np.testing.assert_array_equal(show.depth_picture(np.full((4, 4), np.inf)), 255)


def test_normals_and_errors():
    normal = np.zeros((2, 2, 3))
    normal[..., 2] = -1
    np.testing.assert_array_equal(show.normal_picture(normal)[0, 0], [128, 128, 0])
    np.testing.assert_array_equal(show.normal_picture(normal, np.zeros((2, 2)), background=0.0), 0)
    truth = np.zeros((2, 2, 3), np.float32)
    picture = show.error_picture(truth + 0.2, truth, maximum=0.2)
    np.testing.assert_array_equal(picture, show.error_picture(truth + 0.9, truth, maximum=0.2))
    assert np.all(picture != show.error_picture(truth, truth))
    with pytest.raises(InputError, match='must match the prediction'):
        show.error_picture(truth, truth[:1])


def test_contact_sheet_holds_every_cell_unchanged_and_apart():
    rng = np.random.default_rng(0)
    rows = [[rng.integers(0, 255, (20, 30, 3), dtype=np.uint8), rng.integers(0, 255, (24, 28, 3), dtype=np.uint8)],
            [rng.integers(0, 255, (16, 16, 1), dtype=np.uint8)]]  # fmt: skip
    sheet = show.contact_sheet(rows, gap=4)
    assert sheet.shape == (24 + 16 + 3 * 4, 30 + 28 + 3 * 4, 3)
    np.testing.assert_array_equal(sheet[4:24, 4:34], rows[0][0])
    np.testing.assert_array_equal(sheet[4:28, 38:66], rows[0][1])
    np.testing.assert_array_equal(sheet[32:48, 4:20], np.repeat(rows[1][0], 3, -1))
    assert np.all(sheet[:4] == 255) and np.all(sheet[28:32] == 255)
    labelled = show.contact_sheet(rows, columns=('left', 'right'), labels=('one', 'two'))
    assert labelled.shape[0] > sheet.shape[0] and labelled.shape[1] == sheet.shape[1]
    assert np.any(labelled[:15] < 128)  # there is ink
    with pytest.raises(InputError, match='got no picture'):
        show.contact_sheet([[]])


def test_titles_and_labels_of_a_contact_sheet_neither_meet_nor_end_early():
    dark = np.zeros((8, 12, 3), np.uint8)
    titles = ('volume integration', 'sphere tracing')
    sheet = show.contact_sheet([[dark, dark]], columns=titles, gap=4)
    inked = np.flatnonzero((sheet[4:20] < 128).any((0, 2)))
    apart = inked[np.argmax(np.diff(inked))] + 1, inked[np.argmax(np.diff(inked)) + 1]
    assert apart[1] - apart[0] >= 4 and inked[0] >= 4 and inked[-1] < sheet.shape[1] - 4
    # Each picture stands in the middle beneath its title.
    for ends, under in (((4, apart[0]), sheet[-8, : apart[0]]), ((apart[1], inked[-1] + 1), sheet[-8, apart[0] :])):
        offset = 0 if ends[0] == 4 else apart[0]
        black = np.flatnonzero(under[:, 0] == 0) + offset
        assert len(black) == 12 and abs(black.mean() - (ends[0] + ends[1] - 1) / 2) <= 3
    label = 'a name that is a good deal longer than two small pictures are wide'
    wide = show.contact_sheet([[dark, dark]], labels=[label], gap=4)
    assert np.flatnonzero((wide < 128).any((0, 2)))[-1] < wide.shape[1] - 4 and wide.shape[1] > 2 * 12 + 3 * 4 + 100
