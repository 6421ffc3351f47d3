"""What `experiments.srn` learns from: categories of figures, of heads or in folders, and single scenes."""

import dataclasses
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np

from experiments import captures, head_category
from experiments.captures import CaptureConfig
from neurend import app, checks
from neurend.data import categories, shepard_metzler, srn_folders
from neurend.data.categories import Category
from neurend.models.srn.method import Example
from neurend.models.srn.scene import Ball


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What is learned.

    Attributes:
        kind: 'figures' of Shepard and Metzler, rendered, 'heads' of the ICT face model, rendered, a 'category' in the
            folders of Scene Representation Networks, or a single 'scene' in any format that can be read.
        instances: to train on; of a category in folders at most, and 0 takes all.
        views: of each instance to train on.
        novel: other views of each of them to test with; of categories in folders, those between.
        unseen: other instances, to reconstruct; of a category in folders at most; 0 for none.
        unseen_views: of each of these; 0 for as many as `views`, and of categories in folders for all that there are.
        observed: which views of an instance that was not seen are known: the first alone, then all.
        size: width and height of pictures that are rendered.
        cubes: in a figure.
        faces: the ICT face model's `ict_face.npz`, for heads.
        scene: how a single scene is read.
        radius: of the ball around the origin in which a single scene lies; 0 for what its near and far say.
    """

    kind: Literal['figures', 'heads', 'category', 'scene'] = 'figures'
    instances: int = 100
    views: int = 15
    novel: int = 1
    unseen: int = 20
    unseen_views: int = 0
    observed: tuple[int, ...] = (0, 1)
    size: int = 64
    cubes: int = 7
    faces: str = ''
    scene: CaptureConfig = dataclasses.field(default_factory=CaptureConfig)
    radius: float = 0.0

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if min(self.views, self.novel, self.size) < 1 or min(self.instances, self.unseen) < 0:
            raise checks.InputError('--data.views, novel, size: expected at least 1; instances, unseen: at least 0')
        if not self.observed or len(set(self.observed)) != len(self.observed) or min(self.observed) < 0:
            raise checks.InputError(f'--data.observed: got {self.observed}, expected numbers of views, all different')


class Data(NamedTuple):
    """What was read.

    Attributes:
        train: what is learned from.
        novel: other views of the same instances.
        unseen: other instances, or None.
        ball: where they are.
    """

    train: Category
    novel: Category
    unseen: Category | None
    ball: Ball


def read(config: DataConfig, data_dir: str, workdir: str) -> Data:
    """Renders or reads what a configuration names.

    Raises:
        InputError: it cannot be read, or has too few views.
    """
    if config.kind == 'scene':
        return _scene(config, captures.folder_of(data_dir, workdir))
    if config.kind == 'category':
        every, unseen = _folders(config, data_dir)
        # Evenly spaced, as those that were read.
        chosen = np.unique(np.linspace(0, every.num_views - 1, config.views).round().astype(int))
        train, novel = every.views(chosen.tolist()), every.views(np.setdiff1d(range(every.num_views), chosen).tolist())
    else:
        app.say(f'rendering {config.instances} + {config.unseen} {config.kind} ...')
        every = _rendered(config, config.instances, config.views + config.novel, 'train')
        train, novel = (every.views(part) for part in (range(config.views), range(config.views, every.num_views)))
        views = config.unseen_views or config.views
        unseen = _rendered(config, config.unseen, views, 'test') if config.unseen else None
    _check_observed(config, unseen)
    return Data(train, novel, unseen, Ball(radius=float(np.sqrt(3) / 2 * train.scale)))


def examples(category: Category, views: tuple[int, ...] | None = None, *, limit: int | None = None) -> list[Example]:
    """Views of all instances, or of some, evenly spaced, to evaluate."""
    count = min(limit or len(category), len(category))
    chosen = np.unique(np.linspace(0, len(category) - 1, count).round().astype(int))
    return [
        Example(
            f'{category.names[k]}_{v:03d}',
            int(k),
            jax.tree.map(lambda leaf, k=k, v=v: leaf[k, v], category.cameras),
            category.images[k, v],
        )
        for k in chosen
        for v in (range(category.num_views) if views is None else views)
    ]


def _check_observed(config: DataConfig, unseen: Category | None) -> None:
    """Checks that there are the views to reconstruct from, and another to test with."""
    if unseen is not None and max(*config.observed, len(config.observed)) >= unseen.num_views:
        raise checks.InputError(
            f'--data.observed: got {config.observed}, expected numbers below {unseen.num_views}, the views of the '
            'instances that were not seen, with one left to test with'
        )


def _rendered(config: DataConfig, count: int, views: int, split: str) -> Category:
    if config.kind == 'heads':
        if not config.faces:
            raise checks.InputError('--data.faces: not given, expected ict_face.npz, or --data.kind=figures')
        return head_category.category(config.faces, count, views=views, size=config.size, split=split)
    return shepard_metzler.category(count, views=views, size=config.size, split=split, cubes=config.cubes)


def _folders(config: DataConfig, data_dir: str) -> tuple[Category, Category | None]:
    """Training instances with views to train on and to test with, and instances that are not seen."""
    limit = config.instances or None
    try:
        every = srn_folders.read(data_dir, split='train', views=config.views + config.novel, limit=limit)
    except checks.InputError as error:
        raise checks.InputError(f'{error}. Views are --data.views and --data.novel together') from error
    if not config.unseen:
        return every, None
    try:
        return every, srn_folders.read(data_dir, split='test', views=config.unseen_views or None, limit=config.unseen)
    except checks.InputError as error:
        raise checks.InputError(
            f'{error}. Views are --data.unseen_views, and --data.unseen=0 leaves out what was not seen'
        ) from error


def _scene(config: DataConfig, folder: str) -> Data:
    train, test = (captures.read(config.scene, folder, split) for split in ('train', 'test'))
    radius = config.radius or (train.far - train.near) / 2
    name, scale = Path(folder).name, 2 * radius / np.sqrt(3)
    parts = [categories.gather({name: images}, scale=scale) for images in (train, test)]
    return Data(parts[0], parts[1], None, Ball(radius=radius))
