"""What is measured of an avatar that hears frames held out: its mouth, its pictures, and what they are beside."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import (
    avatar_picture,
    avatar_script,
    avatar_speech,
    head_motion,
    spoken_face,
    surroundings,
    translation,
)
from experiments.face_drawing import unit
from neurend import app
from neurend.data.tracked_head import Part, Performance, TrackedHead
from neurend.images import io, metrics, show
from neurend.models.method import Method
from neurend.models.state import State
from neurend.train import evaluate as evaluation

_LIPS = slice(48, 68)  # of the landmarks
_SHOWN = 8
_COLUMNS = ('heard', 'by tracking', 'truth', 'error')


class Mouth(NamedTuple):
    """How near a mouth is to the true one, over consecutive frames.

    Attributes:
        error: `t`, mean distance of its 20 landmarks from the true ones in true poses, in pixels.
        reach: how far each landmark moves on a head that holds still, the largest distance between two of its places,
            mean over landmarks, in pixels.
        correlation: of the openings between the lips over time.
    """

    error: np.ndarray
    reach: float
    correlation: float

    @property
    def ratio(self) -> float:
        """The mean error in parts of the reach."""
        return float(self.error.mean() / self.reach)


def held_out(head: TrackedHead) -> Performance:
    """The frames held out as they were tracked."""
    return Performance(*(each[head.train :] for each in head.performance))


def unseen(head: TrackedHead, lips: np.ndarray) -> Performance:
    """The frames held out with a mouth `[t m]`: true poses, and blinks and brows of the frames to learn from."""
    places = avatar_script.turning(head.train, len(lips), start=head.train)
    spoken = avatar_script.speak(head, lips, head.performance, places)
    return spoken._replace(world_from_head=held_out(head).world_from_head)


def mouth(head: TrackedHead, performance: Performance) -> Mouth:
    """Compares a mouth with that of the frames held out."""
    truth = held_out(head)
    here, there = (spoken_face.project(head, *each)[:, _LIPS] for each in (performance, truth))
    pose = np.broadcast_to(spoken_face.mean_pose(truth.world_from_head), truth.world_from_head.shape)
    still = spoken_face.project(head, truth.expressions, pose)[:, _LIPS]
    reach = [np.linalg.norm(still[:, None, k] - still[None, :, k], axis=-1).max() for k in range(still.shape[1])]
    gaps = [head_motion.gap(head.mesh, each) for each in (performance, truth)]
    moves = min(gap.std() / gap.max() for gap in gaps) > 1e-6
    correlation = float(np.corrcoef(np.stack(gaps))[0, 1]) if moves else 0.0
    return Mouth(np.linalg.norm(here - there, axis=-1).mean(-1), float(np.mean(reach)), correlation)


def psnr(head: TrackedHead, pictures: list[np.ndarray], masks: np.ndarray | None = None) -> np.ndarray:
    """Of pictures of the frames held out, `[t]` in dB, or within masks."""
    truths = head.images[head.train :]
    chosen = np.full(truths.shape[:3], 255, np.uint8) if masks is None else masks
    return np.array([float(_psnr(*each)) for each in zip(pictures, truths, chosen)])


def report(avatar: Any, workdir: str, *, given: str, part: Part = 'head') -> evaluation.Table:
    """Draws the frames held out by their speech alone; prints and writes the table, a sheet and a video.

    Args:
        avatar: an `experiments.avatar.Avatar`.
        workdir: where they go.
        given: what the film is.
        part: of the mesh that is drawn.
    """
    head, split = avatar.head, avatar.head.train
    places, truth = avatar_speech.mouth(head.names), held_out(head)
    rest = head.performance.expressions[:split, places].mean(0)
    performances = {
        'heard': unseen(head, avatar.speaker(avatar.windows)[split:]),
        'mean': unseen(head, np.broadcast_to(rest, (len(head) - split, len(rest)))),
        'tracked': truth,
    }
    mouths = {name: mouth(head, each) for name, each in performances.items()}
    results = {name: drawn(head, avatar.method, avatar.state, each) for name, each in performances.items()}
    masks = head_motion.mouth_masks(head, truth)
    found = {name: (psnr(head, each), psnr(head, each, masks)) for name, each in results.items()}
    rows = {
        f'{split + k:04d}': {
            'psnr': found['heard'][0][k], 'psnr_masked': found['heard'][1][k], 'lips': mouths['heard'].error[k],
        }
        for k in range(len(head) - split)
    }  # fmt: skip
    names = {'mean': 'the mouth of the mean frame', 'tracked': 'true expressions'}
    baselines = {
        title: {'psnr': found[name][0].mean(), 'psnr_masked': found[name][1].mean(), 'lips': mouths[name].error.mean()}
        for name, title in names.items()
    }
    protocol = {
        'frames': f'{given}, the last {len(head) - split} of {len(head)}, in their true poses',
        'method': f'speech to expressions of the mouth, neural texture, {int(avatar.state.step)} steps of it',
        'blinks and brows': 'of the frames to learn from, backwards: speech does not tell of them',
        'background': 'known' if head.surroundings is None else surroundings.told(head),
        'psnr_masked': 'within the box of the lips, a third of its width larger on every side',
        'lips': 'mean distance of the 20 landmarks of the mouth from the tracked ones, pixels',
        **{
            f'mouth, {name}': f'landmarks {each.ratio:.3f} of their reach of {each.reach:.2f} pixels, '
            f'opening between the lips correlates by {each.correlation:.3f}'
            for name, each in mouths.items()
        },
    }
    if head.surroundings is not None:
        band, nearest = surroundings.painted(head, part)
        protocol['psnr_around'] = 'where the second network paints: in the hole, beyond the mesh'
        guessed = psnr(head, list(nearest), 255 * band)
        baselines['the nearest colours around the hole'] = {'psnr_around': guessed.mean()}
        for row, each in zip(rows.values(), psnr(head, results['heard'], 255 * band)):
            row['psnr_around'] = each
    table = evaluation.Table(_plain(rows), protocol, _plain(baselines))
    folder = Path(workdir)
    table.write(folder)
    print(table.text(), end='')
    shown = np.linspace(0, len(rows) - 1, min(_SHOWN, len(rows))).round().astype(int)
    truths = head.images[split:]
    pictures = [
        [results['heard'][k], results['tracked'][k], truths[k], _error(results['heard'][k], truths[k])] for k in shown
    ]
    labels = [f'{split + k:04d}   {found["heard"][0][k]:.2f} dB' for k in shown]
    io.write(folder / 'contact_sheet.png', show.contact_sheet(pictures, columns=_COLUMNS, labels=labels))
    app.say(f'{folder}: evaluation.txt, evaluation.json, contact_sheet.png')
    translation.write_video(folder / 'beside.mp4', [results['heard'], results['tracked'], list(truths)], fps=head.fps)
    return table


def drawn(head: TrackedHead, method: Method, state: State, performance: Performance) -> list[np.ndarray]:
    """Pictures of a performance of the frames held out, uint8 `[h w 3]`."""
    return list(avatar_picture.frames(head, method, state, performance, np.arange(head.train, len(head))))


def _error(picture: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return show.error_picture(*(np.asarray(unit(each)) for each in (picture, truth)))


def _plain(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    return {name: {key: float(value) for key, value in row.items()} for name, row in rows.items()}


@jax.jit
def _psnr(picture: Any, truth: Any, mask: Any) -> Any:
    return metrics.psnr(unit(picture), unit(truth), jnp.asarray(mask > 0, jnp.float32))
