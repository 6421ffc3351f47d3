"""Every representation by every renderer: the cells of docs/table.md, their pictures, milliseconds and memory.

    python -m benchmarks.table

Runs the page's code. For each cell, at 64x64 and 128x128: milliseconds of a picture, the median of several, in time of
the process; megabytes that XLA allots for it beside arguments and result; and megabytes of the scene. `--picture`
writes the sheet of pictures that the page shows. The last line is one JSON object, by cell. `--quick` leaves out the
larger pictures.
"""

import argparse
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from neurend.images import io, show

PAGE = Path(__file__).parents[1] / 'docs' / 'table.md'
BY = ('the rasterizer', 'sphere tracing', 'volume integration', 'planes', 'points', 'Gaussians')


class Cell(NamedTuple):
    """One of the table: `draw(scene, camera)`."""

    of: str
    by: str
    scene: object
    draw: object
    camera: object


def cells(page: str, names: dict) -> Iterator[Cell]:
    """Runs the page's blocks in order, with names that stay, and gives each cell as soon as it is made."""
    for title, code in re.findall(
        r'^(?:### ([^\n]*)\n\n)?(?:[^#`]*\n)?```python\n(.*?)^```', page, re.DOTALL | re.MULTILINE
    ):
        exec(compile(code, 'table.md', 'exec'), names)
        if title:
            of, by = title.split(' by ')
            yield Cell(of, by, names['scene'], names['draw'], names['camera'])


def measured(cell: Cell, times: int) -> tuple[dict, np.ndarray]:
    program = jax.jit(cell.draw).lower(cell.scene, cell.camera).compile()
    memory = program.memory_analysis()
    found = jax.block_until_ready(program(cell.scene, cell.camera))
    spent = []
    for _ in range(times):
        begin = time.process_time()
        jax.block_until_ready(program(cell.scene, cell.camera))
        spent.append(time.process_time() - begin)
    row = {'ms': 1e3 * float(np.median(spent)), 'allotted_mb': memory.temp_size_in_bytes / 1e6}
    row['scene_mb'] = sum(leaf.nbytes for leaf in jax.tree.leaves(cell.scene)) / 1e6
    return row, np.asarray(found.rgb + (1 - found.alpha[..., None]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--data_root', default='../shared/data', help='not used: the page makes its scene')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--picture', default='', help='file of the sheet of pictures')
    chosen = parser.parse_args()
    page, figures, pictures = PAGE.read_text(), {}, {}
    for side in (64,) if chosen.quick else (64, 128):
        for cell in cells(page.replace('SIZE, LOW, HIGH = 64', f'SIZE, LOW, HIGH = {side}'), {}):
            row, pictures[cell.of, cell.by] = measured(cell, 3 if chosen.quick else 9)
            figures.setdefault(f'{cell.of} by {cell.by}', {})[f'{side}'] = row
            print(
                f'{side}: {cell.of} by {cell.by}: ' + ', '.join(f'{value:.2f} {name}' for name, value in row.items()),
                flush=True,
            )
    largest = f'{side}'
    rows = list(dict.fromkeys(of for of, _ in pictures))
    print('\n| | ' + ' | '.join(BY) + ' |\n' + '|---' * (len(BY) + 1) + '|')
    for of in rows:
        texts = []
        for by in BY:
            found = figures.get(f'{of} by {by}')
            texts.append(f'{found[largest]["ms"]:.1f} ({found[largest]["allotted_mb"]:.1f})' if found else '')
        print(f'| {of} | ' + ' | '.join(texts) + ' |')
    if chosen.picture:
        blank = np.ones((side, side, 3), np.float32)
        sheet = [[np.clip(pictures.get((of, by), blank), 0, 1) for by in BY] for of in rows]
        io.write(chosen.picture, show.contact_sheet(sheet, columns=[by.split()[-1] for by in BY], labels=rows))
    print(json.dumps(figures))


if __name__ == '__main__':
    main()
