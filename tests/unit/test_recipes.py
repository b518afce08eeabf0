"""Every stage computes the numbers of its RECIPE; whoever changes them is told what to bump."""

import ast
import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest

import golden
from correct_l0.saes.architectures import DEFAULT, NAMES
from golden import check, golden_file, renew
from golden_numbers import STAGES, Golden

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.numbers
def test_the_numbers_are_those_of_the_recipe(stage):
    check(stage)


@pytest.mark.parametrize(
    ("stage", "constant", "value", "message"),
    [
        ("activations", "correct_l0.sources.language_model.window.SPLITS", ("held_out", "training"),
         "set RECIPE = 2 in workflow/lib/correct_l0/sources/language_model/__init__.py"),
        ("probing_cache", "correct_l0.metrics.probing.cache.PROMPT_TOKENS", 3,
         "set CACHE_RECIPE = 2 in workflow/lib/correct_l0/metrics/probing/__init__.py"),
        ("worlds", "correct_l0.sources.synthetic.sparse.RARE", 1 / 32,
         "set RECIPE = 2 in workflow/lib/correct_l0/sources/synthetic/__init__.py"),
        ("semi_synthetic", "correct_l0.sources.semi_synthetic.store.SURVEY_BATCHES", 1,
         "set RECIPE = 2 in workflow/lib/correct_l0/sources/semi_synthetic/__init__.py"),
        ("saes", "correct_l0.saes.training.train.PARTS", 9,
         "set RECIPE = 2 in workflow/lib/correct_l0/saes/__init__.py"),
        ("decoder_metrics", "correct_l0.metrics.decoder.histogram.COARSE_BINS_PER_UNIT", 2**5,
         "set RECIPE = 2 in workflow/lib/correct_l0/metrics/decoder/__init__.py"),
        ("probing", "correct_l0.metrics.probing.data.MAX_TRAIN_ROWS", 900,
         "set RECIPE = 2 in workflow/lib/correct_l0/metrics/probing/__init__.py"),
        ("report", "correct_l0.reading.curve.PRIOR_WEIGHT", 20.0,
         "set RECIPE = 2 in workflow/lib/correct_l0/reading/__init__.py"),
        ("recovery", "correct_l0.metrics.recovery.measure.RECOVERED", 0.8,
         "set RECIPE = 2 in workflow/lib/correct_l0/metrics/recovery/__init__.py"),
        ("stability", "correct_l0.metrics.stability.measure.REPRODUCED", 0.8,
         "set RECIPE = 2 in workflow/lib/correct_l0/metrics/stability/__init__.py"),
        ("stored", "correct_l0.sources.stored.rows.PIECE_BYTES", 4096,
         "set RECIPE = 2 in workflow/lib/correct_l0/sources/stored/__init__.py"),
        ("frozen_control", "correct_l0.study.frozen_control.SEEDS", 1,
         "set RECIPE = 2 in workflow/lib/correct_l0/study/frozen_control.py"),
        ("self_check", "correct_l0.study.self_check.SHARE", 0.5,
         "set RECIPE = 2 in workflow/lib/correct_l0/study/self_check.py"),
        ("train_on", "correct_l0.study.train_on.WARM_UP", 0.2,
         "set RECIPE = 2 in workflow/lib/correct_l0/study/train_on.py"),
        ("small_model", "paper.small_model.PROBABILITY", 0.3,
         "set RECIPE = 2 in paper/small_model.py"),
    ],
)  # fmt: skip
def test_a_changed_constant_is_found(stage, constant, value, message, monkeypatch):
    monkeypatch.setattr(constant, value)
    message = re.sub(r"= 2 ", f"= {STAGES[stage].recipe + 1} ", message)
    expected = rf"{stage} computes other numbers .* -> .*{re.escape(message)}.*renew\.py {stage}`"
    with pytest.raises(AssertionError, match=expected):
        check(stage)


def recipes_in(*folders):
    """Return every recipe of the code: the file, from the root on, and the constant's name."""
    return {
        (path.relative_to(ROOT), target.id)
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and re.fullmatch(r"(\w+_)?RECIPE", target.id)
    }


def test_every_recipe_has_numbers():
    recipes = recipes_in("workflow", "paper", "calibration")
    assert (Path("paper/small_model.py"), "RECIPE") in recipes
    held = {(each.file, each.constant) for each in STAGES.values()}
    assert recipes - held == set(), "without numbers in tests/unit/golden"
    assert {path.stem for path in golden.FOLDER.glob("*.json")} == {*STAGES}


def test_every_architecture_has_numbers_and_a_recipe_of_its_own():
    own = {name: STAGES[f"saes_{name}"] for name in NAMES if name != DEFAULT}
    for name, stage in own.items():
        assert stage.file.name == f"{name}.py"
        assert f"RECIPE = {stage.recipe}\n" in (ROOT / stage.file).read_text()
    by_others = {name for name, stage in own.items() if stage.made_with == ("sae-lens",)}
    assert by_others == {"abstopk", "standard", "gated"}


def recorded(monkeypatch, tmp_path, recipe):
    """Let decoder_metrics' record, in a copy, be of another recipe."""
    content = json.loads(golden_file("decoder_metrics").read_text())
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    golden_file("decoder_metrics").write_text(json.dumps(content | {"recipe": recipe}))


def test_numbers_of_another_version_of_a_library_are_told_as_such(monkeypatch, tmp_path):
    monkeypatch.setattr(golden, "FOLDER", tmp_path)
    made = Golden(lambda: {"l0": 4}, "saes", "RECIPE", 3, made_with=("sae-lens",))
    monkeypatch.setitem(STAGES, "made", made)
    assert renew(["made"]) == 0
    content = json.loads(golden_file("made").read_text())
    assert content["made_with"] == {"sae-lens": version("sae-lens")}
    told = {"made_with": {"sae-lens": "6.0"}, "numbers": {"l0": 5}}
    golden_file("made").write_text(json.dumps(content | told))
    words = rf"\(l0: 5 -> 4\). They were recorded with sae-lens 6.0, here is {version('sae-lens')}"
    with pytest.raises(AssertionError, match=words):
        check("made")
    # As long as it computes the same, any version will do.
    golden_file("made").write_text(json.dumps(content | told | {"numbers": {"l0": 4}}))
    check("made")


def test_numbers_of_another_recipe_have_to_be_recorded(monkeypatch, tmp_path, capsys):
    recorded(monkeypatch, tmp_path, 0)
    with pytest.raises(AssertionError, match=r"RECIPE 0, .*/metrics/decoder/__init__.py says"):
        check("decoder_metrics")
    assert renew(["decoder_metrics"]) == 0
    check("decoder_metrics")


def test_nothing_is_recorded_without_another_recipe(monkeypatch, tmp_path, capsys):
    recorded(monkeypatch, tmp_path, STAGES["decoder_metrics"].recipe)
    before = golden_file("decoder_metrics").read_text()
    assert renew(["decoder_metrics"]) == 1
    assert re.search(r"set RECIPE = \d+ in .* first", capsys.readouterr().err)
    assert golden_file("decoder_metrics").read_text() == before
    assert renew(["sae"]) == 2
