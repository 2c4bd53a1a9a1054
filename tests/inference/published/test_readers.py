"""Each reader on a file that the peer itself wrote, with weights that are known from their names.

`peer_files` was written by `benchmarks/parity/keras_peer.py` and `torch_peer.py`.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from types import ModuleType

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from nasnet_jax.inference.published import SOURCES, keras, slim, torch_files
from nasnet_jax.inference.published.matching import match

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
    tensors: Tensors, shapes: dict[str, tuple[int, ...]], made_up: ModuleType, source: str = "keras"
) -> None:
    """All of a small network is there, with the values that its names and shapes give."""
    matched = match(tensors, shapes, SOURCES[source])
    assert matched.found.keys() == shapes.keys()
    for name, raw in matched.found.items():
        wanted = made_up.tensor(name, shapes[name])
        np.testing.assert_array_equal(tensors[raw], wanted, err_msg=name)


@pytest.mark.parametrize("file", ["small.h5", "small.weights.h5", "small.keras"])
def test_keras_files(file: str, made_up: ModuleType) -> None:
    tensors = keras.read(PEER_FILES / file)
    assert_made_up(tensors, KERAS_SHAPES, made_up)
    assert len(tensors) == len(KERAS_SHAPES)


@pytest.mark.parametrize("file", ["wrapped.h5", "wrapped.keras"])
def test_a_keras_network_within_another_one(file: str, made_up: ModuleType) -> None:
    tensors = keras.read(PEER_FILES / file)
    assert_made_up(tensors, KERAS_SHAPES, made_up)
    outside = match(tensors, KERAS_SHAPES, SOURCES["keras"]).outside
    assert {name.rpartition("/own/")[2] for name in outside} == {"kernel", "bias"}


def without_names(weights: bytes) -> io.BytesIO:
    """A `.weights.h5` as versions of Keras wrote it that leave the layers' names out."""
    content = io.BytesIO(weights)
    groups: list[h5py.Group] = []
    with h5py.File(content, "r+") as file:
        file.visititems(lambda path, item: groups.append(item))
        for group in groups:
            group.attrs.pop("name", None)
    return content


@pytest.mark.parametrize("file", ["small.keras", "wrapped.keras"])
def test_keras_models_of_versions_that_leave_names_out(
    file: str, made_up: ModuleType, tmp_path: Path
) -> None:
    with (
        zipfile.ZipFile(PEER_FILES / file) as whole,
        zipfile.ZipFile(tmp_path / file, "w") as old,
    ):
        old.writestr("config.json", whole.read("config.json"))
        weights = without_names(whole.read("model.weights.h5")).getvalue()
        old.writestr("model.weights.h5", weights)
    assert_made_up(keras.read(tmp_path / file), KERAS_SHAPES, made_up)
    (tmp_path / "old.weights.h5").write_bytes(weights)
    with pytest.raises(ValueError, match="has no name.*model.save"):
        keras.read(tmp_path / "old.weights.h5")


def test_keras_weights_in_tensorflow_s_format(made_up: ModuleType, tmp_path: Path) -> None:
    import tensorflow as tf

    root = tf.Module()
    root.layers = []
    for name, shape in KERAS_SHAPES.items():
        holder = tf.Module()
        holder.value = tf.Variable(made_up.tensor(name, shape), name=name)
        root.layers.append(holder)
    tf.train.Checkpoint(model=root, step=tf.Variable(3)).write(str(tmp_path / "weights"))
    for named in (tmp_path / "weights", tmp_path / "weights.index", tmp_path):
        assert_made_up(keras.read(named), KERAS_SHAPES, made_up)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float64])
def test_keras_files_of_other_precisions(dtype: type, tmp_path: Path) -> None:
    values = np.arange(3).astype(dtype)
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.create_dataset("stem_bn1/stem_bn1/gamma:0", data=values)
    read = keras.read(tmp_path / "weights.h5")["stem_bn1/stem_bn1/gamma"]
    assert read.dtype == values.dtype
    np.testing.assert_array_equal(read.astype(np.float32), [0, 1, 2])


def test_safetensors(made_up: ModuleType) -> None:
    tensors = torch_files.read(PEER_FILES / "small.safetensors")
    assert_made_up(tensors, TORCH_SHAPES, made_up, "cadene")


@pytest.mark.parametrize("named", ["weights-00002-of-00002.safetensors", "weights.index.json"])
def test_safetensors_in_parts(named: str, made_up: ModuleType, tmp_path: Path) -> None:
    whole = safetensors.numpy.load_file(PEER_FILES / "small.safetensors")
    names = sorted(whole)
    files = {}
    for part, some in enumerate((names[:3], names[3:]), 1):
        file = f"weights-{part:05}-of-00002.safetensors"
        safetensors.numpy.save_file({name: whole[name] for name in some}, tmp_path / file)
        files |= dict.fromkeys(some, file)
    (tmp_path / "weights.index.json").write_text(json.dumps({"weight_map": files}))
    assert_made_up(torch_files.read(tmp_path / named), TORCH_SHAPES, made_up, "cadene")
    (tmp_path / "weights-00001-of-00002.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="weights-00001-of-00002"):
        torch_files.read(tmp_path / named)


def test_safetensors_of_a_type_that_numpy_has_not(tmp_path: Path) -> None:
    header = {"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"\0\0")
    with pytest.raises(ValueError, match="numbers of a type that cannot be read.*float8.*float32"):
        torch_files.read(tmp_path / "a.safetensors")


def test_dictionaries_in_dictionaries_become_longer_names() -> None:
    content = {"epoch": 3, "state_dict": {"a.b": 1}, "optimizer": [{"state": {0: {"step": 2}}}]}
    assert dict(torch_files.flattened(content)) == {
        "epoch": 3,
        "state_dict.a.b": 1,
        "optimizer.0.state.0.step": 2,
    }


def test_the_checkpoint_of_a_pytorch_training(made_up: ModuleType, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="writing .pth needs PyTorch")
    tensors = torch_files.read(PEER_FILES / "small.safetensors")
    state = {name: torch.from_numpy(value) for name, value in tensors.items()}
    content = {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1),
        "state_dict": {f"module.{name}": value.bfloat16() for name, value in state.items()},
        "state_dict_ema": {f"module.{name}": value for name, value in state.items()},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]},
    }
    torch.save(content, tmp_path / "model_best.pth.tar")
    read = torch_files.read(tmp_path / "model_best.pth.tar")
    assert_made_up(read, TORCH_SHAPES, made_up, "cadene")


@pytest.mark.parametrize("file", ["small.pth", "small_2018.pth"])
def test_pytorch_files(file: str, made_up: ModuleType) -> None:
    pytest.importorskip("torch", reason="reading .pth needs PyTorch, which nothing else here does")
    assert_made_up(torch_files.read(PEER_FILES / file), TORCH_SHAPES, made_up, "cadene")


def test_pytorch_files_that_hold_more_than_weights_or_less(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="reading .pth needs PyTorch, which nothing else here does")
    file = tmp_path / "weights.pth"
    for name in ("small.pth", "small_2018.pth"):
        file.write_bytes((PEER_FILES / name).read_bytes()[:1200])
        with pytest.raises(ValueError, match="cut short"):
            torch_files.read(file)
    file.write_bytes(pickle.dumps(print))
    with pytest.raises(ValueError, match="could run code"):
        torch_files.read(file)


def test_without_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="needs PyTorch.*give the .safetensors"):
        torch_files.read(PEER_FILES / "small.pth")


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
        assert_made_up(slim.read(named), shapes, made_up, "slim")

    data = tmp_path / "model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:20])
    with pytest.raises(ValueError, match="cannot be read.*cut short"):
        slim.read(prefix)


@pytest.mark.parametrize(
    "read, file",
    [
        (keras.read, "small.h5"),
        (keras.read, "small.weights.h5"),
        (keras.read, "small.keras"),
        (torch_files.read, "small.safetensors"),
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
