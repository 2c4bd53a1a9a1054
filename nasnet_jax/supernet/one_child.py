"""One child a device by the tape of blocks (`nasnet_jax.nn.supernet`), in the words of `Supernet`.

Where a device trains one child at a time, loops over blocks are faster than chunks of one call: on a CPU
by a fifth (`benchmarks/rows/together.py`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree

from nasnet_jax.nn import supernet as blocks
from nasnet_jax.nn.extraction import extract_network
from nasnet_jax.nn.initial import cut
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.space import Architecture, Macro
from nasnet_jax.supernet.launch import Launch, Room
from nasnet_jax.supernet.network import Parameters


@dataclasses.dataclass(frozen=True)
class OneChild:
    """As `nasnet_jax.supernet.network.Supernet`, with room for one child.

    Its parameters are all `fixed`: one vector, so that the optimizer is one pass over it. Its tapes are
    the architecture itself.
    """

    macro: Macro
    num_blocks: int
    config: LayerConfig

    @property
    def room(self) -> Room:
        """For one child."""
        return Room()

    @functools.cached_property
    def _supernet(self) -> blocks.Supernet:
        return blocks.Supernet(self.macro, self.num_blocks, self.config)

    @functools.cached_property
    def shapes(self) -> Parameters:
        """As of `Supernet`."""
        number = sum(leaf.size for leaf in jax.tree.leaves(self._supernet.shapes))
        return Parameters(jax.ShapeDtypeStruct((1, number), jnp.float32), ())

    def launch(self, architectures: Sequence[Architecture]) -> Launch:
        """As of `Supernet`; a device without a child gets one whose result is thrown away."""
        first = Architecture.from_decisions(np.zeros(10 * self.num_blocks, np.int32))
        (architecture,) = architectures or (first,)
        return Launch(blocks.architecture_arrays(architecture), (), ())

    def init(self, key: jax.Array, tapes: Any) -> Parameters:
        """As of `Supernet`."""
        # Made before they become one vector: a TPU's compiler would make each of them within the one
        # operation that writes the vector, whose code is six times as large.
        parameters = lax.optimization_barrier(self._supernet.init(key, tapes))
        return Parameters(ravel_pytree(parameters)[0][None], ())

    def kernels(self, parameters: Parameters, tapes: Any) -> Parameters:
        """As of `Supernet`."""
        mask, _ = ravel_pytree(self._supernet.kernels(tapes))
        return Parameters(parameters.fixed * mask, ())

    def owners(self, tapes: Any) -> Parameters:
        """As of `Supernet`."""
        return Parameters(jnp.arange(1), ())

    def __call__(self, parameters: Parameters, tapes: Any, x: jax.Array) -> jax.Array:
        """As of `Supernet`."""
        return self._supernet(self._tree(parameters.fixed), tapes, x)[None]

    def extract(self, architecture: Architecture, parameters: Parameters) -> NASNet:
        """The static network that is the same function as the child."""
        return extract_network(self._supernet, architecture, self._tree(parameters.fixed))

    def _tree(self, fixed: Any) -> Any:
        return cut(fixed[0], self._supernet.shapes)
