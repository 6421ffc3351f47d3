"""The notebooks run from top to bottom, and reach what they are about."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / 'colabs'
# What each prints, and the least and greatest that the figures in it may be.
PRINTED = {
    'quickstart': [(r'PSNR ([\d.]+) dB on 6 held-out views', 26, 100)],
    'fit_shape_and_pose': [
        (r'Chamfer distance [\d.]+ to [\d.]+, ([\d.]+) times less', 15, 1000),
        (r'Rotation error 20\.00 to ([\d.]+) degrees', 0, 0.1),
    ],
    'neural_textures': [
        (r'PSNR ([\d.]+) dB on 20 held-out views', 22, 100),
        (r'([\d.]+) percent of the pixels changed', 2, 60),
    ],
    'deepvoxels': [(r'PSNR ([\d.]+) dB on 10 held-out views', 19, 100)],
    'srn': [(r'views held out, ([\d.]+) dB above the mean picture', 3, 100)],
    'planes': [
        (r'PSNR ([\d.]+) dB on 4 held-out views', 24, 100),
        (r'([\d.]+) dB above the nearest photograph', 10, 100),
    ],
    'gaussians': [
        (r'PSNR ([\d.]+) dB on 4 held-out views', 26, 100),
        (r'([\d.]+) dB above the nearest photograph', 6, 100),
        (r'Rotation error 5\.00 to ([\d.]+) degrees', 0, 1),
    ],
    'points_and_photographs': [
        (r'learned: PSNR [\d.]+ dB on 4 held-out views, ([\d.]+) dB above the nearest', 3, 100),
        (r'looked up: PSNR [\d.]+ dB on 4 held-out views, ([\d.]+) dB above the nearest', 7, 100),
    ],
    'faces_and_speech': [
        (r'those of the fit ([\d.]+)', 0, 0.8),
        (r'([\d.]+) percent of the variance', 75, 100),
        (r'(\d+) frames, \d+ kB; it says: Synthetic', 100, 200),
        (r'the jaw up to ([\d.]+) open', 0.5, 1),
    ],
    'fit_appearance': [
        (r'PSNR ([\d.]+) dB on 4 held-out views', 35, 100),
        (r'in another light: PSNR ([\d.]+) dB', 25, 100),
    ],
}


def test_all_notebooks_are_here_and_hold_no_results():
    paths = {path.stem: path for path in FOLDER.glob('*.ipynb')}
    assert set(paths) == set(PRINTED)
    for path in paths.values():
        assert not any(cell.get('outputs') for cell in nbformat.read(path, as_version=4).cells)


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
@pytest.mark.parametrize('name', sorted(PRINTED))
def test_it_reaches_its_figures(name, monkeypatch):
    # As a reader's kernel compiles, but for the level: a rounding decides whether SRN's short training jumps back.
    monkeypatch.setenv('XLA_FLAGS', '--xla_backend_optimization_level=1')
    notebook = nbformat.read(FOLDER / f'{name}.ipynb', as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name='python3').execute()
    printed = ''.join(
        output.get('text', '') for cell in notebook.cells if cell.cell_type == 'code' for output in cell.outputs
    )
    for pattern, least, greatest in PRINTED[name]:
        found = re.search(pattern, printed)
        assert found, printed
        assert least <= float(found[1]) <= greatest, printed
