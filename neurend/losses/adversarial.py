"""Objectives of generative adversarial networks, and the R1 penalty. All take logits: no sigmoid before them.

Logits are an array of any shape (a PatchGAN gives one per patch), over which the mean is taken, or a sequence of such
arrays (one per scale of a multi-scale discriminator), over which the means are summed, as in pix2pixHD (Wang et al.,
2018). No objective has a factor of its own. pix2pix (Isola et al., 2017) multiplies the discriminator's loss by 0.5,
which slows it against the generator; a method that follows it does so too.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from neurend import checks
from neurend.typing import Array

Logits = Array | Sequence[Array]
Name = Literal['minimax', 'non_saturating', 'least_squares', 'hinge']


class Objective(NamedTuple):
    """Two losses, both to be minimised, scalars.

    Attributes:
        discriminator: `discriminator(real, fake)` of the logits of real and of generated images.
        generator: `generator(fake)`.
    """

    discriminator: Callable[[Logits, Logits], Array]
    generator: Callable[[Logits], Array]


def objective(name: Name) -> Objective:
    """One of the objectives, with D = sigmoid(logits) and l the logits themselves.

    * 'minimax' (Goodfellow et al., 2014): `-E log D(real) - E log(1 - D(fake))`, and `E log(1 - D(fake))`, the part of
      its negative that depends on the generator. The gradient to the generator fades while the discriminator wins.
    * 'non_saturating' (the same paper, and pix2pix): the same discriminator, and `-E log D(fake)`.
    * 'least_squares' (Mao et al., 2017): `E (l(real) - 1)^2 + E l(fake)^2`, and `E (l(fake) - 1)^2`. The paper has 0.5
      before each of them.
    * 'hinge' (Lim and Ye, 2017): `E max(0, 1 - l(real)) + E max(0, 1 + l(fake))`, and `-E l(fake)`.

    >>> loss = objective('minimax')
    >>> print(f'{loss.discriminator(jnp.zeros(3), jnp.zeros(3)):.4f}')  # log 4: the discriminator cannot tell
    1.3863

    Raises:
        InputError: there is no such objective.
    """
    checks.one_of('objective', name, tuple(_OBJECTIVES))
    return _OBJECTIVES[name]


def r1(discriminator_fn: Callable[[Array], Logits], real: Array) -> Array:
    """Mean squared norm of the discriminator's gradient at real images (Mescheder et al., 2018); zero-centred.

    It is added to the discriminator's loss times gamma / 2, gamma around 10. Differentiable again, with respect to
    whatever `discriminator_fn` closes over. What is differentiated is each image's mean over patches, summed over
    scales, so that the penalty does not depend on the number of patches; for a single logit it is the paper's.

    Args:
        discriminator_fn: from images to logits whose first axis is the batch. Each image's logits must depend on it
            alone: with batch normalisation, the gradients of images are mixed.
        real: `n ...`.
    """

    def total(images: Array) -> Array:
        return _sum_of_means(discriminator_fn(images), lambda logits: logits) * len(images)

    gradient = jax.grad(total)(real)
    return jnp.sum(jnp.square(gradient)) / len(real)


def _sum_of_means(logits: Logits, function: Callable[[Array], Array]) -> Array:
    scales = logits if isinstance(logits, Sequence) else [logits]
    return sum((jnp.mean(function(scale)) for scale in scales), jnp.zeros(()))


def _classify(real: Logits, fake: Logits) -> Array:
    # -log sigmoid(l) = softplus(-l) and -log(1 - sigmoid(l)) = softplus(l) neither overflow nor lose their gradient.
    return _sum_of_means(real, lambda logits: jax.nn.softplus(-logits)) + _sum_of_means(fake, jax.nn.softplus)


_OBJECTIVES = {
    'minimax': Objective(_classify, lambda fake: -_sum_of_means(fake, jax.nn.softplus)),
    'non_saturating': Objective(_classify, lambda fake: _sum_of_means(fake, lambda logits: jax.nn.softplus(-logits))),
    'least_squares': Objective(
        lambda real, fake: _sum_of_means(real, lambda logits: jnp.square(logits - 1)) + _sum_of_means(fake, jnp.square),
        lambda fake: _sum_of_means(fake, lambda logits: jnp.square(logits - 1)),
    ),
    'hinge': Objective(
        lambda real, fake: (
            _sum_of_means(real, lambda logits: jax.nn.relu(1 - logits))
            + _sum_of_means(fake, lambda logits: jax.nn.relu(1 + logits))
        ),
        lambda fake: -_sum_of_means(fake, lambda logits: logits),
    ),
}
