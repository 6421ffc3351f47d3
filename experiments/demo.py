"""Shows the library at work: renders a small procedural scene, learns it from its pictures, draws views held out.

    python -m experiments.demo

Leaves in the workdir what `experiments.nerf`, `experiments.evaluate` and `experiments.render` leave, and says where.
"""

import dataclasses
import time
from pathlib import Path

from experiments import evaluate, nerf, render, trained
from neurend import app
from neurend import config as flag_files

FLAG_FILE = Path(__file__).parents[1] / 'configs' / 'demo.flags'


@dataclasses.dataclass(frozen=True)
class Config:
    """The demonstration.

    Attributes:
        workdir: where all of it goes; a finished run there is shown again, not trained again.
        steps: of training; none for those of `configs/demo.flags`.
        frames: of the video and of the page's turntable.
    """

    workdir: str = 'out/demo'
    steps: int | None = None
    frames: int = 60


def main(config: Config) -> None:
    """Trains, evaluates and renders."""
    start = time.perf_counter()
    chosen = [] if config.steps is None else [f'--steps={config.steps}']
    settings = flag_files.parse(nerf.Config, f'--flagfile={FLAG_FILE}', f'--workdir={config.workdir}', *chosen)
    app.write_record(settings, Path(config.workdir), 'config.flags')
    nerf.main(settings)
    settings, setup, state = trained.load(config.workdir, evaluate_split='test', evaluate_views=0)
    shown = evaluate.Config(workdir=config.workdir, orbit=config.frames)
    table = evaluate.run(shown, settings, setup, state, perceptual=[])
    render.main(render.Config(workdir=config.workdir, path=render.PathConfig(frames=config.frames), scale=2))
    folder = Path(config.workdir).absolute()
    print(
        f'\nPSNR {table.mean["psnr"]:.2f} dB on {len(table.rows)} views that were held out, '
        f'{time.perf_counter() - start:.0f} s in all. Look at:\n'
        f'  {folder}/evaluation_test/page.html\n'
        f'  {folder}/evaluation_test/contact_sheet.png\n'
        f'  {folder}/orbit.mp4'
    )


if __name__ == '__main__':
    app.run(main, Config, record=None)
