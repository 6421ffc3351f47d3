"""What is drawn by a reenactment of bodies, and how well: pictures, key points and flicker."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.footage import Footage
from neurend.geometry import skeletons
from neurend.geometry.skeletons import Person
from neurend.images import io, metrics, show
from neurend.losses import temporal
from neurend.models.reenactment import detection

Locate = Callable[[np.ndarray], np.ndarray]
"""Key points `[t j 3]` of frames `[t h w 3]` uint8."""
MEANINGS = {
    'psnr, ssim': 'means over the frames; SSIM with an 11 x 11 Gaussian window',
    'psnr_person': 'over the pixels that show the person in the true frame',
    'keypoint_percent': 'mean distance of the detected joints from those asked for, in percent of the distance from '
    'head to ankles (median over the frames); rows of true frames show the error of the detector itself',
    'warp_error': 'mean absolute difference from the frame before, carried along by the true flow, where both see the '
    'same point; rows of true frames show what interpolation and moving shadows leave',
}


class Scene(NamedTuple):
    """Poses to be drawn.

    Attributes:
        name: of the scene.
        people: one per frame.
        conditions: `[t h w c]` uint8, what the generator sees of them.
        pictures: `[t h w 3]` uint8, the conditions to look at.
        truth: what they should look like, where it is known.
    """

    name: str
    people: Sequence[Person]
    conditions: np.ndarray
    pictures: np.ndarray
    truth: Footage | None


def measure(scene: Scene, frames: np.ndarray, locate: Locate | None) -> dict[str, float]:
    """Numbers of drawn frames `[t h w 3]` in [0, 1], those that can be had."""
    found = {}
    if scene.truth is not None:
        known = scene.truth.images.astype(np.float32) / 255
        found['psnr'] = _mean([_psnr(*pair) for pair in zip(frames, known)])
        if scene.truth.film is not None:
            masks = (scene.truth.film.clip.iuv[..., 0] > 0).astype(np.float32)
            found['psnr_person'] = _mean([_psnr(*triple) for triple in zip(frames, known, masks)])
        found['ssim'] = _mean([_ssim(*pair, convention='gaussian') for pair in zip(frames, known)])
    return found | steadiness(scene, frames, locate)


def steadiness(scene: Scene, frames: np.ndarray, locate: Locate | None) -> dict[str, float]:
    """Those numbers that true frames have too: how well key points are found, and what changes but by motion."""
    found = {}
    if locate is not None:
        asked = np.stack([person.body for person in scene.people])
        detected = locate((255 * frames + 0.5).astype(np.uint8))
        error = detection.errors(jnp.asarray(detected), jnp.asarray(asked))
        found['keypoint_percent'] = 100 * float(jnp.mean(error)) / tallness(scene.people)
    if scene.truth is not None and scene.truth.film is not None and len(frames) > 1:
        flow, seen = scene.truth.film.flow()
        body = seen & (scene.truth.film.clip.iuv[1:, ..., 0] > 0)
        for name, valid in (('warp_error', seen), ('warp_error_person', body)):
            arrays = map(jnp.asarray, (frames[1:], frames[:-1], flow, valid))
            found[name] = float(temporal.warp_error(*arrays))
    return found


def write(folder: Path, rows: Mapping[str, Mapping[str, float]], protocol: Mapping[str, Any]) -> None:
    """Writes and prints a table of scenes: `evaluation.json` and `evaluation.txt`."""
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [['', *names]]
    cells += [[scene, *(f'{row[name]:.4f}' if name in row else '-' for name in names)] for scene, row in rows.items()]
    widths = [max(len(line[k]) for line in cells) for k in range(len(names) + 1)]
    lines = [f'# {name}: {value}' for name, value in {**protocol, **MEANINGS}.items()]
    lines += ['  '.join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in cells]
    text = '\n'.join(lines) + '\n'
    io.replace(folder / 'evaluation.txt', text.encode())
    content = {'protocol': {**protocol, **MEANINGS}, 'scenes': rows}
    io.replace(folder / 'evaluation.json', (json.dumps(content, indent=2) + '\n').encode())
    print(text, end='')


def tallness(people: Sequence[Person]) -> float:
    """Median distance in pixels from head to the middle of the ankles; NaN if it is nowhere to be seen."""
    found = []
    for person in people:
        head, ankles = skeletons.head(person), person.body[list(person.layout.ankles)]
        if head is not None and (ankles[:, 2] > 0).all():
            found.append(np.linalg.norm(head - ankles[:, :2].mean(0)))
    return float(np.median(found)) if found else float('nan')


def sheet(scene: Scene, frames: np.ndarray, rows: int = 8) -> np.ndarray:
    """A contact sheet of some frames, evenly spread: condition, result and truth."""
    chosen = np.linspace(0, len(frames) - 1, min(rows, len(frames))).round().astype(int)
    columns = {'condition': scene.pictures, 'result': frames}
    if scene.truth is not None:
        columns['truth'] = scene.truth.images
    cells = [[column[k] for column in columns.values()] for k in chosen]
    return show.contact_sheet(cells, columns=list(columns), labels=[f'frame {k}' for k in chosen])


_psnr = jax.jit(metrics.psnr)
_ssim = jax.jit(metrics.ssim, static_argnames='convention')


def _mean(values: Sequence[Any]) -> float:
    return float(np.mean([float(value) for value in values]))
