"""A process that is made ready once and then runs what it is asked to, line by line.

Imports, data and compilation are thereby outside of what is timed. Nothing but the standard library
is needed, so that this file runs where a peer is installed and we are not.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Run = Callable[[dict[str, Any]], dict[str, Any]]


def serve(prepare: Callable[[dict[str, Any]], tuple[Run, dict[str, Any]]]) -> None:
    """Answers every line of JSON on stdin by one on stdout.

    Args:
        prepare: Makes the function that is run for each line, and says what is worth knowing of it.
            Its argument is the JSON of the command line; where it has a `core`, the process stays on
            that core.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What libraries print is not an answer.
    settings = json.loads(sys.argv[1])
    # Before `prepare`, since libraries count their threads when they are first used.
    if settings.get("core") is not None:
        os.sched_setaffinity(0, {settings["core"]})
    run, facts = prepare(settings)
    _answer(answers, facts)
    for line in sys.stdin:
        _answer(answers, run(json.loads(line)))


def _answer(answers: Any, content: dict[str, Any]) -> None:
    answers.write(json.dumps(content) + "\n")
    answers.flush()
