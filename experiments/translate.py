"""Draws pictures with what `experiments.pix2pix_facades` trained: a folder of conditions, or a video of them.

    python -m experiments.translate --workdir=out/mine --input=labels/ --output=photographs/
    python -m experiments.translate --workdir=out/mine --input=labels.mp4 --output=photographs.mp4

A folder of pictures, of any sizes, gives a folder of PNG files of the same names; a video gives a video of the same
rate, and needs the extra `video`.
"""

import dataclasses
from pathlib import Path

from tqdm import tqdm

from experiments import pix2pix_facades, translation
from neurend import app
from neurend.checks import InputError
from neurend.data import pairs
from neurend.images import io, video


@dataclasses.dataclass(frozen=True)
class Config:
    """One translation.

    Attributes:
        workdir: of the trained run.
        input: folder of PNG or JPEG files, or a video.
        output: folder, made if needed, or an .mp4 file.
    """

    workdir: str
    input: str
    output: str


def main(config: Config) -> None:
    """Draws and writes.

    Raises:
        InputError: no run there, conditions that cannot be read, or a place that cannot be written.
    """
    source, target = Path(config.input), Path(config.output)
    if not source.exists():
        raise InputError(f'--input={source}: does not exist, expected a folder of pictures, or a video')
    if source.resolve() == target.resolve():
        raise InputError(f'--output={target}: is the input, which would be lost; name another place')
    _, method, state = pix2pix_facades.load(config.workdir)
    if source.is_dir():
        paths = pairs.pictures(source)
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f'--output={target}: cannot be made ({error.strerror}); name another folder') from error
        # Read one by one, as they are drawn.
        drawn = translation.draw(method, state, (io.read(path, channels=3) for path in paths))
        for path, picture in zip(paths, tqdm(drawn, desc='drawing', total=len(paths), unit='picture')):
            io.write(target / f'{path.stem}.png', picture)
        app.say(f'{target}: {len(paths)} pictures')
    else:
        drawn = translation.draw(method, state, video.read(source))
        count = video.write(target, tqdm(drawn, desc='drawing', unit='frame'), fps=video.frame_rate(source))
        app.say(f'{target}: {count} frames')


if __name__ == '__main__':
    app.run(main, Config, record=None)
