"""A folder in the layout of the Hugging Face Hub: what PyTorch needs, and a model card."""

from __future__ import annotations

from typing import Any

from nasnet_jax.formats.pytorch import pytorch_files
from nasnet_jax.inference.description import ModelDescription
from nasnet_jax.inference.model import Model
from nasnet_jax.space import cost

_DRAWING = "cells.svg"


def hub_files(model: Model) -> dict[str, bytes]:
    """`README.md`, which is the model card, its drawing, and the files for PyTorch.

    The licence is left to whoever publishes it.
    """
    from nasnet_jax.report.drawing import architecture_svg

    description = model.description
    return {
        "README.md": model_card(description).encode(),
        _DRAWING: architecture_svg(description.architecture).encode(),
        **pytorch_files(model),
    }


def model_card(description: ModelDescription) -> str:
    """The text that the Hub shows, with the fields that it reads in front."""
    macro, preprocessing = description.macro, description.preprocessing
    costs = cost(description.architecture, macro)
    height, width = preprocessing.image_size
    channels = preprocessing.channels
    classes = f"{macro.num_classes} classes" if macro.num_classes else "features, no classifier"
    task = "image-classification" if macro.num_classes else "image-feature-extraction"
    rows = {
        "images": f"{height}x{width}, {'grey' if channels == 1 else f'{channels} channels'}",
        "output": classes,
        "parameters": f"{costs.params:,}",
        "multiply-adds an image": f"{costs.macs:,}",
        **_origin(description.config),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    # Without a licence the Hub asks for one.
    return f"""---
pipeline_tag: {task}
library_name: pytorch
tags:
- nasnet
- neural-architecture-search
# license: which one it is, is for whoever publishes this model to say.
---

# A NASNet of {macro.num_cells} cells a stage and {macro.num_filters} filters

| | |
| --- | --- |
{table}

![The two cells]({_DRAWING})

```python
import torch
import nasnet  # The file of this folder; it needs torch and safetensors.

model = nasnet.load(".")
model(torch.zeros(1, {channels}, {height}, {width}, dtype=torch.uint8))  # Pixels from 0 to 255.
```

Before that, images are {_preparation(description)}. Written by nasnet_jax.
"""


def _preparation(description: ModelDescription) -> str:
    preprocessing = description.preprocessing
    height, width = preprocessing.image_size
    share = preprocessing.central_fraction
    central = "" if share == 1 else f"cut to the central {share:.1%} of height and width, and "
    if preprocessing.resize == "crop":
        return f"{central}scaled until they cover {height}x{width}, of which the centre is cut out"
    return f"{central}stretched to {height}x{width}"


def _origin(config: dict[str, Any]) -> dict[str, str]:
    """What is known of where the weights come from."""
    rows = {}
    if name := config.get("dataset", {}).get("name"):
        # Of a folder or a file, without where it lies.
        rows["data"] = name.partition(":")[0] + " of own images" * (":" in name)
    if source := config.get("imported_from"):
        rows["weights"] = f"published ones, {source}'s"
    if accuracy := config.get("results", {}).get("test_accuracy"):
        rows["test accuracy"] = f"{accuracy:.4f}"
    return rows
