from __future__ import annotations

from nasnet_jax.space import COMBINERS, DESCRIPTIONS, LABELS, OPERATIONS


def test_the_order_is_the_papers():
    assert len(OPERATIONS) == 13
    assert OPERATIONS[0] == "identity"
    assert OPERATIONS[3:8] == (
        "dilated_conv_3x3",
        "avg_pool_3x3",
        "max_pool_3x3",
        "max_pool_5x5",
        "max_pool_7x7",
    )
    assert OPERATIONS[-3:] == ("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7")
    assert COMBINERS == ("add", "concat")


def test_every_word_has_its_own_label_and_a_description():
    words = OPERATIONS + COMBINERS
    assert set(LABELS) == set(DESCRIPTIONS) == set(words)
    assert len(set(LABELS.values())) == len(words)
    assert all(DESCRIPTIONS[word].endswith(".") for word in words)
