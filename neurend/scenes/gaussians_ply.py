"""PLY files of Gaussians as Kerbl et al. (2023) write them and public viewers read them.

Each vertex has x, y, z; f_dc_0 to 2, the constant harmonics; f_rest_*, the others, those of red first; opacity, before
its sigmoid; scale_0 to 2, logarithms; and rot_0 to 3, a quaternion (w, x, y, z).
"""

import functools
import os
import re

import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.scenes import gaussians as scenes
from neurend.scenes import ply
from neurend.scenes.gaussians import Gaussians

_MEANS, _NORMALS = ('x', 'y', 'z'), ('nx', 'ny', 'nz')
_FIRST, _OPACITY = ('f_dc_0', 'f_dc_1', 'f_dc_2'), ('opacity',)
_SCALES, _TURNED = ('scale_0', 'scale_1', 'scale_2'), ('rot_0', 'rot_1', 'rot_2', 'rot_3')
_NEEDED = (*_MEANS, *_FIRST, *_OPACITY, *_SCALES, *_TURNED)


def write(path: str | os.PathLike[str], gaussians: Gaussians) -> None:
    """Writes the live Gaussians (no leading dims); the file appears whole or not at all.

    Raises:
        InputError: none is live, some are not sound, or the place cannot be written.
    """
    found = jax.tree.map(np.asarray, scenes.check(gaussians))
    live = found.live
    if not live.any():
        raise checks.InputError(f'gaussians {path}: none is live, expected at least one')
    # Red's harmonics first, then green's and blue's.
    rest = found.harmonics[live, 1:].transpose(0, 2, 1).reshape(int(live.sum()), -1)
    columns = [
        (_MEANS, found.means[live]),
        (_NORMALS, np.zeros((int(live.sum()), 3))),
        (_FIRST, found.harmonics[live, 0]),
        (tuple(f'f_rest_{k}' for k in range(rest.shape[1])), rest),
        (_OPACITY, found.logits[live, None]),
        (_SCALES, found.log_scales[live]),
        (_TURNED, found.rotations[live]),
    ]
    ply.write(path, {name: values[:, k] for names, values in columns for k, name in enumerate(names)})


def read(path: str | os.PathLike[str]) -> Gaussians:
    """Reads Gaussians, all live; the order and the types of the file's fields may be any.

    Raises:
        InputError: the file is missing, damaged or no PLY, lacks fields, which are named, or holds numbers that
            are not finite.
    """
    vertices = ply.read(path, 'gaussians')
    names = vertices.dtype.names or ()
    missing = ply.missing(vertices, _NEEDED)
    rest = sorted((name for name in names if re.fullmatch(r'f_rest_\d+', name)), key=lambda name: int(name[7:]))
    counts = [3 * ((degree + 1) ** 2 - 1) for degree in range(scenes.DEGREES)]
    expected = next((count for count in counts if count >= len(rest)), counts[-1])
    missing += [f'f_rest_{k}' for k in range(expected) if f'f_rest_{k}' not in rest]
    if missing:
        raise checks.InputError(
            f'gaussians {path}: lacks the fields {", ".join(missing)}, expected a PLY of Gaussians with '
            f'{", ".join(_NEEDED)} and {", ".join(map(str, counts))} of f_rest_*. Is it a mesh or a point cloud?'
        )

    block = functools.partial(ply.block, vertices)
    harmonics = block(_FIRST)[:, None]
    if expected:
        others = block(tuple(f'f_rest_{k}' for k in range(expected))).reshape(len(vertices), 3, -1)
        harmonics = np.concatenate([harmonics, others.transpose(0, 2, 1)], axis=1)
    made = Gaussians(
        means=jnp.asarray(block(_MEANS)),
        log_scales=jnp.asarray(block(_SCALES)),
        rotations=jnp.asarray(block(_TURNED)),
        logits=jnp.asarray(block(_OPACITY)[:, 0]),
        harmonics=jnp.asarray(harmonics),
        live=jnp.ones(len(vertices), bool),
    )
    try:
        return scenes.check(made)
    except checks.InputError as error:
        raise checks.InputError(f'gaussians {path}: {error}') from error
