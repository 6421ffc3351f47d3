"""Experiments train on one of the host's four devices: that more make the same of a step is shown in tests/train."""

import jax
import pytest

from neurend.train import mesh


@pytest.fixture(autouse=True, scope='module')
def one_device():
    """All four would do again what is not cut between them, by programs that take longer to compile."""
    given = mesh.make
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mesh, 'make', lambda devices=None: given(jax.devices()[:1] if devices is None else devices))
        yield
