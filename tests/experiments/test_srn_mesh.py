import jax.numpy as jnp
import numpy as np
import pytest

from experiments import srn, srn_mesh
from neurend.checks import InputError
from neurend.data import shepard_metzler
from neurend.models.method import Method
from neurend.models.srn.scene import Ball
from neurend.render.rendering import Rendering
from neurend.scenes import mesh_files


@pytest.fixture
def perfect(monkeypatch):
    """A run that learned figures exactly: what it draws is traced."""
    train = shepard_metzler.category(2, views=6, size=16)
    setup = srn.Setup(srn.srn_data.Data(train, train, None, Ball(radius=1.0)), Method(None, None, None, None))
    monkeypatch.setattr(srn_mesh.srn, 'load', lambda workdir: (srn.Config(workdir=workdir), setup, None))

    class Traced:
        def __init__(self, render):
            assert render is None

        def __call__(self, state, camera, *, index):
            figure = shepard_metzler.figure((0, index, 0))
            width = int(camera.size[0])
            x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(width) + 0.5)
            origin, rays = shepard_metzler._rays(camera, np.stack([x, y], axis=-1).reshape(-1, 2))
            t, face = shepard_metzler.trace(figure, origin, rays)
            rgb = shepard_metzler._palette(figure)[face]
            depth = np.where(np.isfinite(t), t, 4.0)
            return Rendering(rgb.reshape(width, width, 3), jnp.ones((width, width)), depth.reshape(width, width))

    monkeypatch.setattr(srn_mesh, 'Tiler', Traced)


def test_the_mesh_of_a_figure_is_its_cubes(perfect, tmp_path):
    pytest.importorskip('skimage')
    settings = srn_mesh.Config(workdir=str(tmp_path), output=str(tmp_path / 'it.obj'), instance=1, views=60, size=96)
    mesh = srn_mesh.main(settings)
    back = mesh_files.read(tmp_path / 'it.obj')
    assert len(back.faces) == len(mesh.faces)
    figure, half = shepard_metzler.figure((0, 1, 0)), shepard_metzler.SIDE / 2
    beyond = np.abs(mesh.vertices[:, None] - figure.centers[None]) - half
    outside, inside = np.linalg.norm(np.maximum(beyond, 0), axis=-1), np.minimum(beyond.max(-1), 0)
    away = np.abs((outside + inside).min(1))
    # Corners of cubes are rounded by about a cell.
    cell = shepard_metzler.EXTENT * shepard_metzler.SIDE / settings.cells
    assert away.mean() < 0.4 * cell and np.percentile(away, 98) < 1.5 * cell
    nearest = (outside + inside).argmin(1)
    hue = mesh.colors / mesh.colors.max(-1, keepdims=True)
    truth = figure.colors[nearest] / figure.colors[nearest].max(-1, keepdims=True)
    assert np.median(np.abs(hue ** (1 / 2.2) - truth)) < 0.1


def test_bad_input(perfect, tmp_path):
    with pytest.raises(InputError, match='--instance: got 2, expected 0 to 1'):
        srn_mesh.main(srn_mesh.Config(workdir=str(tmp_path), instance=2))
    with pytest.raises(InputError, match='nothing darker than --white=0.001 in the cube of side 1.2'):
        srn_mesh.main(srn_mesh.Config(workdir=str(tmp_path), white=1e-3, views=2, size=8, cells=4))
    with pytest.raises(InputError, match='--output'):
        srn_mesh.main(srn_mesh.Config(workdir=str(tmp_path), output=str(tmp_path / 'no' / 'mesh.glb')))
    with pytest.raises(InputError, match='white'):
        srn_mesh.Config(white=0.0)
