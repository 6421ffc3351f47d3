r"""A face that speaks what is heard, live, in a page of this machine's browser.

    python -m experiments.avatar_live --avatar=out/avatar --recognizer=out/recognizer

Open the page that it names, and give it the microphone or a sound file. The avatar is a run of `experiments.avatar`,
letters are recognised by one of `experiments.recognizer`. Without --avatar a procedural face moves its lips by the
letters alone. Frames are shown as soon as what they are made of is heard: the page says how much later that is. Frames
that a slow machine cannot draw in time are left out, and counted.

The page is served to this machine alone. To serve others takes --host, --allow_remote and --token_file, and is neither
encrypted nor, in most browsers, given a microphone; a tunnel such as `ssh -L 8020:127.0.0.1:8020` is the better way.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments import avatar, avatar_picture, avatar_script, recognizer, trained
from experiments.avatar_stream import Lips, Stream, by_letters, by_network
from experiments.face_drawing import artist
from experiments.toy_head import toy_head
from neurend import app, checks
from neurend.speech.recognizer import Compiled
from neurend.viewer import live
from neurend.viewer.live_session import Show

Draw = Callable[[int, np.ndarray], np.ndarray]
_MOVES, _LOOKS, _TEXELS = 320, 84, 256  # frames of the procedural head's motion and of its colours; their texels


@dataclasses.dataclass(frozen=True)
class Config:
    """What is shown, and to whom.

    Attributes:
        avatar: workdir of `experiments.avatar`; '' for a procedural face.
        recognizer: workdir of `experiments.recognizer`.
        motion: tracking.npz of whoever moves the avatar's head, eyes and brows; '' for its own film.
        background: picture that the avatar stands before; '' for that of its film.
        size: side of the procedural face's pictures in pixels.
        rows: of letters, 20 ms each and an even number, that are recognised at a time; more is cheaper, and later.
        quality: of the JPEG, 1 to 95.
        host: address to serve on.
        port: of it; 0 for any that is free.
        allow_remote: serve other machines, if `host` is an address that they reach. Takes a token.
        token_file: file that holds a token of at least 16 characters, which requests must bear.
    """

    avatar: str = ''
    recognizer: str = 'out/recognizer'
    motion: str = ''
    background: str = ''
    size: int = 256
    rows: int = 2
    quality: int = 85
    host: str = '127.0.0.1'
    port: int = 8020
    allow_remote: bool = False
    token_file: str = ''

    def __post_init__(self):
        """Raises `InputError` for numbers out of range."""
        if self.rows < 2 or self.rows % 2:
            raise checks.InputError(f'--rows: got {self.rows}, expected 2, 4, 6, ...')
        if not (1 <= self.quality <= 95 and 0 <= self.port < 65536 and self.size >= 16):
            raise checks.InputError(
                f'--quality, --port, --size: got {self.quality}, {self.port} and {self.size}, expected 1 to 95, 0 to '
                '65535 and at least 16'
            )
        if not self.avatar and (self.motion or self.background):
            raise checks.InputError('--motion, --background: are those of --avatar, which is not given')


def main(config: Config) -> None:
    """Serves the page until it is interrupted."""
    token = read_token(config.token_file)
    live.check_address(config.host, allow_remote=config.allow_remote, token=token)
    app.say(f'getting {config.avatar or "the procedural face"} ready: a minute or so where nothing is compiled yet')
    shown = show(config, Compiled(recognizer.load(config.recognizer).recognizer, config.rows))
    with serve(config, shown, token) as server:
        app.say(f'{server.url}{"#token=..., with the token" if token else ""}: open this page. Ctrl-C ends it')
        server.serve_forever()


def serve(config: Config, shown: Show, token: str = '') -> live.Server:
    """The server of a show.

    Raises:
        InputError: see `live.Server`.
    """
    return live.Server(
        shown, host=config.host, port=config.port, allow_remote=config.allow_remote, token=token, quality=config.quality
    )


def read_token(path: str) -> str:
    """The token in a file; '' without one.

    Raises:
        InputError: it cannot be read.
    """
    if not path:
        return ''
    try:
        return checks.file(path, 'token').read_text(encoding='utf-8').strip()
    except (OSError, UnicodeDecodeError) as error:
        raise checks.InputError(f'token {path}: cannot be read ({error}). Expected one line of text') from error


def show(config: Config, letters: Compiled) -> Show:
    """What the page shows, compiled.

    Raises:
        InputError: no run of `experiments.avatar` there, or one that hears no letters.
    """
    shown = _trained(config, letters) if config.avatar else procedural(config.size, letters)
    # A second and a half of silence, and two pictures: all that is to be compiled is.
    for frame, lips in list(shown.hear(48000)(np.zeros(72000, np.float32)))[:2]:
        shown.draw(frame, lips)
    return shown


def of_avatar(person: avatar.Avatar, letters: Compiled, *, motion: str = '', name: str = 'avatar') -> Show:
    """An avatar.

    Args:
        person: whom.
        letters: the recogniser's step.
        motion: see `avatar_script.motion`.
        name: shown over the picture.

    Raises:
        InputError: its network hears no letters, or the motion cannot be read.
    """
    head = person.head
    if motion:
        avatar_picture.keeps_film(head, 'motion')
    paint = avatar_picture.drawer(head, person.method, person.state)
    base = avatar_script.motion(head, motion)

    def draw(frame: int, lips: np.ndarray) -> np.ndarray:
        places = avatar_script.turning(len(base.expressions), 1, start=frame)
        spoken = avatar_script.speak(head, lips[None], base, places)
        return paint(spoken.expressions[0], spoken.world_from_head[0], int(places[0]))

    return _show(name, head.fps, head.background.shape, letters, by_network(person.speaker), draw)


def procedural(size: int, letters: Compiled) -> Show:
    """The procedural face in its own colours, `size` pixels wide and high, that turns and blinks."""
    head, base = toy_head(_LOOKS, size, train=_LOOKS), toy_head(_MOVES, 16).performance
    sketch = artist(head, 'mesh', background=True, texels=_TEXELS)

    def draw(frame: int, lips: np.ndarray) -> np.ndarray:
        places = avatar_script.turning(_MOVES, 1, start=frame)
        return sketch(avatar_script.speak(head, lips[None], base, places)).conditions[0, ..., :3]

    return _show('procedural face', head.fps, head.background.shape, letters, by_letters(), draw)


def _trained(config: Config, letters: Compiled) -> Show:
    person = avatar.load(config.avatar)
    person = person._replace(head=avatar_picture.over(person.head, config.background))
    name = trained.configuration(avatar.Config, config.avatar, 'experiments.avatar').data_dir
    return of_avatar(person, letters, motion=config.motion, name=Path(name).name or 'procedural avatar')


def _show(name: str, fps: float, shape: tuple[int, ...], letters: Compiled, lips: Lips, draw: Draw) -> Show:
    stream = functools.partial(Stream, letters, lips, fps=fps)
    wait = stream(rate=48000).wait
    return Show(name, fps, (shape[1], shape[0]), wait, lambda rate: stream(rate=rate).push, draw)


if __name__ == '__main__':
    app.run(main, Config)
