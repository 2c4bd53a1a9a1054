"""The notebook runs from top to bottom, and was run before it was committed."""

from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "own_images.ipynb"


def test_the_committed_notebook_was_executed_in_order() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any(
        "image/svg+xml" in output.get("data", {}) for cell in code for output in cell.outputs
    )
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)


@pytest.mark.timeout(600)
def test_it_runs(tmp_path: Path) -> None:
    """Without reduction cells, so that it finds what the example's test has compiled."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for place in ("child", "model"):
        (cell,) = (cell for cell in notebook.cells if f"config.{place}.num_cells" in cell.source)
        line = f"config.{place}.num_cells = 1"
        assert line in cell.source
        cell.source = cell.source.replace(line, f"{line}\nconfig.{place}.num_reductions = 0")
    client = nbclient.NotebookClient(
        notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    texts = {
        cell.source: output["data"]["text/plain"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result"
    }
    (accuracy,) = (text for source, text in texts.items() if "test_accuracy" in source)
    assert float(accuracy) > 0.6  # Three classes.
    (prediction,) = (text for source, text in texts.items() if "predict(" in source)
    assert "zero" in prediction
