from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasnet_jax.data.split_names import split_role, splits_among

WORDS = {
    "train": ["train", "training"],
    "test": ["test", "testing"],
    "val": ["val", "valid", "validation", "dev", "eval", "evaluation"],
}


@given(
    st.sampled_from([(role, word) for role, words in WORDS.items() for word in words]),
    st.sampled_from(["", "set", "_set", "-data", " images", "_imgs"]),
    st.sampled_from(["", "img_", "data-", "Seg "]),
    st.sampled_from(["", "1", "_2017"]),
    st.sampled_from([str, str.upper, str.title, str.capitalize]),
)
def test_splits_are_known_in_every_spelling(role_and_word, after, before, number, change) -> None:
    role, word = role_and_word
    assert split_role(change(f"{before}{word}{after}{number}")) == role


@pytest.mark.parametrize(
    "name",
    ["cat", "trains", "trainer", "tester", "bullet_train", "value", "devil", "set", "2017", ""],
)
def test_other_names_are_none(name: str) -> None:
    assert split_role(name) is None


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (
            ["asl_alphabet_test", "asl_alphabet_train", "notes"],
            ["asl_alphabet_test", "asl_alphabet_train"],
        ),
        (["train-2020 cats", "2021 Cats (val)"], ["2021 Cats (val)", "train-2020 cats"]),
        (["Training", "valid"], ["Training", "valid"]),
        (["bullet_train", "test_tube", "cat"], []),
        (["bicycle", "bus", "train"], []),
        (["train_a", "training_a"], []),
    ],
)
def test_names_that_differ_by_the_split_alone_are_found(names: list[str], found: list[str]) -> None:
    assert splits_among(names) == found
