"""NASNet-A with the weights that others have published, read from the files they are published in.

Each source has one file here, which says how its tensors are called, how they are laid out, and how
the network they were trained in, or were brought to, treats the borders of its maps.
"""

from nasnet_jax.inference.published.importing import (
    SOURCES,
    convert,
    expected_shapes,
    import_weights,
)

__all__ = ["SOURCES", "convert", "expected_shapes", "import_weights"]
