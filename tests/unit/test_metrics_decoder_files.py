"""Batches from the store, and the files one job writes."""

import numpy as np
import pandas as pd
import pytest
import torch

from correct_l0.errors import InputError
from correct_l0.metrics.decoder.files import (
    held_out_batches,
    write_cosines,
    write_prefixes,
    write_projections,
)
from correct_l0.metrics.decoder.measure import measure_projections


class FakeStore:
    def __init__(self, n_held_out):
        self.n_held_out = n_held_out

    def held_out(self, start, stop):
        return torch.arange(start, stop)[:, None].float()


def test_batches_are_whole_consecutive_and_at_most_as_many_as_asked():
    first = [batch[0].item() for batch in held_out_batches(FakeStore(35), 10, 100)]
    assert first == [0, 10, 20]
    assert len(list(held_out_batches(FakeStore(35), 10, 2))) == 2


def test_too_few_tokens():
    with pytest.raises(InputError, match="batch_tokens 10 is above the 9 tokens held out"):
        next(held_out_batches(FakeStore(9), 10, 100))


def test_tables_and_arrays(tmp_path):
    x = torch.randn(3, 64, 8, generator=torch.Generator().manual_seed(0))
    statistics = measure_projections(x, torch.eye(8), torch.zeros(8), 1.0, [2, 4])
    paths = write_projections(tmp_path, statistics) + write_cosines(tmp_path, torch.eye(8))
    assert [path.name for path in paths] == [
        "s_n_dec.csv", "histogram.npz", "c_dec.csv", "cosine_heatmap.npz",
    ]  # fmt: skip
    table = pd.read_csv(paths[0])
    assert list(table.columns) == [
        "n", "statistic", "value", "standard_error", "batches", "tokens",
    ]  # fmt: skip
    assert list(table["n"]) == [2, 2, 4, 4]
    with np.load(paths[1]) as histogram:
        expected, _ = np.histogram(x.numpy(), histogram["edges"])
        assert np.array_equal(histogram["counts"], expected)
    written = pd.read_csv(paths[2], float_precision="round_trip").to_dict("records")
    assert written == [
        {"c_dec": 0.0, "c_dec_random": pytest.approx(32 / (35 * np.pi)), "d_sae": 8, "d_in": 8}
    ]
    with np.load(paths[3]) as heatmap:
        assert heatmap["cosines"].dtype == np.float16
        assert np.array_equal(heatmap["cosines"], np.eye(8))


def test_no_heat_map_of_a_wide_sae(tmp_path):
    write_cosines(tmp_path, torch.eye(8))
    paths = write_cosines(tmp_path, torch.eye(1025))
    assert [path.name for path in paths] == ["c_dec.csv"]
    assert not (tmp_path / "cosine_heatmap.npz").exists()


def test_c_dec_of_prefixes(tmp_path):
    """Rows at 0, 90 and 45 degrees: of the first two |cosine| 0, of all the mean of 0, .5^.5 twice.

    A prefix of one latent has no pair. Of an SAE without prefixes an earlier file goes.
    """
    W_dec = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
    (path,) = write_prefixes(tmp_path, W_dec, [1, 2, 3])
    rows = pd.read_csv(path).to_dict("records")
    assert [row["latents"] for row in rows] == [2, 3]
    assert [row["value"] for row in rows] == pytest.approx([0.0, 2 * 0.5**0.5 / 3], abs=1e-6)
    assert write_prefixes(tmp_path, W_dec, ()) == []
    assert not path.exists()
