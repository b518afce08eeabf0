"""The report room: tables, verdict, figures and the page that people read.

Incoming: the manifests and results of the other rooms. Nothing heavy is imported here, because
the workflow reads the names below whenever it is parsed.

`RECIPE` changes when the same results give other numbers or another verdict.
"""

RECIPE = 2

TABLES = (
    "points", "c_dec", "s_n_dec", "probing", "baselines", "loss", "c_dec_training",
    "histograms", "init_cosines", "stability", "recovery", "gaps",
)  # fmt: skip
"""Names of the gathered tables."""

FIGURES = (
    "decoder_metrics", "f1", "s_n_dec", "reconstruction", "measured_l0", "training",
    "probing_tasks", "histograms", "decoder_cosines",
)  # fmt: skip
"""Names of the figures."""
