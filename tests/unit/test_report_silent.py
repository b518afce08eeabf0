"""Points at which no latent fires: they have no L0 on a logarithmic axis."""

import pandas as pd

import made_up
from correct_l0.report.silent import drop_silent
from correct_l0.report.study import read_study


def test_a_silent_point_is_left_out_of_every_table_but_the_gaps():
    rows = pd.DataFrame({"l0": [0.3, 1.0, 3.0], "l0_measured": [8.0, 4.0, 0.0], "seed": 0})
    gaps = pd.DataFrame({"l0": [3.0], "seed": [0]})
    kept, silent = drop_silent({"points": rows, "c_dec": rows, "gaps": gaps})
    assert silent == [3.0]
    assert kept["points"]["l0"].tolist() == kept["c_dec"]["l0"].tolist() == [0.3, 1.0]
    assert kept["gaps"]["l0"].tolist() == [3.0]


def test_a_silent_point_is_named_and_the_others_are_read():
    tables = made_up.tables()
    highest = max(made_up.L0)
    for table in tables.values():
        if "l0_measured" in table:
            table.loc[table["l0"] == highest, "l0_measured"] = 0.0
    verdict = read_study(tables, d_sae=1536, l0=list(made_up.L0), training_tokens=1000)
    assert any(f"No latent fires at {highest:g} of the grid" in line for line in verdict["caveats"])
    assert len(verdict["c_dec"]["points"]) == len(made_up.L0) - 1
