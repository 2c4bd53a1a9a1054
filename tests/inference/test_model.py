from __future__ import annotations

import dataclasses
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import nasnet_jax
from nasnet_jax.inference import Model, ModelDescription, Prediction
from nasnet_jax.nn.nasnet import NASNet

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
LABELS = ("ant", "bee", "cat", "dog")


@pytest.fixture(scope="module")
def model(model_folder: Path) -> Model:
    return nasnet_jax.load(model_folder)


def test_predictions_are_exactly_the_networks(model: Model, network: NASNet) -> None:
    images = IMAGES[:4]
    scaled = (images.astype(np.float32) - np.float32([100, 110, 120])) / np.float32([50, 60, 70])
    logits = np.asarray(jax.jit(lambda net, x: net(x))(network, scaled))
    prediction = model.predict(images)
    np.testing.assert_array_equal(prediction.logits, logits)
    np.testing.assert_allclose(prediction.probabilities, jax.nn.softmax(logits), atol=1e-6)
    np.testing.assert_array_equal(prediction.indices, logits.argmax(-1))
    assert prediction.labels == [LABELS[index] for index in logits.argmax(-1)]
    assert model.class_names == LABELS


def test_an_images_prediction_is_its_own(model: Model) -> None:
    """Neither the number of images nor the filling of a batch matters; compilations stay few."""
    together = model.predict(IMAGES).logits
    for number in range(1, 6):
        np.testing.assert_allclose(
            model.predict(IMAGES[:number]).logits, together[:number], rtol=1e-5, atol=1e-5
        )
    assert model._logits._cache_size() == 4  # Batches of 1, 2, 4 and 8.


def test_images_of_pillow_and_paths_are_images(model: Model, tmp_path: Path) -> None:
    """Alone, several, and mixed with arrays."""
    picture = Image.fromarray(IMAGES[0])
    picture.save(tmp_path / "x.png")
    path = tmp_path / "x.png"
    expected = model.predict(IMAGES[0]).logits
    file = io.BytesIO(path.read_bytes())
    column = np.array([str(path)])
    for one in (picture, path, str(path), Image.open(path), [picture], iter([path]), file, column):
        np.testing.assert_array_equal(model.predict(one).logits, expected)
    mixed = model.predict([picture, IMAGES[1], path]).logits
    np.testing.assert_array_equal(mixed, model.predict(IMAGES[[0, 1, 0]]).logits)


@pytest.mark.parametrize("wrong", [None, 7, b"bytes", [b"bytes"], [None], {"x": 1}])
def test_what_is_no_image_is_told_how_to_become_one(model: Model, wrong: Any) -> None:
    with pytest.raises(ValueError, match="not .*open_image reads a file"):
        model.predict(wrong)


def test_more_images_than_a_batch_are_taken_in_parts(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = model.predict(IMAGES).logits
    monkeypatch.setattr("nasnet_jax.inference.model.LARGEST_BATCH", 2)
    read = []

    def lazily():
        for image in IMAGES:
            read.append(image)
            yield image

    np.testing.assert_allclose(model.predict(lazily()).logits, expected, rtol=1e-5, atol=1e-5)
    assert len(read) == 5


def test_images_of_every_kind_are_the_same_images(model: Model) -> None:
    expected = model.predict(IMAGES[:2]).logits
    floating = IMAGES[:2] / 255
    for images in (jnp.asarray(IMAGES[:2]), floating, jnp.asarray(floating), list(IMAGES[:2])):
        np.testing.assert_allclose(model.predict(images).logits, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(model.predict(IMAGES[0]).logits, expected[:1], rtol=1e-5, atol=1e-5)


def test_images_of_any_size_are_brought_to_the_networks(model: Model) -> None:
    sizes = [(8, 8), (1, 1), (20, 31), (300, 9)]
    images = [RNG.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]
    prediction = model.predict(images)
    assert prediction.logits.shape == (4, 4)
    assert np.isfinite(prediction.logits).all()
    assert model.preprocess(images).shape == (4, 8, 8, 3)
    alone = model.predict(images[2]).logits
    np.testing.assert_allclose(alone, prediction.logits[2:3], rtol=1e-5, atol=1e-5)


def test_features_are_what_the_classifier_reads(model: Model, network: NASNet) -> None:
    features = model.features(IMAGES)
    assert features.shape == (5, 8)
    kernel, bias = network.head.linear.kernel[...], network.head.linear.bias[...]
    np.testing.assert_allclose(features @ kernel + bias, model.predict(IMAGES).logits, atol=1e-4)
    maps = model.feature_maps(IMAGES)
    assert [array.shape for array in maps] == [(5, 8, 8, 4), (5, 4, 4, 8)]
    np.testing.assert_allclose(np.maximum(maps[-1], 0).mean((1, 2)), features, rtol=1e-5, atol=1e-5)


def test_a_folded_model_and_a_narrow_one_predict_alike(model: Model, model_folder: Path) -> None:
    expected = model.predict(IMAGES[:4]).logits
    folded = nasnet_jax.load(model_folder, fold=True)
    np.testing.assert_allclose(folded.predict(IMAGES[:4]).logits, expected, rtol=1e-3, atol=1e-3)
    narrow = nasnet_jax.load(model_folder, dtype=jnp.bfloat16).predict(IMAGES[:4]).logits
    assert narrow.dtype == np.float32
    # bfloat16 has 8 bits, and errors add up over the cells.
    assert 0 < np.abs(narrow - expected).max() < 0.1 * np.ptp(expected)


def test_a_network_without_classifier_has_features_only(
    description: ModelDescription, random_network: Callable[[ModelDescription], NASNet]
) -> None:
    headless = dataclasses.replace(
        description,
        macro=dataclasses.replace(description.macro, num_classes=None),
        class_names=None,
    )
    model = Model(headless, random_network(headless))
    assert model.features(IMAGES[:4]).shape == (4, 8)
    with pytest.raises(ValueError, match="no classifier"):
        model.predict(IMAGES)
    assert "-> features" in repr(model)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no images"),
        (IMAGES[:0], "no images"),
        (IMAGES[0, 0], "2 dimensions"),
        (IMAGES[..., :1], "3 channels"),
        (IMAGES.astype(np.float32), r"in \[0, 1\]"),
    ],
)
def test_what_are_no_images_is_refused(
    model: Model, images: np.ndarray | list, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model.predict(images)


def test_the_best_classes_come_first() -> None:
    prediction = Prediction(np.log(np.float32([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]])), ("a", "b", "c"))
    assert [[name for name, _ in best] for best in prediction.top(2)] == [["b", "c"], ["a", "c"]]
    assert prediction.top(9)[0] == [
        ("b", pytest.approx(0.5)),
        ("c", pytest.approx(0.3)),
        ("a", pytest.approx(0.2)),
    ]
    assert repr(prediction) == "Prediction(b 0.500, a 0.600)"
    with pytest.raises(ValueError, match="at least 1"):
        prediction.top(0)


def test_large_logits_have_probabilities() -> None:
    prediction = Prediction(np.float32([[1000, 0]]), ("a", "b"))
    np.testing.assert_array_equal(prediction.probabilities, [[1, 0]])


def test_the_repr_says_what_the_network_is(model: Model) -> None:
    parameters = sum(leaf.size for leaf in jax.tree.leaves(model.network.stem.conv))
    assert parameters == 3 * 3 * 3 * 12
    assert repr(model).startswith("Model(NASNet 1 @ 8, 8x8x3 -> 4 classes, ")


def test_inference_needs_no_tensorflow(model_folder: Path) -> None:
    program = (
        "import sys, numpy, nasnet_jax, nasnet_jax.predict\n"
        f"model = nasnet_jax.load({str(model_folder)!r})\n"
        "model.predict(numpy.zeros((8, 8, 3), 'uint8'))\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = set(done.stdout.split())
    assert "flax" in loaded
    assert not {"tensorflow", "tensorflow_datasets", "clu"} & loaded
