from __future__ import annotations

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasnet_jax import memory
from nasnet_jax.data.builtin import FakeSpec, make_fake
from nasnet_jax.memory import (
    NotEnoughMemory,
    check_fits,
    check_parameters_fit,
    check_program_fits,
    explained_memory,
    free_memory,
)

NAMES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_leaves_what_it_has_not_used_but_for_files(tmp_path: Path, version: int) -> None:
    folder = tmp_path / ("memory/a" if version == 1 else "a")
    folder.mkdir(parents=True)
    for name, text in zip(NAMES[version], ("1000\n", "700\n", ""), strict=True):
        if text:
            (folder / name).write_text(text)
    membership = tmp_path / "membership"
    membership.write_text({1: "3:memory:/a\n", 2: "0::/a\n"}[version])
    arguments = tmp_path, membership, tmp_path / "no machine"
    assert free_memory(*arguments) == 300
    (folder / "memory.stat").write_text(f"active_file 5\n{NAMES[version][2]} 100\n")
    assert free_memory(*arguments) == 400
    machine = tmp_path / "meminfo"
    machine.write_text("MemTotal: 9 kB\nMemAvailable:       0 kB\nSwapFree:  0 kB\n")
    assert free_memory(tmp_path, membership, machine) == 0
    (folder / NAMES[version][0]).write_text("1000000\n")
    machine.write_text("MemTotal: 9 kB\nMemAvailable:       5 kB\nSwapFree:  2 kB\n")
    assert free_memory(tmp_path, membership, machine) == 7 * 1024


def test_without_linux_nothing_is_known(tmp_path: Path) -> None:
    assert free_memory(tmp_path, tmp_path / "none", tmp_path / "none") == math.inf


def test_what_does_not_fit_is_refused_with_its_size() -> None:
    check_fits(1000, "A thing", "a smaller one")
    with pytest.raises(
        NotEnoughMemory, match="A thing would take 1,000,000.0 GB.*Try a smaller one."
    ):
        check_fits(10**15, "A thing", "a smaller one")
    with pytest.raises(NotEnoughMemory, match=r"Try a smaller dataset\.fake\.num_train"):
        make_fake(FakeSpec(num_train=10**12))


def test_a_data_set_is_measured_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nasnet_jax.data.sources import load_arrays

    monkeypatch.setattr(memory, "free_memory", lambda: 1000.0)
    with pytest.raises(NotEnoughMemory, match=r"digits \(train\) as \(1437, 16, 16, 1\) uint8"):
        load_arrays("digits", image_size=16)


def test_what_a_program_takes_is_known_before_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def squares(x: jax.Array) -> jax.Array:
        return jnp.sort(x @ x, 0)[0, 0]

    program = jax.jit(squares).lower(jax.ShapeDtypeStruct((512, 512), jnp.float32)).compile()
    mesh = jax.make_mesh((jax.device_count(),), ("data",))
    check_program_fits(program, mesh, "a smaller one")
    monkeypatch.setattr(memory, "free_memory", lambda: 4.0 * 512 * 512 * jax.device_count() - 1)
    with pytest.raises(NotEnoughMemory, match="A program on 4 devices would take"):
        check_program_fits(program, mesh, "a smaller one")
    with pytest.raises(NotEnoughMemory, match="1,000,000 parameters, .* on 4 devices"):
        check_parameters_fit(10**6, mesh, "a smaller one")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((10**12,), np.dtype("uint8")),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 5 bytes.\nMore"),
    ],
)
def test_running_out_is_one_line_with_advice(error: Exception) -> None:
    with pytest.raises(NotEnoughMemory) as caught, explained_memory("a smaller batch_size"):
        raise error
    assert str(caught.value).endswith(". Try a smaller batch_size.")
    assert "\n" not in str(caught.value)


def test_other_errors_of_devices_stay_what_they_are() -> None:
    with (
        pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"),
        explained_memory("a smaller batch_size"),
    ):
        raise jax.errors.JaxRuntimeError("INTERNAL: something")
