"""What computing in bfloat16 does to rewards, by the rank correlation over children, and to speed."""

from __future__ import annotations

from typing import Any

from options import Options
from pairs import timed
from processes import Worker, ours
from results import Row, row
from sizes import architectures, message

CHILDREN = 32
EPOCHS = 4


def measure(options: Options) -> list[Row]:
    from scipy import stats

    children = 4 if options.quick else CHILDREN
    epochs = 1 if options.quick else EPOCHS
    asked = message(architectures(children, seed=5))
    rewards, seconds = {}, {}
    for name, seed, bfloat16 in (("float32", 0, False), ("bfloat16", 0, True), ("seed", 1, False)):
        settings = {"seed": seed, "bfloat16": bfloat16, "epochs": epochs}
        with Worker(ours(), "ours.rewards", settings) as worker:
            answer: dict[str, Any] = {}

            def train(_: int, worker: Worker = worker, answer: dict = answer) -> None:
                answer.update(worker.ask(asked))

            seconds[name] = timed(train, 0)
            rewards[name] = answer["rewards"]

    def correlation(other: str) -> float:
        return float(stats.spearmanr(rewards["float32"], rewards[other]).statistic)

    what = f"rank correlation of the rewards of {children} children, float32"
    return [
        row(
            what,
            "Spearman",
            correlation("bfloat16"),
            against="bfloat16",
            details={"rewards": rewards},
        ),
        row(what, "Spearman", correlation("seed"), against="float32 with another seed"),
        row(
            "training in bfloat16, quickstart size",
            "x",
            seconds["float32"] / seconds["bfloat16"],
            against="float32",
            details={"seconds": seconds},
        ),
    ]
