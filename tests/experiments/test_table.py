"""Every cell of the table of representations and renderers shows the ring, where it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import table
from neurend.geometry import cameras


def ring(camera, size):
    """Depth of the ring in float64, by where its distance along each ray changes its sign; 0 beside it."""
    rays = cameras.rays(camera, cameras.pixel_centers(size, size))
    origin, direction = (np.asarray(x, np.float64)[..., None, :] for x in (rays.origins, rays.directions))
    t = np.linspace(1.9, 5.3, 600)[:, None]
    x, y, z = np.moveaxis(origin + t * direction, -1, 0)
    inside = np.hypot(np.hypot(x, y) - 1.0, z) < 0.35
    return np.where(inside.any(-1), t[inside.argmax(-1), 0], 0)


@pytest.mark.slow
def test_the_page_draws_the_ring_in_every_cell():
    pytest.importorskip('skimage')
    page, names, seen = table.PAGE.read_text(), {}, set()
    for cell in table.cells(page, names):
        if not seen:
            true, colors = ring(cell.camera, names['SIZE']), names['color']
            points = cameras.unproject(cell.camera, cameras.pixel_centers(64, 64), jnp.asarray(true, jnp.float32))
            painted = np.asarray(colors(points))
        seen.add((cell.of, cell.by))
        found = jax.jit(cell.draw)(cell.scene, cell.camera)
        there, shown = true > 0, np.asarray(found.alpha) > 0.5
        both = there & shown
        # Discs and soft edges reach up to a pixel beyond an outline, at 64x64 a tenth of the ring.
        assert both.sum() / (there | shown).sum() > 0.8, seen
        assert np.median(np.abs(np.asarray(found.depth)[both] / true[both] - 1)) < 0.02, seen
        rgb = np.asarray(found.rgb)[both] / np.asarray(found.alpha)[both][:, None]
        assert np.median(np.abs(rgb - painted[both])) < 0.06, seen
    # As many as the table says.
    rows = [line.split('|')[1:-1] for line in page.splitlines() if line.startswith('| **')]
    said = {
        (row[0].strip(' *').lower(), by.lower()) for row in rows for by, text in zip(table.BY, row[1:]) if text.strip()
    }
    assert {(of.lower(), by.lower()) for of, by in seen} == said
    # Of the last picture: fog before the ring, the ring, and the wall where nothing else is.
    whole = names['shown']
    np.testing.assert_allclose(whole.alpha, 1, atol=1e-3)
    shares = np.asarray(whole.extras['layers'])
    inner = true > 0
    assert shares[0][inner].min() > 0.2 and np.all(np.asarray(whole.weights).sum(-1)[inner] > 0.01)
    assert np.abs(shares[1:, inner].sum(0)).max() < 0.3 < shares[1:, ~inner].sum(0).max()
    # The chain goes through the ring, before it here and behind it there.
    balls = names['blended'](names['scene']['balls'], cell.camera)
    solid = np.asarray(balls.alpha) > 0.9
    ahead, after = (solid & inner & (sign * (np.asarray(balls.depth) - true) > 0.15) for sign in (-1, 1))
    linked = np.asarray(names['linked'].rgb)
    assert ahead.sum() > 5 and np.abs(linked[ahead] - [0.9, 0.2, 0.1]).max() < 0.2
    assert after.sum() > 5 and np.median(np.abs(linked[after] - painted[after])) < 0.06
    np.testing.assert_allclose(names['seen_by_three'][1], linked, atol=1e-5)
