import base64
import html.parser
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from neurend.checks import InputError
from neurend.images import io
from neurend.viewer import page


class Parser(html.parser.HTMLParser):
    """Collects elements with their attributes, and the text of each."""

    def __init__(self):
        super().__init__()
        self.elements, self.text = [], {}

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        tag, attributes = self.elements[-1] if self.elements else ('', {})
        self.text.setdefault(attributes.get('id', tag), data)


def smooth(seed, size=24):
    """A picture that survives JPEG."""
    y, x = np.mgrid[:size, :size] / size
    return np.stack([x, y, 0 * x + 0.1 * seed], -1).astype(np.float32)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / 'page.html'
    truth, prediction = smooth(1), smooth(2)
    views = [
        page.View(
            'r_0 <b>"x"</b></script>', {'truth': truth, 'prediction': prediction}, {'psnr': 31.234, 'ssim': 0.98765}
        )
    ]
    page.write(path, title='A & <B>', views=views, metrics={'psnr': np.inf}, orbit=(smooth(i, 600) for i in range(3)),
               rows={'r_0': {'psnr': 31.2}, 'r_1': {'ssim': 0.5}}, details={'background': 'white'})  # fmt: skip
    return path.read_text(encoding='utf-8')


def parse(text):
    parser = Parser()
    parser.feed(text)
    return parser, json.loads(parser.text['data'])


def test_page_holds_everything_and_asks_the_network_for_nothing(written):
    assert not re.search(r'https?:|//[a-z]|@import|url\(|<iframe|<object|XMLHttpRequest|fetch\(', written)
    parser, data = parse(written)
    for tag, attributes in parser.elements:
        assert tag != 'script' or 'src' not in attributes
        for name in ('src', 'href'):
            assert attributes.get(name, 'data:').startswith('data:')
    policy = next(a['content'] for _, a in parser.elements if a.get('http-equiv') == 'Content-Security-Policy')
    assert policy.startswith("default-src 'none'; img-src data:")
    sources = [source for view in data['views'] for _, source in view['pictures']] + data['orbit']
    assert len(sources) == 5 and all(source.startswith('data:image/') for source in sources)


def test_pictures_and_numbers_are_the_ones_given(written):
    parser, data = parse(written)

    def decode(source):
        return io.decode(base64.b64decode(source.split(',')[1]))

    pictures = dict(data['views'][0]['pictures'])
    np.testing.assert_array_equal(decode(pictures['truth']), io.to_uint8(smooth(1)))
    np.testing.assert_array_equal(decode(pictures['prediction']), io.to_uint8(smooth(2)))
    for i, source in enumerate(data['orbit']):
        np.testing.assert_allclose(decode(source) / 255, smooth(i, 600), atol=0.03)
    assert data['views'][0]['name'] == 'r_0 <b>"x"</b></script>'  # came through whole, as text
    assert data['views'][0]['metrics'] == [['psnr', '31.23'], ['ssim', '0.9877']]
    assert data['metrics'] == [['psnr', 'inf']]
    assert (data['columns'], data['rows']) == (['view', 'psnr', 'ssim'], [['r_0', '31.20', ''], ['r_1', '', '0.5000']])
    assert data['details'] == [['background', 'white']]
    assert parser.text['title'] == parser.text['h1'] == 'A & <B>'


def test_script_parses(written, tmp_path):
    node = shutil.which('node')
    if node is None:
        pytest.skip('needs node to parse JavaScript')
    (tmp_path / 'page.js').write_text(written.split('<script>')[1].split('</script>')[0])
    subprocess.run([node, '--check', tmp_path / 'page.js'], check=True)


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match='neither views nor orbit'):
        page.write(tmp_path / 'a.html', title='empty')
    with pytest.raises(InputError, match='cannot be written'):
        page.write(tmp_path / 'none' / 'a.html', title='t', orbit=[smooth(0)])
    assert list(tmp_path.iterdir()) == []
