"""Aligned pairs as TFDS datasets, without TensorFlow: PNG bytes, read at random from array_record files."""

import abc
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from neurend import checks
from neurend.data import pairs as pairs_lib
from neurend.data.pairs import Pairs
from neurend.images import io


class PairBuilder(tfds.core.GeneratorBasedBuilder, abc.ABC, skip_registration=True):
    """The base of datasets of pairs: one example per pair, in order, keyed by its number.

    A subclass names itself and says in `splits_of_pairs` and `pairs` what it holds. Conditions are stored with four
    channels, of which the first `channels` count (a gray one is repeated).
    """

    VERSION = tfds.core.Version('1.0.0')
    code_path = None  # nothing is downloaded: without a place to look for checksums TFDS does not look for them

    def __init__(self, **kwargs: Any):
        super().__init__(file_format='array_record', **kwargs)

    @abc.abstractmethod
    def splits_of_pairs(self) -> tuple[str, ...]:
        """The names of the splits."""

    @abc.abstractmethod
    def pairs(self, split: str) -> Pairs:
        """The pairs of one split; called once for each when the dataset is prepared."""

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features
        return tfds.core.DatasetInfo(
            builder=self,
            description='Aligned pairs of pictures: a condition and the image that belongs to it.',
            features=features.FeaturesDict(
                {
                    'name': features.Text(),
                    'condition': features.Image(shape=(None, None, 4), encoding_format='png'),
                    'channels': features.Scalar(dtype=np.int32),
                    'image': features.Image(shape=(None, None, 3), encoding_format='png'),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> Mapping[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # pairs are read from where they lie
        return {split: self._generate_examples(split) for split in self.splits_of_pairs()}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        pairs = pairs_lib.checked(self.pairs(split))
        for i, (name, condition, image) in enumerate(zip(*pairs)):
            channels = condition.shape[-1]
            if channels not in (1, 3, 4):
                raise checks.InputError(f'condition of {name}: {channels} channels, expected 1, 3 or 4 to be stored')
            colors = condition if channels > 1 else np.repeat(condition, 3, axis=-1)
            if channels < 4:
                colors = np.concatenate([colors, np.full_like(colors[..., :1], 255)], axis=-1)
            stored = {'condition': io.encode_png(colors), 'image': io.encode_png(image)}
            yield i, {'name': name, 'channels': channels, **stored}


@dataclasses.dataclass
class PairConfig(tfds.core.BuilderConfig):
    """Which pairs an `ImagePairs` holds: `read(split)` for each of the splits."""

    read: Callable[[str], Pairs] | None = None
    splits: tuple[str, ...] = ('train', 'val')


class ImagePairs(PairBuilder, skip_registration=True):
    """Pairs from any reader of `data.pairs`."""

    name = 'image_pairs'

    def splits_of_pairs(self) -> tuple[str, ...]:
        """The splits of the configuration."""
        return self._config.splits

    def pairs(self, split: str) -> Pairs:
        """Reads one split."""
        assert self._config.read is not None
        return self._config.read(split)

    @property
    def _config(self) -> PairConfig:
        config = self.builder_config
        assert isinstance(config, PairConfig)
        return config


def pair_builder(
    read: Callable[[str], Pairs], *, name: str, data_dir: str | Path, splits: tuple[str, ...] = ('train', 'val')
) -> PairBuilder:
    """A prepared dataset of pairs; what is prepared already is not prepared again.

    Args:
        read: gives the pairs of a split.
        name: of the pairs: the dataset lies in `<data_dir>/image_pairs/<name>/`.
        data_dir: where datasets are stored.
        splits: which splits to store.

    Raises:
        InputError: what `read` raises; conditions with a number of channels that PNG does not know.

    >>> sketches = lambda split: pairs.two_folders(f'sketches/{split}', f'photos/{split}')
    >>> builder = pair_builder(sketches, name='sketches', data_dir='/datasets')   # doctest: +SKIP
    >>> train = load(builder, 'train')                                            # doctest: +SKIP
    """
    builder = ImagePairs(config=PairConfig(name=name, read=read, splits=tuple(splits)), data_dir=str(data_dir))
    builder.download_and_prepare()
    return builder


def facades_builder(
    folder: str | Path, *, data_dir: str | Path, splits: tuple[str, ...] = ('train', 'val')
) -> PairBuilder:
    """A prepared dataset of the CMP facades in `folder`, see `pairs.facades` and `pair_builder`."""
    return pair_builder(
        lambda split: pairs_lib.facades(folder, split), name='facades', data_dir=data_dir, splits=splits
    )


def load(builder: PairBuilder, split: str) -> Pairs:
    """The pairs of one split of a prepared dataset, exactly as they were stored.

    Raises:
        InputError: there is no such split.
    """
    checks.one_of('split', split, tuple(builder.info.splits))
    undecoded = {'condition': tfds.decode.SkipDecoding(), 'image': tfds.decode.SkipDecoding()}
    # TFDS wraps the method in a decorator that hides its parameters from type checkers.
    examples = list(builder.as_data_source(split=split, decoders=undecoded))  # pyright: ignore[reportCallIssue]
    conditions = [io.decode(example['condition'], channels=4)[..., : example['channels']] for example in examples]
    return Pairs(
        names=tuple(example['name'].decode() for example in examples),
        conditions=tuple(np.ascontiguousarray(condition) for condition in conditions),
        images=tuple(io.decode(example['image'], channels=3) for example in examples),
    )
