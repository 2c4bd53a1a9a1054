"""One form of docstrings everywhere, of which the linter checks the rest."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import nasnet_jax

PACKAGE = Path(nasnet_jax.__file__).parent
SECTIONS = ("Args:", "Attributes:", "Raises:", "Returns:", "Yields:")


def test_what_a_section_says_is_four_spaces_further_in() -> None:
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            lines = inspect.cleandoc(ast.get_docstring(node) or "").splitlines()
            for line, following in zip(lines, lines[1:], strict=False):
                if line in SECTIONS and not following.startswith("    "):
                    found.append(f"{file.relative_to(PACKAGE)}: {following}")
    assert not found
