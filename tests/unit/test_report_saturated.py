"""Coefficients that end at one L0, and c_dec of prefixes, as the report has them."""

import pandas as pd

import made_up
from correct_l0.report.saturated import one_of_each
from correct_l0.report.study import read_study


def test_of_coefficients_within_three_percent_the_lowest_stays():
    rows = pd.DataFrame(
        {
            "l0": [4.0, 2.0, 1.0, 0.5, 0.25],
            "l0_measured": [5.0, 10.0, 10.2, 10.3, 10.4],
            "seed": 0,
        }
    )
    kept, merged = one_of_each({"points": rows, "c_dec": rows, "gaps": rows}, "coefficient")
    # 10.3 is 3% above 10, 10.4 is 4% above.
    assert merged == [(0.5, 1.0, 2.0)]
    assert kept["points"]["l0"].tolist() == kept["c_dec"]["l0"].tolist() == [4.0, 0.5, 0.25]
    assert kept["gaps"]["l0"].tolist() == rows["l0"].tolist()


def test_nothing_is_merged_where_every_l0_is_another():
    rows = pd.DataFrame({"l0": [1.0, 2.0], "l0_measured": [10.0, 5.0]})
    kept, merged = one_of_each({"points": rows}, "coefficient")
    assert merged == []
    assert kept["points"] is rows


def read(tables, **options):
    return read_study(tables, d_sae=1536, l0=list(made_up.L0), training_tokens=1000, **options)


def test_the_verdict_says_that_the_penalty_saturates():
    """The two lowest points are made to measure the same."""
    tables = made_up.tables()
    low, second, *_ = made_up.L0
    for table in tables.values():
        if "l0_measured" in table:
            table.loc[table["l0"] == second, "l0_measured"] = low * 1.01
    verdict = read(tables, swept="coefficient")
    said = [line for line in verdict["caveats"] if "saturates" in line]
    assert said == [
        f"The penalty saturates: its coefficients {low:g} and {second:g} all end at L0 "
        f"{low * 1.003:.3g}, within 3%. They are one point, that of {low:g}."
    ]
    assert len(verdict["c_dec"]["points"]) == len(made_up.L0) - 1
    assert not any("off its target" in line for line in verdict["caveats"])


def test_targets_that_measure_one_l0_are_one_point():
    """Two neighbours of the peak measure what it does: no parabola goes through one place."""
    tables = made_up.tables(shared=made_up.PEAKED)
    low, top, high = made_up.L0[4:7]
    for table in tables.values():
        if "l0_measured" in table:
            table.loc[table["l0"].isin((low, high)), "l0_measured"] = top * 1.003
    verdict = read(tables)
    assert verdict["outcome"] == "read" and 32 < verdict["decision"]["l0"] < 300
    assert len(verdict["c_dec"]["points"]) == len(made_up.L0) - 2
    (said,) = [line for line in verdict["caveats"] if "They are one point" in line]
    assert said == (
        f"The SAEs of the targets {low:g}, {top:g} and {high:g} all end at L0 128, within 0.1%. "
        f"They are one point, that of {low:g}."
    )


def test_targets_a_percent_apart_are_two_points():
    rows = pd.DataFrame({"l0": [100.0, 101.0], "l0_measured": [100.0, 101.0]})
    assert one_of_each({"points": rows}, "l0")[1] == []
    assert one_of_each({"points": rows}, "number")[1] == [(100.0, 101.0)]


def test_targets_are_not_merged():
    verdict = read(made_up.tables())
    assert not any("saturates" in line for line in verdict["caveats"])
    assert len(verdict["c_dec"]["points"]) == len(made_up.L0)


def test_c_dec_of_prefixes_has_a_line_of_its_own():
    tables = made_up.tables()
    rows = tables["c_dec"]
    lower = rows.assign(latents=12, value=rows["value"] / 2)
    tables["c_dec_prefixes"] = pd.concat([lower, rows.assign(latents=48)])
    (line,) = [x for x in read(tables)["lines"] if "of the first" in x]
    best = rows.groupby("l0")["value"].mean()
    assert line.startswith(
        f"c_dec of the first 12 latents alone is lowest at L0 {best.idxmin():g} "
        f"({best.min() / 2:.3g}) and of the first 48 latents alone is lowest at L0 "
    )
    assert not any("of the first" in x for x in read(made_up.tables())["lines"])
