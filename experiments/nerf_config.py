"""The flags of `experiments.nerf`."""

import dataclasses
from typing import ClassVar, Literal

from experiments.captures import CaptureConfig
from experiments.separation import SeparateConfig
from neurend.models.nerf.background import Background
from neurend.models.nerf.classic import ClassicConfig
from neurend.models.nerf.fast_config import FastConfig
from neurend.models.nerf.hash import HashConfig
from neurend.models.nerf.mip import MipConfig
from neurend.train.optimizers import OptimizerConfig


@dataclasses.dataclass(frozen=True)
class SceneConfig(CaptureConfig):
    """Where the images come from and what is learned of them.

    Attributes:
        background: what lies behind: none for photographs of whole scenes, else what transparent pixels are put on.
        masks: of the object, where there are some: ignore them, leave what is off them out of the loss, or take what is
            off them for background.
        object_rays: how much more often a pixel on the masks is drawn than one off them, a whole number.
        ndc: learn a forward-facing capture in normalised device coordinates, out to infinity.
    """

    background: Background = 'white'
    masks: Literal['ignore', 'loss', 'background'] = 'ignore'
    object_rays: int = 1
    ndc: bool = False


@dataclasses.dataclass(frozen=True)
class Config:
    """One training run.

    Attributes:
        data_dir: folder with posed images; the embedded scene if empty.
        workdir: where checkpoints, metrics and pictures go.
        method: which radiance field.
        rays: pixels in a step's batch (fast has its own numbers, `fast.rays`, as it has its own optimizer).
        image_per_batch: all of a batch from one image, as in the published NeRF.
        stream: draw batches on the host, for images that do not fit on the device.
        steps: of training.
        seed: of all randomness.
        accumulate: parts a batch is cut into, to need less memory.
        clip_norm: largest norm of a gradient; none for no clipping.
        ema_decay: of the running average of parameters that is evaluated; none for no average.
        compute_dtype: networks compute in this type; parameters are float32.
        memory_mb: a full image is rendered in this much memory.
        log_every: steps between lines of metrics.
        evaluate_every: steps between evaluations; 0 for one at the end.
        evaluate_split: which images are evaluated.
        evaluate_views: how many of them, evenly spread; 0 for all.
        checkpoint_every: steps between checkpoints; 0 for one at the end, or where the run is stopped.
        keep: checkpoints that stay.
        separate: how `fast` tells an object from backgrounds that nobody knows.
    """

    MAY_CHANGE: ClassVar[tuple[str, ...]] = (
        'steps',
        'memory_mb',
        'log_every',
        'evaluate_every',
        'evaluate_split',
        'evaluate_views',
        'checkpoint_every',
        'keep',
    )

    data_dir: str = ''
    workdir: str = 'out/nerf'
    method: Literal['classic', 'mip', 'fast', 'hash'] = 'classic'
    scene: SceneConfig = dataclasses.field(default_factory=SceneConfig)
    rays: int = 1024
    image_per_batch: bool = False
    stream: bool = False
    steps: int = 200_000
    seed: int = 0
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    accumulate: int = 1
    clip_norm: float | None = None
    ema_decay: float | None = None
    compute_dtype: Literal['float32', 'bfloat16'] = 'float32'
    memory_mb: int = 1500
    log_every: int = 100
    evaluate_every: int = 0
    evaluate_split: Literal['val', 'test', 'train'] = 'val'
    evaluate_views: int = 8
    checkpoint_every: int = 5000
    keep: int = 3
    classic: ClassicConfig = dataclasses.field(default_factory=ClassicConfig)
    mip: MipConfig = dataclasses.field(default_factory=MipConfig)
    fast: FastConfig = dataclasses.field(default_factory=FastConfig)
    hash: HashConfig = dataclasses.field(default_factory=HashConfig)
    separate: SeparateConfig = dataclasses.field(default_factory=SeparateConfig)
