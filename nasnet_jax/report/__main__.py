"""Reports: `python -m nasnet_jax.report WORKDIR [WORKDIR ...] [--output=FILE] [--open]`."""

from __future__ import annotations

import webbrowser

from absl import app, flags

from nasnet_jax import command

_OUTPUT = flags.DEFINE_string("output", None, "File to write; report.html in the first WORKDIR.")
_OPEN = flags.DEFINE_bool("open", False, "Show the report in a browser.")


def main(argv: list[str]) -> None:
    """Parses the command line, writes the report and shows it if asked to."""
    if len(argv) < 2:
        raise app.UsageError("Give the workdir of a search, or of several to compare.")
    from nasnet_jax.report.page import write_report

    path = write_report(*argv[1:], output=_OUTPUT.value)
    print(f"Written to {path} ({path.stat().st_size / 1e6:.1f} MB)")
    if _OPEN.value and not webbrowser.open(path.as_uri()):
        print("No browser was found here; open the file in one.")


if __name__ == "__main__":
    command.run(main)
