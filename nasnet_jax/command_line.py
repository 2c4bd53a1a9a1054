"""The command line with its configuration: what is wrong with it is one line."""

from __future__ import annotations

import re
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path

import ml_collections
from absl import flags

from nasnet_jax.paths import with_home

_CONFIGS = (
    Path(__file__).parent / "configs",
    Path(__file__).parent.parent / "configs",
)
"""Where our configurations are: inside of the package that is installed, or beside it in a checkout."""
_ONE_CONFIG = "quickstart.py"


def parse_command_line(argv: Sequence[str]) -> list[str]:
    """Parses the flags, for `absl.app.run`; ends the process with a line if they are wrong.

    The file of `--config` is run here, and may raise anything.

    Returns:
        The words that are no flags, the program's name first.
    """
    try:
        words = flags.FLAGS(_with_file(argv))
        _refuse_empty()
        return words
    except Exception as error:  # noqa: BLE001
        if "--traceback" in argv:
            traceback.print_exc()
        sys.exit(f"Error: {_problem(error, argv)}")


def _refuse_empty() -> None:
    """Refuses `--workdir=`, as a variable makes that is not set; fields of a configuration may be ''."""
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if flag.present and flag.default is None and flag.value == "":
            raise flags.ValidationError(f"--{name} is empty: give it a value or leave it out.")


def _with_file(words: Sequence[str]) -> list[str]:
    """The words with `--config`, which ml_collections reads, as `config_file` gives it."""
    result = list(words)
    for place, word in enumerate(words):
        flag, equals, path = word.partition("=")
        if flag not in ("--config", "-config"):
            continue
        if equals:
            result[place] = f"{flag}={config_file(path)}"
        elif place + 1 < len(words):
            result[place + 1] = config_file(words[place + 1])
    return result


def config_file(text: str) -> str:
    """The file of a configuration as people name it: by its path, or, if it is one of ours, its name.

    A variant stays behind it: `imagenet_mobile:released`.

    Raises:
        ValueError: If it looks like a name and there is no configuration of that name.
    """
    name, colon, variant = text.partition(":")
    if not re.fullmatch(r"\w+", name) or Path(name).exists():
        return with_home(text)
    folder = next(folder for folder in _CONFIGS if (folder / _ONE_CONFIG).exists())
    file = folder / f"{name}.py"
    if not file.is_file():
        known = sorted(path.stem for path in folder.glob("[a-z]*.py"))
        raise ValueError(
            f"There is no configuration {name!r}, and no file of that name. There are "
            f"{', '.join(known)}."
        )
    return f"{file}{colon}{variant}"


def config_value(flag: flags.FlagHolder) -> ml_collections.ConfigDict:
    """The configuration that a flag of `DEFINE_config_file` read, locked.

    Raises:
        OSError: If the file could not be read.
        ValueError: If its `get_config` does not return a configuration.
    """
    config = flag.value
    try:
        return config.lock()
    except OSError as error:
        raise OSError(_last_line(error.__cause__ or error)) from error
    except AttributeError as error:
        raise ValueError(
            f"get_config() of --{flag.name} returns {type(config).__name__}, no ConfigDict."
        ) from error


def _problem(error: Exception, argv: Sequence[str]) -> str:
    """What is wrong with the command line, or where with the configuration's file."""
    causes: list[BaseException] = [error]
    while earlier := causes[0].__cause__ or causes[0].__context__:
        causes.insert(0, earlier)
    for cause in causes:
        if isinstance(cause, SyntaxError) and cause.filename:
            return f"{cause.filename}, line {cause.lineno}: {cause.msg}"
        for frame in reversed(traceback.extract_tb(cause.__traceback__)):
            if _is_of_user(frame.filename):
                kind = "" if isinstance(cause, ValueError) else f"{type(cause).__name__}: "
                return f"{frame.filename}, line {frame.lineno}: {kind}{_last_line(cause)}"
    # ml_collections makes a traceback the text of what the file raises where it is called.
    if isinstance(error, flags.Error) and "Traceback" not in str(error):
        return f"{' '.join(str(error).split()).rstrip('.')}. --help shows the flags."
    if isinstance(error, (AttributeError, KeyError)):
        return _missing_field(error, argv)
    return f"--config cannot be read: {_last_line(causes[0])}"


def _is_of_user(filename: str) -> bool:
    """Whether code is neither ours nor installed."""
    path = Path(filename).resolve()
    installed = (*map(Path, sysconfig.get_paths().values()), Path(__file__).parent)
    return path.is_file() and not any(folder in path.parents for folder in installed)


def _missing_field(error: Exception, argv: Sequence[str]) -> str:
    """Names the flag of a field that is not there; ml_collections tells the last part of its name."""
    text = error.args[0] if error.args else ""
    while isinstance(text, Exception):
        text = text.args[0]
    if not (match := re.match(r"'(\w+)'\s*(.*)", str(text), re.DOTALL)):
        return str(text)
    name, advice = match.groups()
    given = [word for word in argv if name in re.split(r"[.=]", word.partition("=")[0])]
    return f"{' '.join(given) or name}: the configuration has no field {name!r}. {advice}".strip()


def _last_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
