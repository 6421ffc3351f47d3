"""The notebook runs from top to bottom, and finds the shape and the pose."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / 'colabs' / 'fit_shape_and_pose.ipynb'


@pytest.mark.slow
@pytest.mark.filterwarnings('default')
def test_shape_and_pose_are_found():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get('outputs') for cell in notebook.cells)
    NotebookClient(notebook, timeout=600, kernel_name='python3').execute()
    printed = ''.join(
        output.get('text', '') for cell in notebook.cells if cell.cell_type == 'code' for output in cell.outputs
    )
    shape = re.search(r'Chamfer distance [\d.]+ to [\d.]+, ([\d.]+) times less', printed)
    turn = re.search(r'Rotation error 20\.00 to ([\d.]+) degrees', printed)
    assert shape and turn, printed
    assert float(shape[1]) > 15 and float(turn[1]) < 0.1
