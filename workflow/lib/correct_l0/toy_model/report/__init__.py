"""The toy study's report: the curves read against the known truth, the ledger, figures and page.

Incoming: the gathered tables. Nothing heavy is imported here, because the workflow reads the names
below whenever it is parsed.

`RECIPE` changes when the same tables give other verdicts or other numbers.
"""

RECIPE = 1

ROOMS = ("reading", "report", "toy_model/report")
"""Folders of the package whose code and text the report is made by."""

FIGURES = (
    "toy_decoder_metrics", "toy_cosines", "toy_recovery", "toy_reconstruction", "toy_cosines_low",
    "toy_s_n_dec", "toy_transitions", "toy_transition_cosines", "toy_auto_l0", "toy_small_model",
    "toy_mixing", "toy_superposition", "toy_jumprelu", "toy_model",
)  # fmt: skip
"""Names of the figures, in the order of the page."""

CLAIM_COLUMNS = (
    "name", "part", "claim", "where", "published", "ours", "spread", "seeds", "threshold",
    "verdict", "figure",
)  # fmt: skip
"""Columns of the table `claims`."""
