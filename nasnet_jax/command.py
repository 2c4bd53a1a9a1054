"""How a command ends when it cannot go on: one line for people, and an exit status."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator

import jax
from absl import flags, logging

from nasnet_jax.distributed import INCOMPLETE_EXIT_CODE
from nasnet_jax.preemption import EXIT_CODE, Preempted


def quiet_unless_asked() -> None:
    """Hides the log, in which Orbax tells of each file; `--verbosity=0` shows it."""
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)


@contextlib.contextmanager
def ending_for_people() -> Iterator[None]:
    """Ends the process in place of a traceback.

    A run that a signal ended exits with `EXIT_CODE`, one whose pod lost a process with
    `INCOMPLETE_EXIT_CODE`; one that cannot work says why and exits with 1. A process of a pod that
    fails ends at once, as an orderly end would wait five minutes for the others, and they for it.
    """
    try:
        yield
    except Preempted as stop:
        print(f"{stop} The same command resumes it.", file=sys.stderr)
        sys.exit(EXIT_CODE)
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        print(
            f"The pod broke: {error}\nThe same command resumes the run.",
            file=sys.stderr,
            flush=True,
        )
        os._exit(INCOMPLETE_EXIT_CODE)
    except (ValueError, OSError, FloatingPointError) as error:
        if not jax.distributed.is_initialized():
            sys.exit(f"Error: {error}")
        print(f"Error: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    except Exception:
        # A defect keeps its traceback; in a pod it must end the process as well.
        if not jax.distributed.is_initialized():
            raise
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
