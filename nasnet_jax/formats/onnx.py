"""A trained network as one ONNX file, which is made of the network in PyTorch.

That way its graph is small: PyTorch's exporter folds batch normalization into the convolutions, and
knows padding and pooling as single nodes, of which StableHLO knows only the parts.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path

from nasnet_jax.formats.pytorch import pytorch_files
from nasnet_jax.formats.stablehlo import json_bytes
from nasnet_jax.inference.model import Model

OPSET = 18
"""The newest that PyTorch's exporter writes without converting; onnxruntime reads it since 1.14."""


def onnx_files(model: Model) -> dict[str, bytes]:
    """The file, and beside it `.json` on how to use it.

    Its input is `images`, uint8 `[batch, channels, height, width]` of the network's size, its output
    `logits`, float32 `[batch, classes]`, for any number of images.
    """
    import torch

    from nasnet_jax.formats import pytorch_network

    preprocessing = model.description.preprocessing
    with tempfile.TemporaryDirectory() as folder:
        for name, contents in pytorch_files(model).items():
            Path(folder, name).write_bytes(contents)
        network = pytorch_network.load(folder)
        file = os.path.join(folder, "network.onnx")
        # Two: of one image, the exporter would take the batch for a constant.
        images = torch.zeros(
            2, preprocessing.channels, *preprocessing.image_size, dtype=torch.uint8
        )
        # It tells of each of its steps.
        with contextlib.redirect_stdout(io.StringIO()):
            torch.onnx.export(
                network,
                (images,),
                file,
                input_names=["images"],
                output_names=["logits"],
                opset_version=OPSET,
                dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
                external_data=False,
                dynamo=True,
            )
        contents = Path(file).read_bytes()
    notes = {
        "opset": OPSET,
        "input": ["batch", preprocessing.channels, *preprocessing.image_size],
        "preprocessing": preprocessing.to_data(),
        "class_names": model.class_names,
    }
    return {"": contents, ".json": json_bytes(notes)}
