"""A sweep in memory: decoders in, the answer out."""

import numpy as np
import pytest
import torch

from correct_l0 import read_sweep
from correct_l0.errors import InputError

LEAN = {4: 0.9, 8: 0.5, 16: 0.1, 32: 0.0, 64: 0.4, 128: 0.6}


def rows(lean, d_in=32):
    """Rows whose every pair has cosine lean^2 / (1 + lean^2)."""
    return torch.eye(d_in)[1:] + lean * torch.eye(d_in)[0]


class Sae(torch.nn.Module):
    def __init__(self, W_dec):
        super().__init__()
        self.W_dec = torch.nn.Parameter(W_dec.to(torch.bfloat16))


def test_c_dec_is_that_of_each_decoder_whatever_it_comes_in():
    plain = read_sweep({l0: rows(lean) for l0, lean in LEAN.items()})
    expected = [lean**2 / (1 + lean**2) for lean in LEAN.values()]
    assert plain.table["c_dec"].to_numpy() == pytest.approx(expected, abs=1e-6)
    arrays = read_sweep({l0: 3 * rows(lean).numpy() for l0, lean in LEAN.items()})
    assert arrays.table["c_dec"].to_numpy() == pytest.approx(expected, abs=1e-6)
    modules = read_sweep({l0: Sae(rows(lean)) for l0, lean in LEAN.items()})
    assert modules.table["c_dec"].to_numpy() == pytest.approx(expected, abs=2e-3)


def test_the_answer_prints_itself():
    answer = read_sweep({l0: rows(lean) for l0, lean in LEAN.items()})
    assert answer.headline in str(answer) and answer.headline.split("<")[0] in answer._repr_html_()
    assert "c_dec is lowest at L0 32" in str(answer)
    assert any("There is no second seed" in x for x in answer.caveats)


def test_a_sweep_that_ends_before_its_minimum_says_so():
    cosines = {22: 0.5, 41: 0.4, 82: 0.3, 176: 0.2, 445: 0.1}
    falling = {l0: rows((c / (1 - c)) ** 0.5) for l0, c in cosines.items()}
    answer = read_sweep(falling)
    assert answer.verdict["decision"]["l0"] is None
    assert "still fall at its highest point, 445. A hint, no answer: 0 of 45" in answer.headline
    assert not any("oo low is" in line for line in answer.lines)


def test_a_loss_that_moves_c_dec_is_named():
    answer = read_sweep({l0: rows(x) for l0, x in LEAN.items()}, "matryoshka_batchtopk")
    assert any("nested losses" in x for x in answer.caveats)


@pytest.mark.parametrize(
    ("saes", "words"),
    [
        ({4: rows(0.1), 8: rows(0.1, 16)}, "decoders have shapes"),
        ({0: rows(0.1)}, "l0 0 is not above zero"),
        ({4: "a folder"}, "is no decoder"),
        ({4: np.zeros(3)}, "ndarray is no decoder"),
    ],
)
def test_what_is_no_sweep_is_one_line(saes, words):
    with pytest.raises(InputError, match=words):
        read_sweep(saes)
