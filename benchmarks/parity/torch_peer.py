"""Fills timm's and Cadene's own networks; runs where they are: `python torch_peer.py FOLDER NAME...`.

NAME is `timm_large`, `cadene_mobile` or `cadene_large`. Written are, for each, its weights as
`NAME.pth` and `NAME.safetensors`, and `NAME.npz` with the logits by image size; and files of a small
network in each format, for the reader's test.
"""

from __future__ import annotations

import pathlib
import sys

import made_up
import numpy as np
import pretrainedmodels
import timm
import torch
from safetensors.torch import save_file

NETWORKS = {
    "timm_large": lambda: timm.create_model("nasnetalarge", num_classes=1000),
    "cadene_mobile": lambda: pretrainedmodels.nasnetamobile(num_classes=1000, pretrained=None),
    "cadene_large": lambda: pretrainedmodels.nasnetalarge(num_classes=1000, pretrained=None),
}


def fill(model: torch.nn.Module) -> None:
    """Makes up all weights of a model; PyTorch's counters of batches stay as they are."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.from_numpy(made_up.tensor(name, tuple(value.shape))))


def write_network(folder: pathlib.Path, name: str) -> None:
    model = NETWORKS[name]().eval()
    fill(model)
    torch.save(model.state_dict(), folder / f"{name}.pth")
    save_file(model.state_dict(), folder / f"{name}.safetensors")
    logits = {}
    for size in made_up.SIZES[name.rpartition("_")[2]]:
        images = torch.from_numpy(made_up.images(size)).permute(0, 3, 1, 2).contiguous()
        with torch.inference_mode():
            logits[str(size)] = model(images).numpy()
    np.savez(folder / f"{name}.npz", **logits)


def write_small_files(folder: pathlib.Path) -> None:
    """A convolution, a normalization and a classifier, with names of the real network."""
    model = torch.nn.ModuleDict(
        {
            "conv0": torch.nn.ModuleDict(
                {"conv": torch.nn.Conv2d(1, 2, 3, bias=False), "bn": torch.nn.BatchNorm2d(2)}
            ),
            "last_linear": torch.nn.Linear(2, 3),
        }
    )
    fill(model)
    torch.save(model.state_dict(), folder / "small.pth")
    # What PyTorch wrote until 2020, and Cadene's published files are.
    torch.save(model.state_dict(), folder / "small_2018.pth", _use_new_zipfile_serialization=False)
    save_file(model.state_dict(), folder / "small.safetensors")


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    write_small_files(target)
    for peer in sys.argv[2:]:
        write_network(target, peer)
