"""Reading checkpoints and weights: what is damaged, and what only cannot be read at the moment.

Above the operating system are libraries that make errors of their own of whatever it answers, so the kind
of an error proves nothing. Damage is proven if all files can be read and restoring fails twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

import jax
from absl import logging

WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before a file system that has failed is asked again, and again."""
_STRUCTURE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
"""What the operating system says of a folder that lacks files."""
_OF_SYSTEM = "os_error_code="
"""In the text of TensorStore's errors, where the operating system has failed."""
_T = TypeVar("_T")


class DamagedError(Exception):
    """A folder all of whose files can be read, and which does not hold what it should.

    Its cause is what the libraries said.
    """


def patiently(read: Callable[[], _T]) -> _T:
    """Reads files, again after a while where the file system fails for a moment.

    Raises:
        OSError: The last one, if it went on failing.
    """
    for seconds in WAITS:
        try:
            return read()
        except OSError as error:
            logging.warning("Trying again in %.1f s: %s", seconds, error)
            time.sleep(seconds)
    return read()


def read_or_prove_damage(
    restore: Callable[[], _T], folder: str | os.PathLike[str], *, is_local: bool = True
) -> _T:
    """Restores what is in a folder, with patience.

    Args:
        restore: What restores it.
        folder: Whose files it reads.
        is_local: Whether the operating system can read them.

    Raises:
        OSError: If a file cannot be read, whatever was made of that above.
        DamagedError: If it is damaged.
    """

    def attempt() -> _T:
        try:
            return restore()
        # What a damaged file raises depends on where it is damaged, in several libraries.
        except Exception as error:  # noqa: BLE001
            _raise_what_the_machine_says(error)
            if is_local:
                _read_all_files(folder)
            _raise_what_libraries_pass_on(error)
        try:
            return restore()
        except Exception as error:
            _raise_what_the_machine_says(error)
            _raise_what_libraries_pass_on(error)
            raise DamagedError from error

    return patiently(attempt)


def _raise_what_the_machine_says(error: Exception) -> None:
    of_machine = isinstance(error, (OSError, MemoryError, jax.errors.JaxRuntimeError))
    if of_machine and not isinstance(error, _STRUCTURE):
        raise error


def _raise_what_libraries_pass_on(error: Exception) -> None:
    text = str(error)
    if _OF_SYSTEM in text:
        raise OSError(text.splitlines()[0].split(" [tensorstore_spec")[0]) from error


def _read_all_files(folder: str | os.PathLike[str]) -> None:
    """Raises the OSError of a file or folder that cannot be read; one that is not there has none."""

    def fail(error: OSError) -> None:
        raise error

    above, name = os.path.split(os.path.abspath(folder))
    if name not in os.listdir(above):
        return
    for parent, _, names in os.walk(folder, onerror=fail):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                while file.read(1 << 20):
                    pass
