from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nasnet_jax.data.records import ArrayRecordFiles, TFRecordReader, open_records

RECORDS = [b"one", b"", b"three" * 1000, b"4"]


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Two TFRecord files, written by TensorFlow, with three and one of the records."""
    from nasnet_jax.data.tensorflow_cpu import tf

    files = [str(tmp_path / "a"), str(tmp_path / "b")]
    for file, records in zip(files, (RECORDS[:3], RECORDS[3:]), strict=True):
        with tf.io.TFRecordWriter(file) as writer:
            for record in records:
                writer.write(record)
    return files


def test_records_of_several_files_are_read_in_any_order(paths: list[str]) -> None:
    reader = open_records(paths, "tfrecord")
    assert len(reader) == 4
    order = [3, 0, 2, 1, 0]
    assert list(reader.__getitems__(order)) == [RECORDS[number] for number in order]


@pytest.mark.parametrize("cut", [1, 4, 5, 13])
def test_a_file_that_ends_early_is_refused(paths: list[str], cut: int) -> None:
    contents = Path(paths[1]).read_bytes()
    Path(paths[1]).write_bytes(contents[:-cut])
    with pytest.raises(ValueError, match="not copied whole: it ends within record 3"):
        TFRecordReader(paths)


@pytest.mark.parametrize(
    ("path", "file_format"), [("gs://bucket/file", "tfrecord"), ("file", "riegeli")]
)
def test_what_has_no_index_is_refused_with_a_way_out(path: str, file_format: str) -> None:
    with pytest.raises(ValueError, match="tfds convert_format"):
        open_records([path], file_format)


@contextlib.contextmanager
def open_files(limit: int) -> Iterator[None]:
    """No more files may be open than so many more than are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def write(root: Path, file_format: str, number: int) -> list[str]:
    """Writes files of two records each, which say their numbers."""
    from array_record.python.array_record_module import ArrayRecordWriter

    from nasnet_jax.data.tensorflow_cpu import tf

    paths = [str(root / f"{file:03}") for file in range(number)]
    for file, path in enumerate(paths):
        is_array = file_format == "array_record"
        writer = ArrayRecordWriter(path, "group_size:1") if is_array else tf.io.TFRecordWriter(path)
        for record in (2 * file, 2 * file + 1):
            writer.write(str(record).encode())
        writer.close()
    return paths


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_there_may_be_more_files_than_a_process_may_open(tmp_path: Path, file_format: str) -> None:
    paths = write(tmp_path, file_format, 200)
    rng = np.random.default_rng(0)
    failed = []

    def read(order: np.ndarray) -> None:
        found = list(map(int, reader.__getitems__(order.tolist())))
        if found != order.tolist():
            failed.append((order, found))

    with open_files(100):
        reader = open_records(paths, file_format)
        assert len(reader) == 400
        # As a pipeline does: a file that one closes may be read by another.
        threads = [threading.Thread(target=read, args=[rng.permutation(400)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failed


def test_files_are_closed_with_their_reader(tmp_path: Path) -> None:
    paths = write(tmp_path, "tfrecord", 5)
    before = len(os.listdir("/proc/self/fd"))
    reader = TFRecordReader(paths)
    reader.__getitems__(range(10))
    assert len(os.listdir("/proc/self/fd")) == before + 5
    del reader
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("content", [None, b"", bytes(70_000)])
def test_an_array_record_file_that_is_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    paths = write(tmp_path, "array_record", 2)
    os.unlink(paths[1])
    if content is not None:
        Path(paths[1]).write_bytes(content)
    with pytest.raises(ValueError, match="/001' is missing, damaged or was not copied whole"):
        ArrayRecordFiles(paths)
