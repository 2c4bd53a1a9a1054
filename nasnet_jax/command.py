"""How every command begins and ends: what cannot work is one line for people, and an exit status."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from logging import LogRecord
from pathlib import Path
from typing import NoReturn

from absl import app, flags, logging

from nasnet_jax.command_line import parse_command_line

# Before any library loads TensorFlow: none of its notes on oneDNN.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

INTERRUPTED = 130
"""Exit status after Ctrl-C, and `PIPE_CLOSED` after `| head`: 128 and the signal's number."""
PIPE_CLOSED = 141

_FORESEEN = (ValueError, OSError, ArithmeticError, MemoryError, ImportError, EOFError)
"""What data, files, flags, the environment or the machine can cause."""

_TRACEBACK = flags.DEFINE_bool(
    "traceback", False, "Whether an error shows where in the program it arose."
)


def run(main: Callable[[list[str]], None]) -> None:
    """Parses the command line, calls `main` with the words that are no flags, and ends the process.

    Whatever `main` raises, imports included, ends in place of a traceback in one line and an exit
    status: that of the exception's `exit_status` if it has one, otherwise 1. A process that fails
    ends at once: one of a pod would wait five minutes for the others, and they for it. An exception
    that nothing outside the program can cause keeps its traceback.
    """

    def call(argv: list[str]) -> None:
        if not flags.FLAGS["verbosity"].present:
            _quieten()
        try:
            main(argv)
            sys.stdout.flush()
        except app.UsageError as error:
            raise ValueError(f"{str(error).rstrip('.')}. --help says how it is called.") from error

    with ending_for_people():
        app.run(call, flags_parser=parse_command_line)


@contextlib.contextmanager
def ending_for_people() -> Iterator[None]:
    """Ends the process if the block raises anything, as `run` says."""
    try:
        yield
    except KeyboardInterrupt:
        _end("Interrupted.", INTERRUPTED)
    except Exception as error:  # noqa: BLE001
        if _shows_traceback():
            traceback.print_exc()
        if isinstance(error, BrokenPipeError) and _is_ours(error):
            _end("", PIPE_CLOSED)
        if hasattr(error, "exit_status"):
            # All processes of a pod come here, and end in order.
            _end(f"{error} The same command resumes it.", error.exit_status, together=True)
        if _is_of_pod(error):
            from nasnet_jax.distributed import INCOMPLETE_EXIT_CODE

            _end(f"The pod broke: {error}\nThe same command resumes the run.", INCOMPLETE_EXIT_CODE)
        if isinstance(error, _foreseen()):
            _end(f"Error: {_sentence(error)}", 1)
        if not _shows_traceback():
            traceback.print_exc()
        _end(
            "Error: this was not foreseen and may be a defect of nasnet_jax. Please report it with the "
            "lines above.",
            1,
        )


def _quieten() -> None:
    """Hides the log, in which Orbax tells of each file; `--verbosity=0` shows it.

    Of what has failed Orbax logs the tracebacks, and raises it as well. TensorStore prints those of
    writes that end after Orbax has given up on the first one. Pillow warns of what is odd in a file
    that it can read.
    """
    logging.set_verbosity(logging.WARNING)
    warnings.filterwarnings("ignore", module="PIL")
    if _shows_traceback():
        return

    def is_no_copy(record: LogRecord) -> bool:
        return record.exc_info is None or "orbax" not in record.pathname

    def tell(uncaught: sys.UnraisableHookArgs) -> None:
        if str(uncaught.exc_value) != "Event loop is closed":
            sys.__unraisablehook__(uncaught)

    logging.get_absl_handler().addFilter(is_no_copy)
    sys.unraisablehook = tell


def _shows_traceback() -> bool:
    return flags.FLAGS.is_parsed() and bool(_TRACEBACK.value)


def _end(text: str, status: int, *, together: bool = False) -> NoReturn:
    """Prints the text and ends: at once, or, if `together`, in order."""
    if text:
        print(text, file=sys.stderr, flush=True)
    try:
        sys.stdout.flush()
    except OSError:
        # Or Python would try again, and say so in five lines.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if together:
        sys.exit(status)
    # A process of a pod would wait for the others, and threads of libraries would tell of their own end.
    os._exit(status)


def _in_pod() -> bool:
    # Without JAX, which a command that needs it has imported, there is no pod.
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def _is_of_pod(error: Exception) -> bool:
    """Whether it tells that the processes of a pod have lost each other."""
    return _in_pod() and isinstance(error, sys.modules["jax"].errors.JaxRuntimeError)


def _foreseen() -> tuple[type[BaseException], ...]:
    """`_FORESEEN`, and the errors of the compiled parts of those libraries that are in use."""
    types = list(_FORESEEN)
    if jax := sys.modules.get("jax"):
        types.append(jax.errors.JaxRuntimeError)
    if tensorflow := sys.modules.get("tensorflow"):
        types.append(tensorflow.errors.OpError)
    return tuple(types)


def _is_ours(error: Exception) -> bool:
    """Whether this package raised it, or what it calls that is written in C, such as `open`."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(__file__).parent in Path(frames[-1].filename).parents


def _sentence(error: Exception) -> str:
    """What to tell of a foreseen error: our own text, or a library's first line and its name."""
    name = type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f"There is no module {error.name!r} here: pip install 'nasnet_jax[all]' brings what all "
            "commands need."
        )
    if _is_ours(error):
        return str(error) or name
    lines = str(error).strip().splitlines() or [name]
    return f"{lines[0]} ({name}; --traceback shows where it arose.)"
