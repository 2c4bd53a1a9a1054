from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from nasnet_jax.platform import find_devices, use_every_core, usual_arithmetic


def test_what_is_decorated_computes_as_usual_and_nothing_else_does():
    @usual_arithmetic()
    def kinds():
        # Each line needs one of the usual things: 32 bits, conversions, shapes that grow, compilation.
        assert jnp.ones(2).dtype == jax.random.normal(jax.random.key(0)).dtype == "float32"
        assert (jnp.arange(2, dtype="int32") + jnp.ones(2, "bfloat16")).dtype == "bfloat16"
        assert (jnp.ones((2, 2)) + jnp.ones(2)).shape == (2, 2)
        assert jax.jit(lambda x: isinstance(x, jax.core.Tracer))(1.0)
        return jnp.arange(2).dtype

    with (
        jax.enable_x64(True),
        jax.disable_jit(True),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
    ):
        assert kinds() == kinds() == "int32"
        assert jnp.ones(2).dtype == "float64"
        with pytest.raises(ValueError, match="rank_promotion"):
            jnp.ones((2, 2)) + jnp.ones(2)


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
    with pytest.raises(
        ValueError, match=f"JAX finds no devices with JAX_PLATFORMS=cuda.*: {reason}. "
    ):
        find_devices()
