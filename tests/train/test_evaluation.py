from __future__ import annotations

import jax
import numpy as np
import pytest

from nasnet_jax.train.evaluation import batch_sums


def test_sums_are_those_of_a_count_by_hand():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40, 9)).astype(np.float32)
    labels = rng.integers(0, 9, 40).astype(np.int32)
    mask = rng.random(40) < 0.7
    ranks = (logits > logits[np.arange(40), labels][:, np.newaxis]).sum(1)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    losses = -np.log(shifted[np.arange(40), labels] / shifted.sum(1))
    found = {name: float(value) for name, value in batch_sums(logits, labels, mask).items()}
    assert found == {
        "top1": (ranks[mask] < 1).sum(),
        "top5": (ranks[mask] < 5).sum(),
        "loss": pytest.approx(losses[mask].sum(), rel=1e-5),
        "count": mask.sum(),
    }
    assert 0 < found["top1"] < found["top5"] < found["count"]


def test_three_classes_have_no_top_5_but_the_whole():
    found = batch_sums(np.eye(3, dtype=np.float32), np.array([0, 1, 1]), np.ones(3, bool))
    assert jax.tree.map(int, found)["top1"] == 2
    assert jax.tree.map(int, found)["top5"] == 3


def test_a_diverged_network_is_right_nowhere():
    found = batch_sums(np.full((4, 3), np.nan, np.float32), np.zeros(4, int), np.ones(4, bool))
    assert int(found["top1"]) == int(found["top5"]) == 0
