"""Where the application listens."""

from __future__ import annotations

import socket
from typing import NamedTuple

import uvicorn

from nasnet_jax.inference import Model
from nasnet_jax.serving.app import make_app
from nasnet_jax.serving.requests import Limits

_BACKLOG = 2_048
"""Connections that may wait to be taken."""
_GRACE_SECONDS = 10
"""That running requests have at the end."""


class Address(NamedTuple):
    """A host and a port; 0 stands for any free one."""

    host: str = "127.0.0.1"
    port: int = 8000


def serve(
    model: Model, address: Address, *, batch_size: int = 32, limits: Limits | None = None
) -> None:
    """Serves a model until a signal ends it; prints where, once it answers.

    Args:
        model: With a classifier.
        address: Where to listen; other machines reach no loopback address.
        batch_size: As for `make_app`.
        limits: Of requests.

    Raises:
        OSError: If nothing can listen there.
        ValueError: As for `make_app`.
    """
    listener = _listen(address)
    app = make_app(model, batch_size=batch_size, limits=limits)
    host, port = listener.getsockname()[:2]
    place = f"[{host}]" if ":" in host else host
    print(f"Serving {model!r} at http://{place}:{port}", flush=True)
    config = uvicorn.Config(
        app,
        log_level="warning",
        lifespan="on",
        backlog=_BACKLOG,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])


def _listen(address: Address) -> socket.socket:
    """Takes the address, before a model is compiled for nothing."""
    try:
        family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(tuple(address))
        listener.listen(_BACKLOG)
        return listener
    except OSError as error:
        raise OSError(
            f"Nothing can listen at {address.host}, port {address.port} "
            f"({error.strerror or error}): choose another --port or --host."
        ) from error
