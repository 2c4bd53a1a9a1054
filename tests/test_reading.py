from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nasnet_jax import reading
from nasnet_jax.reading import DamagedError, patiently, read_or_prove_damage

DISCONNECTED = OSError(107, "Transport endpoint is not connected")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "WAITS", (0.0,) * 3)


def failing(*errors: Exception) -> Callable[[], int]:
    """A function that fails so often, and then returns how often it was called."""
    calls = 0

    def read() -> int:
        nonlocal calls
        calls += 1
        if calls <= len(errors):
            raise errors[calls - 1]
        return calls

    return read


def test_patience_ends() -> None:
    assert patiently(failing(*[DISCONNECTED] * 3)) == 4
    with pytest.raises(OSError, match="not connected"):
        patiently(failing(*[DISCONNECTED] * 4))


@pytest.mark.parametrize(
    "error", [ValueError("DATA_LOSS"), KeyError("x"), FileNotFoundError("d/1")]
)
def test_what_fails_twice_though_all_can_be_read_is_damaged(
    tmp_path: Path, error: Exception
) -> None:
    (tmp_path / "file").write_text("?")
    assert read_or_prove_damage(failing(error), tmp_path) == 2
    with pytest.raises(DamagedError) as raised:
        read_or_prove_damage(failing(*[error] * 99), tmp_path)
    assert raised.value.__cause__ is error
    with pytest.raises(DamagedError):
        read_or_prove_damage(failing(*[error] * 99), tmp_path / "gone")


def test_what_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(tmp_path / "file")  # Which nobody can open, root neither.
    error = ValueError("What a library makes of it")
    with pytest.raises(OSError, match="Too many levels"):
        read_or_prove_damage(failing(*[error] * 99), tmp_path)
    assert read_or_prove_damage(failing(error), tmp_path) == 2


def test_what_tensorstore_says_of_the_system_is_not_called_damage(tmp_path: Path) -> None:
    error = ValueError(
        "UNAVAILABLE: reading d/1: I/O error [tensorstore_spec='{}'] [os_error_code='5']"
    )
    assert read_or_prove_damage(failing(*[error] * 3), tmp_path) == 4
    with pytest.raises(OSError, match="^UNAVAILABLE: reading d/1: I/O error$"):
        read_or_prove_damage(failing(*[error] * 99), tmp_path)


@pytest.mark.parametrize("error", [MemoryError("19 GB"), PermissionError(13, "Permission denied")])
def test_what_the_machine_says_is_not_called_damage(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)):
        read_or_prove_damage(failing(*[error] * 99), tmp_path)
