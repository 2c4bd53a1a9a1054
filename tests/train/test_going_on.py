"""Whether a training can go on for longer."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_training

from nasnet_jax.inference.saved_model import MODEL_FILE, MODEL_FOLDER, read_model
from nasnet_jax.run_files import SUMMARY_FILE
from nasnet_jax.train.config import default_config
from nasnet_jax.train.going_on import finished_summary, may_change, reasons
from nasnet_jax.train.loop import run
from nasnet_jax.workdir import Workdir


@pytest.mark.parametrize(
    ("schedule", "drop", "reason"),
    [
        ("exponential", 0.0, ""),
        ("exponential", 0.3, "share of dropped paths rises until their end, .* init_from"),
        ("cosine", 0.0, "cosine of the learning rate ends with them, .* init_from"),
    ],
)
def test_more_epochs_where_nothing_before_depends_on_them(
    tmp_path: Path, schedule: str, drop: float, reason: str
) -> None:
    config = default_config()
    config.optimizer.schedule, config.drop_path.final_drop_prob = schedule, drop
    (tmp_path / "config.json").write_text(config.to_json_best_effort(), encoding="utf-8")
    (tmp_path / SUMMARY_FILE).write_text(json.dumps({"epochs": config.epochs}), encoding="utf-8")
    (tmp_path / MODEL_FOLDER).mkdir()
    (tmp_path / MODEL_FOLDER / MODEL_FILE).touch()

    def place() -> Workdir:
        return Workdir(
            tmp_path,
            config,
            defaults=default_config(),
            may_change=may_change(config),
            reasons=reasons(config),
        )

    assert finished_summary(place(), config) is not None
    config.epochs += 10
    if reason:
        with pytest.raises(ValueError, match=f"epochs: there 600.0, here 610.0 .the {reason}"):
            place()
    else:
        assert finished_summary(place(), config) is None
        config.epochs -= 20
        with pytest.raises(ValueError, match="epochs: .*what is trained is not taken back"):
            place()


def test_a_finished_training_with_more_epochs_is_the_longer_one(tmp_path: Path) -> None:
    config = tiny_training.get_config()
    config.optimizer.schedule, config.drop_path.final_drop_prob = "exponential", 0.0
    config.checkpoint_epochs = 1.0
    for name, epochs in (("grown", 1.0), ("grown", 2.0), ("straight", 2.0)):
        config.epochs = epochs
        assert run(config, tmp_path / name)["epochs"] == epochs
    found, wanted = (read_model(tmp_path / name)[1:] for name in ("grown", "straight"))
    jax.tree.map(np.testing.assert_array_equal, found, wanted)
