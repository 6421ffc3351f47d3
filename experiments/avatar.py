r"""From speech to a film of a person who says it, by Neural Voice Puppetry (Thies et al., 2020).

    python -m experiments.avatar --flagfile=configs/avatar_talking_head.flags --data_dir=talking_head \
        --workdir=out/avatar
    python -m experiments.avatar --flagfile=out/avatar/config.flags --wav=hello.wav

Learns from a tracked film how speech moves a mouth and how the person looks: the network from speech to expressions,
and a neural texture over the film's background. Then --wav, --logits or --text (which espeak-ng speaks) writes an MP4
with sound. Speech tells of the mouth alone: blinks, brows and the motion of the head are those of the film's frames to
learn from, forwards and backwards in turn, or those of --motion. With --expressions another's tracked face drives the
whole face; with --dub frames of the film stay but for the lower face. Without --data_dir the person is procedural.

The second call goes on where the first has ended, at once. Without anything that drives it the frames held out are
drawn from their speech alone, in their true poses.

Writes to the workdir: `speech/` and `texture/`, the two trainings; without a driver `evaluation.txt`,
`contact_sheet.png` and `beside.mp4`, the frames held out as they are heard, as they are tracked, and the truth; with
one `avatar.mp4`, or --output. The file says of itself that it is synthetic.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from tqdm import tqdm

from experiments import avatar_picture, avatar_report, avatar_script, avatar_speech, neural_head, trained
from experiments.avatar_speech import Speaker, SpeechConfig
from experiments.espeak import Voice
from experiments.toy_speech import speaking_head
from experiments.translation import RUN_MAY_CHANGE, RunConfig
from neurend import app, checks
from neurend.data import tracked_head
from neurend.data.tracked_head import Part, Performance, TrackedHead
from neurend.images import statedict, video
from neurend.models.method import Method
from neurend.models.neural_texture.config import NeuralTextureConfig
from neurend.models.state import State
from neurend.speech.audio import Waveform
from neurend.train import evaluate as evaluation
from neurend.train.optimizers import OptimizerConfig

_DRIVERS = ('wav', 'logits', 'text', 'expressions')


@dataclasses.dataclass(frozen=True)
class Config:
    """One person, and what it is to say.

    Attributes:
        data_dir: folder of a tracked head whose `tracking.npz` has `logits` too, see `neurend.data.tracked_head.read`
            and `neurend.speech.windows`; empty for the procedural one.
        face: file of the face model; '' for ../ict_face/ict_face.npz beside the folder.
        workdir: where results go.
        size: side of the pictures in pixels, to which frames are brought.
        wav: sound file to be said.
        logits: what was recognised of it, in place of a recogniser, see `neurend.speech.windows.read`.
        text: to be said, by espeak-ng's voice.
        expressions: tracking.npz of a face whose expressions are to be had, or the folder with it.
        relative: take these as they differ from their mean, from the mean of the film: two faces that were tracked each
            by itself may have other expressions at rest.
        motion: tracking.npz of whoever moves head, eyes and brows; '' for the person's own film.
        dub: keep the film but for the lower face, from its first frame on.
        part: of the mesh that has the texture, 'head' or 'face', see `experiments.neural_head`.
        hole: above 0 the person is drawn into the film's own frames, but for a hole about the mesh which
            `model.inpaint` fills in: what moves beside the mesh, hair and shoulders, then is the film's. The factor of
            the hole's published size. 0 for the background without the head.
        close: let lips meet where m, b or p is heard in a sound, also where those of the film do not.
        background: picture to stand before; '' for the film's.
        output: .mp4 to write; '' for avatar.mp4 in the workdir.
        recognizer: workdir of `experiments.recognizer`, which hears `wav` and `text`.
        voice: espeak-ng's, for `text`.
        audio_expression: a network from speech to expressions that was trained elsewhere, to be mapped to the person,
            see `avatar_speech.adopt`; '' to train one.
        speech: the network from speech to expressions.
        model: the neural texture.
        frames: in the batch of a step of it.
        texture_optimizer, network_optimizer: of texture and its network.
        run: length and records of the texture's training.
    """

    TRAINS_IN: ClassVar[tuple[str, ...]] = ('speech', 'texture')
    NOT_RECORDED: ClassVar[tuple[str, ...]] = (
        *_DRIVERS, 'relative', 'motion', 'dub', 'close', 'background', 'output',
        *(f'voice.{each.name}' for each in dataclasses.fields(Voice)),
    )  # fmt: skip
    MAY_CHANGE: ClassVar[tuple[str, ...]] = (
        'recognizer', 'audio_expression', 'speech.strength', *(f'speech.{name}' for name in RUN_MAY_CHANGE),
        *RUN_MAY_CHANGE,
    )  # fmt: skip

    data_dir: str = ''
    face: str = ''
    workdir: str = 'out/avatar'
    size: int = 256
    wav: str = ''
    logits: str = ''
    text: str = ''
    expressions: str = ''
    relative: bool = False
    motion: str = ''
    dub: bool = False
    part: Part = 'head'
    hole: float = 0.0
    close: bool = True
    background: str = ''
    output: str = ''
    recognizer: str = 'out/recognizer'
    voice: Voice = dataclasses.field(default_factory=Voice)
    audio_expression: str = ''
    speech: SpeechConfig = dataclasses.field(default_factory=SpeechConfig)
    model: NeuralTextureConfig = dataclasses.field(default_factory=NeuralTextureConfig)
    frames: int = 1
    texture_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: neural_head.Config().texture_optimizer
    )
    network_optimizer: OptimizerConfig = dataclasses.field(
        default_factory=lambda: neural_head.Config().network_optimizer
    )
    run: RunConfig = dataclasses.field(default_factory=lambda: RunConfig(steps=1500))

    def __post_init__(self):
        """Raises `InputError` for flags that contradict each other."""
        given = [name for name in _DRIVERS if getattr(self, name)]
        if len(given) > 1 and given != ['wav', 'logits']:
            raise checks.InputError(f'--{", --".join(given)}: got {len(given)}, expected one of them')
        if self.model.window > 1:
            raise checks.InputError(f'--model.window: got {self.model.window}, expected 1: frames are drawn one by one')
        if self.text and not self.text.strip():
            raise checks.InputError(f'--text: got {self.text!r}, expected words')
        if self.relative and not self.expressions:
            raise checks.InputError('--relative: got no --expressions, of which it is to be')
        if self.dub and (self.motion or self.background):
            raise checks.InputError('--dub: keeps the film, expected neither --motion nor --background')
        if self.dub and not given:
            raise checks.InputError(f'--dub: nothing is to be said, expected one of --{", --".join(_DRIVERS)}')
        neural_head.check_hole(self.part, self.hole, self.model)
        if self.hole and (self.motion or self.background):
            raise checks.InputError('--hole: draws into the film, expected neither --motion nor --background')
        if self.output and Path(self.output).suffix.lower() != '.mp4':
            raise checks.InputError(f'--output: got {self.output!r}, expected a file that ends with .mp4')

    @property
    def driven(self) -> bool:
        """Whether there is something to say."""
        return any(getattr(self, name) for name in _DRIVERS)


class Avatar(NamedTuple):
    """A person who can speak.

    Attributes:
        head: the film.
        windows: of logits, `[t 16 l]`, one for each frame of it.
        speaker: what the mouth does by what is heard.
        method, state: of the picture.
    """

    head: TrackedHead
    windows: np.ndarray
    speaker: Speaker
    method: Method
    state: State


class Script(NamedTuple):
    """What drives a person.

    Attributes:
        base: how the head moves, and the rest of the face.
        reenacted: what the whole face does, where another's does so.
        heard: speech, else.
    """

    base: Performance
    reenacted: Performance | None
    heard: avatar_script.Heard | None


class Film(NamedTuple):
    """What is to be drawn: of each frame expressions and pose, the sound, and which frame of the film it goes by."""

    performance: Performance
    sound: Waveform | None
    places: np.ndarray


def main(config: Config) -> evaluation.Table | None:
    """Learns, then writes a film of what is to be said, or the table and pictures of the frames held out."""
    given = read(config)
    if not config.driven:
        avatar = learn(config, given)
        return avatar_report.report(
            avatar, config.workdir, given=config.data_dir or 'procedural head', part=config.part
        )
    # What cannot be read is said before anything is learned.
    avatar_picture.over(given[0], config.background)
    said = script(config, given[0])
    avatar = learn(config, given)
    write(config, avatar, film(config, avatar, said))
    return None


def learn(config: Config, given: tuple[TrackedHead, np.ndarray] | None = None) -> Avatar:
    """Trains what is not trained yet.

    Args:
        config: what.
        given: what `read` gives of it, if that is read already.

    Raises:
        InputError: the film, its speech or the network cannot be read, or they do not fit each other.
    """
    head, windows = given or read(config)
    folder = Path(config.workdir)
    if config.audio_expression:
        speaker = avatar_speech.adopt(config.speech, config.audio_expression, head, windows, folder)
    else:
        speaker = avatar_speech.learn(config.speech, head, windows, folder / 'speech')
    picture = texture(config)
    head = neural_head.around(picture, head)
    return Avatar(head, windows, speaker, *neural_head.learn(picture, head))


def load(workdir: str) -> Avatar:
    """What a run left in its workdir.

    Raises:
        InputError: no run there, or its film is gone.
    """
    return learn(trained.configuration(Config, workdir, 'experiments.avatar'))


def read(config: Config) -> tuple[TrackedHead, np.ndarray]:
    """The person's film, and windows of logits for each of its frames.

    Raises:
        InputError: something cannot be read or does not fit.
    """
    if not config.data_dir:
        return speaking_head(size=config.size)
    head = tracked_head.read(config.data_dir, face=config.face or None, size=config.size)
    path = Path(config.data_dir) / 'tracking.npz'
    tracking = statedict.read(path, what='tracking')
    if 'logits' not in tracking:
        raise checks.InputError(
            f'{path}: lacks logits, expected windows of speech for each frame, (frames, 16, 29). '
            'experiments.face_fit writes them with --recognizer, of the sound of the video or of --sound'
        )
    checks.shape(f'logits of {path}', tracking['logits'], f'{len(head)} 16 _', 'Give one window for each frame')
    return head, tracking['logits'].astype(np.float32)


def texture(config: Config) -> neural_head.Config:
    """The part of a configuration that is the picture's."""
    return neural_head.Config(
        data_dir=config.data_dir,
        face=config.face,
        workdir=str(Path(config.workdir) / 'texture'),
        size=config.size,
        part=config.part,
        hole=config.hole,
        model=config.model,
        frames=config.frames,
        texture_optimizer=config.texture_optimizer,
        network_optimizer=config.network_optimizer,
        run=config.run,
    )


def script(config: Config, head: TrackedHead) -> Script:
    """What drives a person.

    Raises:
        InputError: it cannot be read.
    """
    # A dubbed film is the whole film; else the person moves as in the frames that it was learned from.
    base = head.performance if config.dub else avatar_script.motion(head, config.motion)
    if config.expressions:
        return Script(base, avatar_script.reenact(head, config.expressions, base, relative=config.relative), None)
    heard = avatar_script.listen(
        wav=config.wav, logits=config.logits, text=config.text, voice=config.voice, listener=config.recognizer,
        fps=head.fps,
    )  # fmt: skip
    return Script(base, None, heard)


def film(config: Config, avatar: Avatar, said: Script | None = None) -> Film:
    """What is to be drawn.

    Args:
        config: how it is driven.
        avatar: who.
        said: what `script` gives, if that is read already.

    Raises:
        InputError: what drives the person cannot be read.
    """
    head = avatar.head
    base, reenacted, heard = said or script(config, head)
    if heard is None:
        assert reenacted is not None
        return Film(reenacted, None, avatar_script.turning(len(base.expressions), len(reenacted.expressions)))
    windows = heard.windows
    if not config.logits:  # another recogniser than the film's may have heard it
        windows = avatar_speech.as_often(windows, avatar.windows[: head.train])
    lips = avatar.speaker(windows)
    if config.close and not config.logits:
        lips = avatar_script.close(head, lips, avatar_script.closing(heard, head.fps))
    places = avatar_script.turning(len(base.expressions), len(lips))
    return Film(avatar_script.speak(head, lips, base, places), heard.sound, places)


def frames(config: Config, avatar: Avatar, film: Film) -> Iterator[np.ndarray]:
    """Draws a film: uint8 `[h w 3]` each, as they are asked for."""
    head = avatar_picture.over(avatar.head, config.background)
    drawn = avatar_picture.frames(head, avatar.method, avatar.state, film.performance, film.places)
    return avatar_picture.dubbed(head, film.performance, film.places, drawn) if config.dub else drawn


def write(config: Config, avatar: Avatar, film: Film) -> Path:
    """Draws a film and writes it with its sound and the note that it is synthetic; returns its path."""
    path = Path(config.output) if config.output else Path(config.workdir) / 'avatar.mp4'
    count = len(film.places)
    shown = tqdm(frames(config, avatar, film), total=count, desc='drawing', unit='frame')
    video.write(path, shown, avatar.head.fps, sound=film.sound, about=note(config))
    app.say(f'{path}: {count} frames, {count / avatar.head.fps:.2f} s{"" if film.sound is None else ", with sound"}')
    return path


def note(config: Config) -> dict[str, str]:
    """What a film says of itself."""
    source = next((name for name in _DRIVERS if getattr(config, name)), 'speech held out')
    return {
        'title': 'Synthetic video of a talking avatar',
        'comment': f'Synthetic: this person was not filmed saying or doing this. Rendered by neurend, driven by '
        f'{source}{", dubbed into a real film" if config.dub else ""}.',
    }


if __name__ == '__main__':
    app.run(main, Config)
