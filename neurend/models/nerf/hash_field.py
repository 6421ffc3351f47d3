"""A radiance field on a hash grid, and the small density grids that propose where to sample it."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from neurend.checks import InputError
from neurend.geometry import contraction
from neurend.models.nerf import fields
from neurend.nn import encodings
from neurend.nn.hashgrid import HashGrid
from neurend.nn.mlp import MLP
from neurend.typing import Array, Key, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounds:
    """Where the scene is, and how space maps to the unit cube of a grid; hashable.

    Attributes:
        radius: half the side of the scene's box around the origin or, contracted, radius of the ball that stays
            undistorted.
        contract: whether space beyond the radius is contracted (mip-NeRF 360, 2022) rather than empty.
    """

    radius: float = 1.0
    contract: bool = True

    def to_cube(self, points: Array) -> tuple[Array, Array]:
        """World points `... 3` to places `... 3` in the unit cube, and whether they lie inside the scene `...`."""
        local = points / self.radius
        if self.contract:
            return contraction.contract(local) / 4 + 0.5, jnp.ones(points.shape[:-1], bool)
        return local / 2 + 0.5, jnp.all(jnp.abs(local) <= 1, axis=-1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DensityGrid:
    """Density from a few scalar grids that are added up: no network, one number a corner, hence cheap to propose with.

    Attributes:
        finest: cells a side of the finest of `levels` grids; the coarsest has 16.
        levels: number of grids.
        log2_rows: most rows of a grid.
    """

    finest: int = 128
    levels: int = 3
    log2_rows: int = 18

    @property
    def grid(self) -> HashGrid:
        """Its shape."""
        return HashGrid(
            levels=self.levels, features=1, coarsest=min(16, self.finest), finest=self.finest, log2_rows=self.log2_rows
        )

    def init(self, key: Key) -> Array:
        """The table."""
        return self.grid.init(key)

    def __call__(self, table: Array, bounds: Bounds, points: Array) -> Array:
        """Density `...` at world points `... 3`, per unit of world length."""
        cube, inside = bounds.to_cube(points)
        raw = self.grid.encode(table, cube, reverse_only=True).sum(-1)
        return density(raw, inside, bounds)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HashField:
    """Hash grid, a network of one hidden layer for density, one of two for colour (Müller et al. 2022).

    Attributes:
        grid: shape of the grid.
        networks: whether there are networks; else the levels are added up, their first four features being raw density
            and colour: no view dependence, but it learns in fewer steps and cannot hide misplaced cameras in it.
        width: units of the density network's hidden layer, 0 for a linear map.
        color_width: units of the colour network's hidden layers.
        geometry: features handed from the density to the colour network.
        view_degree: degree of the spherical harmonics of the view direction, 0 to 4.
        appearance: length of the per-image code, 0 for none.
    """

    grid: HashGrid
    networks: bool = True
    width: int = 32
    color_width: int = 64
    geometry: int = 15
    view_degree: int = 3
    appearance: int = 0

    @property
    def _networks(self) -> tuple[MLP, MLP]:
        init = jax.nn.initializers.he_uniform()
        return (
            MLP(self.width, 1 if self.width else 0, out=1 + self.geometry, kernel_init=init),
            MLP(self.color_width, 2, out=3, kernel_init=init),
        )

    def init(self, key: Key) -> PyTree:
        """Parameters: 'grid' and, with networks, 'density' and 'color'."""
        keys = jax.random.split(key, 3)
        if not self.networks:
            if self.grid.features < 4 or self.appearance:
                raise InputError(
                    f'hash field without networks: got {self.grid.features} features a level and appearance codes of '
                    f'{self.appearance}, expected at least 4 and 0'
                )
            return {'grid': self.grid.init(keys[0])}
        geometry, color = self._networks
        inputs = self.geometry + (self.view_degree + 1) ** 2 + self.appearance
        return {
            'grid': self.grid.init(keys[0]),
            'density': geometry.init(keys[1], jnp.zeros((1, self.grid.width)))['params'],
            'color': color.init(keys[2], jnp.zeros((1, inputs)))['params'],
        }

    def geometry_at(
        self, params: PyTree, bounds: Bounds, points: Array, levels: Array | None = None
    ) -> tuple[Array, Array]:
        """Density `...` and features `... geometry` at world points `... 3`; `levels` [levels] weight the grid's."""
        cube, inside = bounds.to_cube(points)
        code = self.grid.encode(params['grid'], cube, reverse_only=True)
        if levels is not None:
            code = code * jnp.broadcast_to(jnp.repeat(levels, self.grid.features), code.shape)
        if not self.networks:
            out = code.reshape(*code.shape[:-1], self.grid.levels, self.grid.features).sum(-2)
            return density(out[..., 0], inside, bounds), out[..., 1:4]
        out = fields.apply(self._networks[0], params['density'], code)
        return density(out[..., 0], inside, bounds), out[..., 1:]

    def color_of(self, params: PyTree, features: Array, viewdirs: Array, code: Array | None) -> Array:
        """Colour `... 3` in [0, 1] of features `... geometry` seen along unit `viewdirs` `... 3`.

        Args:
            params: as made by `init`.
            features: as given by `geometry_at`.
            viewdirs: leading dims broadcast with those of the features.
            code: appearance code `... appearance`, or None if the field has none.
        """
        if not self.networks:
            return jax.nn.sigmoid(features)
        view = encodings.spherical_harmonics(viewdirs, degree=self.view_degree)
        inputs = [features, view] + ([] if code is None else [code])
        leading = features.shape[:-1]
        inputs = jnp.concatenate([jnp.broadcast_to(i, (*leading, i.shape[-1])) for i in inputs], axis=-1)
        return jax.nn.sigmoid(fields.apply(self._networks[1], params['color'], inputs))


Shading = Literal['sample', 'ray']
"""'sample': colours are computed at every sample and composited. 'ray': features are composited and the colour network
runs once per ray (deferred; Hedman et al., "SNeRG", 2021), several times cheaper where surfaces are opaque."""


def density(raw: Array, inside: Array, bounds: Bounds) -> Array:
    """Density per world unit of a raw network output: exponential, 1 per scene radius at 0, none outside the scene."""
    # Bounded so that one bad step can not make infinities; e^15 stops a ray within a millionth of the scene.
    return jnp.where(inside, jnp.exp(jnp.minimum(raw, 15.0)) / bounds.radius, 0)
