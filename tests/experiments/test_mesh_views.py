"""What is written of meshes that pictures were learned on: guesses to compare with, tables, pages, turntables."""

import json

import jax
import numpy as np
import pytest

from experiments import mesh_views
from neurend.data import posed
from neurend.geometry import cameras, paths
from neurend.images import io, video
from neurend.models.method import Method
from neurend.models.nerf.evaluation import Example, compare
from neurend.models.state import State
from neurend.render.rendering import Rendering

SIZE = 16
STATE = State(np.int32(7), {}, None)


def photographs(colors, angles, masks=None):
    """Pictures of one colour each, on a turntable, the left half of which is the subject."""
    poses = np.concatenate([paths.orbit(1, radius=3.0, start=angle) for angle in angles])
    camera = jax.tree.map(np.asarray, cameras.make(poses, 20.0, size=(SIZE, SIZE)))
    images = tuple(np.broadcast_to(np.uint8(color), (SIZE, SIZE, 3)) for color in colors)
    names = tuple(f'{angle:.2f}' for angle in angles)
    found = posed.PosedImages(names, images, camera, masks, 1.0, 5.0, np.eye(4))
    return posed.cut_out(found) if masks else found


def halves(count):
    return (np.repeat(np.uint8([[255, 0]]), SIZE // 2, axis=1).repeat(SIZE, axis=0),) * count


def drawn(camera):
    """Grey where the subject is."""
    alpha = halves(1)[0].astype(np.float32) / 255
    return Rendering(np.repeat(1 - 0.5 * alpha[..., None], 3, axis=-1), alpha, 3 * alpha)


@pytest.fixture(scope='module')
def captures():
    train = photographs(([0] * 3, [102] * 3, [204] * 3), (0.0, 1.0, 2.0), halves(3))
    return train, photographs(([51] * 3, [153] * 3), (0.1, 1.9), halves(2))


def test_guesses_are_measured_where_the_subject_is_and_over_all(captures):
    train, test = captures
    guesses = mesh_views.baselines(drawn, test, train)
    # Photographs are 0, 0.4 and 0.8, those held out 0.2 and 0.6: all guesses are off by 0.2 within the masks.
    for name in ('nearest photograph', 'mean photograph'):
        assert guesses[name]['psnr_masked'] == pytest.approx(-20 * np.log10(0.2), abs=1e-3)
    # Off the masks all is white: half the pixels have no error.
    for name in ('nearest photograph', 'mean colour'):
        assert guesses[name]['psnr'] == pytest.approx(-10 * np.log10(0.2**2 / 2), abs=1e-3)


def test_guesses_without_outlines_are_the_nearest_photographs_alone():
    train, test = photographs(([0] * 3, [102] * 3), (0.0, 1.0)), photographs(([51] * 3,), (0.9,))
    found = mesh_views.baselines(drawn, test, train)
    assert found == {'nearest photograph': {'psnr': pytest.approx(-20 * np.log10(0.2), abs=1e-3)}}


def test_a_report_is_a_table_pictures_a_page_and_a_turntable(captures, tmp_path, capsys):
    train, test = captures

    def evaluate(state, example):
        rendering = jax.tree.map(np.asarray, drawn(example.camera))
        return compare(rendering, example, background=np.ones(3))

    method = Method(lambda key: STATE, lambda *_: (STATE, {}), lambda state, camera: drawn(camera), evaluate)
    examples = [Example(test.names[k], test.camera(k), test.images[k], test.masks[k]) for k in range(2)]
    table = mesh_views.report(
        tmp_path,
        method,
        STATE,
        examples,
        draw=drawn,
        train=train,
        test=test,
        title='Half & half',
        protocol={'scene': 'halves'},
        frames=3,
    )
    assert table.mean['psnr_masked'] == pytest.approx(np.mean([-20 * np.log10(e) for e in (0.3, 0.1)]), abs=1e-3)
    assert 'mean photograph' in capsys.readouterr().out
    told = json.loads((tmp_path / 'evaluation_test' / 'evaluation.json').read_text())
    assert set(told['baselines']) == {'nearest photograph', 'mean photograph', 'mean colour'}
    assert {path.name for path in (tmp_path / 'evaluation_test').glob('*.png')} == {'0.10.png', '1.90.png'}
    frames = list(video.read(tmp_path / 'turntable.mp4'))
    assert len(frames) == 3 and abs(int(frames[0][8, 2, 0]) - 128) < 6 and frames[0][8, 13, 0] > 249
    page = (tmp_path / 'page.html').read_text()
    start = page.index('<script type="application/json"')
    data = json.loads(page[page.index('>', start) + 1 : page.index('</script>', start)])
    assert '<title>Half &amp; half</title>' in page and [view['name'] for view in data['views']] == ['0.10', '1.90']
    assert len(data['orbit']) == 3 and 'nearest photograph' in [row[0] for row in data['rows']]
    assert io.read(tmp_path / 'evaluation_test' / '0.10.png').size
