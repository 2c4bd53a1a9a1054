from __future__ import annotations

from pathlib import Path

import ml_collections
import pytest

from nasnet_jax.workdir import absolute_workdir, claim_workdir


def test_an_address_is_refused_and_makes_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="'gs://bucket/run' is no folder.*mount the bucket"):
        claim_workdir("gs://bucket/run", ml_collections.ConfigDict())
    assert not list(tmp_path.iterdir())


def test_a_folder_stays_the_same_wherever_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_workdir("runs/../run") == tmp_path / "run"
