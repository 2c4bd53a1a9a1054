"""The application: `/predict`, `/health`, and a page to drop an image on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from nasnet_jax.cores import usable_cores
from nasnet_jax.data.image_file import ImageError, decode_image, image_size
from nasnet_jax.inference import Model, Prediction
from nasnet_jax.serving.batching import Batcher, OverloadedError
from nasnet_jax.serving.requests import Limits, Upload, read_uploads

PAGE = Path(__file__).with_name("page.html")

_MOST_CLASSES = 5
"""That are answered, unless `?top=` asks for others."""


def make_app(model: Model, *, batch_size: int, limits: Limits | None = None) -> Starlette:
    """Makes the application that answers for a model, which is compiled for all batches before.

    Every answer but the page is JSON; one with a status of 4xx or 5xx is `{"error": sentence}`.

    Args:
        model: With a classifier.
        batch_size: Most images in a call of the network, a power of two of at most 64.
        limits: Of requests.

    Raises:
        ValueError: If the model has no classifier.
    """
    limits = limits or Limits()
    service = _Service(model, batch_size, limits)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        work = asyncio.create_task(service.batcher.run())
        yield
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        service.decoders.shutdown(cancel_futures=True)

    return Starlette(
        routes=[
            Route("/", service.page),
            Route("/health", service.health),
            Route("/predict", service.predict, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refusal, Exception: _failure},
        lifespan=lifespan,
    )


class _Service:
    """What the routes share."""

    def __init__(self, model: Model, batch_size: int, limits: Limits) -> None:
        self.model, self.limits = model, limits
        shape = model.description.preprocessing.image_size
        channels = model.description.preprocessing.channels
        size = 1
        while size <= batch_size:
            # So that no request waits for a compilation.
            names = model.classify(np.zeros((size, *shape, channels), np.float32)).class_names
            size *= 2
        self.class_names = names
        self.batcher = Batcher(
            lambda images: model.classify(images).logits,
            largest=batch_size,
            most_waiting=limits.waiting,
        )
        self.decoders = concurrent.futures.ThreadPoolExecutor(usable_cores(), "decoder")

    async def page(self, _: Request) -> Response:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"))

    async def health(self, _: Request) -> Response:
        return JSONResponse(
            {
                "status": "ok",
                "model": repr(self.model),
                "images": self.batcher.images,
                "calls": self.batcher.calls,
            }
        )

    async def predict(self, request: Request) -> Response:
        top = _parse_top(request.query_params.get("top"))
        uploads = await read_uploads(request, self.limits)
        loop = asyncio.get_running_loop()
        decoded = [loop.run_in_executor(self.decoders, self._prepare, each) for each in uploads]
        try:
            logits = await self.batcher.logits(await asyncio.gather(*decoded))
        except ImageError as error:
            raise HTTPException(400, str(error)) from error
        except OverloadedError as error:
            raise HTTPException(
                503, "Too many images wait. Try again.", headers={"Retry-After": "1"}
            ) from error
        best = Prediction(logits, self.class_names).top(top)
        return JSONResponse(
            {
                "predictions": [
                    {
                        "image": upload.name,
                        "classes": [{"name": name, "probability": share} for name, share in row],
                    }
                    for upload, row in zip(uploads, best, strict=True)
                ]
            }
        )

    def _prepare(self, upload: Upload) -> np.ndarray:
        """What the network gets, `[height, width, channels]`."""
        height, width = image_size(upload.contents, upload.name)
        if height * width > self.limits.pixels:
            raise ImageError(
                f"{upload.name} has {width} x {height} pixels, and at most {self.limits.pixels:,} are "
                "taken. Scale it down."
            )
        preprocessing = self.model.description.preprocessing
        pixels = decode_image(upload.contents, preprocessing.channels, upload.name)
        return preprocessing.apply(pixels)


def _parse_top(text: str | None) -> int:
    if text is None:
        return _MOST_CLASSES
    if not (text.isascii() and text.isdecimal() and len(text) < 7 and int(text)):
        raise HTTPException(400, f"top is a number of classes of at least 1, not {text!r}.")
    return int(text)


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(error.status_code, error.detail, dict(error.headers or {}))


async def _failure(_: Request, error: Exception) -> Response:
    logging.error("A request failed.", exc_info=error)
    return _answer(500, "This request failed; the server's log says why.", {})


def _answer(status: int, sentence: str, headers: dict[str, Any]) -> Response:
    return JSONResponse({"error": sentence}, status, headers)
