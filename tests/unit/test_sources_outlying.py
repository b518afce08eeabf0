"""Rows of massive norm: left out of training and metrics by every source, counted, told."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import made_up
from correct_l0.errors import InputError
from correct_l0.metrics.decoder.along_training import measures
from correct_l0.provenance.manifest import read_manifest
from correct_l0.reading.outlying import LEANS
from correct_l0.report.norms_words import norms_caveats
from correct_l0.report.study import read_study
from correct_l0.saes.settings import PointJob
from correct_l0.saes.training.points import train_points
from correct_l0.sources.language_model import layout
from correct_l0.sources.language_model.layout import sealed_settings
from correct_l0.sources.language_model.reader import TrainingStream, open_store
from correct_l0.sources.outlying import Kept, norm_facts
from correct_l0.sources.settings import Outlying
from correct_l0.sources.synthetic.make import make
from correct_l0.sources.synthetic.store import open_world
from language_model_toy import ToyModel, jobs_of, run_job, seal_toy, stage_toy, toy_cache

GROUPS = {"memory_bytes": 0, "group_chunks": 4}
MODES = pytest.mark.parametrize("mode", [{}, GROUPS], ids=["memory", "groups"])


def test_rows_that_are_kept_are_numbered_without_the_others():
    generator = np.random.default_rng(0)
    for share in (0.0, 0.1, 0.9):
        dropped = np.flatnonzero(generator.random(200) < share)
        kept, rows = Kept(200, dropped), np.setdiff1d(np.arange(200), dropped)
        assert len(kept) == len(rows)
        for start, stop in ((0, len(rows)), (3, 11), (5, 5)):
            assert kept.numbers(start, stop).tolist() == rows[start:stop].tolist()
        for start, stop in ((0, 200), (17, 60), (60, 60)):
            inside = rows[(rows >= start) & (rows < stop)]
            assert kept.between(start, stop).tolist() == inside.tolist()
            assert kept.count(start, stop) == len(inside)


def test_without_a_norm_nothing_is_outlying():
    """More than half of the rows zero: the median says nothing of the others."""
    facts = norm_facts(np.array([0.0, 0, 0, 1, 500]), np.array([500.0]), Outlying())
    assert facts["limit"] is None
    assert facts["outlying_training"] == facts["outlying_held_out"] == 0


# A language model's cache


class SinkModel(ToyModel):
    """At the first token of a context, 100 times a usual activation."""

    def read_all(self, contexts, batch_tokens, dtype=torch.float32):
        for i, acts in super().read_all(contexts, batch_tokens, dtype):
            acts[0] = 32_768.0
            yield i, acts


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(layout, "CHUNK_BYTES", 16 * 4 * 2)


def sink_cache(folder, sealed=True, **changes):
    settings, cache = stage_toy(folder, **changes)
    for job in jobs_of(settings):
        run_job(settings, cache, job, SinkModel())
    return seal_toy(settings, cache) if sealed else (settings, cache)


def test_rows_at_the_first_token_are_left_out_and_counted(tmp_path):
    """Contexts of 8 tokens: one row in eight is a sink, of norm 65,536."""
    path = sink_cache(tmp_path)
    store, manifest = open_store(path), read_manifest(path)
    first = {s: store.column(s, "position", 0, store.layout.rows(s)) == 0 for s in store.kept}
    facts = manifest["norms"]
    assert facts["outlying_training"] == first["training"].sum() > 30
    assert facts["outlying_held_out"] == first["held_out"].sum() > 10
    assert facts["positions"] == {"0": facts["outlying_training"]}
    assert facts["quantiles"]["1"] == 65_536
    assert store.n_training == 300 - first["training"].sum()
    assert store.n_held_out == 100 - first["held_out"].sum()
    norms = store.rows("training", 0, 300).double().norm(dim=1).numpy()
    ordinary = norms[~first["training"]]
    assert store.mean_norm == pytest.approx(ordinary.mean(), rel=1e-9)
    assert facts["limit"] == pytest.approx(10 * np.median(norms), rel=1e-6)
    weight = 1 - np.square(ordinary).sum() / np.square(norms).sum()
    assert facts["weight"] == pytest.approx(weight, abs=1e-9)


def test_held_out_rows_are_the_others_in_order(tmp_path):
    store = open_store(sink_cache(tmp_path))
    position, whole = store.column("held_out", "position", 0, 100), store.rows("held_out", 0, 100)
    kept, aside = whole[position != 0], whole[position == 0]
    assert torch.equal(store.held_out(0, store.n_held_out), kept)
    assert torch.equal(store.held_out(5, 31), kept[5:31])
    assert store.held_out(4, 4).shape == (0, 4)
    assert torch.equal(store.set_aside(7), aside[:7])
    assert torch.equal(store.set_aside(1000), aside)


@MODES
def test_each_epoch_holds_every_other_row_once_and_goes_on_anywhere(tmp_path, mode):
    store = open_store(sink_cache(tmp_path))
    ordinary = np.flatnonzero(store.column("training", "position", 0, 300) != 0)
    stream = TrainingStream(store, 3, 20, **mode)
    steps = range(2 * len(ordinary) // 20)
    rows = torch.cat([stream.row_numbers(step) for step in steps])[: len(ordinary)]
    assert rows.sort().values.tolist() == ordinary.tolist()
    whole = store.rows("training", 0, 300)
    for step in (0, 5, 20):
        batch = TrainingStream(store, 3, 20, **mode).batch(step)
        assert torch.equal(batch, stream.batch(step))
        assert torch.equal(batch, whole[stream.row_numbers(step)])


@MODES
def test_where_nothing_is_outlying_nothing_changes(tmp_path, mode):
    """Same mean norm, same files, same order of rows as without a rule."""
    path = toy_cache(tmp_path)
    store, manifest = open_store(path), read_manifest(path)
    assert manifest["norms"]["outlying_training"] == 0
    assert list(manifest["outputs"]) == ["shards.json"]
    records = [
        json.loads((path.parent / f"records/training_{shard:06d}.json").read_text())
        for shard in range(5)
    ]
    assert store.mean_norm == np.float64(sum(r["norm_sum"] for r in records)) / 300
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([3, 0])))
    if not mode:
        rows = TrainingStream(store, 3, 300).row_numbers(0)
        assert rows.tolist() == generator.permutation(300).tolist()


def test_kept_rows_are_used_but_for_the_scale(tmp_path):
    kept = open_store(sink_cache(tmp_path, outlying={"rows": "keep"}))
    (tmp_path / "dropped").mkdir()
    dropped = open_store(sink_cache(tmp_path / "dropped"))
    assert (kept.n_training, kept.n_held_out) == (300, 100)
    assert kept.mean_norm == dropped.mean_norm
    assert kept.digest != dropped.digest
    assert torch.equal(kept.held_out(0, 100), kept.rows("held_out", 0, 100))
    assert len(kept.set_aside(10)) == 0


def test_a_changed_rule_seals_again_over_the_same_rows(tmp_path):
    settings, cache = sink_cache(tmp_path, sealed=False)
    files = {path: path.stat().st_mtime_ns for path in (cache / "store").rglob("c/**/*")}
    first = read_manifest(seal_toy(settings, cache))
    wide = settings.model_copy(update={"outlying": Outlying(norm=1000)})
    second = read_manifest(seal_toy(wide, cache))
    assert files == {path: path.stat().st_mtime_ns for path in files}
    assert first["norms"]["outlying_training"] > 0 == second["norms"]["outlying_training"]
    assert "outlying.npz" in first["outputs"]
    assert not (cache / "outlying.npz").exists()
    assert second["parameters"] == sealed_settings(wide) != first["parameters"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_norms_that_were_not_kept_are_read_again(tmp_path, dtype):
    """As in a cache of an earlier version: the same manifest, byte by byte."""
    settings, cache = sink_cache(tmp_path, sealed=False, dtype=dtype)
    before = seal_toy(settings, cache).read_text()
    gone = list((cache / "records").glob("*.npy"))
    assert len(gone) == 7
    for path in gone[:-1]:
        path.unlink()
    gone[-1].write_bytes(b"torn")
    assert seal_toy(settings, cache).read_text() == before


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b"torn")])
def test_a_damaged_list_of_outlying_rows_is_refused_and_mended_by_sealing(tmp_path, damage):
    settings, cache = sink_cache(tmp_path, sealed=False)
    path = seal_toy(settings, cache)
    damage(cache / "outlying.npz")
    with pytest.raises(InputError, match=r"outlying\.npz: missing or changed since it was sealed"):
        open_store(path)
    assert open_store(seal_toy(settings, cache)).n_training < 300


# A synthetic world: the example of one sample in a thousand, of 1000 times the mean norm

SINKS = {"sinks": {"share": 0.001, "norm": 1000}, "held_out_tokens": 20_000}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """The paper's world without sinks, with sinks that are left out, and that are kept."""
    found = {}
    for name, section in (
        ("plain", {"held_out_tokens": 20_000}),
        ("drop", SINKS),
        ("keep", SINKS | {"outlying": {"rows": "keep"}}),
    ):
        folder = tmp_path_factory.mktemp(name)
        make(folder, json.dumps(section))
        found[name] = open_world(folder / "manifest.json")
    return found


def test_the_scale_stands_a_sample_in_a_thousand(worlds):
    plain, drop, keep = (worlds[name] for name in ("plain", "drop", "keep"))
    # A thousandth of 102,400 samples is replaced: the mean of the others moves by as little.
    assert drop.mean_norm == pytest.approx(plain.mean_norm, rel=1e-4)
    assert keep.mean_norm == drop.mean_norm
    assert drop.norms["quantiles"]["1"] == pytest.approx(1000 * plain.mean_norm, rel=1e-5)
    assert 60 < drop.norms["outlying_training"] < 150
    # 1000^2 / 1000 = 1000 times as much as all others, up to their spread.
    assert drop.norms["weight"] > 0.998
    assert plain.norms["outlying_training"] == 0


def test_other_samples_take_the_place_of_sinks_and_all_else_stays(worlds):
    plain, drop, keep = (worlds[name].stream(5, 4096) for name in ("plain", "drop", "keep"))
    sinks = 0
    for step in (0, 1, 7):
        whole, ordinary = keep.batch(step), drop.batch(step)
        is_sink = whole.norm(dim=1) > worlds["drop"].norms["limit"]
        assert torch.equal(ordinary[~is_sink], plain.batch(step)[~is_sink])
        assert (ordinary.norm(dim=1) <= worlds["drop"].norms["limit"]).all()
        assert len(ordinary[is_sink].unique(dim=0)) == is_sink.sum()
        assert torch.equal(worlds["drop"].stream(5, 4096).batch(step), ordinary)
        sinks += int(is_sink.sum())
    assert sinks > 3
    ahead = worlds["drop"].stream(5, 4096, prefetch=True, threads=2)
    assert torch.equal(ahead.batch(7), drop.batch(7))


def test_held_out_samples_and_their_features_go_together(worlds):
    plain, drop = worlds["plain"], worlds["drop"]
    n = drop.n_held_out
    assert n == 20_000 - drop.norms["outlying_held_out"] < 20_000
    is_sink = worlds["keep"].held_out(0, 20_000).norm(dim=1) > drop.norms["limit"]
    assert torch.equal(drop.held_out(0, n), plain.held_out(0, 20_000)[~is_sink])
    kept = plain.truth.magnitudes(0, 20_000)[~is_sink]
    assert torch.equal(drop.truth.magnitudes(0, n), kept)
    assert worlds["keep"].truth.magnitudes(0, 20_000)[is_sink].abs().sum() == 0
    assert torch.equal(drop.set_aside(3), worlds["keep"].held_out(0, 20_000)[is_sink][:3])


@pytest.fixture(scope="module")
def trained(worlds, tmp_path_factory):
    """The facts of an SAE of the right L0, trained on each of the worlds alike."""
    training = {"training_tokens": 256 * 600, "batch_tokens": 256, "lr": 0.003}
    text = json.dumps({"d_sae": 50, "l0": 11, "training": training})
    found = {}
    for name, world in worlds.items():
        job = PointJob(tmp_path_factory.mktemp(name), text, 0)
        assert not train_points(world, world.stream(0, 256), [job], measures=measures())
        found[name] = read_manifest(job.folder / "manifest.json")
    return found


def test_an_sae_learns_what_it_would_without_sinks(trained):
    plain, drop, keep = (trained[name] for name in ("plain", "drop", "keep"))
    assert "fvu_outlying" not in plain
    assert drop["activation_scale"] == pytest.approx(plain["activation_scale"], rel=1e-4)
    assert drop["fvu"] == pytest.approx(plain["fvu"], abs=0.02)
    assert drop["fvu"] == pytest.approx(drop["fvu_ordinary"], rel=1e-9)
    assert drop["outlying_tokens"] > 5
    # With sinks kept the whole looks better, and what the SAE is for is worse.
    assert keep["fvu"] < plain["fvu"] / 2
    assert keep["fvu_ordinary"] > plain["fvu"] + 0.02
    assert keep["fvu_outlying"] < keep["fvu_ordinary"]


# What is said of it


def verdict(norms):
    tables = made_up.tables()
    return read_study(tables, d_sae=1536, l0=list(made_up.L0), training_tokens=1000, norms=norms)


def test_an_answer_that_leans_on_outlying_rows_is_refused(worlds):
    clear = verdict(worlds["plain"].norms)
    assert clear["decision"]["l0"] is not None
    assert not any("massive" in line or "median" in line for line in clear["caveats"])
    refused = verdict(worlds["keep"].norms)
    assert refused["outcome"] == LEANS
    assert refused["decision"]["l0"] is None
    assert refused["decision"]["as_it_stands"] == clear["outcome"]
    assert "No L0 is named. Leave them out." in refused["headline"]
    assert refused["next"]["line"] == "activations.outlying.rows: drop"
    dropped = verdict(worlds["drop"].norms)
    assert dropped["decision"]["l0"] == clear["decision"]["l0"]
    assert "left out of training and of every metric" in dropped["caveats"][0]


def test_the_rows_are_counted_and_their_place_and_fvu_told():
    norms = norm_facts(np.array([1.0] * 998 + [900, 950]), np.array([1.0] * 99 + [800]), Outlying())
    points = pd.DataFrame({"fvu_ordinary": [0.4, 0.5], "fvu_outlying": [1.2, 0.9]})
    (line,) = norms_caveats(norms | {"positions": {"0": 1, "7": 1}}, points, "activations")
    assert line == (
        "2 of 1,000 training rows (0.2%) and 1 of 100 held-out ones have a norm above 10 times the "
        "median, up to 950 times; 50% of them at the first token of a context. They are left out "
        "of training and of every metric: the answer is not about them. FVU of the other rows is "
        "0.4 to 0.5, of these 0.9 to 1.2."
    )


def test_outlying_rows_that_weigh_little_are_told_and_refuse_nothing():
    """10,000 rows of 1 and one of 11: 121 of 10,121 is 1.2% of the squared norm."""
    norms = norm_facts(np.array([1.0] * 10_000 + [11]), np.ones(10), Outlying(rows="keep"))
    found = verdict(norms)
    assert found["outcome"] == verdict(None)["outcome"] != LEANS
    assert "They are kept, and are 1.2% of the squared norm" in found["caveats"][0]


def test_many_outlying_rows_are_no_sinks():
    norms = norm_facts(np.array([1.0] * 90 + [50.0] * 10), np.ones(10), Outlying())
    caveats = norms_caveats(norms, pd.DataFrame(), "synthetic")
    assert "far fewer than 10%: with synthetic.outlying.norm raised" in caveats[1]
