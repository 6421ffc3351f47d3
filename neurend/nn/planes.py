"""Feature grids as flax modules: dense, three planes, and planes with lines (VM).

Each takes points `... 3` in the cube [-1, 1]^3 and returns features `... c`, interpolated linearly between nodes, of
which the first lies at -1 and the last at 1. Points outside take the value on the boundary.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.geometry import grids
from neurend.typing import Array

# Plane i holds two coordinates; for VM the line beside it holds the third.
_PLANES = (np.array([0, 1]), np.array([0, 2]), np.array([1, 2]))
_LINES = (np.array([2]), np.array([1]), np.array([0]))


def _nodes(points: Array, resolution: int) -> Array:
    """Node coordinates in [0, resolution - 1] of coordinates in [-1, 1]."""
    return jnp.clip(0.5 * (points + 1), 0, 1) * (resolution - 1)


class DenseGrid(nn.Module):
    """A dense grid of `resolution^3` nodes.

    Attributes:
        resolution: nodes per axis, at least 2.
        features: channels c.
        scale: standard deviation of the initial values.
    """

    resolution: int
    features: int
    scale: float = 0.1

    @nn.compact
    def __call__(self, points: Array) -> Array:
        checks.shape('points', points, '... 3')
        shape = (self.resolution,) * 3 + (self.features,)
        values = self.param('values', nn.initializers.normal(self.scale), shape)
        return grids.interpolate(values, _nodes(points, self.resolution), align='corners')


class TriPlane(nn.Module):
    """Three axis-aligned planes whose features are summed (Chan et al., "EG3D", 2022).

    Attributes:
        resolution: nodes per axis, at least 2.
        features: channels c.
        scale: standard deviation of the initial values.
    """

    resolution: int
    features: int
    scale: float = 0.1

    @nn.compact
    def __call__(self, points: Array) -> Array:
        checks.shape('points', points, '... 3')
        shape = (3, self.resolution, self.resolution, self.features)
        planes = self.param('planes', nn.initializers.normal(self.scale), shape)
        nodes = _nodes(points, self.resolution)
        features = [grids.interpolate(planes[i], nodes[..., _PLANES[i]], align='corners') for i in range(3)]
        return features[0] + features[1] + features[2]


class VectorMatrix(nn.Module):
    """Planes times lines: the VM factorisation (Chen et al., "TensoRF", 2022).

    Component k of orientation i is `plane_ik(two coordinates) line_ik(the third)`.

    Attributes:
        resolution: nodes per axis, at least 2.
        components: rank per orientation; the module returns all `3 components` products, for a linear map to follow.
        scale: standard deviation of the initial values.
    """

    resolution: int
    components: int
    scale: float = 0.1

    @nn.compact
    def __call__(self, points: Array) -> Array:
        checks.shape('points', points, '... 3')
        init = nn.initializers.normal(self.scale)
        planes = self.param('planes', init, (3, self.resolution, self.resolution, self.components))
        lines = self.param('lines', init, (3, self.resolution, self.components))
        nodes = _nodes(points, self.resolution)
        products = [
            grids.interpolate(planes[i], nodes[..., _PLANES[i]], align='corners')
            * grids.interpolate(lines[i], nodes[..., _LINES[i]], align='corners')
            for i in range(3)
        ]
        return jnp.concatenate(products, axis=-1)
