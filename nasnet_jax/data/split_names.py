"""What people call the folders of training, validation and test images."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

_WORDS = {
    "train": ("train", "training", "trn"),
    "test": ("test", "testing", "tst", "holdout"),
    "val": (
        *("val", "valid", "validation", "validate", "validating"),
        *("dev", "devel", "development", "eval", "evaluation", "evaluate"),
    ),
}
_ROLES = {word: role for role, words in _WORDS.items() for word in words}
_FILLER = (
    "(?:set|data|dataset|images?|imgs?|pics?|pictures?|photos?|files?|folder|split|samples?|seg)"
)
"""What stands around such a word and says nothing: `training_set`, `test images`, `img-val`."""
_NAME = re.compile(f"{_FILLER}*({'|'.join(sorted(_ROLES, key=len, reverse=True))}){_FILLER}*[0-9]*")
_LETTERS = re.compile(r"[^\W\d_]+")


def split_role(name: str) -> str | None:
    """Returns which split a folder's name stands for: `train`, `val`, `test`, or none of them.

    Neither case nor what separates words matters, nor a number at the end: `Training_Set`,
    `train2017` and `trainimages` are all `train`.
    """
    match = _NAME.fullmatch("".join(re.findall(r"[^\W_]+", _plain(name))))
    return _ROLES[match[1]] if match else None


def splits_among(names: Iterable[str]) -> list[str]:
    """Returns the names that differ in nothing but the split, as `birds_train` and `birds_test`.

    Names without such a partner are not among them: `bullet_train` alone is no split.
    """
    parts: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        role = split_role(name)
        if role is not None:
            parts[""][name] = role
            continue
        words = _LETTERS.findall(_plain(name))
        for place, word in enumerate(words):
            if word in _ROLES:
                rest = " ".join(words[:place] + words[place + 1 :])
                parts[rest][name] = _ROLES[word]
    return sorted({name for part in parts.values() if len(set(part.values())) > 1 for name in part})


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
