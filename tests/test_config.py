import dataclasses
from typing import Literal, Optional

import pytest
from absl import flags

from neurend import checks, config


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How steps are taken.

    Attributes:
        learning_rate: peak rate, reached
            after the warm-up.
        betas: decay of both moments.
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    name: Literal['adam', 'sgd'] = 'adam'


@dataclasses.dataclass(frozen=True)
class Config:
    data_dir: str = dataclasses.field(metadata={'help': 'folder with the scene'})
    steps: int = 10
    num_samples: tuple[int, ...] = (64, 128)
    white_background: bool = True
    crop: int | None = None
    flip: Optional[bool] = None  # noqa: UP045  both spellings must work
    level: Literal[1, 2] = 1
    title: str | None = 'a b'
    optimizer: Optimizer = Optimizer(learning_rate=5e-3)


DATA = '--data_dir=x'


def test_defaults_and_every_kind_of_flag():
    assert config.parse(Config, DATA) == Config('x')
    args = '--steps=1e4 --num_samples=1,2,3 --nowhite_background --crop 5 --flip --level=2 --title=none'.split()
    nested = ['--optimizer.learning_rate=1', '--optimizer.betas=0.5, 0.25', '--optimizer.name=sgd']
    assert config.parse(Config, DATA, *args, *nested) == Config(
        'x', 10000, (1, 2, 3), False, 5, True, 2, None, Optimizer(1.0, (0.5, 0.25), 'sgd')
    )
    assert config.parse(Config, DATA, '--num_samples=', '--crop=none', '--white_background=0').num_samples == ()


def test_parsing_leaves_the_global_flags_alone():
    before = set(flags.FLAGS)
    config.parse(Config, DATA, '--steps=3')
    assert set(flags.FLAGS) == before


@pytest.mark.parametrize(
    ('arg', 'message'),
    [
        ('--stpes=3', '--stpes: there is no such flag; did you mean --steps'),
        ('--learning_rate=3', 'did you mean --optimizer.learning_rate'),
        ('--nosteps', 'no such flag'),
        ('--steps=1.5', r"--steps=1\.5: got '1\.5', expected int"),
        ('--steps=inf', 'expected int'),
        ('--steps', 'Missing value for flag --steps'),
        ('--num_samples=1,x', "got 'x', expected int"),
        ('--optimizer.betas=1', "got '1', expected 2 by commas: float, float"),
        ('--optimizer.name=adan', 'expected one of adam, sgd'),
        ('--level=3', 'expected one of 1, 2'),
        ('--crop=half', 'expected int'),
        ('--white_background=maybe', 'expected bool'),
        ('steps=3', r"argument 'steps=3' is not a flag: expected --name=value"),
        ('--flagfile=/nowhere/x.flags', r'flag file /nowhere/x\.flags: does not exist'),
        ('--flagfile=', '--flagfile: got no file'),
    ],
)
def test_what_is_wrong_is_said(arg, message):
    with pytest.raises(checks.InputError, match=message):
        config.parse(Config, DATA, arg)


def test_a_field_without_default_must_be_given():
    with pytest.raises(checks.InputError, match='--data_dir: not given, expected text. folder with the scene'):
        config.parse(Config)


def write(path, *lines):
    path.write_text('\n'.join(lines) + '\n')
    return f'--flagfile={path}'


def test_direct_flags_win_over_files_in_any_order(tmp_path):
    base = write(tmp_path / 'base.flags', '--steps=1', '--crop=1', '--level=2')
    top = write(tmp_path / 'top.flags', '# a comment', '', '// another', '--crop=2', '  --data_dir=a b  ', base)
    for args in ([top, '--steps=7'], ['--steps=7', top], ['--steps', '7', '--flagfile', str(tmp_path / 'top.flags')]):
        settings = config.parse(Config, *args)
        assert (settings.steps, settings.crop, settings.level, settings.data_dir) == (7, 2, 2, 'a b')


def test_a_file_may_be_included_twice_but_not_by_itself(tmp_path):
    base = write(tmp_path / 'base.flags', DATA)
    left, right = (write(tmp_path / name, base) for name in ('left.flags', 'right.flags'))
    assert config.parse(Config, left, right) == Config('x')
    write(tmp_path / 'one.flags', f'--flagfile={tmp_path / "two.flags"}')
    loop = write(tmp_path / 'two.flags', f'--flagfile={tmp_path}/../{tmp_path.name}/one.flags')
    with pytest.raises(checks.InputError, match=r'includes itself: .*two\.flags -> .*one\.flags -> .*two\.flags'):
        config.parse(Config, loop)


def test_a_bad_line_is_named(tmp_path):
    with pytest.raises(checks.InputError, match=r"line 2: got 'steps=3', expected --name=value"):
        config.parse(Config, write(tmp_path / 'a.flags', DATA, 'steps=3'))
    with pytest.raises(checks.InputError, match=r"line 1: got '--steps 3'"):
        config.parse(Config, write(tmp_path / 'b.flags', '--steps 3'))
    (tmp_path / 'c.flags').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(checks.InputError, match='not a text file'):
        config.parse(Config, f'--flagfile={tmp_path / "c.flags"}')


@pytest.mark.parametrize(
    'settings',
    [
        Config('x'),
        Config('', 0, (), False, 5, False, 2, None, Optimizer(1 / 3, (1e-300, float('inf')), 'sgd')),
        Config('with = and --dashes # and //', title='ünïcode'),
    ],
)
def test_flag_file_reproduces_the_configuration(tmp_path, settings):
    assert config.parse(Config, write(tmp_path / 'a.flags', config.to_flags(settings))) == settings


@pytest.mark.parametrize('value', ['two\nlines', ' spaces ', 'none', 'None'])
def test_what_a_flag_file_cannot_hold_is_refused(value):
    with pytest.raises(checks.InputError, match='--title: .* has no form in a flag file'):
        config.to_flags(Config('x', title=value))


def test_help_shows_types_defaults_and_texts():
    lines = ' '.join(config.help_text(Config).split())
    for text in (
        '--data_dir (text; required) folder with the scene',
        '--num_samples (comma list of int; default 64,128)',
        '--optimizer.learning_rate (float; default 0.005) peak rate, reached after the warm-up.',
        '--optimizer.betas (2 by commas: float, float; default 0.9,0.99) decay of both moments.',
        '--crop (int, or none; default none)',
    ):
        assert text in lines


def test_help_of_a_field_comes_from_the_class_that_has_it():
    @dataclasses.dataclass(frozen=True)
    class Momentum(Optimizer):
        """How other steps are taken.

        Attributes:
            betas: of these.
            nesterov: look ahead.
        """

        nesterov: bool = False

    lines = ' '.join(config.help_text(Momentum).split())
    for text in ('peak rate, reached after the warm-up.', 'default 0.9,0.99) of these.', 'look ahead.'):
        assert text in lines


def test_types_without_a_form_are_refused_at_definition():
    @dataclasses.dataclass(frozen=True)
    class Bad:
        table: dict[str, int] = dataclasses.field(default_factory=dict)

    with pytest.raises(TypeError, match=r'Bad\.table: .* cannot be a flag'):
        config.parse(Bad)
    values = flags.FlagValues()
    config.define(Config, values)
    with pytest.raises(TypeError, match='--data_dir exists already'):
        config.define(Config, values)
