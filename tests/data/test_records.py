from __future__ import annotations

from pathlib import Path

import pytest

from nasnet_jax.data.records import TFRecordReader, open_records

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
