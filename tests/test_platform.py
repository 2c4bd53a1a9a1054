from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from nasnet_jax.platform import find_devices, single_precision, use_every_core


def test_what_is_decorated_computes_in_32_bits_and_nothing_else_does():
    @single_precision()
    def kinds():
        return jnp.ones(2).dtype, jnp.arange(2).dtype, jax.random.normal(jax.random.key(0)).dtype

    with jax.enable_x64(True):
        assert kinds() == kinds() == ("float32", "int32", "float32")
        assert jnp.ones(2).dtype == "float64"


@pytest.mark.parametrize("name", ["JAX_NUM_CPU_DEVICES", "NPROC"])
@pytest.mark.parametrize("value", ["", "0", "-1", "1.5", "two", "100000"])
def test_a_number_of_devices_or_threads_is_one(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name} must be a whole number from 1 to 4096, but"):
        use_every_core()


def test_devices_are_those_of_jax():
    assert find_devices() == jax.devices()
    assert find_devices(local=True) == jax.local_devices()


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        (AssertionError(), "it knows of none"),
        (RuntimeError("Unable to. (set JAX_PLATFORMS='' to automatically choose)"), "Unable to"),
    ],
)
def test_devices_that_are_not_there_are_a_sentence(monkeypatch, raised, reason):
    def fail():
        raise raised

    monkeypatch.setattr(jax, "devices", fail)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(ValueError, match=f"JAX finds no devices with JAX_PLATFORMS=cuda.*: {reason}. "):
        find_devices()
