from __future__ import annotations

import dataclasses
import errno
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from nasnet_jax import reading
from nasnet_jax.inference import (
    ModelDescription,
    read_description,
    read_model,
    save_model,
    saved_model,
)
from nasnet_jax.nn.nasnet import NASNet


def states(network: nnx.Module) -> tuple[nnx.State, nnx.State]:
    return nnx.state(network, nnx.Param), nnx.state(network, nnx.BatchStat)


def assert_equal(found: nnx.State, expected: nnx.State) -> None:
    found, expected = nnx.to_pure_dict(found), nnx.to_pure_dict(expected)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_what_four_devices_saved_is_read_on_one(
    tmp_path: Path, description: ModelDescription, network: NASNet
) -> None:
    mesh = jax.make_mesh((4,), ("data",))

    def spread(leaf: jax.Array) -> jax.Array:
        split = leaf.ndim == 1 and leaf.size % 4 == 0
        return jax.device_put(leaf, NamedSharding(mesh, P("data") if split else P()))

    spread_states = [jax.tree.map(spread, state) for state in states(network)]
    assert all(len(leaf.devices()) == 4 for leaf in jax.tree.leaves(spread_states))
    save_model(tmp_path / "new" / "model", description, *spread_states)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"model"}

    found, *read_states = read_model(tmp_path / "new")  # A workdir, which holds `model`.
    assert found == description
    for read, expected in zip(read_states, states(network), strict=True):
        assert_equal(read, expected)
    assert {len(leaf.devices()) for leaf in jax.tree.leaves(read_states)} == {1}


def test_a_model_is_replaced_whole_or_not_at_all(
    tmp_path: Path,
    model_folder: Path,
    description: ModelDescription,
    network: NASNet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    parameters, statistics = states(network)
    halved = jax.tree.map(lambda x: x / 2, parameters)
    with monkeypatch.context() as patch:
        patch.setattr(ocp.StandardCheckpointer, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            save_model(folder, description, halved, statistics)
    assert_equal(read_model(folder)[1], parameters)

    # What the call before has left behind does not disturb.
    save_model(folder, dataclasses.replace(description, config={}), halved, statistics)
    assert_equal(read_model(folder)[1], halved)
    assert read_description(folder).config == {}
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


def test_an_auxiliary_head_is_left_out(
    tmp_path: Path, description: ModelDescription, network: NASNet
) -> None:
    parameters, statistics = states(network)
    training = nnx.to_pure_dict(parameters) | {"aux_head": {"kernel": np.zeros(3)}}
    save_model(tmp_path / "model", description, nnx.State(training), statistics)
    assert_equal(read_model(tmp_path / "model")[1], parameters)


def test_weights_of_another_network_are_refused(
    tmp_path: Path, description: ModelDescription, network: NASNet
) -> None:
    parameters, statistics = states(network)
    wider = dataclasses.replace(
        description, macro=dataclasses.replace(description.macro, num_filters=6)
    )
    more = nnx.to_pure_dict(parameters) | {"extra": {"kernel": np.zeros(3)}}
    for described, given, message in (
        (wider, parameters, "has the shape"),
        (description, nnx.State({}), "has the shape None"),
        (description, nnx.State(more), "no extra/kernel"),
    ):
        with pytest.raises(ValueError, match=message):
            save_model(tmp_path / "model", described, given, statistics)
    assert not list(tmp_path.iterdir())


def test_what_is_not_a_model_is_not_overwritten(
    tmp_path: Path, description: ModelDescription, network: NASNet
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("more work")
    before = files(tmp_path)
    for name in ("folder", "file"):
        with pytest.raises(ValueError, match="not a model"):
            save_model(tmp_path / name, description, *states(network))
    assert files(tmp_path) == before


def test_folders_without_a_model_say_what_to_do(tmp_path: Path) -> None:
    for name, content in (
        ("search", "best_architecture.json"),
        ("training", "config.json"),
        ("foreign", "notes.txt"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / content).write_text("{}")
    for name, error, message in (
        ("missing", FileNotFoundError, "no folder.*missing.*Give the workdir"),
        ("search", ValueError, "same search command again"),
        ("training", ValueError, "Run the same command again"),
        ("foreign", ValueError, "holds no model.*Give the workdir"),
        ("foreign/notes.txt", ValueError, "is a file.*Give the workdir"),
    ):
        with pytest.raises(error, match=message) as raised:
            read_model(tmp_path / name)
        assert "\n" not in str(raised.value)


def test_damaged_weights_say_where(tmp_path: Path, model_folder: Path) -> None:
    shutil.copytree(model_folder, tmp_path / "cut")
    (data,) = (tmp_path / "cut" / "weights" / "d").iterdir()
    data.write_bytes(data.read_bytes()[:100])
    shutil.copytree(model_folder, tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone" / "weights")
    shutil.copytree(model_folder, tmp_path / "swapped")
    text = json.loads((tmp_path / "swapped" / "model.json").read_text())
    text["macro"]["num_filters"] = 6
    (tmp_path / "swapped" / "model.json").write_text(json.dumps(text))
    # In a process of its own, since Orbax leaves reads behind that it has begun and not awaited.
    program = (
        "from nasnet_jax.inference import read_model\n"
        "for name in ('cut', 'gone', 'swapped'):\n"
        "    try:\n"
        f"        read_model({str(tmp_path)!r} + '/' + name)\n"
        "    except ValueError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line, name in zip(lines, ("cut", "gone", "swapped"), strict=True):
        assert re.search(f"{name}/weights.*damaged or belong to another .* copy .* says: .", line)


def test_weights_that_cannot_be_opened_are_not_called_damaged(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WAITS", (0.01,))
    folder = shutil.copytree(model_folder, tmp_path / "model")
    for path in (folder / "weights").rglob("_METADATA"):
        path.unlink()
        path.symlink_to(path)  # Which nobody can open, root neither.
    with pytest.raises(OSError, match="Too many levels of symbolic links.*_METADATA"):
        read_model(folder)


@pytest.mark.parametrize("name", ["a[1]b", "a*b", "a?b"])
def test_a_model_is_not_written_where_it_could_not_be_read_again(
    tmp_path: Path, description: ModelDescription, model_folder: Path, name: str
) -> None:
    _, *states = read_model(
        shutil.copytree(model_folder, tmp_path / name)
    )  # It can be copied there.
    with pytest.raises(ValueError, match="Nothing can be written below .* Choose another folder"):
        save_model(tmp_path / f"{name}2" / "model", description, *states)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(importlib.util.find_spec("gcsfs") is not None, reason="gcsfs is installed")
def test_google_cloud_storage_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="pip install gcsfs"):
        read_model("gs://bucket/model")


def test_a_remote_folder_takes_what_an_interrupted_call_began_but_nothing_else(
    tmp_path: Path,
    description: ModelDescription,
    network: NASNet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Where a folder cannot be renamed, everything is written in its place.
    monkeypatch.setattr(saved_model, "is_remote", lambda path: True)
    folder = tmp_path / "model"
    save_model(folder, description, *states(network))
    (folder / "model.json").unlink()
    save_model(folder, description, *states(network))
    assert_equal(read_model(folder)[1], states(network)[0])

    (folder / "model.json").unlink()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="not a model"):
        save_model(folder, description, *states(network))


def test_a_model_that_cannot_be_written_says_where(
    tmp_path: Path,
    description: ModelDescription,
    network: NASNet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ocp.StandardCheckpointer, "save", fail)
    with pytest.raises(OSError, match=r"The model in .*/here could not be written: .*No space"):
        save_model(tmp_path / "here", description, *states(network))


def test_a_damaged_description_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(ValueError, match=r"model\.json.*not JSON"):
        read_model(tmp_path)


def test_a_relative_path_is_one_too(
    tmp_path: Path,
    description: ModelDescription,
    network: NASNet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model("model", description, *states(network))
    assert read_model("model")[0] == description
