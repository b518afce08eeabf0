"""The names that a notebook uses, and what importing them costs."""

import subprocess
import sys

import pytest
import torch

import correct_l0


def test_the_package_itself_imports_nothing_heavy():
    code = "import sys, correct_l0; print(sorted({'numpy', 'torch', 'pandas'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_name_of_the_face_is_there():
    assert all(callable(getattr(correct_l0, name)) for name in correct_l0._FACE)
    assert set(correct_l0.__all__) == {*correct_l0._FACE, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = correct_l0.nothing


def test_metrics_of_a_decoder():
    # Rows at angles 0, 90 and 45 degrees: |cosines| 0, sqrt(1/2), sqrt(1/2).
    W_dec = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5**0.5, 0.5**0.5]])
    assert correct_l0.c_dec(W_dec) == pytest.approx(2 * 0.5**0.5 / 3, abs=1e-6)
    # Projections of (2, 1): 2, 1, 3 / sqrt(2); the second highest is 2.
    found = correct_l0.s_n_dec(torch.tensor([[2.0, 1.0]]), W_dec, torch.zeros(2), [1])
    assert found.tolist() == [2.0]
