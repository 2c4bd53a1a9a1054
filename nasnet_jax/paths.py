"""Paths as people write them.

Whatever takes a path from a person, on a command line, in a configuration or in Python, passes it
through here: a shell leaves the `~` behind `=` as it is, and nothing else would know it.
"""

from __future__ import annotations

import os
import pathlib


def local_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """The path of a file or a folder on this machine; `~` at its beginning is the home folder."""
    return pathlib.Path(with_home(path))


def with_home(path: str | os.PathLike[str]) -> str:
    """The same for what may also be an address such as `gs://`, which stays as it is."""
    return os.path.expanduser(os.fspath(path))
