"""What a run would need before anyone pays for it: memory, time and money, by topology."""

from nasnet_jax.planning.topology import CHIPS, Chip, Topology, parse_topology

__all__ = ["CHIPS", "Chip", "Topology", "parse_topology"]
