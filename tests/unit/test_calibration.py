"""The suite of worlds of known truth, and how it is judged."""

import itertools
import json
import os
from bisect import bisect_left
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from calibration import __main__ as command
from calibration import measure as measuring
from calibration.between import BETWEEN, NEAR, train_between
from calibration.estimators import ESTIMATORS, PRINTED, READING
from calibration.judge import conformal, judge, with_intervals
from calibration.measure import tables_of
from calibration.reports import is_right, right_of_hints
from calibration.search import GRID, SEARCH, known_points, search, searched_config, train_beside
from calibration.single import SINGLE, asked_by, judge_single, starts_of
from calibration.third_seed import THIRD_SEED, judge_third_seed, new_of, of_seeds
from calibration.truth import FOUND, Truth, truth_of, truths
from calibration.words import page, page_of_single, page_of_third_seed
from calibration.worlds import (
    GENERATORS,
    KINDS,
    SEEN,
    SEMI,
    SEMI_SYNTHETIC,
    SYNTHETIC,
    WHOLE,
    grid,
    world,
)
from correct_l0.errors import InputError
from correct_l0.reading.calibrated import (
    CONFIDENCE,
    DROP,
    NOMINAL,
    RIGHT_OF_HINTS,
)
from correct_l0.reading.peak import PROMINENCE
from correct_l0.reading.reading import FALLS, FLAT, READ, TOO_HIGH
from correct_l0.reading.shape import level_set
from correct_l0.report.study import read_study
from correct_l0.study.config import parse_config

ROOT = Path(__file__).parents[2]
MEASURED, SEARCHED = ROOT / command.MEASURED, ROOT / command.SEARCHED


@pytest.fixture(scope="module")
def measured():
    return pd.read_parquet(MEASURED)


@pytest.fixture(scope="module")
def searched():
    return pd.read_parquet(SEARCHED)


@pytest.fixture(scope="module")
def between():
    return pd.read_parquet(BETWEEN)


@pytest.fixture(scope="module")
def judged(measured, searched, between):
    return judge(measured, searched, between)


def test_a_world_is_a_function_of_its_number():
    assert json.dumps(world(17).config) == json.dumps(world(17).config)
    assert len({world(i).file for i in range(WHOLE)}) == WHOLE


def test_every_kind_is_as_often_in_both_halves():
    halves = pd.DataFrame([(world(i).kind, world(i).half) for i in range(48)])
    assert halves.value_counts().tolist() == [3] * 2 * len(KINDS)
    semi = [world(i).half for i in range(SYNTHETIC, SEMI_SYNTHETIC)]
    assert semi.count("choose") == semi.count("report") == 4


def test_worlds_drawn_later_are_all_to_report():
    later = [world(i) for i in range(SEMI_SYNTHETIC, WHOLE)]
    assert {each.half for each in later} == {"report"}
    assert sorted(each.kind for each in later) == sorted(KINDS * 3)


@pytest.mark.parametrize("number", [*range(SYNTHETIC), *range(SEMI_SYNTHETIC, WHOLE)])
def test_every_world_is_a_study_whose_grid_tells_no_truth(number):
    each = world(number)
    config = parse_config(each.config)
    assert list(config.saes.l0) == grid(config.saes.d_sae)
    assert config.points()[0][0] == f"{grid(config.saes.d_sae)[0]:g}"


def recovery(mcc, share, l0=(4.0, 8.0, 16.0)):
    return {
        "recovery": pd.DataFrame(
            {"l0": l0, "l0_measured": l0, "mcc": mcc, "share_recovered": share, "true_l0": 9.0}
        )
    }


@pytest.mark.parametrize(
    ("mcc", "share", "answer"),
    [
        ((0.5, 0.9, 0.6), (0.1, FOUND, 0.1), True),
        ((0.5, 0.9, 0.6), (0.1, FOUND - 0.01, 0.1), False),
        ((0.9, 0.8, 0.6), (0.8, 0.5, 0.1), False),
        ((0.5, 0.8, 0.9), (0.1, 0.5, 0.8), False),
    ],
    ids=["found", "too few found", "at the start", "at the end"],
)
def test_a_world_has_an_answer_where_its_features_are_found_inside_the_grid(mcc, share, answer):
    assert truth_of(recovery(mcc, share), features=50, d_sae=80).has_answer == answer


def test_what_is_right_is_the_best_of_all_saes_that_were_trained(measured, searched, between):
    """Taken from the tables by hand: world 48's search trained L0 5.6, between 4.8 and 6.8."""
    of_grid = truths(measured[measured["world"] == 48])[48].right
    assert of_grid == pytest.approx(6.68, abs=0.01)
    every = pd.concat([measured, searched, between])
    rows = every[(every["table"] == "recovery") & (every["world"] == 48)]
    assert rows.groupby("l0")["mcc"].mean().idxmax() == 5.6
    at_it = rows.loc[rows["l0"] == 5.6, "l0_measured"].mean()
    assert truths(measured, searched, between)[48].right == pytest.approx(at_it)


def test_what_is_right_has_near_neighbours_in_every_world(measured, searched, between):
    every = pd.concat([measured, searched, between])
    l0 = every[every["table"] == "points"].groupby(["world", "l0"])["l0_measured"].mean()
    for number, truth in truths(measured, searched, between).items():
        if truth.has_answer:
            trained = l0.loc[number].sort_values().tolist()
            at = bisect_left(trained, truth.right * (1 - 1e-9))
            assert trained[at + 1] / trained[at] < NEAR * 1.05
            assert trained[at] / trained[at - 1] < NEAR * 1.05


def test_saes_are_trained_between_the_best_and_its_neighbours():
    """Recovery is highest at 6: of four points at 8, whose gaps are halved; then at 5.7, again."""
    each = world(48)

    def table(l0):
        made_up = dict.fromkeys(itertools.chain(*measuring.KEPT.values()), 0.0)
        made_up |= {
            "mcc": [1 - abs(np.log(x / 6)) / 10 for x in l0], "share_recovered": 1.0, "d_in": 64
        }  # fmt: skip
        rows = pd.DataFrame({"l0": l0, "l0_measured": l0, "seed": 0, **made_up})
        return pd.concat([rows.assign(table=name) for name in measuring.KEPT])

    known = [2.0, 4.0, 8.0, 16.0]
    assert train_between(each, known, table) == (2.0, 4.0, 4.8, 5.7, 6.8, 8.0, 11.0, 16.0)


def test_conformal_intervals_cover_as_often_as_they_say():
    """Noisy parabolas: the drop is set on 200 of them and holds on 2,000 others."""
    draw, x = np.random.default_rng(0), np.linspace(0, 3, 10)

    def drops(count):
        found = []
        for place in draw.uniform(0.8, 2.2, count):
            curve = 0.8 - 0.3 * np.square(x - place) + draw.normal(0, 0.03, len(x))
            top = x[1:-1][curve[1:-1].argmax()]

            def covers(drop, curve=curve, top=top, place=place):
                low, high = level_set(x, curve, top, drop)
                return low <= place <= high

            # One interval lies in the next: the first that covers is found by halving.
            steps = np.linspace(0, 0.6, 301)
            found.append(steps[bisect_left(steps, True, key=covers)])
        return np.array(found)

    drop = conformal(drops(200), NOMINAL)
    # 2,000 draws have a standard error of .7%, the 200 that set the drop one of 2.1%.
    assert abs((drops(2000) <= drop + 1e-12).mean() - NOMINAL) < 0.05


def test_a_short_world_is_swept_once_and_kept(tmp_path, capsys):
    config = json.loads(json.dumps(world(2).config))
    config["saes"]["training"]["training_tokens"] = 20 * 256
    config["saes"]["l0"] = config["saes"]["l0"][::2]
    config["synthetic"]["held_out_tokens"] = 5000
    config["decoder_metrics"]["batches"] = 1
    short = replace(world(2), config=config)
    measuring.measure(short, tmp_path)
    (path,) = tmp_path.glob("*.parquet")
    assert path.name == short.file != world(2).file
    assert not (tmp_path / short.name).exists()
    written = path.stat().st_mtime_ns
    measuring.measure(short, tmp_path)
    assert path.stat().st_mtime_ns == written
    tables = tables_of(pd.read_parquet(path))
    assert sorted(tables["points"]["l0"].unique()) == sorted(config["saes"]["l0"])
    assert len(tables["stability"]) == len(config["saes"]["l0"])
    assert np.isfinite(tables["c_dec"]["value"]).all()


@pytest.mark.parametrize("folder", [command.RESULTS, *(x for _, _, x in command.POINTS.values())])
def test_a_semi_synthetic_world_finds_its_generator_from_every_folder(folder):
    sae = Path(world(SYNTHETIC).config[SEMI]["sae"])
    found = Path(os.path.normpath(folder / "world" / sae))
    assert found.parts[:2] == ("results", GENERATORS)


def test_a_search_trains_what_the_grid_lacks_once(tmp_path):
    config = json.loads(json.dumps(world(2).config))
    config["saes"]["training"]["training_tokens"] = 20 * 256
    config["synthetic"]["held_out_tokens"] = 5000
    config["decoder_metrics"]["batches"] = 1
    short = replace(world(2), config=config)
    # A range of 1 to 13 whose first round is 4 points with gaps of 13^(1/4) = 1.9, from 1.4 on.
    assert searched_config(short)["saes"]["l0"]["first"] == 4
    grid = measuring.sweep_in(
        tmp_path / "grid", {**config, "saes": {**config["saes"], "l0": [1.4, 9.4]}}
    )
    found = search(short, train_beside(short, grid, tmp_path))
    own = pd.read_parquet(tmp_path / short.file)
    assert sorted({*own["l0"], 1.4, 9.4}) == list(found.points)
    assert {2.6, 5.0} < {*own["l0"]}
    assert len(found.points) <= 6
    written = (tmp_path / short.file).stat().st_mtime_ns
    assert search(short, train_beside(short, grid, tmp_path)) == found
    assert (tmp_path / short.file).stat().st_mtime_ns == written
    with pytest.raises(InputError, match=r"L0 2.6 of a search is not in .*; run python -m calib"):
        known_points(grid)([1.4, 2.6])


def test_searches_cost_at_most_six_tenths_of_the_grid(judged):
    """What was trained is what the search of today asks for: else it would not be found."""
    searched = judged.searches[judged.searches["estimator"] == SEARCH]
    assert searched["trained"].max() <= 0.6 + 1e-9
    whole = judged.searches[judged.searches["estimator"] == GRID]
    assert set(whole["trained"]) == {1.0}


def test_semi_synthetic_worlds_need_the_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text((ROOT / "config/config.yaml").read_text())
    with pytest.raises(InputError, match="run make demo first, or make calibrate QUICK=1"):
        measuring.make_generators([SYNTHETIC])
    measuring.make_generators(range(SYNTHETIC))


def test_what_was_measured_is_of_this_suite(measured):
    numbers = set(measured["world"].astype(int))
    assert numbers <= set(range(WHOLE))
    assert {"superposed", "noise", "undertrained", SEMI} <= {world(i).kind for i in numbers}
    for number, table in measured.groupby("world"):
        swept = sorted(table.loc[table["table"] == "points", "l0"].unique())
        assert swept == sorted(world(int(number)).config["saes"]["l0"])


def test_the_readings_drop_is_enough_for_the_first_half(judged):
    assert judged.drop <= DROP == PROMINENCE


def test_what_reports_say_of_one_seed_is_what_was_counted(judged):
    assert right_of_hints(judged.reports) == RIGHT_OF_HINTS


@pytest.mark.parametrize(
    ("outcome", "right", "share", "is_so"),
    [
        (READ, 8.0, 0.9, True),
        (READ, 8.0, 0.1, False),  # no answer: none of its features is found
        (READ, 13.0, 0.9, False),
        (FALLS, 40.0, 0.9, True),
        (FALLS, 8.0, 0.9, False),
        (TOO_HIGH, 2.0, 0.9, True),
        (TOO_HIGH, 3.0, 0.9, False),
        (FLAT, 8.0, 0.9, False),
    ],
)
def test_what_is_said_of_one_seed_is_right_where_the_l0_is(outcome, right, share, is_so):
    verdict = {"outcome": outcome, "decision": {"low": 6.0, "high": 12.0}}
    truth = Truth(right=right, found=share, at_end=False, true_l0=9.0)
    assert is_right(verdict, truth, (2.0, 32.0)) == is_so


def test_the_reading_is_the_reports(measured, judged):
    """The estimator says what a report of the same tables would say."""
    rows = judged.worlds[judged.worlds["estimator"] == READING].set_index("world")
    printed_rows = judged.worlds[judged.worlds["estimator"] == PRINTED].set_index("world")
    for number, table in measured.groupby("world"):
        each = world(int(number))
        verdict = read_study(
            tables_of(table).copy(),
            d_sae=each.config["saes"]["d_sae"],
            l0=each.config["saes"]["l0"],
            training_tokens=each.config["saes"]["training"]["training_tokens"],
        )
        said = rows.loc[number]
        if verdict["outcome"] == READ:
            assert verdict["decision"]["l0"] == pytest.approx(said["l0"])
            assert verdict["decision"]["low"] == pytest.approx(said["low"])
            l0, low, high = (
                f"{printed_rows.loc[number, name]:g}" for name in ("l0", "low", "high")
            )
            assert verdict["headline"] == f"L0 about {l0} ({NOMINAL:.0%} interval {low} to {high})."
        else:
            assert np.isnan(printed_rows.loc[number, "l0"])
            assert np.isnan(said["l0"])


def test_an_interval_in_steps_is_the_conformal_one():
    """Errors of 0 to 18 tenths of a step on the first half: the 90% one of 19 is 1.8 - 0.1."""
    errors = np.arange(19) / 10
    rows = pd.DataFrame(
        {
            "estimator": "made up", "half": "choose", "has_answer": True, "right": 8.0,
            "l0": 8.0 * np.exp(-errors), "step": 1.0, "own_low": np.nan, "own_high": np.nan,
        }
    )  # fmt: skip
    found = with_intervals(rows)
    assert np.log(found["high"] / found["l0"]).to_numpy() == pytest.approx(1.7)


def test_every_estimator_is_told(measured, judged):
    text = page(judged)
    assert all(f"| {name} |" in text for name in ESTIMATORS)
    assert len(judged.worlds) == measured["world"].nunique() * len(ESTIMATORS)


def test_the_tables_and_counts_are_those_of_the_docs(judged):
    assert page(judged) in Path("docs/calibration.md").read_text()
    readme = " ".join(Path("README.md").read_text().split())
    printed = judged.worlds[judged.worlds["estimator"] == PRINTED]
    kept = printed[printed["half"] == "report"]
    unseen, whole = counts_of(kept[~kept["world"].isin(SEEN)]), counts_of(kept)
    assert unseen["refused"] == unseen["without"]
    assert whole["refused"] == whole["without"]
    assert (
        "it answers {answered} of {have} that have an answer, its 90% interval holds the right L0 "
        "in {hold} of these {answered}, and it refuses all {without} without one"
    ).format(**unseen) in readme
    assert (
        "{worlds} are kept to report on: it answers {answered} of {have}, {hold} of the {answered} "
        "intervals hold, and it refuses all {without} without an answer"
    ).format(worlds=len(kept), **whole) in readme


def counts_of(rows):
    have, without = rows[rows["has_answer"]], rows[~rows["has_answer"]]
    answers = have[have["l0"].notna()]
    return {
        "have": len(have), "answered": len(answers), "without": len(without),
        "hold": int(answers["right"].between(answers["low"], answers["high"]).sum()),
        "refused": int(without["l0"].isna().sum()),
    }  # fmt: skip


def test_the_table_of_single_saes_is_that_of_the_docs(measured, searched, between):
    judged = judge_single(pd.read_parquet(SINGLE), measured, searched, between)
    assert page_of_single(judged) in Path("docs/calibration.md").read_text()
    counted = {said: round(share, 2) for said, share in asked_by(judged).items()}
    assert counted == CONFIDENCE


def test_the_table_of_a_third_seed_is_that_of_the_docs(measured, searched, between):
    judged = judge_third_seed(pd.read_parquet(THIRD_SEED), measured, searched, between)
    assert page_of_third_seed(judged) in Path("docs/calibration.md").read_text()


def test_some_seeds_have_their_own_rows_and_the_pairs_that_they_make():
    table = pd.DataFrame(
        {"seed": [0, 1, 2, None, None, None], "seed_a": [None, None, None, 0, 0, 1],
         "seed_b": [None, None, None, 1, 2, 2]}
    )  # fmt: skip
    assert of_seeds(table, (0, 2)).index.tolist() == [0, 2, 4]
    assert of_seeds(table, (0, 1, 2)).index.tolist() == [0, 1, 2, 3, 4, 5]
    assert new_of(table).index.tolist() == [2, 4, 5]


def test_starts_leave_out_what_an_sae_cannot_have():
    each = world(53)
    assert each.config["saes"]["d_sae"] == 39
    assert starts_of(each, 3.0) == [0.9, 1.65, 3, 5.4, 9]
    assert starts_of(each, 12.0) == [3.6, 6.6, 12]


def test_show_prints_a_study(capsys):
    assert command.main(["--show", "3"]) == 0
    assert "study: world_003" in capsys.readouterr().out


def test_only_missing_worlds_are_swept_and_added(tmp_path, monkeypatch, measured, judged):
    kept = measured[measured["world"] != 14]
    kept.to_parquet(tmp_path / "measured.parquet", index=False)
    monkeypatch.setattr(command, "MEASURED", tmp_path / "measured.parquet")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(command, "judge", lambda measured, *points: judged)
    asked = []

    def sweep(do, worlds, cores, folder):
        asked.extend(worlds)
        folder.mkdir()
        measured[measured["world"] == 14].to_parquet(folder / world(14).file)

    monkeypatch.setattr(command, "each_world", sweep)
    assert command.main(["--missing"]) == 0
    assert asked == sorted({*range(WHOLE)} - set(kept["world"]))
    added = pd.read_parquet(tmp_path / "results" / "measured.parquet")
    assert len(added) == len(measured)
    assert set(added["world"]) == set(measured["world"])
