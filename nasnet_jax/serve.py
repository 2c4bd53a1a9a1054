"""Answers images over HTTP: `python -m nasnet_jax.serve --checkpoint=DIR --port=8000`.

POST images to /predict: a form's files, JSON with base64, or one as the body. / is a page for people.
"""

from __future__ import annotations

import importlib.util

from absl import app, flags

from nasnet_jax import command

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "Workdir of a training or a search, or folder of a model; local or gs://.",
    required=True,
)
_PORT = flags.DEFINE_integer("port", 8000, "0 takes a free one.", 0, 65_535)
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to listen at; 0.0.0.0 is reached from other machines."
)
_BATCH_SIZE = flags.DEFINE_enum(
    "batch_size", "32", ["1", "2", "4", "8", "16", "32", "64"], "Most images in a call."
)
_MEGABYTES = flags.DEFINE_integer("max_megabytes", 20, "Most of a request.", 1, 2_000)


def main(argv: list[str]) -> None:
    """Parses the command line, loads and serves."""
    if len(argv) > 1:
        raise app.UsageError(f"Unexpected arguments: {' '.join(argv[1:])}")
    needed = ("starlette", "uvicorn", "python_multipart")
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise ImportError(
            f"Serving needs what is not installed ({', '.join(missing)}): "
            "pip install 'nasnet_jax[serve]'."
        )
    from nasnet_jax.inference import load
    from nasnet_jax.serving import Address, Limits, serve

    serve(
        load(_CHECKPOINT.value, fold=True),
        Address(_HOST.value, _PORT.value),
        batch_size=int(_BATCH_SIZE.value),
        limits=Limits(num_bytes=_MEGABYTES.value * 1_000_000),
    )


if __name__ == "__main__":
    command.run(main)
