"""The notebook runs from top to bottom and learns the scene."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / 'colabs' / 'quickstart.ipynb'


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_quickstart_learns_the_scene():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name='python3').execute()
    printed = ''.join(
        output.get('text', '') for cell in notebook.cells if cell.cell_type == 'code' for output in cell.outputs
    )
    found = re.search(r'PSNR ([\d.]+) dB on 6 held-out views', printed)
    assert found, printed
    assert float(found[1]) > 26
