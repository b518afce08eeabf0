"""Decoders kept along a training: what they hold, and that nothing loses or changes them."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from correct_l0.metrics.decoder.along_training import measures
from correct_l0.metrics.job import trained_points
from correct_l0.metrics.stability.along_training import compare_along
from correct_l0.metrics.stability.measure import compare_seeds, stability_table
from correct_l0.metrics.stability.points import compare_points
from correct_l0.provenance.manifest import read_manifest
from correct_l0.saes.saved import load_saved_sae
from correct_l0.saes.settings import PointJob
from correct_l0.saes.training.points import train_points
from correct_l0.saes.training.snapshots import FILE, directions_of, read_snapshot, snapshot_steps
from saes_toy import BATCH, STEPS, ToyBatches, ToyStore, settings, settings_of, stop_at, train_toy

TENTHS = tuple(range(20, STEPS, 20))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Two seeds of one point, their decoders kept."""
    above = tmp_path_factory.mktemp("kept") / "l0_4.5"
    for seed in (0, 1):
        train_toy(above / f"seed_{seed}", seed=seed, snapshots=True)
    return above


def test_a_training_keeps_nine_decoders_and_is_the_same(kept, tmp_path):
    folder = kept / "seed_0"
    manifest = read_manifest(folder / "manifest.json")
    assert snapshot_steps(manifest) == TENTHS
    assert FILE in manifest["outputs"]
    without = train_toy(tmp_path)
    assert not (tmp_path / FILE).exists()
    assert snapshot_steps(without) == ()
    ours, theirs = (record["outputs"] for record in (manifest, without))
    assert {name: ours[name] for name in theirs} == theirs
    # At half precision, of the rows that the training started with.
    initial = torch.from_numpy(np.load(folder / "decoder_init_cosine.npy"))
    medians = [*manifest["init_cosine_medians"].values(), float(initial.median())]
    assert all(-1 <= x <= 1 for x in medians)
    assert medians[0] > medians[-1]


@pytest.mark.parametrize("name", ["batchtopk", "topk", "matryoshka_batchtopk"])
def test_a_snapshot_is_the_decoder_of_a_shorter_training(tmp_path, name):
    """Where the learning rate is constant."""
    train_toy(tmp_path / "long", settings_of(name, l0=4), snapshots=True)
    short = settings_of(name, {"training_tokens": 60 * BATCH}, l0=4)
    train_toy(tmp_path / "short", short)
    found = read_snapshot(tmp_path / "long", 60)
    final = load_saved_sae(tmp_path / "short" / "sae").W_dec
    # The saved decoder was divided by the scale first: one unit in the last place of a half.
    assert torch.allclose(found, final, rtol=2**-10, atol=2**-24)
    assert not torch.allclose(read_snapshot(tmp_path / "long", 80), final, rtol=0.01)


def test_a_penalty_is_followed_too(tmp_path):
    manifest = train_toy(tmp_path, settings_of("jumprelu", l0=4), snapshots=True)
    assert snapshot_steps(manifest) == TENTHS
    last, final = read_snapshot(tmp_path, 180), load_saved_sae(tmp_path / "sae").W_dec
    assert torch.nn.functional.cosine_similarity(last, final).median() > 0.99


def test_stopped_trainings_end_with_the_same_file(kept, tmp_path):
    # In the step after a tenth, in the middle, and at a tenth.
    for step in (19, 95, 179):
        stop_at(tmp_path, settings(), step, snapshots=True)
    assert train_toy(tmp_path, snapshots=True)["resumed_from_step"] == 180
    assert (tmp_path / FILE).read_bytes() == (kept / "seed_0" / FILE).read_bytes()


def test_asked_for_in_the_middle_only_what_comes_is_kept(kept, tmp_path):
    stop_at(tmp_path, settings(), 95)
    steps = snapshot_steps(train_toy(tmp_path, snapshots=True))
    assert steps == tuple(step for step in TENTHS if step > 95)
    first = read_snapshot(kept / "seed_0", 100)
    assert torch.equal(read_snapshot(tmp_path, 100), first)


def test_together_as_alone_and_an_earlier_file_goes(kept, tmp_path):
    jobs = [PointJob(tmp_path / f"l0_{l0}", settings(l0=l0), 0) for l0 in (2, 4.5)]
    store = ToyStore()
    assert not train_points(store, ToyBatches(store), jobs, measures=measures(), snapshots=True)
    assert (jobs[1].folder / FILE).read_bytes() == (kept / "seed_0" / FILE).read_bytes()
    assert not train_points(store, ToyBatches(store), jobs[1:], measures=measures())
    assert not (jobs[1].folder / FILE).exists()


def compared(above, folder):
    trained = [
        point
        for seed in (0, 1)
        for point in trained_points({str(above / f"seed_{seed}"): settings()}, seed, "toy")
    ]
    asked = [str(point.folder) for point in trained]
    assert not compare_points(trained, {str(above): str(folder)}, asked, "{}", device="cpu")
    return trained


def test_seeds_are_compared_after_each_tenth(kept, tmp_path):
    trained = compared(kept, tmp_path)
    along = pd.read_csv(tmp_path / "stability_training.csv")
    assert along["step"].tolist() == [*TENTHS, STEPS]
    assert along["tokens"].tolist() == [BATCH * step for step in (*TENTHS, STEPS)]
    final = pd.read_csv(tmp_path / "stability.csv")
    last = along.iloc[-1:].reset_index(drop=True)
    pd.testing.assert_frame_equal(last[final.columns], final)
    a, b = (read_snapshot(point.folder, 100).double() for point in trained)
    cosines = (a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T
    rows, columns = linear_sum_assignment(-cosines.numpy())
    matched = cosines.numpy()[rows, columns]
    at_half = along[along["step"] == 100].iloc[0]
    assert at_half["pw_mcc"] == pytest.approx(matched.mean(), abs=1e-6)
    assert at_half["share_above"] == (matched > 0.9).mean()
    assert "stability_training.csv" in read_manifest(tmp_path / "manifest.json")["outputs"]


def test_seeds_of_which_one_kept_nothing_are_compared_at_their_end(kept, tmp_path):
    above = tmp_path / "saes" / "l0_4.5"
    train_toy(above / "seed_0")
    train_toy(above / "seed_1", seed=1, snapshots=True)
    trained = compared(above, tmp_path / "stability")
    assert compare_along(trained, pd.DataFrame()).empty
    outputs = read_manifest(tmp_path / "stability" / "manifest.json")["outputs"]
    assert [*outputs] == ["stability.csv", "stability.npz"]


def test_half_precision_changes_no_printed_digit():
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(300, 64, generator=generator)
    decoders = {
        seed: common + torch.rand(300, 1, generator=generator) * torch.randn(300, 64)
        for seed in (0, 1)
    }
    half = {seed: directions_of(W_dec).float() for seed, W_dec in decoders.items()}
    full, less = (stability_table(compare_seeds(each)).iloc[0] for each in (decoders, half))
    for column in ("pw_mcc", "reproduced_share", "subspace_agreement"):
        assert less[column] == pytest.approx(full[column], abs=5e-5)
