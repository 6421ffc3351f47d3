import base64
import html.parser
import json
import re
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.geometry import cameras, grids, transforms
from neurend.images import io
from neurend.render import planes as render
from neurend.scenes.planes import Planes
from neurend.viewer import planes as page

FOCAL, CENTER, BORDER = 30.0, (11.0, 8.5), 3
DEPTHS = np.array([1.0, 1.5, 4.0])


class Parser(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.elements, self.text = [], {}

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        tag, attributes = self.elements[-1] if self.elements else ('', {})
        self.text.setdefault(attributes.get('id', tag), data)


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp('page') / 'planes.html'
    rgba = np.random.default_rng(0).uniform(size=(3, 16, 20, 4)).astype(np.float32)
    camera = cameras.make(jnp.eye(4), FOCAL, size=(20, 16), center=jnp.array(CENTER))
    page.write(path, Planes(rgba, DEPTHS, camera), title='A & <B>', travel=0.2, border=BORDER)
    text, parser = path.read_text(encoding='utf-8'), Parser()
    parser.feed(text)
    return text, parser, rgba


def number(style, pattern):
    return [float(x) for x in re.search(pattern, style).groups()]


def test_page_holds_everything_and_asks_the_network_for_nothing(written):
    text, parser, rgba = written
    assert not re.search(r'https?:|//[a-z]|@import|url\(|<iframe|<object|XMLHttpRequest|fetch\(|\{\{', text)
    policy = next(a['content'] for _, a in parser.elements if a.get('http-equiv') == 'Content-Security-Policy')
    assert policy.startswith("default-src 'none'; img-src data:")
    sources = [attributes['src'] for tag, attributes in parser.elements if tag == 'img']
    # The farthest first, so that browsers draw it first where depths are equal.
    for source, plane in zip(sources, rgba[::-1], strict=True):
        np.testing.assert_array_equal(io.decode(base64.b64decode(source.split(',')[1])), io.to_uint8(plane))
    assert parser.text['title'] == parser.text['h1'] == 'A & <B>'


@pytest.mark.parametrize('move', [(0.0, 0.0), (0.2, -0.1)])
def test_planes_are_drawn_where_a_moved_camera_sees_them(written, move):
    """By the rules of CSS, against a camera that is moved and whose picture is shifted to keep the focus in place."""
    _, parser, _ = written
    data = json.loads(parser.text['data'])
    stage = next(a['style'] for _, a in parser.elements if a.get('id') == 'stage')
    (distance,) = number(stage, r'perspective:([\d.]+)px')
    focus = 1.5
    assert data['travel'] == pytest.approx(0.2 * FOCAL / focus)
    eye = np.array(data['center']) + np.array(move) * FOCAL / focus
    images = [a['style'] for tag, a in parser.elements if tag == 'img']
    for style, depth in zip(images, DEPTHS[::-1], strict=True):
        (left,), (top,) = number(style, r'left:(-?\d+)px'), number(style, r'top:(-?\d+)px')
        origin = np.array(number(style, r'transform-origin:([\d.]+)px ([\d.]+)px'))
        (z,), (scale,) = number(style, r'translateZ\((-?[\d.]+)px\)'), number(style, r'scale\(([\d.]+)\)')
        for pixel in ((0.0, 0.0), (20.0, 5.0)):
            flat = origin + scale * (np.array(pixel) - origin) + [left, top]
            on_screen = eye + (flat - eye) * distance / (distance - z)
            # The camera, moved to the side; what it sees at the focus goes back to where it was.
            camera = cameras.make(jnp.eye(4), FOCAL, size=(20, 16), center=jnp.array(CENTER))
            point = cameras.unproject(camera, jnp.array(pixel), jnp.float32(depth))
            moved = transforms.from_rt(jnp.eye(3), jnp.array([*move, 0.0]))
            seen, _ = cameras.project(cameras.make(moved, FOCAL, size=(20, 16), center=jnp.array(CENTER)), point)
            expected = np.asarray(seen) + np.array(move) * FOCAL / focus - BORDER
            np.testing.assert_allclose(on_screen, expected, atol=2e-3)


def test_the_page_shows_what_a_moved_camera_sees(written):
    """The page drawn by the rules of CSS, planes one over the other, against `render.planes` at the same eye."""
    _, parser, rgba = written
    data, move = json.loads(parser.text['data']), np.array([0.15, -0.1])
    stage = next(a['style'] for _, a in parser.elements if a.get('id') == 'stage')
    (distance,) = number(stage, r'perspective:([\d.]+)px')
    eye = np.array(data['center']) + move * data['travel'] / 0.2
    width, height = data['size']
    screen = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1)
    shown, looked_up = np.ones((height, width, 3)), jax.jit(lambda *given: grids.bilinear(*given, beyond='zero'))
    for tag, attributes in parser.elements:
        if tag != 'img':
            continue
        style = attributes['style']
        corner = np.array([*number(style, r'left:(-?\d+)px'), *number(style, r'top:(-?\d+)px')])
        origin = np.array(number(style, r'transform-origin:([\d.]+)px ([\d.]+)px'))
        (z,), (scale,) = number(style, r'translateZ\((-?[\d.]+)px\)'), number(style, r'scale\(([\d.]+)\)')
        flat = eye + (screen - eye) * (distance - z) / distance
        pixels = (flat - corner - origin) / scale + origin
        plane = io.decode(base64.b64decode(attributes['src'].split(',')[1])) / 255
        found = np.asarray(looked_up(plane, pixels))
        shown = found[..., 3:] * found[..., :3] + (1 - found[..., 3:]) * shown
    # The camera at the eye, its picture shifted so that the focus stays, without the border.
    shift = move * FOCAL / 1.5 - BORDER
    camera = cameras.make(
        transforms.from_rt(jnp.eye(3), jnp.array([*move, 0.0])), FOCAL, size=(width, height), center=CENTER + shift
    )
    planes = cameras.make(jnp.eye(4), FOCAL, size=(20, 16), center=jnp.array(CENTER))

    @jax.jit
    def seen_by(camera):
        rays = cameras.rays(camera, cameras.pixel_centers(width, height))
        return render.render(jnp.asarray(rgba), jnp.asarray(DEPTHS), planes, rays, background=jnp.ones(3))

    seen = seen_by(camera)
    inside = np.asarray(seen.alpha) > 0
    assert inside.mean() > 0.9
    np.testing.assert_allclose(shown, seen.rgb, atol=0.02)


def test_script_parses(written, tmp_path):
    node = shutil.which('node')
    if node is None:
        pytest.skip('needs node to parse JavaScript')
    (tmp_path / 'page.js').write_text(written[0].split('<script>')[1].split('</script>')[0])
    subprocess.run([node, '--check', tmp_path / 'page.js'], check=True)


def test_bad_input(tmp_path):
    camera = cameras.make(jnp.eye(4), FOCAL, size=(4, 4))
    with pytest.raises(InputError, match='border: got 2'):
        page.write(
            tmp_path / 'a.html', Planes(np.zeros((1, 4, 4, 4)), DEPTHS[:1], camera), title='', travel=1, border=2
        )
    with pytest.raises(InputError, match=r'planes\.rgba'):
        page.write(tmp_path / 'a.html', Planes(np.zeros((1, 4, 4, 7)), DEPTHS[:1], camera), title='', travel=1)
    for travel in (-1, float('nan')):
        with pytest.raises(InputError, match='travel: got'):
            page.write(tmp_path / 'a.html', Planes(np.zeros((1, 4, 4, 4)), DEPTHS[:1], camera), title='', travel=travel)
    assert list(tmp_path.iterdir()) == []
