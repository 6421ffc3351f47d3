"""Batches for few-shot talking heads: some frames by which to know a person, and others to draw."""

from collections.abc import Sequence
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from neurend import checks
from neurend.typing import Array, Key, Source


@flax.struct.dataclass
class HeadBatch:
    """Frames of n people with their landmark pictures, in [0, 1].

    Attributes:
        references: `[n k h w 3]`, frames by which to know them.
        reference_conditions: `[n k h w 3]`, their landmark pictures.
        images: `[n t h w 3]`, others of their frames.
        conditions: `[n t h w 3]`, their landmark pictures.
        person: `[n]` int32, who they are.
    """

    references: Array
    reference_conditions: Array
    images: Array
    conditions: Array
    person: Array


@flax.struct.dataclass
class PackedHeads:
    """All frames of all people, one person after the other.

    Attributes:
        images, conditions: `[m h w 3]` uint8.
        starts: `[p]` int32, each person's first frame.
        counts: `[p]` int32, how many frames there are of each.
    """

    images: Any
    conditions: Any
    starts: Any
    counts: Any


def head_source(
    images: Sequence[np.ndarray],
    conditions: Sequence[np.ndarray],
    *,
    people: int,
    references: int,
    targets: int,
) -> Source:
    """A source of `HeadBatch`es: people drawn uniformly, each with distinct frames of theirs.

    Args:
        images: `[f h w 3]` uint8 for each person; f may differ.
        conditions: landmark pictures, of the same shapes.
        people: n, in a batch, drawn with replacement.
        references: k.
        targets: t.

    Raises:
        InputError: nobody, shapes that do not fit, or somebody with fewer than k + t frames.
    """
    if min(people, references, targets) < 1:
        raise checks.InputError(
            f'people, references, targets: got {people}, {references}, {targets}, expected at least 1'
        )
    if not images or len(images) != len(conditions):
        raise checks.InputError(f'images, conditions: got {len(images)} and {len(conditions)}, expected one per person')
    sizes: dict[str, int] = {}
    for number, pair in enumerate(zip(images, conditions)):
        for what, array in zip(('image', 'condition'), pair):
            sizes = checks.shape(f'{what}s of person {number}', array, f'{len(pair[0])} h w 3', sizes=sizes)
            if array.dtype != np.uint8:
                raise checks.InputError(f'{what}s of person {number}: got dtype {array.dtype}, expected uint8')
        if len(pair[0]) < references + targets:
            raise checks.InputError(
                f'images of person {number}: got {len(pair[0])} frames, expected at least {references + targets}, '
                'the references and targets of a batch; leave this person out'
            )
    counts = np.array([len(each) for each in images], np.int32)
    starts = (np.cumsum(counts) - counts).astype(np.int32)

    def draw(key: Key, data: PackedHeads) -> HeadBatch:
        person_key, frame_key = jax.random.split(key)
        starts, counts = jnp.asarray(data.starts), jnp.asarray(data.counts)
        person = jax.random.randint(person_key, (people,), 0, len(starts))
        # The frames with the largest random numbers are a sample without replacement.
        numbers = jax.random.uniform(frame_key, (people, int(max(len(each) for each in images))))
        there = jnp.arange(numbers.shape[1])[None] < counts[person][:, None]
        _, chosen = jax.lax.top_k(jnp.where(there, numbers, -1.0), references + targets)
        frames = starts[person][:, None] + chosen

        def take(pictures: Any) -> tuple[Array, Array]:
            taken = jnp.asarray(pictures)[frames].astype(jnp.float32) / 255
            return taken[:, :references], taken[:, references:]

        (known, wanted), (known_conditions, wanted_conditions) = take(data.images), take(data.conditions)
        return HeadBatch(known, known_conditions, wanted, wanted_conditions, person)

    packed = PackedHeads(np.concatenate(images), np.concatenate(conditions), starts, counts)
    return Source(data=packed, draw=draw)
