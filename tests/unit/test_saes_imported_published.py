"""Scores of SAEBench, joined to imported SAEs by name."""

from __future__ import annotations

from contextlib import chdir

import pytest

import imported_toy as toy
from correct_l0.errors import InputError
from correct_l0.saes.imported.published import SCORES, published_scores, results_in
from correct_l0.study.opened import open_plan
from correct_l0.study.report import report_settings

REPOSITORY = "adamkarvonen/saebench_pythia-160m-deduped_width-2pow12_date-0108"
NAMES = [f"BatchTopK_pythia-160m-deduped__0108/resid_post_layer_8/trainer_{i}" for i in (1, 10)]
RELEASE = REPOSITORY.partition("/")[2]


def test_every_evaluation_is_joined_by_the_name_of_the_sae(tmp_path):
    for i, name in enumerate(NAMES):
        scores = {each: i + number / 10 for number, each in enumerate(SCORES)}
        toy.write_scores(tmp_path / "scores", RELEASE, name, **scores)
    found = published_scores(results_in("scores", tmp_path), NAMES, REPOSITORY)
    for i, name in enumerate(NAMES):
        assert found[name] == {each: i + number / 10 for number, each in enumerate(SCORES)}


def test_files_of_another_repository_and_another_architecture_are_left(tmp_path):
    toy.write_scores(tmp_path / "scores", RELEASE, NAMES[0], scr=0.25)
    toy.write_scores(tmp_path / "scores", "another_width", NAMES[0], scr=0.75)
    topk = NAMES[0].replace("BatchTopK", "TopK")
    toy.write_scores(tmp_path / "scores", RELEASE, topk, scr=0.5)
    found = published_scores(results_in("scores", tmp_path), [NAMES[0], topk], REPOSITORY)
    assert found == {NAMES[0]: {"scr": 0.25}, topk: {"scr": 0.5}}
    # A local folder of any name: both repositories' files end in the rest of it.
    with pytest.raises(InputError, match="are both scr scores of mine"):
        published_scores(
            results_in("scores", tmp_path), [f"mine/{NAMES[0].partition('/')[2]}"], "mine"
        )


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "none of its 0 result files"),
        ({"scr/x_trainer_9_eval_results.json": {}}, "such as x_trainer_9_eval_results.json is of"),
        ({f"scr/x_{NAMES[0].replace('/', '_')}_eval_results.json": {"a": 1}},
         "is no result file of SAEBench"),
    ],
)  # fmt: skip
def test_what_is_no_folder_of_scores_is_one_line(tmp_path, files, words):
    with pytest.raises(InputError, match="no folder matches; correct it"):
        published_scores(results_in("scores", tmp_path), NAMES, REPOSITORY)
    (tmp_path / "scores").mkdir()
    toy.write(tmp_path / "scores", files)
    with pytest.raises(InputError, match=words) as refused:
        published_scores(results_in("scores", tmp_path), NAMES, REPOSITORY)
    assert "\n" not in str(refused.value)


def test_scores_change_the_report_and_nothing_before_it(tmp_path):
    for l0 in (4, 8):
        toy.write_gemma_2(tmp_path / f"mine/layer_1/average_l0_{l0}", toy.parts())
    toy.write_scores(tmp_path / "scores", "r", "layer_1/average_l0_4", scr=0.25)
    section = {"folders": ["mine"], "d_in": toy.D_IN, "d_sae": toy.D_SAE}
    with chdir(tmp_path):
        without, with_scores = (
            open_plan({"study": "one", "saes": {"import": {**section, **more}}}, tmp_path)
            for more in ({}, {"scores": "scores"})
        )
    assert without.settings_weights() == with_scores.settings_weights()
    assert without.settings_sae("4") == with_scores.settings_sae("4")
    assert report_settings(without) != report_settings(with_scores)
