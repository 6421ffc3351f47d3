"""Files of strangers through trimesh, which may ask for files beside the mesh and for nothing else."""

import io
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from neurend import checks
from neurend.scenes.mesh_extra import library


class _Folder:
    """What trimesh calls a resolver. It drops errors where a texture is missing: the first is kept here."""

    def __init__(self, mesh: Path):
        self._mesh = mesh
        self.error: checks.InputError | None = None

    def get(self, name: str) -> bytes:
        """The bytes of a file in the mesh's folder."""
        try:
            path = checks.inside(self._mesh.parent, unquote(name))
            return checks.file(path, 'file', f'{self._mesh.name} asks for it').read_bytes()
        except checks.InputError as error:
            self.error = self.error or error
            raise

    __getitem__ = get


def load(path: Path, data: bytes, kind: str) -> Any:
    """The `trimesh.Scene` of a file's bytes, unprocessed; nothing is fetched from the network.

    Args:
        path: where the bytes come from; they may refer to files in its folder.
        data: of the file.
        kind: its format, as trimesh calls it.

    Raises:
        InputError: the extra `mesh` is not installed, or a file that this one refers to is missing or outside of the
            folder.
        Exception: of any kind, where the file is damaged.
    """
    folder = _Folder(path)
    trimesh = library('trimesh')
    try:
        with warnings.catch_warnings():
            # NumPy's word for text that is no number.
            warnings.filterwarnings('error', 'string or file could not be read', DeprecationWarning)
            return trimesh.load_scene(io.BytesIO(data), file_type=kind, resolver=folder, process=False)
    finally:
        if folder.error:
            raise folder.error
