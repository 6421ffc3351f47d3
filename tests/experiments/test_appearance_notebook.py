"""The notebook runs from top to bottom and learns the texture and the light."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / 'colabs' / 'fit_appearance.ipynb'


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_fit_appearance_learns_the_texture_and_the_light():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name='python3').execute()
    printed = ''.join(
        output.get('text', '') for cell in notebook.cells if cell.cell_type == 'code' for output in cell.outputs
    )
    held_out, relit = (
        re.search(pattern, printed)
        for pattern in (r'PSNR ([\d.]+) dB on 4 held-out views', r'in another light: PSNR ([\d.]+) dB')
    )
    assert held_out and relit, printed
    assert float(held_out[1]) > 35
    assert float(relit[1]) > 25
