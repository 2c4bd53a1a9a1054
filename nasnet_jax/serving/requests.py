"""From a request to the contents of image files, within limits."""

from __future__ import annotations

import asyncio
import base64
import binascii
import dataclasses
import json
from typing import NamedTuple

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

_HEARD_OUT = 8
"""So many times the allowed bytes are read and dropped, so that a client hears that it sent too many."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may hold.

    Attributes:
        num_bytes: Of its body.
        images: In it.
        pixels: Of an image, before it is scaled.
        seconds: For the body to arrive.
        waiting: Images of all requests that wait for the network.
    """

    num_bytes: int = 20_000_000
    images: int = 64
    pixels: int = 50_000_000
    seconds: float = 60.0
    waiting: int = 1_024


class Upload(NamedTuple):
    """The contents of a file, and what to call it in messages."""

    name: str
    contents: bytes


async def read_uploads(request: Request, limits: Limits) -> list[Upload]:
    """Reads the images of a request: a form's files, JSON's base64, or the body as it is.

    Raises:
        HTTPException: With a status of 4xx and a sentence.
    """
    body = await _read_body(request, limits)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        uploads = await _of_form(request, body, limits)
    elif kind == "application/json":
        uploads = _of_json(body)
    else:
        # Whatever else it is called: curl's --data-binary says that it is a form.
        uploads = [Upload("The image", body)]
    if not uploads:
        raise HTTPException(400, "There is no image in this request.")
    if len(uploads) > limits.images:
        raise HTTPException(
            413, f"There are {len(uploads)} images, and at most {limits.images} are taken at once."
        )
    return uploads


async def _read_body(request: Request, limits: Limits) -> bytes:
    too_large = HTTPException(413, f"At most {limits.num_bytes:,} bytes are taken.")
    announced = int(request.headers.get("content-length", "0"))
    waits = "100-continue" in request.headers.get("expect", "").lower()
    if announced > limits.num_bytes and (waits or announced > _HEARD_OUT * limits.num_bytes):
        raise too_large
    parts, length = [], 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for part in request.stream():
                length += len(part)
                if length > _HEARD_OUT * limits.num_bytes:
                    break
                if length <= limits.num_bytes:
                    parts.append(part)
    except TimeoutError as error:
        raise HTTPException(
            408, f"The request did not arrive within {limits.seconds:g} seconds."
        ) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "The request ended before its end.") from error
    if length > limits.num_bytes:
        raise too_large
    return b"".join(parts)


async def _of_form(request: Request, body: bytes, limits: Limits) -> list[Upload]:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    again = Request(request.scope, receive)
    # One more than allowed, to be told by our sentence.
    async with again.form(max_files=limits.images + 1, max_part_size=limits.num_bytes) as form:
        return [
            Upload(value.filename or f"Image {number}", await value.read())
            for number, (_, value) in enumerate(form.multi_items(), 1)
            if isinstance(value, UploadFile)
        ]


def _of_json(body: bytes) -> list[Upload]:
    advice = '{"images": [BASE64, ...]}'
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"This is not JSON; {advice} is taken.") from error
    texts = data.get("images", data.get("image")) if isinstance(data, dict) else None
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise HTTPException(400, f"The JSON has no images as texts: {advice} is taken.")
    uploads = []
    for number, text in enumerate(texts, 1):
        # What browsers make of a file begins with its type.
        encoded = text.partition(",")[2] if text.startswith("data:") else text
        try:
            contents = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise HTTPException(400, f"Image {number} is not base64.") from error
        uploads.append(Upload(f"Image {number}", contents))
    return uploads
