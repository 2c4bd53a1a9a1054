"""Architectures that a search trains beside its own, as points to compare with."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence

import jax
import ml_collections

from nasnet_jax.run_files import REFERENCES_FILE
from nasnet_jax.search.child_result import ChildResult
from nasnet_jax.search.child_trainer import ChildTrainer
from nasnet_jax.space import Architecture, parse_architecture
from nasnet_jax.space.serialization import write_atomically
from nasnet_jax.workdir import of_first_process


def parse_references(config: ml_collections.ConfigDict) -> dict[str, Architecture]:
    """The architectures that `config.reference` names.

    Raises:
        ValueError: If one is none, or has other than `num_blocks` blocks in a cell.
        FileNotFoundError: If its file is not there.
    """
    found = {name: parse_architecture(name) for name in config.reference}
    for name, architecture in found.items():
        if architecture.num_blocks != config.num_blocks:
            raise ValueError(
                f"reference names {name!r}, whose cells have {architecture.num_blocks} blocks; those "
                f"of this search have num_blocks={config.num_blocks}, which its program can train."
            )
    return found


class References:
    """The references of a search, which are trained once, all together."""

    def __init__(self, architectures: Mapping[str, Architecture], folder: pathlib.Path) -> None:
        """Reads and writes nothing.

        Args:
            architectures: By what the configuration calls them.
            folder: The workdir.
        """
        self._architectures = architectures
        self._path = folder / REFERENCES_FILE

    def are_trained(self) -> bool:
        """Whether the workdir holds them."""

        def names() -> list[str]:
            if not self._path.is_file():
                return []
            return [one["name"] for one in json.loads(self._path.read_text(encoding="utf-8"))]

        return of_first_process(lambda: names() == list(self._architectures))

    def train(
        self,
        trainer: ChildTrainer,
        *,
        epochs: int,
        on_call: Callable[[float, Sequence[ChildResult]], None],
    ) -> None:
        """Trains them like children, by the same program, and writes what became of them.

        Args:
            trainer: Of the search.
            epochs: Of a child.
            on_call: As of `ChildTrainer.train`.
        """
        architectures = self._architectures
        results = trainer.train(list(architectures.values()), epochs=epochs, on_call=on_call)
        found = []
        for (name, architecture), result in zip(architectures.items(), results, strict=True):
            counted = trainer.budget.cost(architecture)
            found.append(
                {
                    "name": name,
                    "architecture": architecture.one_line(),
                    "reward": result.reward,
                    "accuracy": result.accuracy,
                    "params": counted.params,
                    "macs": counted.macs,
                }
            )
        if jax.process_index() == 0:
            write_atomically(self._path, json.dumps(found, indent=2) + "\n")
