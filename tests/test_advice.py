"""Messages name only fields and flags that are there, for the command that can print them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import ml_collections
import pytest

import nasnet_jax
from nasnet_jax.search.config import default_config as search_config
from nasnet_jax.train.config import default_config as train_config

PACKAGE = Path(nasnet_jax.__file__).parent
OF_OTHERS = {"help", "port", "out_file_format"}
"""Flags of absl, of our launchers and of TFDS's command."""


def fields(config: ml_collections.ConfigDict, prefix: str = "") -> Iterator[str]:
    for name, value in config.items():
        yield prefix + name
        if isinstance(value, ml_collections.ConfigDict):
            yield from fields(value, f"{prefix}{name}.")


SEARCH, TRAINING = set(fields(search_config())), set(fields(train_config()))
PARTS = sorted({name.partition(".")[0] for name in SEARCH | TRAINING if "." in name} - {"model"})
FIELD = re.compile(rf"(?:--config\.|(?<![\w./]))((?:{'|'.join(PARTS)})\.[a-z_.]*[a-z_])")
FLAG = re.compile(r"(?<![\w-])--(?!config\.)([a-z][a-z_]*)\b")
FLAGS = {
    match[1]
    for file in PACKAGE.rglob("*.py")
    for match in re.finditer(r'DEFINE_\w+\(\s*"(\w+)"', file.read_text(encoding="utf-8"))
}


def messages(file: Path) -> list[str]:
    """The texts of a file that are sentences, without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docs = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and " " in node.value
        and node not in docs
    ]


@pytest.mark.parametrize("part", ["search", "train", "data", "planning", "nn", "inference", "."])
def test_fields_and_flags_of_messages_exist(part: str) -> None:
    known = {"search": SEARCH, "train": TRAINING}.get(part, SEARCH | TRAINING)
    files = PACKAGE.glob("*.py") if part == "." else (PACKAGE / part).rglob("*.py")
    texts = [text for file in files for text in messages(file)]
    named = {match[1] for text in texts for match in FIELD.finditer(text)}
    assert not named - known
    assert not {match[1] for text in texts for match in FLAG.finditer(text)} - FLAGS - OF_OTHERS


def test_they_would_be_found() -> None:
    assert {"workdir", "checkpoint", "data_dir"} <= FLAGS
    text = "Set dataset.image_sise, or --config.child.epochs=3, or give --wordkir."
    assert FIELD.findall(text) == ["dataset.image_sise", "child.epochs"]
    assert FLAG.findall(text) == ["wordkir"]
