"""What is imported, and what is refused with a sentence."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from nasnet_jax.inference.published import SOURCES, convert, expected_shapes, import_weights
from nasnet_jax.inference.published.recognition import recognise

Tensors = dict[str, np.ndarray]
Mobile = Callable[[str, int], Tensors]


def shapes_count(shapes: dict[str, tuple[int, ...]], *, but: tuple[str, ...] = ()) -> int:
    return sum(math.prod(shape) for name, shape in shapes.items() if not name.endswith(but))


@pytest.mark.parametrize(
    "source, network, tensors, parameters",
    [
        ("keras", "mobile", 1126, 5_326_716),
        ("timm", "large", 1546, 88_949_818),
    ],
)
def test_published_counts(source: str, network: str, tensors: int, parameters: int) -> None:
    shapes = expected_shapes(source, network, 1000)
    assert (len(shapes), shapes_count(shapes)) == (tensors, parameters)


def test_slim_names_and_shapes() -> None:
    mobile = expected_shapes("slim", "mobile", 1001)
    statistics = ("moving_mean", "moving_variance")
    assert shapes_count(mobile, but=statistics) == 5_291_035
    some = {
        "conv0/weights": (3, 3, 3, 32),
        "conv0_bn/moving_variance": (32,),
        "cell_stem_0/1x1/weights": (1, 1, 32, 11),
        "cell_stem_0/comb_iter_0/right/separable_7x7_1/depthwise_weights": (7, 7, 32, 1),
        "cell_stem_0/comb_iter_0/right/separable_7x7_1/pointwise_weights": (1, 1, 32, 11),
        "cell_stem_0/comb_iter_4/left/bn_sep_3x3_2/gamma": (11,),
        "cell_stem_1/path2_conv/weights": (1, 1, 32, 11),
        "cell_stem_1/final_path_bn/beta": (22,),
        "cell_0/beginning_bn/moving_mean": (44,),
        "cell_1/prev_1x1/weights": (1, 1, 264 // 3, 44),
        "cell_2/prev_1x1/weights": (1, 1, 264, 44),
        "cell_2/prev_bn/gamma": (44,),
        "reduction_cell_1/comb_iter_1/right/bn_sep_7x7_1/gamma": (176,),
        "cell_11/comb_iter_1/left/separable_5x5_2/depthwise_weights": (5, 5, 176, 1),
        "final_layer/FC/weights": (1056, 1001),
        "final_layer/FC/biases": (1001,),
    }
    assert {name: mobile.get(name) for name in some} == some


def test_the_background_class_is_left_out(mobile: Mobile) -> None:
    tensors = mobile("slim", 1001)
    description, parameters, statistics = convert("slim", tensors)
    assert description.macro.num_classes == 1000
    head = nnx.to_pure_dict(parameters)["head"]["linear"]
    np.testing.assert_array_equal(head["kernel"], tensors["final_layer/FC/weights"][:, 1:])
    np.testing.assert_array_equal(head["bias"], tensors["final_layer/FC/biases"][1:])
    assert description.layers == {"norm_epsilon": 1e-3, "edges": "same"}
    stem = nnx.to_pure_dict(statistics)["stem"]["norm"]
    np.testing.assert_array_equal(stem["variance"], tensors["conv0_bn/moving_variance"])


def test_without_a_classifier(mobile: Mobile) -> None:
    tensors = mobile("keras", 1000)
    for name in ("predictions/kernel", "predictions/bias"):
        del tensors[name]
    description, parameters, _ = convert("keras", tensors)
    assert description.macro.num_classes is None
    assert "head" not in nnx.to_pure_dict(parameters)


def test_what_was_left_out_is_told(mobile: Mobile) -> None:
    tensors = {f"module.{name}": tensor for name, tensor in mobile("cadene", 7).items()}
    tensors["module.conv0.bn.num_batches_tracked"] = np.int64(9)
    tensors["neck.weight"] = tensors["neck.bias"] = np.zeros(3, np.float32)
    description, *_ = convert("cadene", tensors)
    assert description.macro.num_classes == 7
    assert description.config["left_out"] == (
        "3 tensors (neck.weight, neck.bias, module.conv0.bn.num_batches_tracked)"
    )


HEADS = {
    "keras": ("predictions/kernel", "predictions/bias", "dense_1/kernel", "dense_1/bias"),
    "slim": ("final_layer/FC/weights", "final_layer/FC/biases", "own/weights", "own/biases"),
    "cadene": (
        "last_linear.weight",
        "last_linear.bias",
        "last_linear.1.weight",
        "last_linear.1.bias",
    ),
}


@pytest.mark.parametrize("source", HEADS)
def test_a_linear_layer_in_place_of_the_classifier_is_the_classifier(
    source: str, mobile: Mobile
) -> None:
    kernel, bias, other_kernel, other_bias = HEADS[source]
    tensors = mobile(source, 7)
    tensors[other_kernel], tensors[other_bias] = tensors.pop(kernel), tensors.pop(bias)
    network = recognise(tensors, SOURCES[source])
    assert (network.classes, network.classifier, network.left_out) == (7, other_kernel, [])
    assert network.tensors[kernel] is not None
    np.testing.assert_array_equal(network.tensors[kernel], tensors[other_kernel])

    # With another one behind it, or of another width, the network is known up to its features.
    for more in (other_kernel.replace("1", "2").replace("own", "more"), other_kernel):
        changed = {**tensors, more: np.zeros((7, 2), np.float32)}
        network = recognise(changed, SOURCES[source])
        assert (network.classes, network.classifier) == (None, None)
        assert {other_kernel, other_bias} <= set(network.left_out)


@pytest.mark.parametrize("source", HEADS)
def test_what_an_optimizer_remembers_is_no_second_network(source: str, mobile: Mobile) -> None:
    tensors = mobile(source, 10)
    dot = SOURCES[source].separator
    trained = {name: tensor for name, tensor in tensors.items() if "mean" not in name}
    kept = {f"optimizer{dot}m{dot}{name}": 0 * tensor for name, tensor in trained.items()}
    kept |= {f"{name}{dot}exp_avg": 0 * tensor for name, tensor in trained.items()}
    network = recognise({**kept, **tensors}, SOURCES[source])
    assert network.left_out == list(kept)
    for name, tensor in network.tensors.items():
        np.testing.assert_array_equal(tensor, tensors[name])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, jnp.bfloat16])
def test_other_precisions_become_float32(dtype: type, mobile: Mobile) -> None:
    tensors = {name: tensor.astype(dtype) for name, tensor in mobile("cadene", 10).items()}
    for name, tensor in recognise(tensors, SOURCES["cadene"]).tensors.items():
        assert tensor.dtype == np.float32
        np.testing.assert_array_equal(tensor, tensors[name].astype(np.float32))


@settings(max_examples=10)
@given(
    source=st.sampled_from(sorted(HEADS)),
    random=st.randoms(use_true_random=False),
    number=st.integers(1, 900),
)
def test_whatever_is_missing_is_named(
    mobile: Mobile, source: str, random: Random, number: int
) -> None:
    tensors = mobile(source, 10)
    stem = {name for name in tensors if name.startswith(("stem_conv1", "conv0"))}
    removed = random.sample(sorted(tensors.keys() - stem - set(HEADS[source])), number)
    for name in removed:
        del tensors[name]
    with pytest.raises(ValueError, match=f"are {number} missing") as raised:
        recognise(tensors, SOURCES[source])
    named = re.search(r"missing \((.*?)[,)]", str(raised.value))
    assert named is not None and named[1] in removed


@pytest.mark.parametrize(
    ("source", "more"),
    [
        ("keras", "stem_conv1/bias"),
        ("slim", "cell_0/1x1/biases"),
        ("cadene", "cell_3.squeeze.fc.weight"),
    ],
)
def test_more_in_the_network_s_own_layers_is_another_network(
    source: str, more: str, mobile: Mobile
) -> None:
    tensors = {**mobile(source, 10), more: np.zeros(3, np.float32)}
    with pytest.raises(ValueError, match=rf"are 1 not expected \({re.escape(more)}\)"):
        recognise(tensors, SOURCES[source])


def test_another_source_is_named(mobile: Mobile) -> None:
    with pytest.raises(ValueError, match="has no 'stem_conv1/kernel'.*looks like --source=slim"):
        convert("keras", mobile("slim", 10))


def test_each_fault_is_named(mobile: Mobile) -> None:
    tensors = mobile("cadene", 1000)
    for cell in range(1, 4):
        del tensors[f"cell_{cell}.conv_1x1.conv.weight"]
        del tensors[f"cell_{cell}.conv_1x1.bn.weight"]
    tensors["fc.weight"] = np.zeros((2, 2), np.float32)
    tensors["cell_0.conv_1x1.conv.weight"] = np.zeros((44, 88, 3, 3), np.float32)
    tensors["conv0.bn.weight"] = np.full(32, np.nan, np.float32)
    with pytest.raises(ValueError) as raised:
        convert("cadene", tensors)
    message = str(raised.value)
    for part in (
        "not NASNet-A Mobile from Cadene",
        "6 missing (cell_1.conv_1x1.conv.weight, ",
        ", ...); 1 not expected (fc.weight)",
        "1 of another shape (cell_0.conv_1x1.conv.weight (44, 88, 3, 3) instead of (44, 88, 1, 1))",
        "1 not finite floating-point numbers (conv0.bn.weight)",
    ):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize("source", SOURCES)
def test_another_network(source: str) -> None:
    with pytest.raises(ValueError, match="It has no .*Check --source"):
        convert(source, {"layer1.weight": np.zeros(3, np.float32)})


def test_timm_has_no_mobile(mobile: Mobile) -> None:
    with pytest.raises(ValueError, match="not that of NASNet-A Large from timm"):
        convert("timm", mobile("cadene", 1000))


def test_nothing_is_written_where_something_is_wrong(mobile: Mobile, tmp_path: Path) -> None:
    tensors = mobile("cadene", 1000)
    del tensors["conv0.bn.bias"]
    file = tmp_path / "weights.safetensors"
    safetensors.numpy.save_file(tensors, file)
    with pytest.raises(ValueError, match=r"weights\.safetensors' cannot be imported.*1 missing"):
        import_weights("cadene", file, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_the_command_ends_with_one_line(tmp_path: Path) -> None:
    arguments = [
        "--source=keras",
        f"--weights={tmp_path / 'no.h5'}",
        f"--output={tmp_path / 'new'}",
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "nasnet_jax.import_weights", *arguments],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("Error: There is no file")
    assert not (tmp_path / "new").exists()
