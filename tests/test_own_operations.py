"""The recipe of docs/own_operations.md, followed in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = """
import sys
import nasnet_jax
assert nasnet_jax.__file__.startswith(sys.argv[1])
import nasnet_jax.space as space
assert "jax" not in sys.modules
name = space.OPERATIONS[-1]
assert (len(space.OPERATIONS), name) == (14, "dilated_conv_5x5")
assert max(space.choices(2)) == 14
cell = f"{name}(0)+{name}(1)"
architecture = space.Architecture.from_one_line(f"normal: {cell}; reduction: {cell}")
macro = space.Macro(
    num_cells=1, num_filters=4, num_reductions=1, num_classes=3, image_size=8, uniform_inputs=True
)

import jax, numpy as np
from flax import nnx
from nasnet_jax.nn.layers import LayerConfig
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.planning.work import child_work
from nasnet_jax.report.palette import family
network = nnx.eval_shape(lambda: NASNet(architecture, macro, config=LayerConfig(), rngs=nnx.Rngs(0)))
counted = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)))
assert space.cost(architecture, macro).params == counted
kernels = [leaf.shape[:2] for leaf in jax.tree.leaves(nnx.state(network, nnx.Param)) if leaf.ndim == 4]
assert kernels.count((5, 5)) == 6  # Two in each of three cells.
assert child_work(architecture, macro).dense > 0 and family(name) == "convolution"
"""


@pytest.mark.timeout(120)
def test_a_14th_operation_is_one_entry(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "nasnet_jax", tmp_path / "nasnet_jax")
    text = (ROOT / "docs" / "own_operations.md").read_text(encoding="utf-8")
    (entry,) = re.findall(r"^```\n(    Operation\(.*?)^```$", text, re.S | re.M)
    table = tmp_path / "nasnet_jax" / "space" / "operations.py"
    code, count = re.subn(
        r"(^_OPERATIONS = \(\n.*?)(^\)$)",
        lambda match: match[1] + entry + match[2],
        table.read_text(encoding="utf-8"),
        count=1,
        flags=re.S | re.M,
    )
    assert count == 1
    table.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
