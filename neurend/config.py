"""A frozen dataclass is the whole configuration of a program; its flags are derived from it.

Each leaf becomes one absl flag: `--steps=1000`, `--optimizer.learning_rate=1e-3` for a nested dataclass,
`--num_samples=64,128` for a tuple, `--nowhite_background` for a bool, `--crop=none` for an `Optional`; a `Literal`
accepts its members only. A field without default must be given. The help of a flag is the field's `metadata['help']`,
or its entry under `Attributes:` in the docstring of the dataclass.

    @dataclasses.dataclass(frozen=True)
    class Config:
        steps: int = 1000
        method: Literal['classic', 'fast'] = 'fast'

    config.parse(Config, '--flagfile=configs/chair.flags', '--steps=10')   # Config(steps=10, method=...)

A flag file holds one flag per line; lines that begin with `#` or `//` are comments. What is given directly wins over
flag files, wherever each stands, and a file's own lines win over the files it includes.
"""

import dataclasses
import difflib
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from absl import flags

from neurend import checks

T = TypeVar('T')
_SCALARS = (bool, int, float, str)


def parse(config_class: type[T], *args: str) -> T:
    """Makes a configuration from flags, without touching the global flags of the process.

    Raises:
        checks.InputError: unknown flag, bad value, missing flag or flag file, or a flag file that includes itself.
    """
    values = flags.FlagValues()
    define(config_class, values)
    assign(values, args)
    return read(config_class, values)


def define(config_class: type, flag_values: flags.FlagValues) -> None:
    """Defines one flag per leaf of a dataclass.

    Raises:
        TypeError: a field's type has no form on a command line, or a flag of that name exists already.
    """
    for leaf in _leaves(config_class):
        if leaf.name in flag_values:
            raise TypeError(f'{config_class.__name__}: a flag --{leaf.name} exists already; rename the field')
        flags.DEFINE_flag(_LeafFlag(leaf), flag_values, module_name=config_class.__module__)


def assign(flag_values: flags.FlagValues, args: Sequence[str]) -> None:
    """Parses arguments (without the program's name) into defined flags, flag files first.

    Raises:
        checks.InputError: as `parse`.
    """
    try:
        rest = flag_values(['', *expand(args)])[1:]
    except flags.UnrecognizedFlagError as error:
        raise checks.InputError(_unknown(error.flagname, list(flag_values))) from error
    except (flags.Error, ValueError) as error:
        if isinstance(error, checks.InputError):
            raise
        raise checks.InputError(str(error)) from error
    if rest:
        raise checks.InputError(f'argument {rest[0]!r} is not a flag: expected --name=value (--help lists the names)')


def read(config_class: type[T], flag_values: flags.FlagValues) -> T:
    """Builds the configuration from parsed flags.

    Raises:
        checks.InputError: a flag that has no default was not given, or what classes raise, with the flags it is about.
    """
    for leaf in _leaves(config_class):
        if leaf.default is dataclasses.MISSING and not flag_values[leaf.name].present:
            message = f'--{leaf.name}: not given, expected {_describe(leaf.kind)}. {leaf.help}'
            raise checks.InputError(message.rstrip())
    return _build(config_class, flag_values, '')


def to_flags(config: Any, *, without: Sequence[str] = ()) -> str:
    """Text of a flag file, one line per leaf, that parses to an equal configuration, but for the leaves left out.

    Raises:
        checks.InputError: a string has no form in a flag file (line breaks, spaces at its ends, commas inside a tuple).
    """
    lines = []
    for leaf in _leaves(type(config), config):
        if leaf.name in without:
            continue
        text = _serialize(leaf.default)
        try:
            same = text == text.strip() and len(text.splitlines()) < 2 and _parse(leaf.kind, text) == leaf.default
        except ValueError:
            same = False
        if not same and leaf.default == leaf.default:  # NaN differs from itself and is fine
            raise checks.InputError(f'--{leaf.name}: {leaf.default!r} has no form in a flag file; use a simpler value')
        lines.append(f'--{leaf.name}={text}\n')
    return ''.join(lines)


def leaves(config: Any) -> dict[str, Any]:
    """The values of a configuration by the names of their flags."""
    return {leaf.name: leaf.default for leaf in _leaves(type(config), config)}


def text(value: Any) -> str:
    """How a value is written in a flag file."""
    return _serialize(value)


def help_text(config_class: type) -> str:
    """What `--help` prints about a configuration: its flags in order, with defaults, types and help."""
    return '\n'.join(_entry(leaf) for leaf in _leaves(config_class))


def expand(args: Sequence[str]) -> list[str]:
    """Replaces `--flagfile=...` by the lines of the files, and moves those before everything else.

    Raises:
        checks.InputError: a file is missing, is not text, includes itself, or holds a line that is no flag.
    """
    return _expand(list(args), ())


def _expand(args: list[str], parents: tuple[Path, ...]) -> list[str]:
    from_files: list[str] = []
    own: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg == '--':
            own += [arg, *rest]
        elif arg in ('--flagfile', '-flagfile'):
            from_files += _file(next(rest, ''), parents)
        elif arg.startswith(('--flagfile=', '-flagfile=')):
            from_files += _file(arg.split('=', 1)[1], parents)
        else:
            own.append(arg)
    return from_files + own


def _file(name: str, parents: tuple[Path, ...]) -> list[str]:
    if not name:
        raise checks.InputError('--flagfile: got no file, expected --flagfile=path')
    path = checks.file(Path(name).expanduser(), 'flag file').resolve()
    if path in parents:
        chain = ' -> '.join(str(parent) for parent in [*parents[parents.index(path) :], path])
        raise checks.InputError(f'flag file {name} includes itself: {chain}. Remove one of these --flagfile lines')
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except UnicodeDecodeError as error:
        raise checks.InputError(f'flag file {name}: not a text file in UTF-8 ({error.reason})') from error
    args = []
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith(('#', '//')):
            continue
        if not re.match(r'--?[A-Za-z][\w.]*(=|$)', line):
            raise checks.InputError(f'flag file {name}, line {number}: got {line!r}, expected --name=value')
        args.append(line)
    return _expand(args, (*parents, path))


class _Leaf(NamedTuple):
    name: str
    kind: Any
    default: Any  # dataclasses.MISSING if it must be given
    help: str


def _leaves(cls: type, instance: Any = None, prefix: str = '') -> Iterator[_Leaf]:
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f'{cls!r}: expected a dataclass')
    kinds, documented = typing.get_type_hints(cls), _documented(cls)
    for field in dataclasses.fields(cls):
        kind, name = kinds[field.name], prefix + field.name
        if instance is not None:
            default = getattr(instance, field.name)
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        else:
            default = field.default
        if dataclasses.is_dataclass(kind):
            yield from _leaves(kind, None if default is dataclasses.MISSING else default, name + '.')  # pyright: ignore
        elif _supported(kind):
            yield _Leaf(name, kind, default, field.metadata.get('help', documented.get(field.name, '')))
        else:
            raise TypeError(
                f'{cls.__name__}.{field.name}: {kind} cannot be a flag; use bool, int, float, str, a Literal, a tuple '
                'or an Optional of these, or a dataclass'
            )


def _documented(cls: type) -> dict[str, str]:
    """The entries under `Attributes:` in the docstrings of a class and of those it is made of, as one line each."""
    found = {}
    for each in reversed(cls.__mro__):
        section = re.search(r'^Attributes:\n((?:[ \t]+.*\n?|\n)*)', inspect.cleandoc(each.__doc__ or ''), re.MULTILINE)
        if section is not None:
            entries = re.findall(r'^(\w+):(.*(?:\n[ \t]+.*)*)', textwrap.dedent(section.group(1)), re.MULTILINE)
            found |= {name: ' '.join(text.split()) for name, text in entries}
    return found


def _build(cls: Any, flag_values: flags.FlagValues, prefix: str) -> Any:
    kinds = typing.get_type_hints(cls)
    arguments = {}
    for field in dataclasses.fields(cls):
        kind, name = kinds[field.name], prefix + field.name
        nested = dataclasses.is_dataclass(kind)
        arguments[field.name] = _build(kind, flag_values, name + '.') if nested else flag_values[name].value
    try:
        return cls(**arguments)
    except checks.InputError as error:
        if not prefix:
            raise
        raise checks.InputError(f'--{prefix[:-1]}: {error}') from error


class _LeafParser(flags.ArgumentParser):
    def __init__(self, kind: Any):
        self.kind = kind

    def parse(self, argument: str) -> Any:
        return _parse(self.kind, argument)


class _LeafFlag(flags.Flag):
    def __init__(self, leaf: _Leaf):
        default = None if leaf.default is dataclasses.MISSING else leaf.default
        boolean = bool in (leaf.kind, *typing.get_args(leaf.kind)) and typing.get_origin(leaf.kind) is not tuple
        serializer = flags.ArgumentSerializer()
        super().__init__(_LeafParser(leaf.kind), serializer, leaf.name, default, leaf.help, boolean=boolean)

    def _parse_from_default(self, value: Any) -> Any:
        return value  # already of its type, unlike text from a command line


def _optional(kind: Any) -> Any:
    """X for `X | None`, else None."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) not in (typing.Union, types.UnionType) or types.NoneType not in arguments:
        return None
    others = [argument for argument in arguments if argument is not types.NoneType]
    return others[0] if len(others) == 1 else None


def _supported(kind: Any) -> bool:
    if inner := _optional(kind):
        return _supported(inner)
    if typing.get_origin(kind) is tuple:
        return all(item is Ellipsis or item in _SCALARS or _is_literal(item) for item in typing.get_args(kind))
    return kind in _SCALARS or _is_literal(kind)


def _is_literal(kind: Any) -> bool:
    return typing.get_origin(kind) is Literal


def _describe(kind: Any) -> str:
    if inner := _optional(kind):
        return f'{_describe(inner)}, or none'
    if _is_literal(kind):
        return 'one of ' + ', '.join(str(choice) for choice in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        items = typing.get_args(kind)
        if items[-1:] == (Ellipsis,):
            return f'comma list of {_describe(items[0])}'
        return f'{len(items)} by commas: ' + ', '.join(_describe(item) for item in items)
    return 'text' if kind is str else kind.__name__


def _parse(kind: Any, text: str) -> Any:
    """The value that a text stands for; ValueError if it stands for none."""
    if inner := _optional(kind):
        return None if text.lower() == 'none' else _parse(inner, text)
    if typing.get_origin(kind) is tuple:
        items, parts = typing.get_args(kind), text.split(',') if text else []
        if items[-1:] == (Ellipsis,):
            items = items[:1] * len(parts)
        if len(items) == len(parts):
            return tuple(_parse(item, part if item is str else part.strip()) for item, part in zip(items, parts))
    elif _is_literal(kind):
        for choice in typing.get_args(kind):
            if text == str(choice):
                return choice
    elif kind is bool:
        if text.lower() in ('true', 'false', '1', '0'):
            return text.lower() in ('true', '1')
    elif kind is str:
        return text
    else:
        try:
            number = kind(text) if kind is float or re.fullmatch(r'\s*[+-]?[\d_]+\s*', text) else float(text)
            if number == kind(number) or kind is float:  # an int may be written 1e4
                return kind(number)
        except (ValueError, OverflowError):
            pass  # told below in the user's terms
    raise ValueError(f'got {text!r}, expected {_describe(kind)}')


def _serialize(value: Any) -> str:
    if isinstance(value, tuple):
        return ','.join(_serialize(item) for item in value)
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value)


def _entry(leaf: _Leaf) -> str:
    default = 'required' if leaf.default is dataclasses.MISSING else f'default {_serialize(leaf.default) or "empty"}'
    lines = [f'  --{leaf.name}  ({_describe(leaf.kind)}; {default})']
    return '\n'.join(lines + textwrap.wrap(leaf.help, 110, initial_indent=' ' * 6, subsequent_indent=' ' * 6))


def _unknown(name: str, known: list[str]) -> str:
    """A message that names near matches; a nested flag given by its last part alone counts as near."""
    stem = name.rpartition('.')[2]
    near = [other for other in known if other.rpartition('.')[2] == stem]
    near += [other for other in difflib.get_close_matches(name, known, n=3, cutoff=0.6) if other not in near]
    hint = 'did you mean ' + ' or '.join(f'--{other}' for other in near) + '?' if near else '--help lists all.'
    return f'--{name}: there is no such flag; {hint}'
