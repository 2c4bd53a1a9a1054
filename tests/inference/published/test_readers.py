"""Each reader on a file that the peer itself wrote, with weights that are known from their names.

`peer_files` was written by `benchmarks/parity/keras_peer.py` and `torch_peer.py`.
"""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from nasnet_jax.inference.published import keras, slim, torch_layout

PEER_FILES = Path(__file__).parent / "peer_files"
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
SEPARABLE = "separable_conv_1_normal_left1_0"
KERAS_SHAPES = {
    "stem_conv1/kernel": (3, 3, 1, 2),
    **{f"stem_bn1/{name}": (2,) for name in NORM},
    f"{SEPARABLE}/depthwise_kernel": (3, 3, 2, 1),
    f"{SEPARABLE}/pointwise_kernel": (1, 1, 2, 3),
    "predictions/kernel": (3, 2),
    "predictions/bias": (2,),
}
TORCH_SHAPES = {
    "conv0.conv.weight": (2, 1, 3, 3),
    **{f"conv0.bn.{name}": (2,) for name in ("weight", "bias", "running_mean", "running_var")},
    "last_linear.weight": (3, 2),
    "last_linear.bias": (3,),
}
Tensors = dict[str, np.ndarray]


def assert_made_up(
    tensors: Tensors, shapes: dict[str, tuple[int, ...]], made_up: ModuleType
) -> None:
    assert {name: tensor.shape for name, tensor in tensors.items()} == shapes
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, made_up.tensor(name, tensor.shape), err_msg=name)


@pytest.mark.parametrize("file", ["small.h5", "small.weights.h5"])
def test_keras_files(file: str, made_up: ModuleType) -> None:
    assert_made_up(keras.read(PEER_FILES / file), KERAS_SHAPES, made_up)


def test_safetensors(made_up: ModuleType) -> None:
    assert_made_up(torch_layout.read(PEER_FILES / "small.safetensors"), TORCH_SHAPES, made_up)


@pytest.mark.parametrize("file", ["small.pth", "small_2018.pth"])
def test_pytorch_files(file: str, made_up: ModuleType) -> None:
    pytest.importorskip("torch", reason="reading .pth needs PyTorch, which nothing else here does")
    assert_made_up(torch_layout.read(PEER_FILES / file), TORCH_SHAPES, made_up)


def test_pytorch_files_that_hold_more_than_weights_or_less(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="reading .pth needs PyTorch, which nothing else here does")
    file = tmp_path / "weights.pth"
    for name in ("small.pth", "small_2018.pth"):
        file.write_bytes((PEER_FILES / name).read_bytes()[:1200])
        with pytest.raises(ValueError, match="cut short"):
            torch_layout.read(file)
    file.write_bytes(pickle.dumps(print))
    with pytest.raises(ValueError, match="could run code"):
        torch_layout.read(file)


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs PyTorch.*give the .safetensors"):
        torch_layout.read(PEER_FILES / "small.pth")


def test_slim_checkpoint_with_averages(tmp_path: Path, made_up: ModuleType) -> None:
    import tensorflow as tf

    average = "/ExponentialMovingAverage"
    shapes = {"conv0/weights": (3, 3, 3, 4), "conv0_bn/gamma": (4,), "conv0_bn/moving_mean": (4,)}
    wanted = {name: made_up.tensor(name, shape) for name, shape in shapes.items()}
    kept = {
        "conv0/weights": wanted["conv0/weights"] + 1,
        f"conv0/weights{average}": wanted["conv0/weights"],
        "conv0/weights/RMSProp": wanted["conv0/weights"] + 2,
        "conv0/weights/RMSProp_1": wanted["conv0/weights"] + 3,
        "conv0_bn/gamma": wanted["conv0_bn/gamma"] + 1,
        f"conv0_bn/gamma{average}": wanted["conv0_bn/gamma"],
        # Without an average, as where averages are of trainable variables alone.
        "conv0_bn/moving_mean": wanted["conv0_bn/moving_mean"],
        "aux_7/aux_logits/FC/biases": np.zeros(3, np.float32),
        f"aux_7/aux_logits/FC/biases{average}": np.zeros(3, np.float32),
        "global_step": np.int64(7),
    }
    prefix = tmp_path / "model.ckpt"
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(kept),
        shape_and_slices=[""] * len(kept),
        tensors=[tf.constant(value) for value in kept.values()],
    )
    for named in (prefix, tmp_path / "model.ckpt.index", tmp_path):
        assert_made_up(slim.read(named), shapes, made_up)

    data = tmp_path / "model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:20])
    with pytest.raises(ValueError, match="cannot be read.*cut short"):
        slim.read(prefix)


@pytest.mark.parametrize(
    "read, file",
    [
        (keras.read, "small.h5"),
        (keras.read, "small.weights.h5"),
        (torch_layout.read, "small.safetensors"),
    ],
)
def test_truncated_and_missing_files(read, file: str, tmp_path: Path) -> None:
    whole = (PEER_FILES / file).read_bytes()
    cut = tmp_path / file
    for length in (0, 10, len(whole) - 100):
        cut.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="cut short") as raised:
            read(cut)
        assert "\n" not in str(raised.value)
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read(tmp_path / "none" / file)


def test_a_checkpoint_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.ckpt\.index is missing"):
        slim.read(tmp_path / "model.ckpt")
    with pytest.raises(FileNotFoundError, match="holds 0 checkpoints"):
        slim.read(tmp_path)
