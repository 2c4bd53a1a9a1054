"""The example as a user starts it, at a small size, and its server."""

from __future__ import annotations

import contextlib
import functools
import http.client
import importlib.util
import io
import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def start(images: Path, workdir: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            str(EXAMPLES / "own_images.py"),
            f"--images={images}",
            f"--workdir={workdir}",
            "--size=8",
            "--blocks=2",
            "--cells=1",
            "--filters=4",
            # Without them the search has a third of the branches to compile.
            "--reductions=0",
            "--children=4",
            "--child_epochs=2",
            "--epochs=6",
            "--batch_size=32",
            "--validation=100",
            *options,
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def finished(digit_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("own")
    done = start(digit_images, workdir)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "normal cell" in done.stdout
    return workdir


def test_it_finds_and_trains_something_that_tells_digits_apart(finished: Path) -> None:
    assert (finished / "search" / "best_architecture.json").is_file()
    summary = json.loads((finished / "train" / "summary.json").read_text(encoding="utf-8"))
    assert summary["test_accuracy"] > 0.6  # Three classes.


def test_what_would_stop_the_training_is_told_before_the_search(
    digit_images: Path, tmp_path: Path
) -> None:
    done = start(digit_images, tmp_path / "own", "--batch_size=50")
    assert done.returncode == 1 and not (tmp_path / "own").exists()
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: batch_norm.group_size (32) must be 0 or divide")


@functools.cache
def example() -> Any:
    """The file as a module; once, since it defines flags."""
    spec = importlib.util.spec_from_file_location("own_images", EXAMPLES / "own_images.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def serving(workdir: Path) -> Iterator[int]:
    """The example's server in a thread; yields its port."""
    server = example().make_server(workdir, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def ask(
    port: int, body: Any, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, "/", body, dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, json.load(answer)


def test_its_server_answers(finished: Path, digit_images: Path) -> None:
    image = next((digit_images / "test" / "zero").glob("*.png")).read_bytes()
    with serving(finished / "train") as port:
        status, answer = ask(port, image)
    assert status == 200 and set(answer) == {"zero", "one", "two"}
    assert sum(answer.values()) == pytest.approx(1, abs=1e-3)


def test_its_server_says_what_is_wrong_with_what_is_no_image(
    model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)).save(
        file, "PNG"
    )
    image = file.getvalue()
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    with serving(model_folder) as port:
        assert ask(port, image)[0] == 200
        for body, headers, status, sentence in (
            (b"hello", {}, 400, "not an image of a format"),
            (b"", {}, 400, "is empty"),
            (image[: len(image) // 2], {}, 400, "damaged"),
            (iter([image]), {}, 411, "Content-Length"),
            (b"", {"Content-Length": "many"}, 411, "Content-Length"),
            (b"--b\r\n", form, 415, "--data-binary"),
            (b"", {"Content-Length": str(10**9)}, 413, "50,000,000 bytes"),
            (b"", {"Content-Length": "9" * 5_000}, 413, "50,000,000 bytes"),
        ):
            found, answer = ask(port, body, headers)
            assert found == status and sentence in answer["error"]
        for method in ("GET", "PUT", "DELETE"):
            found, answer = ask(port, None, method=method)
            assert found == 405 and "POST an image" in answer["error"]
        # One that leaves in the middle, with what it was sent unread.
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n" + image)
        assert ask(port, image)[0] == 200
    assert "Traceback" not in capsys.readouterr().err
