"""PLY files of coloured points, as scanners, COLMAP and viewers read and write them.

Each vertex has x, y, z; red, green, blue, 0 to 255 where they are integers and 0 to 1 where not; and perhaps radius.
"""

import os

import numpy as np

from neurend import checks
from neurend.images import io
from neurend.scenes import ply, points
from neurend.scenes.points import Points

_PLACE, _COLOR, _RADIUS = ('x', 'y', 'z'), ('red', 'green', 'blue'), 'radius'


def write(path: str | os.PathLike[str], cloud: Points) -> None:
    """Writes points (no leading dims) with colours of 8 bits; the file appears whole or not at all.

    Raises:
        InputError: features that are no colours, points that `points.make` refuses, or a place that cannot be written.
    """
    checks.shape('points.features', cloud.features, 'n 3', 'Give each point a colour')
    cloud = points.make(np.asarray(cloud.positions), np.asarray(cloud.features), radii=np.asarray(cloud.radii))
    columns = dict(zip(_PLACE, np.asarray(cloud.positions).T))
    columns |= dict(zip(_COLOR, io.to_uint8(np.asarray(cloud.features)).T))
    ply.write(path, columns | {_RADIUS: np.asarray(cloud.radii)})


def read(path: str | os.PathLike[str]) -> Points:
    """Reads points; the order and the types of the file's fields may be any, and others are left out.

    Without radii in the file they are those of `points.make`.

    Raises:
        InputError: the file is missing, damaged or no PLY, lacks fields, which are named, or holds numbers that are not
            finite, or radii that are not above 0.
    """
    vertices = ply.read(path, 'points')
    lacking = ply.missing(vertices, (*_PLACE, *_COLOR))
    if lacking:
        raise checks.InputError(
            f'points {path}: lacks the fields {", ".join(lacking)}, expected a PLY of points with '
            f'{", ".join((*_PLACE, *_COLOR))}. Export it with colours; Gaussians are read by scenes.gaussians_ply'
        )
    colors = ply.block(vertices, _COLOR)
    for k, name in enumerate(_COLOR):
        kind = vertices.dtype[name]
        if kind.kind in 'iu':
            colors[:, k] /= np.iinfo(kind).max
    radii = None if ply.missing(vertices, (_RADIUS,)) else ply.block(vertices, (_RADIUS,))[:, 0]
    try:
        return points.make(ply.block(vertices, _PLACE), colors, radii=radii)
    except checks.InputError as error:
        raise checks.InputError(f'points {path}: {error}') from error
