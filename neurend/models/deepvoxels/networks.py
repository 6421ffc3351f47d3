"""The networks of DeepVoxels (Sitzmann et al., 2019)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from neurend.models.deepvoxels.blocks import UNet, Unit, drop
from neurend.models.deepvoxels.config import DeepVoxelsConfig
from neurend.nn.convolution import Convolution
from neurend.nn.norms import Norm
from neurend.typing import Array


def coordinates(sides: tuple[int, ...]) -> Array:
    """Where the cells of a volume lie, [*sides d] in [-0.5, 0.5), the last axis of the volume first."""
    axes = [jnp.arange(side) / side - 0.5 for side in sides]
    return jnp.stack(jnp.meshgrid(*axes, indexing='ij')[::-1], axis=-1)


class FeatureExtractor(nn.Module):
    """From photographs `n h w 3` in [-0.5, 0.5] to feature maps, `halvings` times smaller."""

    config: DeepVoxelsConfig

    @nn.compact
    def __call__(self, x: Array) -> Array:
        config = self.config
        widths = [config.width * 2**level for level in range(config.halvings)]
        for level, channels in enumerate(widths):
            if config.refined:
                middle = channels if level == 0 else widths[level - 1]
                x = Unit(middle, slope=0.2, norm=config.norm, name=f'down_{level}_refine')(x)
            x = Unit(channels, scale=-1, slope=0.2, norm=config.norm, name=f'down_{level}')(x)
        network = UNet(
            config.features,
            widths[-1],
            config.depth,
            8 * config.width,
            refined=config.refined,
            norm=config.norm,
            name='unet',
        )
        return network(x)


class Integration(nn.Module):
    """A gated recurrent unit that takes what views show of a volume into what is known of it.

    Call with both, `n x y z c`; returns the new volume. Both gates are one channel each.
    """

    config: DeepVoxelsConfig

    @nn.compact
    def __call__(self, volume: Array, observed: Array, *, deterministic: bool = True) -> Array:
        config = self.config
        places = jnp.broadcast_to(coordinates(volume.shape[1:4])[None], (*volume.shape[:4], 3))
        old, new = (jnp.concatenate([x, places], axis=-1) for x in (volume, observed))

        def conv(name: str, channels: int, *, bias: bool = False) -> Convolution:
            size = config.taps
            options = {'padding': size // 2, 'border': 'replicate', 'bias': bias, 'rank': 3, 'name': name}
            return Convolution(channels, size, kernel_init=nn.initializers.he_normal(), **options)

        reset = jax.nn.sigmoid(conv('reset_old', 1, bias=True)(old) + conv('reset_new', 1)(new))
        update = jax.nn.sigmoid(conv('update_old', 1, bias=True)(old) + conv('update_new', 1)(new))
        parts = conv('new', config.features, bias=True)(new), conv('old', config.features)(reset * old)
        candidate = nn.relu(sum((drop(x, config.gate_dropout, deterministic) for x in parts), jnp.zeros(())))
        return (1 - update) * volume + update * candidate


class Inpainting(nn.Module):
    """A 3-D U-Net that fills up what no view showed: `n x y z c` to the same."""

    config: DeepVoxelsConfig

    @nn.compact
    def __call__(self, volume: Array) -> Array:
        config = self.config
        places = jnp.broadcast_to(coordinates(volume.shape[1:4])[None], (*volume.shape[:4], 3))
        network = UNet(
            config.features,
            config.features,
            config.inpainting,
            4 * config.features,
            size=config.taps,
            refined=False,
            norm=config.norm,
            rank=3,
            name='unet',
        )
        return network(jnp.concatenate([volume, places], axis=-1))


class Occlusion(nn.Module):
    """Logits `n h w d` of where rays stop, from camera volumes `n h w d c`; of 'rays' one more: nowhere."""

    config: DeepVoxelsConfig

    @nn.compact
    def __call__(self, volume: Array) -> Array:
        config, planes, width = self.config, volume.shape[3], self.config.occlusion_width
        depth = (jnp.arange(planes) / planes - 0.5)[None, None, None, :, None]
        depth = jnp.broadcast_to(depth, (*volume.shape[:4], 1))
        if config.occlusion == 'rays':
            x = volume
            for layer in range(config.occlusion_depth):
                x = nn.relu(nn.Dense(width, kernel_init=nn.initializers.he_normal(), name=f'dense_{layer}')(x))
            # Rays begin by seeing through.
            opacity = nn.Dense(1, bias_init=nn.initializers.constant(-4.0), name='last')(x)[..., 0]
            before = jnp.triu(jnp.ones((planes, planes + 1)), 1)
            stops = jnp.pad(jax.nn.log_sigmoid(opacity), [(0, 0)] * 3 + [(0, 1)])
            return stops + jax.nn.log_sigmoid(-opacity) @ before
        first = Unit(width, norm=config.norm, rank=3, name='first')(jnp.concatenate([depth, volume], axis=-1))
        network = UNet(
            width, width, config.occlusion_depth, 4 * width, refined=False, norm=config.norm, rank=3, name='unet'
        )
        seen = jnp.concatenate([first, network(first), depth], axis=-1)
        last = Unit(1, slope=None, rank=3, name='last')
        return last(seen)[..., 0]


class Flattening(nn.Module):
    """Without an occlusion network: from camera volumes `n h w d c` by convolutions of all planes to `n h w c`."""

    config: DeepVoxelsConfig

    @nn.compact
    def __call__(self, volume: Array) -> Array:
        config = self.config
        # Channels in the order of the released code: those of a feature follow each other.
        x = jnp.moveaxis(volume, 3, 4).reshape(*volume.shape[:3], -1)
        for layer, channels in enumerate(config.width * config.grid_dim // part for part in (2, 8)):
            x = Unit(max(channels, config.width), norm=config.norm, name=f'layer_{layer}')(x)
        return Unit(config.features, norm=config.norm, name='layer_2')(x)


class Renderer(nn.Module):
    """From feature maps `n h w c` to pictures around [-0.5, 0.5], which is gray, doubled `halvings` times."""

    config: DeepVoxelsConfig

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool = True) -> Array:
        config = self.config

        def unit(name: str, channels: int, **options):
            made = Unit(channels, norm=config.norm, dropout=config.dropout, name=name, **options)
            return lambda x: made(x, deterministic=deterministic)

        network = UNet(
            4 * config.width,
            config.width * 2**config.halvings,
            config.depth,
            8 * config.width,
            refined=config.refined,
            norm=config.norm,
            dropout=config.dropout,
            name='unet',
        )
        x = network(x, deterministic=deterministic)
        for level in range(config.halvings):
            x = unit(f'up_{level}', config.width, scale=2)(x)
            if config.refined:
                x = unit(f'up_{level}_refine', config.width)(x)
        x = Unit(config.width // 2, norm=config.norm, name='fine')(x)
        x = Unit(3, slope=None, name='last')(x)
        # Where most of a picture is white, tanh is driven so far that nothing is learned any more.
        return jnp.tanh(x) / 2 if config.released else x


class Discriminator(nn.Module):
    """Logits `n h w 1` of whether patches of pictures `n h w 3` are photographs."""

    config: DeepVoxelsConfig

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool = True) -> Array:
        widths = [self.config.discriminator * part for part in (1, 2, 4, 8)]
        for layer, channels in enumerate(widths):
            conv = Convolution(
                channels, 4, stride=2 if layer < 3 else 1, padding=1, border='reflect', name=f'layer_{layer}'
            )
            x = conv(x)
            if layer:
                x = Norm('batch', name=f'layer_{layer}_norm')(x)
                x = drop(x, 0.5, deterministic)
            x = nn.leaky_relu(x, 0.2)
        return Convolution(1, 4, padding=1, border='reflect', name='last')(x)
