"""Posed images as TFDS datasets, without TensorFlow: encoded once, read at random from array_record files."""

import abc
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from neurend import checks
from neurend.data import posed, scenes
from neurend.images import io


class PosedBuilder(tfds.core.GeneratorBasedBuilder, abc.ABC, skip_registration=True):
    """The base of datasets of posed images: one example per image, in the order of the scene, keyed by its number.

    A subclass names itself and says in `splits_of_scene` and `scene` what it holds. Images and masks are stored as PNG
    bytes, floats as compressed tensors, so that `as_data_source` needs no TensorFlow.
    """

    VERSION = tfds.core.Version('1.0.0')
    code_path = None  # nothing is downloaded: without a place to look for checksums TFDS does not look for them

    def __init__(self, **kwargs: Any):
        super().__init__(file_format='array_record', **kwargs)

    @abc.abstractmethod
    def splits_of_scene(self) -> tuple[str, ...]:
        """The names of the splits."""

    @abc.abstractmethod
    def scene(self, split: str) -> posed.PosedImages:
        """The images of one split; called once for each when the dataset is prepared."""

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features

        def floats(*shape: int) -> tfds.features.Tensor:
            return features.Tensor(shape=shape, dtype=np.float32, encoding='zlib')

        return tfds.core.DatasetInfo(
            builder=self,
            description='Photographs with their cameras: poses world_from_camera, OpenCV axes.',
            features=features.FeaturesDict(
                {
                    'name': features.Text(),
                    'image': features.Image(shape=(None, None, 4), encoding_format='png'),
                    'has_alpha': features.Scalar(dtype=np.bool_),
                    'mask': features.Image(shape=(None, None, 1), encoding_format='png'),
                    'has_mask': features.Scalar(dtype=np.bool_),
                    'world_from_camera': floats(4, 4),
                    'focal': floats(2),
                    'center': floats(2),
                    'distortion': floats(6),
                    'size': features.Tensor(shape=(2,), dtype=np.int32),
                    'model': features.Text(),
                    'near_far': features.Tensor(shape=(2,), dtype=np.float64, encoding='zlib'),
                    'scene_from_source': floats(4, 4),
                    'forward_facing': features.Scalar(dtype=np.bool_),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> Mapping[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # scenes are read from where they lie
        return {split: self._generate_examples(split) for split in self.splits_of_scene()}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        images = self.scene(split)
        for i, (name, image) in enumerate(zip(images.names, images.images)):
            camera = images.camera(i)
            opaque = np.full((*image.shape[:2], 1), 255, np.uint8)
            mask = opaque[:1, :1] if images.masks is None else images.masks[i][..., None]
            yield (
                i,
                {
                    'name': name,
                    'image': io.encode_png(image if image.shape[2] == 4 else np.concatenate([image, opaque], -1)),
                    'has_alpha': image.shape[2] == 4,
                    'mask': io.encode_png(mask),
                    'has_mask': images.masks is not None,
                    'world_from_camera': camera.world_from_camera,
                    'focal': camera.focal,
                    'center': camera.center,
                    'distortion': camera.distortion,
                    'size': camera.size,
                    'model': camera.model,
                    'near_far': np.array([images.near, images.far]),
                    'scene_from_source': images.scene_from_source.astype(np.float32),
                    'forward_facing': images.forward_facing,
                },
            )


@dataclasses.dataclass
class SceneConfig(tfds.core.BuilderConfig):
    """Which scene a `PosedScene` holds: `scenes.read(data_dir, split=..., **options)` for each of the splits."""

    data_dir: str = ''
    splits: tuple[str, ...] = ('train', 'test')
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


class PosedScene(PosedBuilder, skip_registration=True):
    """Any scene that `scenes.read` can read."""

    name = 'posed_scene'

    def splits_of_scene(self) -> tuple[str, ...]:
        """The splits of the configuration."""
        return self._config.splits

    def scene(self, split: str) -> posed.PosedImages:
        """Reads one split."""
        return scenes.read(self._config.data_dir, split=split, **self._config.options)

    @property
    def _config(self) -> SceneConfig:
        config = self.builder_config
        assert isinstance(config, SceneConfig)
        return config


def posed_builder(
    scene_dir: str | Path,
    *,
    name: str,
    data_dir: str | Path,
    splits: tuple[str, ...] = ('train', 'test'),
    **options: Any,
) -> PosedBuilder:
    """A prepared dataset of a scene; what is prepared already is not prepared again.

    Args:
        scene_dir: the scene's folder.
        name: of the scene: the dataset lies in `<data_dir>/posed_scene/<name>/`.
        data_dir: where datasets are stored.
        splits: which splits to store.
        **options: for `scenes.read`, e.g. `factor`.

    Raises:
        InputError: see `scenes.read`.

    >>> builder = posed_builder('chair', name='chair', data_dir='/datasets')   # doctest: +SKIP
    >>> images = load(builder, 'train')                                       # doctest: +SKIP
    """
    config = SceneConfig(name=name, data_dir=str(scene_dir), splits=tuple(splits), options=options)
    builder = PosedScene(config=config, data_dir=str(data_dir))
    builder.download_and_prepare()
    return builder


def load(builder: PosedBuilder, split: str) -> posed.PosedImages:
    """The posed images of one split of a prepared dataset, exactly as they were stored.

    Raises:
        InputError: there is no such split.
    """
    checks.one_of('split', split, tuple(builder.info.splits))
    undecoded = {'image': tfds.decode.SkipDecoding(), 'mask': tfds.decode.SkipDecoding()}
    # TFDS wraps the method in a decorator that hides its parameters from type checkers.
    examples = list(builder.as_data_source(split=split, decoders=undecoded))  # pyright: ignore[reportCallIssue]
    first = examples[0]
    images = []
    for example in examples:
        image = io.decode(example['image'], channels=4, name=example['name'].decode())
        images.append(image if example['has_alpha'] else np.ascontiguousarray(image[..., :3]))

    def stacked(key: str) -> np.ndarray:
        return np.stack([example[key] for example in examples])

    return posed.PosedImages(
        names=tuple(example['name'].decode() for example in examples),
        images=tuple(images),
        cameras=posed.host_cameras(
            **{key: stacked(key) for key in ('world_from_camera', 'focal', 'center', 'distortion', 'size')},
            model=first['model'].decode(),
        ),
        masks=tuple(io.decode(example['mask'])[..., 0] for example in examples) if first['has_mask'] else None,
        near=float(first['near_far'][0]),
        far=float(first['near_far'][1]),
        scene_from_source=first['scene_from_source'],
        forward_facing=bool(first['forward_facing']),
    )
