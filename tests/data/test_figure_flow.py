"""Flow of the procedural figure: motions whose flow is known, and frames that agree with their predecessors."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from neurend.checks import InputError
from neurend.data import figure, figure_flow
from neurend.losses import temporal

SIZE = 128


def two(appearance, motion, scale, shift):
    """A pose, and the same one moved and scaled in the picture."""
    skeleton = figure.pose(appearance, motion, 1)
    still = {name: np.repeat(joint, 2, axis=0) for name, joint in skeleton.joints.items()}
    axes = (np.repeat(part, 2, axis=0) for part in (skeleton.pelvis, skeleton.chest, skeleton.head))
    both = type(skeleton)(still, *axes)
    return figure.placed(both, np.array([1, scale]), np.array([[0, 0], shift]), size=SIZE)


@pytest.mark.parametrize('name', ['a', 'b'])
@pytest.mark.parametrize('scale, shift', [(1.0, (5.0, -3.0)), (1.25, (-14.0, -22.5)), (0.8, (9.0, 14.0))])
def test_flow_of_a_similarity_is_its_inverse(name, scale, shift):
    look, motion = figure.person(name)
    skeleton = two(look, motion, scale, shift)
    clip = figure.film(look, skeleton, SIZE)
    flow, seen = figure_flow.flow(look, skeleton, clip)
    body = clip.iuv[1, ..., 0] > 0
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    p = np.stack([x, y], axis=-1)
    want = (p - shift) / scale - p
    # Surface coordinates come in steps, and are those a quarter of a pixel beside the centre; long hair hangs from a
    # point that is no joint, and so is placed to a tenth of a pixel only.
    error = np.abs(flow[0] - want)[body & seen[0]]
    assert error.max() < 0.9 * abs(1 - 1 / scale) + (1e-4 if name == 'a' else 0.2)
    assert (seen[0] & body).sum() > 0.6 * body.sum()
    assert not flow[0][~body].any()


def test_frames_agree_with_their_predecessors_carried_along():
    look, motion = figure.person('a')
    motion = dataclasses.replace(motion, kind='wave')
    skeleton = figure.pose(look, motion, 6, fps=8)
    clip = figure.film(look, skeleton, 256)
    flow, seen = figure_flow.flow(look, skeleton, clip)
    images = clip.images.astype(np.float32) / 255
    limbs = [figure.PARTS.index(f'{side}_{part}') + 1 for side in 'lr' for part in ('forearm', 'hand', 'shank')]
    valid = seen & np.isin(clip.iuv[1:, ..., 0], limbs)

    def error(flow):
        return float(temporal.warp_error(*map(jnp.asarray, (images[1:], images[:-1], flow, valid))))

    assert error(flow) < 0.4 * error(0 * flow) < error(-flow)


def test_what_was_hidden_does_not_count():
    look, motion = figure.person('a')
    skeleton = two(look, motion, 1.0, (12.0, 0.0))
    clip = figure.film(look, skeleton, SIZE)
    _, seen = figure_flow.flow(look, skeleton, clip)
    before, now = clip.iuv[..., 0] > 0
    assert not seen[0][before & ~now].any()  # the room appears
    assert seen[0][:, :12].all() and (before & ~now).sum() > 100


def test_clip_and_skeleton_must_fit():
    look, motion = figure.person('a')
    skeleton = figure.pose(look, motion, 3)
    with pytest.raises(InputError, match='clip: got 2 frames, expected the 3'):
        figure_flow.flow(look, skeleton, figure.frames(look, motion, 2, 32))
