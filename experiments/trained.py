"""What a run left in its workdir: its configuration and newest checkpoint, and of `experiments.nerf` the scene."""

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

import jax

from experiments import nerf
from neurend import checks, config
from neurend.checks import InputError
from neurend.models.method import Method
from neurend.models.state import State
from neurend.train import mesh as meshes
from neurend.train import runs
from neurend.train.checkpoints import Checkpoints

T = TypeVar('T')


def load(workdir: str, **changes: Any) -> tuple[nerf.Config, nerf.Setup, State]:
    """Loads a trained run onto one device.

    Args:
        workdir: of the run, with `config.flags` and `checkpoints/`.
        changes: fields of the run's configuration to replace; those that are None stay as they are.

    Returns:
        The configuration with the changes, what `nerf.build` makes of it, and the state of the newest checkpoint.

    Raises:
        InputError: no run there, no checkpoint that can be read, or the scene is gone.
    """
    changes = {name: value for name, value in changes.items() if value is not None}
    settings = dataclasses.replace(configuration(nerf.Config, workdir, 'experiments.nerf'), **changes)
    setup = nerf.build(settings)
    return settings, setup, restore(setup.method, Path(workdir))


def configuration(config_class: type[T], workdir: str, program: str) -> T:
    """The configuration that a run of a program recorded, with `workdir` where it lies now.

    Raises:
        InputError: no run of this program there.
    """
    flag_file = Path(workdir) / 'config.flags'
    flag_file = checks.file(flag_file, 'flag file', f'Expected the workdir of a run of {program}')
    try:
        return config.parse(config_class, f'--flagfile={flag_file}', f'--workdir={workdir}')
    except InputError as error:
        other = runs.program(flag_file)
        if other in (None, f'python -m {program}'):
            raise
        raise InputError(
            f'workdir {workdir}: is a run of {other}, expected one of python -m {program}. To evaluate it, start '
            f'{other} --flagfile={flag_file} once more'
        ) from error


def restore(method: Method, folder: Path) -> State:
    """The state of the newest checkpoint, on one device.

    Raises:
        InputError: there is none, or it is of another configuration.
    """
    restored = None
    if (folder / 'checkpoints').is_dir():
        mesh = meshes.make(jax.devices()[:1])
        checkpoints = Checkpoints(folder / 'checkpoints')
        try:
            template = jax.eval_shape(method.init, jax.random.key(0))
            restored = checkpoints.restore(template, lambda tree: meshes.state_shardings(tree, mesh))
        finally:
            checkpoints.close()
    if restored is None:
        raise InputError(f'workdir {folder}: holds no checkpoint yet. Train first, or wait for the first one')
    return restored.state
