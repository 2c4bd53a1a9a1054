"""The command prints what a network costs without building it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from nasnet_jax.search.network_file import network_macro
from nasnet_jax.space import NASNET_A, Architecture, Macro, cost, parse_architecture

ROOT = Path(__file__).resolve().parent.parent
MOBILE = ROOT / "configs" / "imagenet_mobile.py"


def describe(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nasnet_jax.describe", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def test_json_of_an_architecture_file_at_another_size(tmp_path):
    file = tmp_path / "architecture.json"
    architecture: Architecture = NASNET_A.with_rule_outputs()
    architecture.save(file)
    done = describe(
        f"--config={MOBILE}",
        f"--architecture={file}",
        "--config.dataset.image_size=97",
        "--config.dataset.num_classes=7",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    macro = Macro(
        num_cells=4,
        num_filters=44,
        num_classes=7,
        image_size=97,
        stem="imagenet",
        stem_multiplier=1.0,
    )
    expected = cost(architecture, macro)
    assert data["trainable"] == expected.params
    assert data["params"] == expected.variables
    assert data["macs"] == expected.macs
    assert data["stages"][-1]["shape"] == [7]


def test_architectures_are_compared_in_one_skeleton():
    names = ["nasnet_a", "resnet", "vgg"]
    done = describe(f"--config={MOBILE}", "--compare", *names)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == names
    assert "5,326,716" in lines[-3] and "563,640,000" not in lines[-2]
    again = describe("--compare", "--json", f"--config={MOBILE}", *names)
    for found in json.loads(again.stdout):
        costs = cost(parse_architecture(found["name"]), network_macro(str(MOBILE)))
        assert (found["trainable"], found["macs"]) == (costs.params, costs.macs)
    refused = describe(f"--config={MOBILE}", "--compare", "nasnet_b")
    assert refused.returncode == 1 and "Error: NASNet-B is no architecture" in refused.stderr


def test_a_search_config_is_refused_in_one_line():
    done = describe(f"--config={ROOT / 'configs' / 'quickstart.py'}")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.strip().splitlines()[-1].startswith("Error: This config has no architecture")
