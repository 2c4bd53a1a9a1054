"""Files of records read in any order: TFRecord through an index made here, and ArrayRecord."""

from __future__ import annotations

import functools
import os
import resource
import struct
import weakref
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import Any, Protocol, TypeVar

import numpy as np

_HEADER = struct.Struct("<Q4x")
"""A TFRecord's length and the checksum of the length; the data and their checksum follow."""
_FOOTER_BYTES = 4
_SHARE_OF_FILES = 8
"""A reader keeps an eighth of the files open that a process may open."""
_READ_AT_ONCE = 32
"""Records of ArrayRecord files."""
_IN_ANY_ORDER = {"options": "readahead_buffer_size:0", "file_reader_buffer_size": 32_768}
"""How ArrayRecord files are opened: what follows a record is not what is read next."""


class RecordReader(Protocol):
    """Records that are read by number."""

    def __len__(self) -> int:
        """The number of records in all files."""

    def __getitems__(self, numbers: Sequence[int]) -> Sequence[bytes]:
        """Reads the records with these numbers, counted through all files."""


Opened = TypeVar("Opened")


def _keeping_some(open_file: Callable[[str], Opened]) -> Callable[[str], Opened]:
    """Keeps the files open that were used last; there may be more than a process may open.

    A file should be closed when nobody holds it any more: another thread may be reading it.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    most = None if limit == resource.RLIM_INFINITY else limit // _SHARE_OF_FILES
    return functools.lru_cache(maxsize=most)(open_file)


class _OpenFile:
    """A file that is open as long as somebody holds it."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read(self, length: int, offset: int) -> bytes:
        return os.pread(self._descriptor, length, offset)


class TFRecordReader:
    """Reads TFRecord files in any order.

    The format has no index, so one is made at the start from the length that stands before each
    record: one small read a record, seconds for the 1.3 million of ImageNet on a local disk.

    Args:
        paths: Local files, in order.

    Raises:
        ValueError: If a file ends within a record.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._open = _keeping_some(_OpenFile)
        files: list[int] = []
        offsets: list[int] = []
        lengths: list[int] = []
        for file, path in enumerate(paths):
            opened = _OpenFile(path)
            size = opened.size()
            offset = 0
            while offset < size:
                header = opened.read(_HEADER.size, offset)
                length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else size
                end = offset + _HEADER.size + length + _FOOTER_BYTES
                if end > size:
                    raise ValueError(
                        f"TFRecord file {path!r} is damaged or was not copied whole: it ends "
                        f"within record {len(files)}. Prepare or copy it again."
                    )
                files.append(file)
                offsets.append(offset + _HEADER.size)
                lengths.append(length)
                offset = end
        self._index = np.array([files, offsets, lengths], dtype=np.int64)

    def __len__(self) -> int:
        return self._index.shape[1]

    def __getitems__(self, numbers: Sequence[int]) -> Sequence[bytes]:
        """Reads the records with these numbers, counted through all files."""
        return [
            self._open(self._paths[file]).read(length, offset)
            for file, offset, length in self._index[:, numbers].T.tolist()
        ]


def _open_array_record(path: str) -> Any:
    # Imported here because it is not published for every platform that TFRecord files work on.
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(path, **_IN_ANY_ORDER)
    if not reader.ok():
        reader.close()  # Raises what is wrong.
    return reader


class ArrayRecordFiles:
    """Reads ArrayRecord files in any order, several at a time, as they may be far away.

    Args:
        paths: Files, in order.

    Raises:
        ValueError: If one is missing or damaged.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = tuple(paths)
        self._open = _keeping_some(_open_array_record)
        self._pool = futures.ThreadPoolExecutor(_READ_AT_ONCE)
        counts = self._pool.map(lambda path: self._asked(path, "num_records"), paths)
        self._ends = np.cumsum(list(counts))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitems__(self, numbers: Sequence[int]) -> Sequence[bytes]:
        """Reads the records with these numbers, counted through all files."""
        files = np.searchsorted(self._ends, numbers, side="right")
        starts = np.concatenate([[0], self._ends])[files]
        places = (np.asarray(numbers) - starts).tolist()
        return list(
            self._pool.map(
                lambda file, place: self._asked(self._paths[file], "read", [place])[0],
                files.tolist(),
                places,
            )
        )

    def _asked(self, path: str, method: str, *arguments: object) -> Any:
        """Calls a method of a file's reader."""
        try:
            return getattr(self._open(path), method)(*arguments)
        except RuntimeError as error:
            raise ValueError(
                f"ArrayRecord file {path!r} is missing, damaged or was not copied whole. Prepare or "
                f"copy it again. ({error})"
            ) from error


def open_records(paths: Sequence[str], file_format: str) -> RecordReader:
    """Opens record files for reading in any order.

    Args:
        paths: The files in order.
        file_format: `tfrecord` or `array_record`.

    Raises:
        ValueError: If files of this format and place cannot be read in any order.
    """
    if file_format == "array_record":
        return ArrayRecordFiles(paths)
    remote = [path for path in paths if "://" in path]
    if file_format != "tfrecord" or remote:
        raise ValueError(
            f"Files such as {paths[0]!r} (format {file_format!r}) cannot be read in any order. "
            "Copy the data set to a local disk, or convert it with `tfds convert_format "
            "--out_file_format=array_record`, which can be read from anywhere."
        )
    return TFRecordReader(paths)
