"""Every outcome of the verdict, on made-up curves."""

import json

import pytest

from correct_l0.reading.health import NOT_TRAINED
from correct_l0.reading.reading import ABOVE_N, FALLS, FLAT, READ, TOO_FEW, TOO_HIGH
from correct_l0.reading.voices import DISAGREE
from correct_l0.report.study import read_study
from made_up import AT_32, C_DEC, F1_GAIN, FALLING, L0, LEVEL, RISING, S_N, tables

FLAT_F1 = {1: (0.0,) * 8, 16: (0.0,) * 8}


def all_n(means):
    return {400: means, 500: means, 600: means}


def verdict(d_sae=1536, l0=L0, **made_up):
    result = read_study(tables(l0=l0, **made_up), d_sae=d_sae, l0=list(l0), training_tokens=1000)
    json.dumps(result, allow_nan=False)
    return result


def test_one_answer_with_its_interval():
    result = verdict()
    assert result["outcome"] == READ
    assert result["headline"].startswith("L0 about 128 (between 64 and 192) by ")
    assert result["decision"]["f1_agrees"] == [1, 16]
    assert (
        "c_dec and s_n^dec agree; F1 with 1 latent and 16 latents peaks inside"
        in (result["agreement"])
    )
    assert len(result["lines"]) == 4
    assert "begins (the elbow) between 64 and 128" in result["lines"][0]
    assert "at 3 of 3 n (n = 400, 500, 600)" in result["lines"][1]
    assert result["caveats"] == []


def test_the_next_points_narrow_the_interval():
    result = verdict()
    # geometric means of 64, 128, 192, with measured L0 0.3% above its target
    assert result["decision"]["add_l0"] == [91, 160]
    assert result["next"]["line"] == "saes.l0: [4, 8, 16, 32, 64, 91, 128, 160, 192, 300]"


def test_a_grid_finer_than_15_percent_needs_no_more_points():
    l0 = tuple(100.0 * 1.14**i for i in range(8))
    result = verdict(l0=l0)
    assert result["outcome"] == READ
    assert result["decision"]["add_l0"] == []
    assert result["next"]["line"] is None


def test_flat():
    result = verdict(c_dec=LEVEL, s_n=all_n((1.7,) * 8), spread=0.02)
    assert result["outcome"] == FLAT
    assert result["headline"].startswith("Flat: over L0 4 to 300")
    assert result["decision"]["l0"] is None


def test_one_flat_metric_leaves_the_answer_to_the_other_and_is_named():
    result = verdict(c_dec=LEVEL)
    assert result["outcome"] == READ
    assert result["headline"].startswith("L0 about 128 (between 64 and 192) by ")
    assert "Only s_n^dec has a reading" in result["agreement"]
    assert "flat" in result["lines"][0]


def test_falls_to_the_end_names_the_line_to_add():
    result = verdict(c_dec=FALLING, s_n=all_n(FALLING))
    assert result["outcome"] == FALLS
    assert "above 192" in result["headline"]
    assert "300" in result["headline"]
    # one and two of the grid's last steps (300 / 192) further: 469 and 732, two digits
    assert result["decision"]["add_l0"] == [470, 730]
    assert result["next"]["line"].endswith("192, 300, 470, 730]")


def test_no_l0_above_half_of_d_sae_is_proposed():
    result = verdict(d_sae=1000, c_dec=FALLING, s_n=all_n(FALLING))
    assert result["decision"]["add_l0"] == [470]


def test_the_sae_has_to_be_wider_where_the_grid_reaches_half_of_it():
    l0 = (4, 8, 12, 16, 24, 32, 48, 64)
    result = verdict(d_sae=128, l0=l0, c_dec=FALLING, s_n=all_n(FALLING))
    assert result["outcome"] == FALLS
    assert result["headline"].startswith(
        "L0 above 48, by how much this grid cannot say: the decoder metrics still fall at its "
        "highest point, 64. A hint, no answer: 0 of 16 "
    )
    assert result["next"] == {
        "sentence": "Use more latents: the grid reaches half of d_sae, 64, and no L0 above that is "
        "read.",
        "line": "saes.d_sae: 256",
    }


@pytest.mark.parametrize(("d_sae", "added"), [(768, [384]), (690, []), (694, [347])])
def test_half_of_d_sae_itself_is_proposed_where_a_whole_step_is_too_far(d_sae, added):
    # the step is 300 / 192; 300 is measured 0.3% higher, and 1.15 times that is 346
    result = verdict(d_sae=d_sae, c_dec=FALLING, s_n=all_n(FALLING))
    assert result["decision"]["add_l0"] == added
    assert result["next"]["sentence"].startswith("Add L0" if added else "Use more latents")


@pytest.mark.parametrize(
    ("made_up", "said", "done"),
    [
        ({"c_dec": FALLING, "s_n": all_n(FALLING)}, "above 192", "Add L0 470, 730 to s"),
        ({"c_dec": RISING, "s_n": all_n(RISING)}, "at or below 4", "Add L0 1, 2 to see t"),
    ],
)
def test_the_headline_and_what_to_do_next_give_one_order(made_up, said, done):
    result = verdict(**made_up)
    assert said in result["headline"]
    assert "A hint, no answer" in result["headline"]
    assert result["next"]["sentence"].startswith(done)
    # Not trained enough: one order, and none in what the curves would read as they stand.
    result = verdict(init_cosine=0.6, **made_up)
    assert result["outcome"] == NOT_TRAINED
    assert not {"Extend", "Start", "wider", "Add"} & set(result["headline"].split())
    assert result["next"]["sentence"] == "Train longer, for example on 2,000 tokens."


def test_a_grid_that_starts_at_1_cannot_start_lower():
    l0 = (1, 2, 4, 8, 16, 32, 64, 128)
    result = verdict(l0=l0, c_dec=RISING, s_n=all_n(RISING))
    assert result["outcome"] == TOO_HIGH
    assert "the rise at low L0 is not seen. A hint, no answer" in result["headline"]
    assert result["next"]["sentence"] == "No further L0 point would narrow this answer."


def test_starts_too_high():
    result = verdict(c_dec=RISING, s_n=all_n(RISING))
    assert result["outcome"] == TOO_HIGH
    assert "at or below 4" in result["headline"]
    assert result["decision"]["add_l0"] == [1, 2]


def test_falling_curves_near_their_initialisation_are_not_trained_enough():
    cosine = (0.14, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.71)
    result = verdict(c_dec=FALLING, s_n=all_n(FALLING), init_cosine=cosine)
    assert result["outcome"] == NOT_TRAINED
    assert "at L0 192 and 300 the decoder is still close" in result["headline"]
    assert "As they stand" in result["headline"]
    assert result["decision"]["as_it_stands"] == FALLS
    assert result["next"]["line"] == "saes.training.training_tokens: 2000"


@pytest.mark.parametrize(
    ("where", "outcome"), [(3, READ), (4, NOT_TRAINED), (5, NOT_TRAINED), (7, READ)]
)
def test_only_points_that_the_reading_leans_on_must_be_trained(where, outcome):
    cosine = [0.2] * 8
    cosine[where] = 0.51
    assert verdict(init_cosine=cosine)["outcome"] == outcome


def test_an_untrained_right_neighbour_is_a_caveat():
    cosine = [0.2] * 6 + [0.6, 0.7]
    result = verdict(init_cosine=cosine)
    assert result["outcome"] == READ
    assert any("trust the lower bound more" in line for line in result["caveats"])


def test_decoder_metrics_that_disagree():
    result = verdict(c_dec=AT_32)
    assert result["outcome"] == DISAGREE
    assert result["headline"] == (
        "The metrics disagree: c_dec says about 32 (between 16 and 64); "
        "s_n^dec says about 128 (between 64 and 192)."
    )
    assert result["decision"]["l0"] is None
    assert "do not agree" in result["agreement"]
    assert min(result["decision"]["add_l0"]) > 16
    assert max(result["decision"]["add_l0"]) < 192


def test_neighbouring_minima_agree_within_the_grid():
    at_64 = (0.0736, 0.0647, 0.0571, 0.0489, 0.0330, 0.0372, 0.0397, 0.0420)
    result = verdict(c_dec=at_64)
    assert result["outcome"] == READ
    # both bests count: the geometric mean of 64 and 128, within the union of their intervals
    assert result["headline"].startswith("L0 about 90 (between 32 and 192) by ")


def test_one_metric_reads_and_the_other_falls():
    result = verdict(c_dec=FALLING)
    assert result["outcome"] == DISAGREE
    assert "c_dec still falls at the end of the grid" in result["headline"]


def test_f1_that_peaks_elsewhere_disagrees_and_is_named():
    low = (0.0, -0.02, -0.05, -0.07, -0.09, -0.1, -0.12, -0.13)
    result = verdict(f1={1: F1_GAIN, 16: low})
    assert result["outcome"] == DISAGREE
    assert result["decision"]["f1_agrees"] == [1]
    assert result["decision"]["f1_disagrees"] == [16]
    assert "F1 with 16 latents does not peak there" in result["headline"]
    assert "between 64 and 192" in result["headline"]
    assert "F1 with 16 latents peaks at L0 4" in result["lines"][-1]


def test_flat_f1_is_called_flat_and_decides_nothing():
    result = verdict(f1=FLAT_F1)
    assert result["outcome"] == READ
    assert result["decision"]["f1_silent"] == [1, 16]
    assert "is flat and cannot tell" in result["agreement"]
    assert any("neither supports nor contradicts" in line for line in result["caveats"])
    assert "F1 with 1 latent is flat" in result["lines"][2]
    assert "worst lower by 0.0" in result["lines"][2]


def test_n_that_differ_are_named():
    s_n = {n: S_N for n in (400, 450, 500, 550)} | {600: tuple(x * 30 for x in AT_32)}
    result = verdict(s_n=s_n)
    assert result["outcome"] == READ
    assert "at 4 of 5 n" in result["lines"][1]
    assert "something else at n = 600" in result["lines"][1]


def test_n_split_down_the_middle_disagree():
    at_32 = tuple(x * 30 for x in AT_32)
    result = verdict(s_n={400: S_N, 450: S_N, 500: at_32, 600: at_32})
    assert result["outcome"] == DISAGREE
    assert "s_n^dec says different things at different n" in result["headline"]


def test_more_flat_n_than_others_are_flat():
    level = (1.7,) * 8
    result = verdict(s_n={400: S_N, 450: level, 500: level}, spread=0.002)
    assert result["decision"]["voices"][1]["outcome"] == FLAT
    assert result["outcome"] == READ
    assert "Only c_dec has a reading" in result["agreement"]


def test_n_that_name_an_l0_not_below_them_do_not_vote():
    # S_N names 128: three n of five may not say so, and the two that may agree
    result = verdict(s_n={48: S_N, 96: S_N, 128: S_N, 160: S_N, 500: S_N})
    assert result["outcome"] == READ
    not_counted = "n = 48, 96, 128 name an L0 of n or more and are not counted"
    assert result["lines"][1].endswith(f" at 2 of 2 n (n = 160, 500); {not_counted}.")
    assert any(f"s_n^dec: {not_counted}" in line for line in result["caveats"])
    assert "of n or more" in result["s_n_dec_lines"][0]
    assert "begins (the elbow) between 64 and 128" in result["s_n_dec_lines"][3]


def test_n_that_name_an_l0_not_below_them_do_not_outvote_the_others():
    at_32 = tuple(x * 30 for x in AT_32)
    result = verdict(c_dec=AT_32, s_n={48: S_N, 96: S_N, 500: at_32}, f1=FLAT_F1)
    assert result["headline"].startswith("L0 about 32 (between 16 and 64) by ")
    assert "at 1 of 1 n (n = 500); n = 48, 96 name" in result["lines"][1]
    # n = 160 may say 128: one against one
    result = verdict(c_dec=AT_32, s_n={96: S_N, 160: S_N, 500: at_32}, f1=FLAT_F1)
    assert result["outcome"] == DISAGREE
    assert "; n = 96 names an L0 of n or more and is not counted." in result["lines"][1]


def test_s_n_dec_without_an_n_above_its_l0_leaves_the_answer_to_c_dec():
    result = verdict(c_dec=AT_32, s_n={48: S_N, 96: S_N, 160: FALLING}, f1=FLAT_F1)
    assert result["outcome"] == READ
    assert result["headline"].startswith("L0 about 32 (between 16 and 64) by ")
    assert result["decision"]["voices"][1]["outcome"] == ABOVE_N
    assert "Only c_dec has a reading" in result["agreement"]
    assert result["lines"][1] == (
        "s_n^dec cannot tell: n = 48, 96, 160 name an L0 of n or more and are not counted. "
        "Raise n above the L0 in question, at most to d_sae / 2."
    )


def test_flat_c_dec_and_no_n_above_its_l0_are_flat_by_c_dec_alone():
    result = verdict(c_dec=LEVEL, s_n={48: S_N}, spread=0.02)
    assert result["outcome"] == FLAT
    assert result["headline"].startswith("Flat: over L0 4 to 300 c_dec changes by less")


def test_without_c_dec_and_without_an_n_above_its_l0_n_has_to_be_raised():
    made_up = tables(s_n={48: S_N, 96: S_N})
    made_up["c_dec"] = made_up["c_dec"].iloc[:0]
    result = read_study(made_up, d_sae=1536, l0=list(L0), training_tokens=1)
    assert result["outcome"] == ABOVE_N
    assert "at every n" in result["headline"]
    assert "Raise n" in result["headline"]
    assert result["next"]["sentence"].startswith("Raise n above")
    assert result["decision"]["add_l0"] == []


def test_no_caveat_about_n_where_all_count():
    assert not any("not counted" in line for line in verdict()["caveats"] + verdict()["lines"])


def test_a_single_seed_says_so():
    result = verdict(seeds=(0,))
    assert result["outcome"] == READ
    assert any("spread over seeds is unknown" in line for line in result["caveats"])
    assert result["c_dec"]["noise"] == "roughness"


def test_a_ragged_flat_line_of_one_seed_is_flat():
    ragged = (0.0502, 0.0499, 0.0501, 0.0498, 0.0502, 0.0499, 0.0503, 0.0500)
    result = verdict(seeds=(0,), c_dec=ragged, s_n=all_n(ragged), spread=0)
    assert result["outcome"] == FLAT


def test_too_few_points():
    result = verdict(l0=L0[:2], c_dec=C_DEC[:2], s_n={400: S_N[:2]}, f1={1: F1_GAIN[:2]})
    assert result["outcome"] == TOO_FEW
    assert "at least 3" in result["headline"]


def test_a_gap_is_named_and_matters_inside_the_interval():
    gap = (96.0, 1, "saes", "loss is not finite at step 12")
    result = verdict(gaps=[gap])
    assert any("L0 96 seed 1 (saes)" in c and "inside" in c for c in result["caveats"])
    outside = verdict(gaps=[(2.0, *gap[1:])])
    assert not any("inside" in c for c in outside["caveats"])


def test_an_l0_off_its_target_is_named_and_spoken_as_measured():
    made_up = tables()
    for table in made_up.values():
        if "l0_measured" in table:
            table.loc[table["l0"] == 128, "l0_measured"] = 140.0
    result = read_study(made_up, d_sae=1536, l0=list(L0), training_tokens=1)
    assert result["headline"].startswith("L0 about 140 (between 64 and 192) by ")
    assert any("at target 128" in line for line in result["caveats"])


def test_no_f1_scores():
    made_up = tables()
    made_up["probing"] = made_up["probing"].iloc[:0]
    result = read_study(made_up, d_sae=1536, l0=list(L0), training_tokens=1)
    assert result["outcome"] == READ
    assert result["agreement"] == "c_dec and s_n^dec agree."


def test_dead_latents_are_a_caveat():
    result = verdict(dead=[0.0] * 5 + [0.2] + [0.0] * 2)
    assert any("dead at L0 128" in line for line in result["caveats"])


def test_f1_that_is_the_same_everywhere_is_said_without_an_error_of_zero():
    made_up = tables(f1=FLAT_F1)
    made_up["probing"]["f1"] = made_up["probing"]["task"].str[-2:].astype(float) / 100
    result = read_study(made_up, d_sae=1536, l0=list(L0), training_tokens=1)
    assert "is flat: best 0.195 at L0 4, and all alike; " in result["lines"][2]


@pytest.mark.parametrize(("share", "told"), [(0.1, False), (None, False), (0.004, True)])
def test_of_a_text_that_is_not_english_it_is_told_what_f1_means(share, told):
    made_up = tables()
    result = read_study(made_up, d_sae=1536, l0=list(L0), training_tokens=1, english_words=share)
    lines = [line for line in result["caveats"] if line.startswith("F1 is of English tasks")]
    assert len(lines) == told
    assert all("hardly English: 0.4% of its words" in line for line in lines)
    unprobed = made_up | {"probing": made_up["probing"].iloc[:0]}
    result = read_study(unprobed, d_sae=1536, l0=list(L0), training_tokens=1, english_words=share)
    assert not any("English" in line for line in result["caveats"])
