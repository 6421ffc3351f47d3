"""The network of NeRF (Mildenhall et al., 2020) and mip-NeRF (Barron et al., 2021)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend.nn.mlp import MLP
from neurend.typing import Array, PyTree


class RadianceMLP(nn.Module):
    """Encoded positions and view directions to raw density and raw colour, before their activations.

    Eight layers of 256 with the input put in again after the fifth give the density and, linearly, a bottleneck of 256;
    that and the view code pass one layer of 128 to the colour. With NeRF's codes of 63 and 27 it has 595,844
    parameters, with mip-NeRF's of 96 and 27, 612,740.

    Attributes:
        depth: hidden layers of the trunk.
        width: units of the trunk and the bottleneck.
        view_width: units of the layer that sees the view.
        skips: see `MLP`.
    """

    depth: int = 8
    width: int = 256
    view_width: int = 128
    skips: tuple[int, ...] = (4,)

    @nn.compact
    def __call__(self, position_code: Array, view_code: Array) -> tuple[Array, Array]:
        """Codes `... p` and `... v` to raw density `...` and raw colour `... 3`."""
        glorot = nn.initializers.glorot_uniform()
        leading = position_code.shape[:-1]
        hidden = MLP(self.width, self.depth, skips=self.skips, name='trunk')(
            position_code.reshape(-1, position_code.shape[-1])
        )
        density = nn.Dense(1, kernel_init=glorot, name='density')(hidden)
        bottleneck = nn.Dense(self.width, kernel_init=glorot, name='bottleneck')(hidden)
        view = jnp.concatenate([bottleneck, view_code.reshape(-1, view_code.shape[-1])], axis=-1)
        view = nn.relu(nn.Dense(self.view_width, kernel_init=glorot, name='view')(view))
        rgb = nn.Dense(3, kernel_init=glorot, name='rgb')(view)
        return density.reshape(leading), rgb.reshape(*leading, 3)


def apply(network: nn.Module, params: PyTree, *codes: Array) -> Any:
    """Runs a network in the precision of its parameters and returns float32.

    Codes are made in float32, where high frequencies need it, and cast last. (float64 parameters compute in float64.)
    """
    dtype = jax.tree.leaves(params)[0].dtype
    outputs = network.apply({'params': params}, *(code.astype(dtype) for code in codes))
    return jax.tree.map(lambda output: output.astype(jnp.promote_types(output.dtype, jnp.float32)), outputs)
