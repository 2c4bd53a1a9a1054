"""Files of records read in any order: TFRecord through an index made here, and ArrayRecord."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Protocol

import numpy as np

_HEADER = struct.Struct("<Q4x")
"""A TFRecord's length and the checksum of the length; the data and their checksum follow."""
_FOOTER_BYTES = 4


class RecordReader(Protocol):
    """Records that are read by number."""

    def __len__(self) -> int:
        """The number of records in all files."""

    def __getitems__(self, numbers: Sequence[int]) -> Sequence[bytes]:
        """Reads the records with these numbers, counted through all files."""


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
        # The descriptors stay open as long as the reader, that is as long as the process.
        self._files = [os.open(path, os.O_RDONLY) for path in paths]
        files: list[int] = []
        offsets: list[int] = []
        lengths: list[int] = []
        for file, path in enumerate(paths):
            size = os.fstat(self._files[file]).st_size
            offset = 0
            while offset < size:
                header = os.pread(self._files[file], _HEADER.size, offset)
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
            os.pread(self._files[file], length, offset)
            for file, offset, length in self._index[:, numbers].T.tolist()
        ]


def open_records(paths: Sequence[str], file_format: str) -> RecordReader:
    """Opens record files for reading in any order.

    Args:
        paths: The files in order.
        file_format: `tfrecord` or `array_record`.

    Raises:
        ValueError: If files of this format and place cannot be read in any order.
    """
    if file_format == "array_record":
        # Imported here because it is not published for every platform that TFRecord files work on.
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        return ArrayRecordDataSource(list(paths))
    remote = [path for path in paths if "://" in path]
    if file_format != "tfrecord" or remote:
        raise ValueError(
            f"Files such as {paths[0]!r} (format {file_format!r}) cannot be read in any order. "
            "Copy the data set to a local disk, or convert it with `tfds convert_format "
            "--out_file_format=array_record`, which can be read from anywhere."
        )
    return TFRecordReader(paths)
