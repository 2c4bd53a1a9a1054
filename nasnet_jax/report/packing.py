"""Architectures and numbers in the compact form that the page's script unpacks.

A child takes 50 bytes of decisions and about 60 of layout, so that 20,000 of them stay a few
megabytes; the script draws whichever one is asked for.
"""

from __future__ import annotations

import base64
import functools

import numpy as np

from nasnet_jax.report.layout import CellLayout, lay_out
from nasnet_jax.space.architecture import Architecture

COLUMN_STEPS = 12
"""Columns are sent in twelfths of a block's width, so that 21 widths fit into a byte."""


def to_base64(array: np.ndarray) -> str:
    """Returns the little-endian bytes of an array as text."""
    return base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()


# A live report packs the same children again and again.
@functools.lru_cache(maxsize=100_000)
def pack_architecture(one_line: str) -> tuple[bytes, bytes]:
    """Packs an architecture.

    Returns:
        Its decisions, one byte each, and its two layouts (`pack_layout`), each preceded by its
        length.
    """
    architecture = Architecture.from_one_line(one_line)
    layouts = [pack_layout(lay_out(cell)) for cell in (architecture.normal, architecture.reduction)]
    return (
        architecture.decisions().astype(np.uint8).tobytes(),
        b"".join(bytes([len(layout)]) + layout for layout in layouts),
    )


def pack_layout(layout: CellLayout) -> bytes:
    """Packs a layout into bytes.

    They are: width, rows, the places (column and row of each), for each block 1 if its halves
    change sides, and for each edge its columns on the way. How many those are follows from the
    rows, and what an edge joins from the decisions.
    """
    numbers = [round(layout.columns * COLUMN_STEPS), layout.rows]
    for place in layout.places:
        numbers += [round(place.column * COLUMN_STEPS), place.row]
    numbers += [int(edge.side > 0) for edge in layout.edges[::2] if edge.side]
    for edge in layout.edges:
        numbers += [round(column * COLUMN_STEPS) for column in edge.via]
    return bytes(numbers)
