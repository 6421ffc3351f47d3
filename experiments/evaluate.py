"""Evaluates a trained radiance field on held-out views and shows the result.

    python -m experiments.evaluate --workdir=out/chair --split=test

Reads `config.flags` and the newest checkpoint of the workdir and writes to `evaluation_<split>/` there: the table of
metrics with the protocol (`evaluation.txt`, `evaluation.json`), pictures, a contact sheet, and `page.html` to open in a
browser.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments import nerf, render, trained
from neurend import app
from neurend.checks import InputError
from neurend.images import io, lpips, show
from neurend.models.state import State
from neurend.train import evaluate as evaluation
from neurend.viewer import page


@dataclasses.dataclass(frozen=True)
class Config:
    """One evaluation.

    Attributes:
        workdir: of the trained run.
        data_dir: of its scene, if that has moved.
        split: which images.
        views: how many of them, evenly spread; 0 for all.
        quantize: round predictions to 8 bits first, as tables made from written files do.
        lpips: backbone of the perceptual metric, which needs the next two.
        lpips_backbone: torchvision's weights of it, .pth or .npz.
        lpips_linear: LPIPS's linear layers for it, .pth or .npz.
        pictures: of so many views are written and shown, evenly spread.
        orbit: frames to scrub through on the page; 0 for none.
        memory_mb: images are rendered in this much memory; none for the run's own budget.
        output: folder; evaluation_<split> in the workdir if empty.
    """

    workdir: str
    data_dir: str | None = None
    split: Literal['train', 'val', 'test'] = 'test'
    views: int = 0
    quantize: bool = False
    lpips: Literal['none', 'alex', 'vgg'] = 'none'
    lpips_backbone: str = ''
    lpips_linear: str = ''
    pictures: int = 4
    orbit: int = 0
    memory_mb: int | None = None
    output: str = ''


def main(config: Config) -> None:
    """Evaluates, prints the table and writes it with the pictures."""
    measures = perceptual(config.lpips, config.lpips_backbone, config.lpips_linear)
    settings, setup, state = trained.load(
        config.workdir,
        data_dir=config.data_dir,
        memory_mb=config.memory_mb,
        evaluate_split=config.split,
        evaluate_views=config.views,
    )
    run(config, settings, setup, state, perceptual=measures)


def run(
    config: Config, settings: nerf.Config, setup: nerf.Setup, state: State, *, perceptual: list[lpips.Weights]
) -> evaluation.Table:
    """Evaluates a run that is loaded; `setup.examples` are the views.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path(config.output or Path(config.workdir) / f'evaluation_{config.split}')
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'folder {folder}: cannot be made ({error.strerror}). Give another --output') from error
    count = len(setup.examples)
    chosen = np.linspace(0, count - 1, min(max(config.pictures, 1), count)).round().astype(int)
    shown = {setup.examples[i].name for i in chosen}
    views: list[page.View] = []
    done = 0
    start = time.perf_counter()

    def each(name: str, metrics: dict[str, float], pictures: dict[str, np.ndarray]) -> None:
        nonlocal done
        done += 1
        left = (time.perf_counter() - start) / done * (count - done)
        app.say(f'{done}/{count} {name}: psnr {metrics["psnr"]:.2f} dB, {left:.0f} s left')
        if name in shown:
            views.append(page.View(name, pictures, metrics))
            for kind, picture in pictures.items():
                io.write(folder / f'{name.replace("/", "_")}_{kind}.png', picture)

    table = evaluation.evaluate(
        setup.method,
        state,
        setup.examples,
        protocol=protocol(config, settings, setup, state),
        quantize=config.quantize,
        perceptual=perceptual,
        each=each,
    )
    table.write(folder)
    print(table.text(), end='')
    labels = [f'{view.name}   {view.metrics["psnr"]:.2f} dB' for view in views]
    rows = [[view.pictures[kind] for kind in show.COMPARISON] for view in views]
    io.write(folder / 'contact_sheet.png', show.contact_sheet(rows, columns=show.COMPARISON, labels=labels))
    page.write(
        folder / 'page.html',
        title=f'{Path(settings.data_dir).name or "embedded scene"}, {settings.method}, {int(state.step)} steps',
        views=views,
        metrics=table.mean,
        rows=table.rows,
        orbit=_orbit(config, settings, setup, state),
        details=table.protocol,
    )
    app.say(f'{folder}: evaluation.txt, evaluation.json, contact_sheet.png, page.html')
    return table


def protocol(config: Config, settings: nerf.Config, setup: nerf.Setup, state: State) -> dict[str, Any]:
    """What must be known of the images and the run to compare the numbers."""
    sizes = sorted({(example.image.shape[1], example.image.shape[0]) for example in setup.examples})
    several = f' and {len(sizes) - 1} other sizes' if len(sizes) > 1 else ''
    factor = settings.scene.factor
    behind = settings.scene.background
    masked = any(example.mask is not None for example in setup.examples)
    return {
        'scene': settings.data_dir or 'embedded',
        'method': f'{settings.method}, {int(state.step)} steps',
        'split': f'{config.split}, {"all views" if not config.views else "evenly spread views"}',
        'size': f'{sizes[0][0]} x {sizes[0][1]}{several}',
        'downscaling': 'none' if factor == 1 else f'box filter by {factor}, or the copies that the dataset brings',
        'background': {'none': 'as photographed', 'random': 'white'}.get(behind, behind),
        'crop': 'none, all pixels' if factor == 1 else 'right and bottom, to multiples of the factor',
        'mask': 'psnr_masked over the object' if masked else 'none',
    }


def perceptual(name: Literal['none', 'alex', 'vgg'], backbone: str, linear: str) -> list[lpips.Weights]:
    """The measures that --lpips, --lpips_backbone and --lpips_linear ask for: one, or none.

    Raises:
        InputError: a file is missing, or cannot be read.
    """
    if name == 'none':
        return []
    if not backbone or not linear:
        raise InputError(
            f'--lpips={name}: needs --lpips_backbone (weights of torchvision) and --lpips_linear (of LPIPS)'
        )
    return [lpips.load(backbone, linear, backbone=name)]


def _orbit(config: Config, settings: nerf.Config, setup: nerf.Setup, state: State) -> list[np.ndarray]:
    if not config.orbit:
        return []
    way = render.PathConfig(frames=config.orbit)
    way = dataclasses.replace(way, kind=render.choose(way, settings, setup.scene))
    camera = render.view_camera(setup.scene)
    poses = render.camera_path(way, setup.scene)
    return list(render.frames(setup, state, camera, poses, settings.memory_mb))


if __name__ == '__main__':
    app.run(main, Config, record=None)
