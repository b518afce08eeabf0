"""Rows encoded for probes, on the host and on a made-up device."""

import pytest
import torch

from correct_l0.metrics.probing import encoding
from correct_l0.metrics.probing.encoding import encode
from correct_l0.saes.saved import SavedSae
from cuda_toy import Places


def toy_sae():
    """Pre-activations are the row itself and twice it; thresholds are 2 and 3."""
    W_enc = torch.tensor([[1.0, 0.0, 2.0, 0.0], [0.0, 1.0, 0.0, 2.0]])
    threshold = torch.tensor([2.0, 2.0, 3.0, 3.0])
    return SavedSae(W_enc, torch.zeros(4), W_enc.T, torch.zeros(2), threshold)


ROWS = torch.tensor([[3.0, 1.0], [1.0, 4.0], [0.0, 2.0]])
LATENTS = [[3.0, 0.0, 6.0, 0.0], [0.0, 4.0, 0.0, 8.0], [0.0, 0.0, 0.0, 4.0]]


@pytest.mark.parametrize("rows", [1, 2, 128])
def test_rows_are_encoded_in_pieces(rows, monkeypatch):
    monkeypatch.setattr(encoding, "ENCODE_ROWS", rows)
    assert encode(toy_sae(), ROWS).tolist() == LATENTS
    some = encode(toy_sae(), ROWS, torch.tensor([3, 0]))
    assert some.tolist() == [[0.0, 3.0], [8.0, 0.0], [4.0, 0.0]]


def test_on_a_device_rows_go_there_in_pieces_and_latents_come_back_at_once(monkeypatch):
    pieces = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: (pieces.append(len(x)), x)[1])
    monkeypatch.setattr(encoding, "ENCODE_ROWS", 2)
    with Places() as places:
        found = encode(toy_sae().to("cuda"), ROWS, torch.tensor([3, 0]))
        assert found.device.type == "cpu"
    assert (pieces, places.brought) == ([2, 1], [3])
    assert found.tolist() == [[0.0, 3.0], [8.0, 0.0], [4.0, 0.0]]
