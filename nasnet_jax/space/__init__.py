"""The search space: architectures, their skeleton and their cost. Imports no JAX."""

from nasnet_jax.space.architecture import Architecture, Block, Cell
from nasnet_jax.space.cost import Cost, CostRow, cost
from nasnet_jax.space.decisions import (
    CELL_KINDS,
    canonical_decisions,
    choices,
    decision_kinds,
    space_size,
)
from nasnet_jax.space.macro import STEM, CellWidths, Macro, MacroCell, Size, aux_head_map_size
from nasnet_jax.space.named import NAMED
from nasnet_jax.space.nasnet_a import NASNET_A
from nasnet_jax.space.operations import COMBINERS, DESCRIPTIONS, LABELS, OPERATIONS
from nasnet_jax.space.sampling import parse_architecture, sample_architecture

__all__ = [
    "CELL_KINDS",
    "COMBINERS",
    "DESCRIPTIONS",
    "LABELS",
    "NAMED",
    "NASNET_A",
    "OPERATIONS",
    "STEM",
    "Architecture",
    "Block",
    "Cell",
    "CellWidths",
    "Cost",
    "CostRow",
    "Macro",
    "MacroCell",
    "Size",
    "aux_head_map_size",
    "canonical_decisions",
    "choices",
    "cost",
    "decision_kinds",
    "parse_architecture",
    "sample_architecture",
    "space_size",
]
