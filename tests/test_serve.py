"""The command: where it listens, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
from http_clients import ask, png


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nasnet_jax.serve", *arguments]


def test_it_serves_on_loopback_until_it_is_interrupted(model_folder: Path) -> None:
    words = command(f"--checkpoint={model_folder}", "--port=0", "--batch_size=1")
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"4 classes.* at http://127\.0\.0\.1:(\d+)$", line)
            assert found is not None, line
            pixels = np.zeros((8, 8, 3), np.uint8)
            status, answer = ask(int(found[1]), "/predict", png(pixels))
            assert status == 200 and len(answer["predictions"]) == 1
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130 and errors.strip() == "Interrupted."


def test_a_port_that_is_taken_is_one_line(model_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = command(f"--checkpoint={model_folder}", f"--port={port}")
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"port {port}" in line and "--port" in line
