"""Where a training starts that starts from a model: at the function that the model computes."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import jax
import ml_collections
import numpy as np
import pytest
from flax import nnx

import nasnet_jax
from nasnet_jax.inference import ModelDescription, Preprocessing, read_description, save_model
from nasnet_jax.inference.description import serving_layers
from nasnet_jax.inference.published import SOURCES
from nasnet_jax.inference.published.networks import NETWORKS, NORM_EPSILON
from nasnet_jax.inference.saved_model import read_model
from nasnet_jax.mesh import training_mesh
from nasnet_jax.nn.borders import EDGES
from nasnet_jax.nn.nasnet import NASNet
from nasnet_jax.run_files import ORIGIN_FILE
from nasnet_jax.space import NASNET_A, Macro, parse_architecture
from nasnet_jax.train import default_config, run
from nasnet_jax.train.config import layer_config
from nasnet_jax.train.initialization import Origin, start_from
from nasnet_jax.train.input import open_input
from nasnet_jax.train.program import TrainProgram

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = parse_architecture(
    "normal: conv_1x1(0)+identity(1) identity(0)+identity(2); "
    "reduction: max_pool_3x3(0)+sep_conv_3x3(1) avg_pool_3x3(0)+conv_1x1(1)"
)
WHITENED = Preprocessing.standardized((8, 8), np.array([60.0]), np.array([90.0]))
IMAGES = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
Write = Callable[..., Path]


def make_config(path: Path, **changes) -> ml_collections.ConfigDict:
    """Of a training that starts from `path` on digits; in names of fields, `__` is a dot."""
    config = default_config()
    config.architecture = ARCHITECTURE.one_line()
    config.init_from = str(path)
    config.batch_size = config.batch_norm.group_size = 64
    config.dataset.name = "digits"
    config.dataset.image_size = 8
    config.dataset.channels = 1
    config.model.num_cells = 1
    config.model.num_filters = 4
    config.model.num_reductions = 1
    config.ema_decay = 0.9
    config.aux_weight = config.drop_path.final_drop_prob = 0.0
    config.update_from_flattened_dict({name.replace("__", "."): v for name, v in changes.items()})
    return config


@pytest.fixture(scope="module")
def write(
    random_network: Callable[[ModelDescription], NASNet], tmp_path_factory: pytest.TempPathFactory
) -> Write:
    """Writes a model of random weights; `layers`, and fields of its description and skeleton."""

    def write_model(layers=None, preprocessing=WHITENED, class_names=None, **macro) -> Path:
        fields = {"num_cells": 1, "num_filters": 4, "num_classes": 10, "image_size": 8}
        description = ModelDescription(
            architecture=ARCHITECTURE,
            macro=Macro(**{**fields, "num_reductions": 1, "image_channels": 1, **macro}),
            preprocessing=preprocessing,
            class_names=class_names,
            layers=layers or {},
        )
        network = random_network(description)
        statistics = nnx.state(network, nnx.BatchStat)
        if layers:
            # As small as variances of trained networks are in places, where epsilon tells.
            statistics = jax.tree.map(lambda x: x / 100, statistics)
        folder = tmp_path_factory.mktemp("models") / "model"
        save_model(folder, description, nnx.state(network, nnx.Param), statistics)
        return folder

    return write_model


def program_of(config: ml_collections.ConfigDict, workdir: Path | None = None) -> TrainProgram:
    """The program of a training that starts from the model of its configuration."""
    settings = Origin.of(config, workdir).settings(config, ARCHITECTURE)
    return TrainProgram(settings, ARCHITECTURE, training_mesh(settings), steps_per_epoch=1)


@pytest.mark.parametrize("edges", EDGES)
def test_a_training_begins_with_the_logits_of_its_model(write: Write, edges: str) -> None:
    folder = write({"edges": edges, "norm_epsilon": 1e-2})
    config = make_config(folder)
    data = Origin.of(config, None).input(open_input(config))
    program = program_of(config)
    state, new = start_from(folder, program)
    assert not new
    network = nnx.merge(program.graph, *program.served(state))
    prepared = np.stack([data.prepare(image, 1) for image in IMAGES])
    wanted = nasnet_jax.load(folder).predict(IMAGES).logits
    np.testing.assert_allclose(network(prepared), wanted, atol=1e-4 * np.abs(wanted).max())
    # These weights tell borders, epsilon and the scale apart.
    config.init_from = ""
    plain = open_input(config)
    assert not np.allclose(prepared, [plain.prepare(image, 1) for image in IMAGES], atol=0.1)
    other = TrainProgram(config, ARCHITECTURE, training_mesh(config), steps_per_epoch=1)
    assert not np.allclose(nnx.merge(other.graph, *other.served(state))(prepared), wanted, rtol=0.1)


def test_training_images_and_test_images_are_on_the_scale_of_the_model(write: Write) -> None:
    config = make_config(write(), augment__crop_padding=0, augment__flip=False)
    data = Origin.of(config, None).input(open_input(config))
    assert data.preprocessing == WHITENED
    wanted = [WHITENED.apply(image) for image in IMAGES]
    augmented = [data.augment(image, 1, np.array([0, 1])) for image in IMAGES]
    np.testing.assert_allclose(augmented, wanted, atol=1e-5)
    np.testing.assert_allclose([data.prepare(image, 1) for image in IMAGES], wanted, atol=1e-5)


@pytest.mark.timeout(300)
def test_a_training_that_changes_nothing_ends_as_the_model_that_it_began_with(
    write: Write, tmp_path: Path
) -> None:
    folder = write({"edges": "keras", "norm_epsilon": 1e-2})
    config = make_config(folder, epochs=0.01, batch_norm__decay=1.0, weight_decay=0.0)
    config.optimizer.learning_rate = 1e-12
    run(config, tmp_path / "run")
    before, after = read_description(folder), read_description(tmp_path / "run")
    assert (after.layers, after.preprocessing) == (before.layers, before.preprocessing)
    wanted, found = (
        nasnet_jax.load(path).predict(IMAGES).logits for path in (folder, tmp_path / "run")
    )
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"edges": "same"}, "--config.edges=keras"),
        ({"batch_norm__epsilon": 1e-5}, "--config.batch_norm.epsilon=0.001"),
        ({"model__num_filters": 6, "model__num_cells": 2}, "model.num_cells=1 .*num_filters=4"),
        # The weights have the same shapes in both.
        ({"model__skip_reduction_layer_input": True}, "skip_reduction_layer_input=False"),
        ({"model__uniform_inputs": True}, "--config.model.uniform_inputs=False"),
        ({"dataset__channels": 3}, "--config.dataset.channels=1"),
    ],
)
def test_what_would_be_another_function_is_refused_with_what_to_set(
    write: Write, changes: dict[str, object], advice: str
) -> None:
    folder = write({"edges": "keras", "norm_epsilon": 1e-3})
    config = make_config(folder, **changes)
    with pytest.raises(ValueError, match=advice) as raised:
        Origin.of(config, None).settings(config, ARCHITECTURE)
    assert str(folder) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("source", ["keras", "slim"])
def test_the_recipes_for_imagenet_fit_imported_networks(network: str, source: str) -> None:
    spec = importlib.util.spec_from_file_location(
        "recipe", ROOT / "configs" / f"imagenet_{network}.py"
    )
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    layers = {"norm_epsilon": NORM_EPSILON, "edges": SOURCES[source].edges[network]}
    imported = ModelDescription(
        architecture=NASNET_A,
        macro=dataclasses.replace(NETWORKS[network], num_classes=1000),
        preprocessing=SOURCES[source].preprocessing[network],
        layers=layers,
    )
    settings = Origin("model", imported, False).settings(recipe.get_config(), NASNET_A)
    assert serving_layers(layer_config(settings)) == layers


def test_another_architecture_is_refused(write: Write) -> None:
    config = make_config(write())
    cells = ARCHITECTURE.one_line().replace("identity(1)", "identity(0)")
    with pytest.raises(ValueError, match="another architecture.*--config.architecture="):
        Origin.of(config, None).settings(config, parse_architecture(cells))


def test_settings_of_the_configuration_that_are_the_model_s_are_fine(write: Write) -> None:
    config = make_config(
        write({"edges": "timm", "norm_epsilon": 1e-3}), edges="timm", batch_norm__epsilon=1e-3
    )
    settings = Origin.of(config, None).settings(config, ARCHITECTURE)
    assert (settings.edges, settings.batch_norm.epsilon) == ("timm", 1e-3)


@pytest.mark.parametrize("num_classes", [7, None])
def test_other_classes_get_a_new_head_and_the_rest_is_the_model_s(
    write: Write, num_classes: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write(num_classes=num_classes)
    with caplog.at_level(logging.WARNING):
        state, new = start_from(folder, program_of(make_config(folder)))
    assert set(new) == {"head/linear/bias", "head/linear/kernel"}
    assert "new and untrained: head/linear/" in caplog.text
    _, parameters, statistics = read_model(folder)
    trained = dict(nnx.to_flat_state(parameters))
    for path, variable in nnx.to_flat_state(state.parameters):
        if path[0] != "head":
            np.testing.assert_array_equal(variable[...], trained[path][...])
    assert state.parameters["head"]["linear"]["kernel"].shape[-1] == 10
    jax.tree.map(np.testing.assert_array_equal, state.averages.parameters, state.parameters)
    jax.tree.map(np.testing.assert_array_equal, state.statistics, statistics)


def test_as_many_classes_of_other_names_are_told(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(write(class_names=tuple("abcdefghij")))
    with caplog.at_level(logging.WARNING):
        Origin.of(config, None).input(open_input(config))
    assert "classes of" in caplog.text and "other names" in caplog.text


def test_a_training_that_has_begun_needs_the_model_no_more(write: Write, tmp_path: Path) -> None:
    folder = write({"edges": "keras", "norm_epsilon": 1e-3})
    config = make_config(folder)
    begun = Origin.of(config, tmp_path)
    begun.keep(tmp_path)
    assert (tmp_path / ORIGIN_FILE).exists()
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        Origin.of(config, None)
    resumed = Origin.of(config, tmp_path)
    assert resumed == dataclasses.replace(begun, has_begun=True)
    # It asks for the weights only where nothing was saved.
    first = resumed.first_state(program_of(config, tmp_path))
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        first()
