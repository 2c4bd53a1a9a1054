"""What lies in the folder of a search or a training: names of files, and what they hold.

Besides them there are `model/` (`nasnet_jax.inference.saved_model`), `checkpoints/` in Orbax's form, and
the events of TensorBoard.
"""

from __future__ import annotations

CONFIG_FILE = "config.json"
"""The configuration, as ml_collections writes it."""
DATA_FILE = "data.json"
"""The fingerprint of the data set (`nasnet_jax.data.fingerprint`)."""
LOCK_FILE = "run.lock"
"""Who is at work here (`nasnet_jax.lock`)."""
LEFT_OUT_FILE = "left_out.txt"
"""Images that could not be decoded, a line each."""
SUMMARY_FILE = "summary.json"
"""What came out, once the run has finished."""

# Of a search.
HISTORY_FILE = "history.csv"
"""Every child (`nasnet_jax.search.history`)."""
PARETO_FILE = "pareto.json"
"""Those that no other surpasses in accuracy and cost."""
REFERENCES_FILE = "references.json"
"""Named architectures that were trained as children are."""
WARM_START_FILE = "warm_start.json"
"""What was taken over from earlier searches."""
BEST_FILE = "best_architecture.json"
"""The architecture that was chosen."""
REPORT_FILE = "report.html"
"""One page of all this (`nasnet_jax.report`)."""

# Of a training.
ARCHITECTURE_FILE = "architecture.json"
"""The architecture that is trained."""
PARAMETERS_FILE = "parameters.txt"
"""Names and shapes of all parameters."""
ORIGIN_FILE = "init_from.json"
"""The model whose weights it started from."""
