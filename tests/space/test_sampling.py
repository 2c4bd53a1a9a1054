from __future__ import annotations

import numpy as np
import pytest

from nasnet_jax.space import (
    NAMED,
    NASNET_A,
    Architecture,
    choices,
    parse_architecture,
    sample_architecture,
)


def test_sampling_is_uniform_over_every_decision():
    rng = np.random.default_rng(0)
    samples = np.stack([sample_architecture(rng, 2).decisions() for _ in range(2600)])
    for column, options in zip(samples.T, choices(2), strict=True):
        counts = np.bincount(column, minlength=options)
        expected = len(samples) / options
        # Six standard deviations of a binomial count.
        assert np.all(np.abs(counts - expected) < 6 * np.sqrt(expected))


def test_sampling_repeats_with_the_seed():
    first, second, other = (sample_architecture(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first == second != other


def test_three_ways_to_write_an_architecture(tmp_path):
    drawn = sample_architecture(np.random.default_rng(0))
    drawn.save(tmp_path / "drawn.json")
    drawn.save(tmp_path / "no_suffix")
    assert parse_architecture(" NASNet_A ") is NASNET_A
    assert parse_architecture(str(tmp_path / "drawn.json")) == drawn
    assert parse_architecture(str(tmp_path / "no_suffix")) == drawn
    assert (
        parse_architecture(drawn.one_line())
        == drawn
        == Architecture.from_one_line(drawn.one_line())
    )


def test_architectures_by_name():
    assert len({architecture.one_line() for architecture in NAMED.values()}) == len(NAMED) == 6
    for name, architecture in NAMED.items():
        assert parse_architecture(name.upper()) == architecture
        # So that a search with the paper's B can train it.
        assert architecture.num_blocks == 5
    for name, reason in (("nasnet_b", "four hidden states"), ("NASNet_C", "normaliz")):
        with pytest.raises(ValueError, match=reason):
            parse_architecture(name)


def test_other_texts_are_refused_with_the_three_ways():
    with pytest.raises(ValueError, match="xception.*, the path of a .json file, or the one-line"):
        parse_architecture("nasnet_z")
    with pytest.raises(ValueError, match="'' is not an architecture"):
        parse_architecture("")
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        parse_architecture("gone.json")
