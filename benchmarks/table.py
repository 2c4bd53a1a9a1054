"""Puts the table of results into README.md: `python benchmarks/table.py`. No number is by hand."""

from __future__ import annotations

import pathlib
from typing import Any

import figure
import results
from results import Row

HERE = pathlib.Path(__file__).resolve().parent
RESULTS = HERE / "results"
README = HERE / "README.md"
BEGIN, END = "<!-- results: made by table.py -->", "<!-- end of results -->"
BENCHMARKS = (
    "children",
    "static",
    "compile",
    "start",
    "memory",
    "inference",
    "step",
    "recipes",
    "devices",
    "loop",
    "controller",
    "operations",
    "forms",
    "order",
    "conditionals",
    "together",
    "bfloat16",
    "scale",
)
"""The files of `rows/` in the order of the table, without those that are for GPUs alone."""
OF_GPUS = ("graphs", "kinds", "steps", "cifar")
"""Those, which `on_gpu.sh` runs."""

PLATFORMS = {"cpu": "CPU", "gpu": "GPU", "tpu": "TPU"}


def write() -> None:
    """Replaces what stands between the two marks."""
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = [platform_text(platform) for platform in PLATFORMS]
    README.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}")


def platform_text(platform: str) -> str:
    """The heading, the machine and the table of one kind of device."""
    title = f"### {PLATFORMS[platform]}"
    files = [RESULTS / platform / f"{name}.json" for name in BENCHMARKS + OF_GPUS]
    files = [file for file in files if file.exists()]
    if not files:
        return f"{title}\n\nNot measured."
    earlier: dict[tuple[str, str], Row] = {}
    for file in sorted((RESULTS / f"{platform}_before").glob("*.json")):
        earlier |= {(one.what, one.against): one for one in results.read(file)[0]}
    lines = [
        "| what | against | target | before | measured (quartiles) | met | benchmark |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    machines = []
    for file in files:
        rows, content = results.read(file)
        machines.append(machine_text(content["machine"]))
        for one in rows:
            before = earlier.get((one.what, one.against))
            cells = (
                one.what,
                one.against,
                results.target_text(one) + (f" {one.unit}" if results.target_text(one) else ""),
                "" if before is None else f"{before.value:.3g} {before.unit}",
                f"**{one.value:.3g} {one.unit}** ({one.low:.3g} to {one.high:.3g})",
                {True: "yes", False: "no", None: ""}[one.met],
                f"[`{file.stem}`](results/{platform}/{file.name}), {content['date']}",
            )
            lines.append("| " + " | ".join(cells) + " |")
    described = "; ".join(dict.fromkeys(machines))
    missing = [name for name in BENCHMARKS if not (RESULTS / platform / f"{name}.json").exists()]
    notes = [f"Not measured: {', '.join(missing)}."] if missing else []
    scale = RESULTS / platform / "scale.json"
    if scale.exists():
        figure.draw(results.read(scale)[0], scale.with_suffix(".svg"))
        notes.append(f"![Cost against work](results/{platform}/scale.svg)")
    return "\n\n".join([title, described, "\n".join(lines), *notes])


def machine_text(machine: dict[str, Any]) -> str:
    """The machine for people."""
    what = "core" if machine["platform"] == "cpu" else "device"
    plural = "s" if machine["devices"] > 1 else ""
    return (
        f"{machine['device']}, {machine['devices']} {what}{plural}, Python {machine['python']}, JAX "
        f"{machine['jax']}, jaxlib {machine['jaxlib']}"
    )


if __name__ == "__main__":
    write()
