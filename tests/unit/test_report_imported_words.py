"""What is not known of imported SAEs, and what their loss does to c_dec, in words."""

import pandas as pd
import pytest

from correct_l0.report.imported_words import Imported, imported_caveats
from correct_l0.saes.imported.losses import PLAIN_TRAINERS, overlap_loss

UNKNOWN = (
    "Whether their loss has a term that keeps decoder rows apart (orthogonality) is unknown: no "
    "file tells it, and it would lower c_dec by itself."
)


def caveats(told, family="jumprelu", **columns):
    points = pd.DataFrame({"l0": [4.0, 8.0], "seed": 0, "overlap_loss": told, **columns})
    return imported_caveats(Imported(family, has_rows=False), points)


@pytest.mark.parametrize("told", [[None, None], ["", None]])
def test_a_loss_that_no_file_tells_is_unknown(told):
    assert UNKNOWN in caveats(told)
    assert UNKNOWN in imported_caveats(
        Imported("jumprelu", has_rows=True), pd.DataFrame({"l0": [4.0], "seed": [0]})
    )


def test_a_loss_on_orthogonality_is_told_with_what_tells_it():
    said = caveats(["trainer.ortho_coef 0.25", None])
    assert (
        "Their loss keeps decoder rows apart (trainer.ortho_coef 0.25), which lowers c_dec by "
        "itself, whatever L0 is right: compare its level with none of another loss."
    ) in said
    assert not [line for line in said if "is unknown: no file" in line]


def test_nothing_is_said_of_losses_that_files_list_whole():
    assert not [line for line in caveats(["", ""]) if "orthogonality" in line or "apart" in line]


def test_nested_losses_and_lengths_are_told_besides():
    said = caveats(["", ""], "matryoshka_batchtopk", training_steps=[1000, 2000])
    assert said[-1].startswith("The loss of matryoshka_batchtopk SAEs (nested losses) moves the")
    assert "1,000 to 2,000 steps" in said[-2]


@pytest.mark.parametrize(
    ("path", "cfg", "told"),
    [
        ("me/mine", {"metadata": {"decoder_orthogonal_init": True}}, None),
        ("me/mine", {"init_decoder": "orthogonal"}, None),
        ("me/mine", {"metadata": {"losses": {"orthogonality": 0.1}}},
         "metadata.losses.orthogonality 0.1"),
        ("me/mine", {"trainer": {"trainer_class": "OrthoBatchTopKTrainer"}},
         "trainer.trainer_class OrthoBatchTopKTrainer"),
        ("me/mine", {"trainer": {"trainer_class": "MyTrainer"}}, None),
        ("me/ort-sae-16k/k_32", {}, "its name ort-sae-16k"),
        # Words that only hold the same letters.
        ("northouse/exportsae", {"lm_name": "northon/supportsae"}, None),
    ],
)  # fmt: skip
def test_what_names_and_files_tell_of_a_loss(path, cfg, told):
    assert overlap_loss(path, {"/cfg.json": cfg}) == told


@pytest.mark.parametrize("trainer", sorted(PLAIN_TRAINERS))
def test_trainers_of_dictionary_learning_have_no_such_term(trainer):
    told = {"trainer_class": trainer, "auxk_alpha": 0.03, "k": 20}
    assert overlap_loss("me/mine", {"/config.json": {"trainer": told}}) == ""
