"""The written forms of an architecture: JSON and one line.

Both are functions between text and the same plain nested data (the parsed JSON), so that this
module knows the forms and `nasnet_jax.space.architecture` knows what is valid:

    {"normal":    {"blocks": [{"left_input": 0, "left_op": "sep_conv_5x5",
                               "right_input": 1, "right_op": "sep_conv_3x3", "combine": "add"}, ...],
                   "outputs": [1, 2, 3, 4, 5, 6]},
     "reduction": {...}}

`outputs` is left out where a cell concatenates the states that no block reads.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from nasnet_jax.paths import local_path
from nasnet_jax.space.decisions import CELL_KINDS
from nasnet_jax.space.operations import LABELS

_BLOCK = re.compile(r"(\w+)\((\d+)\)(\++)(\w+)\((\d+)\)")
_COMBINER_OF_SIGN = {LABELS[name]: name for name in ("add", "concat")}
ONE_LINE_EXAMPLE = (
    "normal: sep_conv_5x5(0)+sep_conv_3x3(1) avg_pool_3x3(0)++identity(2); "
    "reduction: max_pool_3x3(0)+sep_conv_7x7(1) identity(2)+conv_1x1(0) -> 2 3"
)
"""What the one-line form looks like (two blocks a cell), for messages."""


def to_json_text(data: dict[str, Any]) -> str:
    """Writes plain architecture data as JSON with one block a line."""
    cells = []
    for kind in CELL_KINDS:
        blocks = ",\n".join(f"      {json.dumps(block)}" for block in data[kind]["blocks"])
        outputs = data[kind].get("outputs")
        tail = "" if outputs is None else f',\n    "outputs": {json.dumps(outputs)}'
        cells.append(f'  "{kind}": {{\n    "blocks": [\n{blocks}\n    ]{tail}\n  }}')
    return "{\n" + ",\n".join(cells) + "\n}\n"


def parse_json_text(text: str) -> Any:
    """Parses JSON; raises ValueError with the line and column of the mistake."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"This is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error


def to_one_line_text(data: dict[str, Any]) -> str:
    """Writes plain architecture data in the one-line form."""
    cells = []
    for kind in CELL_KINDS:
        words = [f"{kind}:"]
        for block in data[kind]["blocks"]:
            left = f"{block['left_op']}({block['left_input']})"
            right = f"{block['right_op']}({block['right_input']})"
            words.append(left + LABELS[block["combine"]] + right)
        outputs = data[kind].get("outputs")
        if outputs is not None:
            words += ["->", *map(str, outputs)]
        cells.append(" ".join(words))
    return "; ".join(cells)


def parse_one_line_text(text: str) -> dict[str, Any]:
    """Parses the one-line form into plain architecture data.

    Raises:
        ValueError: If the text does not have the form; the message names cell and block.
    """
    parts = [part.strip() for part in text.strip().split(";")]
    if len(parts) != len(CELL_KINDS):
        raise ValueError(
            f"The one-line form has {len(CELL_KINDS)} cells separated by ';', but this text has "
            f"{len(parts)}. Example: {ONE_LINE_EXAMPLE!r}."
        )
    return {kind: _parse_cell(kind, part) for kind, part in zip(CELL_KINDS, parts, strict=True)}


def _parse_cell(kind: str, text: str) -> dict[str, Any]:
    name, colon, body = text.partition(":")
    if not colon or name.strip() != kind:
        raise ValueError(
            f"The one-line form has '{kind}:' here, but the text is {text[:40]!r}. "
            f"Example: {ONE_LINE_EXAMPLE!r}."
        )
    blocks_text, arrow, outputs_text = body.partition("->")
    cell: dict[str, Any] = {
        "blocks": [
            _parse_block(f"{kind} cell, block {number}", word)
            for number, word in enumerate(blocks_text.split(), start=1)
        ]
    }
    if arrow:
        words = outputs_text.split()
        if not words or not all(word.isdecimal() for word in words):
            raise ValueError(
                f"{kind} cell: '->' is followed by the output states as numbers separated by "
                f"spaces, but the text there is {outputs_text.strip()!r}."
            )
        cell["outputs"] = [int(word) for word in words]
    return cell


def _parse_block(place: str, word: str) -> dict[str, Any]:
    match = _BLOCK.fullmatch(word)
    if match is None or match[3] not in _COMBINER_OF_SIGN:
        raise ValueError(
            f"{place}: {word!r} does not have the form 'operation(input)+operation(input)' "
            f"('+' adds, '++' concatenates)."
        )
    return {
        "left_input": int(match[2]),
        "left_op": match[1],
        "right_input": int(match[5]),
        "right_op": match[4],
        "combine": _COMBINER_OF_SIGN[match[3]],
    }


def write_atomically(path: str | os.PathLike[str], contents: str | bytes) -> None:
    """Writes a file, a text as UTF-8, so that a reader sees the old file or the new one, never a part.

    The folder is made if it is not there.
    """
    target = local_path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because a rename is atomic only within one file system.
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(contents.encode() if isinstance(contents, str) else contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
