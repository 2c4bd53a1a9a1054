"""The notebook was run from top to bottom before it was committed."""

from __future__ import annotations

from pathlib import Path

import nbformat

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "own_images.ipynb"


def test_the_committed_notebook_was_executed_in_order() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any(
        "image/svg+xml" in output.get("data", {}) for cell in code for output in cell.outputs
    )
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
