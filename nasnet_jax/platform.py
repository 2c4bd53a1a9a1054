"""The devices that a command uses."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nasnet_jax.cores import usable_cores

if TYPE_CHECKING:
    import jax

MOST_DEVICES = 4096
"""Of the CPU; a mistyped number would start as many threads."""

_ASKING = ("JAX_PLATFORMS", "JAX_NUM_CPU_DEVICES", "CUDA_VISIBLE_DEVICES", "TPU_VISIBLE_CHIPS")


def use_every_core() -> None:
    """On CPU, makes one device of every core, so that the parallel path is the only path.

    `JAX_NUM_CPU_DEVICES` overrides it. It must be called before JAX looks for its devices, and does
    nothing to TPUs and GPUs.

    Raises:
        ValueError: If the environment's numbers are none.
    """
    for name in ("JAX_NUM_CPU_DEVICES", "NPROC"):
        text = os.environ.get(name, "1")
        if not text.isdigit() or not 1 <= int(text) <= MOST_DEVICES:
            raise ValueError(
                f"{name} must be a whole number from 1 to {MOST_DEVICES}, but it is {text!r}."
            )
    cores = usable_cores()
    # The threads of XLA and of TensorFlow, which know neither of control groups nor of Slurm.
    for name in ("NPROC", "TF_NUM_INTEROP_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(name, str(cores))
    # Not before the check: JAX reads the variables, too.
    import jax

    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        jax.config.update("jax_num_cpu_devices", cores)


@contextlib.contextmanager
def usual_arithmetic() -> Iterator[None]:
    """Computes inside the block as JAX does by default: compiled, in 32 bits, with conversions.

    What the environment or other code of the process asks for instead, such as `JAX_ENABLE_X64`,
    is for arrays of their own. Also a decorator.
    """
    import jax

    with (
        jax.enable_x64(False),
        jax.disable_jit(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def find_devices(*, local: bool = False) -> list[jax.Device]:
    """JAX's devices; at the first call it looks for them.

    Args:
        local: Whether of a pod's devices only those of this process are wanted.

    Raises:
        ValueError: If there are none of the kind that the environment asks for.
    """
    import jax

    try:
        return jax.local_devices() if local else jax.devices()
    # For a platform whose plugin is not installed JAX has an assertion without words.
    except (RuntimeError, AssertionError) as error:
        asked = [f"{name}={os.environ[name]}" for name in _ASKING if name in os.environ]
        reason = str(error).partition(" (set JAX_PLATFORMS")[0].splitlines()
        raise ValueError(
            f"JAX finds no devices with {', '.join(asked) or 'this environment'}: "
            f"{(reason or ['it knows of none'])[0].rstrip('.')}. Unset JAX_PLATFORMS to use what is "
            "there; pip install '.[cuda]' or '.[tpu]' adds the support for GPUs or TPUs."
        ) from error
