"""The application as clients see it: right answers, clear refusals, and many at once."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from http_clients import ask, form, png, serving

import nasnet_jax
from nasnet_jax.inference import Model
from nasnet_jax.serving import Limits, make_app

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (20 + n, 30, 3), np.uint8) for n in range(3)]
FILES = [png(picture) for picture in PICTURES]
FORM = {"Content-Type": "multipart/form-data; boundary=limit"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Model:
    return nasnet_jax.load(model_folder)


@pytest.fixture(scope="module")
def port(model: Model) -> Iterator[int]:
    limits = Limits(num_bytes=100_000, images=3, pixels=10_000, seconds=1)
    with serving(make_app(model, batch_size=8, limits=limits)) as port:
        yield port


def assert_predicted(answer: dict[str, Any], pictures: list[np.ndarray], model: Model) -> None:
    expected = model.predict(pictures).top(5)
    assert len(answer["predictions"]) == len(pictures)
    for found, row in zip(answer["predictions"], expected, strict=True):
        names, shares = zip(*((c["name"], c["probability"]) for c in found["classes"]), strict=True)
        assert names == tuple(name for name, _ in row)
        np.testing.assert_allclose(shares, [share for _, share in row], atol=1e-5)


def test_images_in_every_form_give_our_predictions(port: int, model: Model) -> None:
    status, answer = ask(port, "/predict", FILES[0])
    assert status == 200
    assert_predicted(answer, PICTURES[:1], model)
    body, headers = form(*((f"{n}.png", file) for n, file in enumerate(FILES)))
    status, answer = ask(port, "/predict", body, headers)
    assert status == 200
    assert_predicted(answer, PICTURES, model)
    assert [each["image"] for each in answer["predictions"]] == ["0.png", "1.png", "2.png"]
    texts = [base64.b64encode(file).decode() for file in FILES]
    texts[1] = f"data:image/png;base64,{texts[1]}"
    for data, pictures in (({"images": texts}, PICTURES), ({"image": texts[0]}, PICTURES[:1])):
        status, answer = ask(port, "/predict", json.dumps(data), JSON)
        assert status == 200
        assert_predicted(answer, pictures, model)
    # In parts, without a length in front.
    status, answer = ask(port, "/predict?top=2", iter([FILES[0][:50], FILES[0][50:]]))
    assert status == 200 and len(answer["predictions"][0]["classes"]) == 2


def test_what_is_wrong_is_told_with_a_status_and_a_sentence(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged, _ = form(("a.png", FILES[0]), ("b.png", FILES[1][:200]))
    many, _ = form(*(("x.png", FILES[0]) for _ in range(4)))
    large = png(np.zeros((101, 100, 3), np.uint8))
    for path, body, headers, status, sentence in (
        ("/predict", b"hello", {}, 400, "not an image of a format"),
        ("/predict", b"", {}, 400, "is empty"),
        ("/predict", FILES[0][: len(FILES[0]) // 2], {}, 400, "damaged"),
        ("/predict", damaged, FORM, 400, "b.png is an image that cannot be decoded"),
        ("/predict", many, FORM, 413, "4 images, and at most 3"),
        ("/predict", b"--limit\r\n", FORM, 400, ""),
        ("/predict", b"--limit--\r\n", FORM, 400, "no image"),
        ("/predict", b"x", {"Content-Type": "multipart/form-data"}, 400, "oundary"),
        ("/predict", b"{", JSON, 400, "not JSON"),
        ("/predict", b"[" * 90_000, JSON, 400, "not JSON"),
        ("/predict", b"[]", JSON, 400, "no images as texts"),
        ("/predict", b'{"images": [7]}', JSON, 400, "no images as texts"),
        ("/predict", b'{"images": []}', JSON, 400, "no image in this"),
        ("/predict", b'{"image": "!"}', JSON, 400, "Image 1 is not base64"),
        ("/predict", large, {}, 400, "100 x 101 pixels, and at most 10,000"),
        ("/predict", bytes(100_001), {}, 413, "100,000 bytes"),
        ("/predict", iter([bytes(90_000)] * 2), {}, 413, "100,000 bytes"),
        ("/predict", b"", {"Content-Length": str(10**12)}, 413, "100,000 bytes"),
        ("/predict?top=0", FILES[0], {}, 400, "at least 1"),
        ("/predict?top=many", FILES[0], {}, 400, "at least 1"),
        ("/nothing", FILES[0], {}, 404, "Not Found"),
        ("/health", FILES[0], {}, 405, "Not Allowed"),
    ):
        found, answer = ask(port, path, body, headers)
        assert (found, sentence in answer["error"]) == (status, True), answer
        assert "Traceback" not in answer["error"] and "File" not in answer["error"]
    for method in ("GET", "PUT", "DELETE"):
        assert ask(port, "/predict", None, method=method)[0] == 405
    assert ask(port, "/predict", FILES[0])[0] == 200
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("length", ["many", "9" * 5_000, "-1"])
def test_what_is_no_http_ends_with_4xx(port: int, length: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        request = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        client.sendall(request.encode())
        assert client.recv(1_000).split()[1] in (b"400", b"413")


def test_clients_that_are_slow_or_leave(port: int) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n" + FILES[0]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(head)
        assert client.recv(1_000).split()[1] == b"408"
    with socket.create_connection(("127.0.0.1", port)) as client:
        # It leaves in the middle, and does not say goodbye.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.sendall(head)
    assert ask(port, "/predict", FILES[0])[0] == 200


def test_two_hundred_at_once_lose_nothing(port: int, model: Model) -> None:
    pictures = RNG.integers(0, 256, (200, 8, 8, 3)).astype(np.uint8)
    _, before = ask(port, "/health", method="GET")
    with concurrent.futures.ThreadPoolExecutor(200) as clients:
        asked = [clients.submit(ask, port, "/predict", png(picture)) for picture in pictures]
        answers = [future.result(120) for future in asked]
    assert {status for status, _ in answers} == {200}
    together = {"predictions": [answer["predictions"][0] for _, answer in answers]}
    assert_predicted(together, list(pictures), model)
    _, after = ask(port, "/health", method="GET")
    assert after["images"] - before["images"] == 200
    # Not one by one.
    assert after["calls"] - before["calls"] < 150


def test_a_failure_is_not_shown_to_the_client(
    model_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = nasnet_jax.load(model_folder)
    app = make_app(broken, batch_size=1)

    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    broken.classify = fail  # type: ignore[method-assign]
    with serving(app) as port:
        status, answer = ask(port, "/predict", FILES[0])
    assert status == 500 and "secret" not in json.dumps(answer)
    assert any("a secret" in str(record.exc_info) for record in caplog.records)


def test_a_network_without_classifier_is_not_served(model_folder: Path) -> None:
    from nasnet_jax.formats import load_for

    with pytest.raises(ValueError, match="has no classifier"):
        make_app(load_for("stablehlo", model_folder, features=True), batch_size=1)
