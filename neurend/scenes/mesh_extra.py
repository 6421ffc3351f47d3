"""Libraries for meshes, which an installation may lack: the extra `mesh`."""

import importlib
from types import ModuleType

from neurend.checks import InputError

_PACKAGES = {'fast_simplification': 'fast-simplification', 'skimage.measure': 'scikit-image'}


def library(module: str) -> ModuleType:
    """Imports a library of the extra `mesh`.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = _PACKAGES.get(module, module)
        raise InputError(
            f"meshes: this needs {package}, which is not installed. Install it with: pip install 'neurend[mesh]'"
        ) from error
