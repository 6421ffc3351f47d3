"""Choices of a neural texture and of the network that turns it into pictures."""

import dataclasses
from typing import Literal

from neurend.checks import InputError


@dataclasses.dataclass(frozen=True)
class TextureConfig:
    """A texture of features (Thies et al., "Deferred Neural Rendering", 2019).

    Attributes:
        side: in texels, a multiple of 2^(levels - 1).
        channels: of which the first three are the surface's colour, and the next (harmonics + 1)^2 are multiplied by
            spherical harmonics of the direction towards the camera.
        levels: of the pyramid whose sum it is; each has half the texels of the one before along both axes.
        harmonics: degree of these harmonics, up to 4; -1 for none.
        mip: look up a mip-mapped pyramid, for views whose distances differ much.
        dynamic: the level that changes with the code of a frame, such as the expression of a face: what a network makes
            of the code is added to it (Thies et al., 2020); -1 for none. A coarse one, 128 texels wide, is enough.
        deviation: of the normal distribution that texels begin with.
        penalty: weight of the mean square of the finest level; each coarser one counts a tenth of the one before, the
            coarsest nothing.
    """

    side: int = 256
    channels: int = 16
    levels: int = 4
    harmonics: int = 2
    mip: bool = False
    dynamic: int = -1
    deviation: float = 0.01
    penalty: float = 0.0

    def __post_init__(self):
        """Raises `InputError` for choices that do not go together."""
        if self.levels < 1 or self.side < 1 or self.side % 2 ** (self.levels - 1):
            raise InputError(
                f'side, levels: got {self.side} and {self.levels}, expected a side that can be halved levels - 1 times'
            )
        if not -1 <= self.dynamic < self.levels:
            raise InputError(f'dynamic: got {self.dynamic}, expected a level, 0 to {self.levels - 1}, or -1 for none')
        if not -1 <= self.harmonics <= 4:
            raise InputError(f'harmonics: got {self.harmonics}, expected a degree of 0 to 4, or -1 for none')


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """From features at pixels to colours: a U-Net for what lies around, then dense layers at each pixel.

    Attributes:
        unet: channels of the U-Net's first level; 0 for none, which leaves a shader of single pixels.
        depth: halvings of the U-Net.
        maximum: of its channels, in `unet`.
        dilated: whether its convolutions see far by dilation, at full resolution (Thies et al., 2020), in place of
            halvings: slower by far on a CPU.
        context: channels that the U-Net hands to the dense layers.
        width: units of each hidden dense layer; 0 for none. Where `unet` is 0 too there is no network at all.
        layers: hidden dense layers.
        behind: whether it sees what is behind the mesh, so that with `opacity` 'network' it may draw over it: hair and
            shadows that no mesh has.
        surfaces: how many of the mesh's surfaces behind each other it sees at each pixel. 1 where the mesh is right;
            with 2 what is before and behind tell each other apart, which a ball, a box or a loose hull needs.
        normals: whether the network sees the surface's normal, in the world.
        views: whether it sees the direction towards the camera.
        reflection: degree of spherical harmonics of the mirrored view direction that it sees; 0 for none.
    """

    unet: int = 32
    depth: int = 5
    maximum: int = 8
    dilated: bool = False
    context: int = 8
    width: int = 32
    layers: int = 2
    behind: bool = False
    surfaces: int = 1
    normals: bool = True
    views: bool = True
    reflection: int = 3

    def __post_init__(self):
        """Raises `InputError` for choices that do not go together."""
        least = {'unet': 0, 'depth': 1, 'maximum': 1, 'context': 1, 'width': 0, 'layers': 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise InputError(f'{name}: got {getattr(self, name)}, expected at least {smallest}')
        if self.surfaces < 1:
            raise InputError(f'surfaces: got {self.surfaces}, expected at least 1')
        if not 0 <= self.reflection <= 4:
            raise InputError(f'reflection: got {self.reflection}, expected a degree of 0 to 4')


@dataclasses.dataclass(frozen=True)
class ShellConfig:
    """Copies of a mesh inside each other, each with a texture of its own: what is wrong in the mesh's place one mends.

    What the photographs show lies between the outermost, which is the mesh, and the innermost.

    Attributes:
        count: how many; 1 for the mesh alone.
        depth: of the innermost: 'inwards' in parts of the mesh's size, against the vertices' normals; 'center' in
            parts of the way to the middle of the mesh, for balls and boxes, below 1.
        shape: how they shrink.
        facing: whether only what faces the camera is drawn; else what lies behind the middle of a ball has shells too.
    """

    count: int = 1
    depth: float = 0.05
    shape: Literal['inwards', 'center'] = 'inwards'
    facing: bool = True

    def __post_init__(self):
        """Raises `InputError` for choices that do not go together."""
        if self.count < 1:
            raise InputError(f'count: got {self.count} shells, expected at least 1')
        if not 0 < self.depth < 1:
            raise InputError(f'depth: got {self.depth}, expected a part between 0 and 1')


@dataclasses.dataclass(frozen=True)
class InpaintConfig:
    """A second network, which paints the hole that is left of the film about the mesh (Thies et al., 2020).

    Backgrounds then have an alpha: 0 in the hole, see `neurend.data.backdrop.around`. It sees the picture so far, and
    changes nothing where the film is known.

    Attributes:
        width: channels of its first level; 0 for no such network. Published: 32.
        depth: levels, each of which sees twice as far as the one before. Published: 5.
        maximum: of the channels, in `width`. Published: 16.
    """

    width: int = 0
    depth: int = 5
    maximum: int = 4

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        for name, smallest in {'width': 0, 'depth': 1, 'maximum': 1}.items():
            if getattr(self, name) < smallest:
                raise InputError(f'{name}: got {getattr(self, name)}, expected at least {smallest}')


@dataclasses.dataclass(frozen=True)
class NeuralTextureConfig:
    """Deferred neural rendering and how it is trained.

    Attributes:
        texture, network: what is learned.
        shells: that the texture is learned on, in place of the mesh.
        inpaint: what paints around it.
        opacity: whose outline the picture has: 'mesh', analytically antialiased, or 'network', which draws it itself,
            for meshes that only stand in for what the photographs show, or 'texture', for the same: a channel of the
            texture after the three of colour says how opaque it is, and the `network.surfaces` nearest surfaces are
            composited, features and all.
        loss: of colours in [0, 1]: the mean absolute difference 'l1', or the mean squared one 'l2'.
        color: weight of the same loss of the texture's first three channels alone, where the mesh is seen.
        perceptual: weight of the perceptual loss (Johnson et al., 2016); 0 for none.
        vgg: file with the weights of VGG19, for the perceptual loss.
        adversarial: weight of what a discriminator says of pictures beside the texture's colours; 0 for none.
        discriminator_width, discriminator_layers: of the discriminator, see `neurend.nn.patchgan.PatchGAN`.
        window: frames that the network sees: that which is drawn, and those before it, each with its own deformation.
        crop: side in pixels of the random window of a photograph that a step sees, on the mesh; 0 for all of it.
        even: the share of windows that lie anywhere on the mesh alike; others lie about a random vertex, so that they
            are where most vertices are.
        zoom: windows are enlarged by a random factor of up to this, the camera with them; 1 for none.
    """

    texture: TextureConfig = dataclasses.field(default_factory=TextureConfig)
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    shells: ShellConfig = dataclasses.field(default_factory=ShellConfig)
    inpaint: InpaintConfig = dataclasses.field(default_factory=InpaintConfig)
    opacity: Literal['mesh', 'network', 'texture'] = 'mesh'
    loss: Literal['l1', 'l2'] = 'l2'
    color: float = 1.0
    perceptual: float = 0.0
    vgg: str = ''
    adversarial: float = 0.0
    discriminator_width: int = 32
    discriminator_layers: int = 3
    window: int = 1
    crop: int = 0
    even: float = 0.0
    zoom: float = 1.0

    def __post_init__(self):
        """Raises `InputError` for choices that do not go together."""
        if not 0 <= self.even <= 1:
            raise InputError(f'even: got {self.even}, expected a share')
        if self.zoom < 1:
            raise InputError(f'zoom: got {self.zoom}, expected a factor of at least 1')
        if self.window < 1:
            raise InputError(f'window: got {self.window} frames, expected at least 1')
        if self.crop < 0:
            raise InputError(f'crop: got {self.crop}, expected a side in pixels, or 0 for whole photographs')
        if self.opacity == 'network' and not (self.network.unet or self.network.width):
            raise InputError('opacity: got network, but there is none: unet and width are 0')
        if bool(self.perceptual) != bool(self.vgg):
            raise InputError('perceptual, vgg: expected both a weight and a file of VGG19 weights, or neither')
        if self.texture.dynamic >= 0 and self.shells.count > 1:
            raise InputError(f'texture.dynamic: got {self.texture.dynamic} with {self.shells.count} shells, expected 1')
        least = self.modulated + (self.texture.harmonics + 1) ** 2
        if self.texture.channels < least:
            raise InputError(
                f'texture.channels: got {self.texture.channels}, expected at least {least}: {self.modulated} of colour '
                f'and opacity and those that harmonics of degree {self.texture.harmonics} multiply'
            )

    @property
    def modulated(self) -> int:
        """The first channel of the texture that harmonics multiply."""
        return 4 if self.opacity == 'texture' else 3
