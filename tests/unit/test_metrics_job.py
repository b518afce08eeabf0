"""Jobs that measure several points: what stands, what is made again, and what a failure leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from correct_l0.errors import InputError
from correct_l0.metrics import Measured
from correct_l0.metrics.job import Trained, Wanted, make, trained_points, write_record
from correct_l0.provenance.checks import check_manifest
from correct_l0.provenance.manifest import digest_of, write_json
from saes_toy import settings, train_toy

SETTINGS = '{"n":[4]}'
INPUTS = {"sae": "a", "activations": "b"}


class Metric:
    """A metric that writes one number, and counts how often it was asked."""

    def __init__(self, folder: Path, error: Exception | None = None) -> None:
        self.folder, self.error, self.times = folder, error, 0

    def __call__(self) -> Measured:
        self.times += 1
        (self.folder / "number.csv").write_text("1\n")
        if self.error is not None:
            raise self.error
        return Measured([self.folder / "number.csv"], {"tokens": 7})


def wanted(folder: Path, **changes) -> Wanted:
    asked = {"recipe": 1, "settings": SETTINGS, "inputs": INPUTS, **changes}
    return Wanted(folder, "project_decoder", facts={"l0": 4.0, "seed": 0}, **asked)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "decoder_metrics" / "l0_4" / "seed_0"


@pytest.fixture
def measured(folder) -> Path:
    """A result that was measured."""
    assert make(wanted(folder), Metric(folder))
    return folder


class TestMake:
    def test_a_result_says_what_it_is(self, measured):
        manifest = json.loads((measured / "manifest.json").read_text())
        assert (manifest["l0"], manifest["seed"], manifest["tokens"]) == (4.0, 0, 7)
        assert list(manifest["outputs"]) == ["number.csv"]
        check_manifest(
            measured / "manifest.json",
            stage="project_decoder",
            recipe=1,
            parameters=SETTINGS,
            inputs=INPUTS,
        )

    def test_what_stands_is_left(self, measured, capsys):
        before = (measured / "manifest.json").stat().st_mtime_ns
        metric = Metric(measured)
        assert make(wanted(measured), metric)
        assert metric.times == 0
        assert (measured / "manifest.json").stat().st_mtime_ns == before
        assert capsys.readouterr().out == f"{measured}: stands\n"

    @pytest.mark.parametrize(
        "changes",
        [
            {"recipe": 2},
            {"settings": '{"n":[4,8]}'},
            {"inputs": {**INPUTS, "sae": "c"}},
        ],
        ids=["recipe", "settings", "sae"],
    )
    def test_what_was_asked_for_otherwise_is_made_again(self, measured, changes):
        metric = Metric(measured)
        assert make(wanted(measured, **changes), metric)
        assert metric.times == 1
        assert make(wanted(measured, **changes), metric)
        assert metric.times == 1

    @pytest.mark.parametrize("content", ["2\n", "1\n\n", None])
    def test_what_is_damaged_is_made_again(self, measured, content):
        file = measured / "number.csv"
        file.write_text(content) if content else file.unlink()
        metric = Metric(measured)
        assert make(wanted(measured), metric)
        assert (metric.times, file.read_text()) == (1, "1\n")

    def test_a_failure_is_named_and_is_no_result(self, measured, capsys):
        """Neither is what was measured of it before with other settings."""
        error = InputError("weights: damaged; delete them")
        assert not make(wanted(measured, recipe=2), Metric(measured, error))
        assert "error: weights: damaged; delete them\n" in capsys.readouterr().out
        failure = measured / "failure.json"
        assert json.loads(failure.read_text()) == {"reason": "weights: damaged; delete them"}
        assert not (measured / "manifest.json").exists()
        assert make(wanted(measured, recipe=2), Metric(measured))
        assert not failure.exists()

    def test_a_failure_of_one_that_stands_again_is_forgotten(self, measured):
        write_json(measured / "failure.json", {"reason": "of another run"})
        assert make(wanted(measured), Metric(measured))
        assert not (measured / "failure.json").exists()

    def test_what_was_interrupted_is_no_result(self, measured):
        """Half made again, its files are not those of the earlier manifest."""
        with pytest.raises(KeyboardInterrupt):
            make(wanted(measured, recipe=2), Metric(measured, KeyboardInterrupt()))
        assert sorted(path.name for path in measured.iterdir()) == ["number.csv"]


class TestTrainedPoints:
    @pytest.fixture(scope="class")
    def trained(self, tmp_path_factory) -> Path:
        folder = tmp_path_factory.mktemp("trained") / "l0_4.5" / "seed_0"
        train_toy(folder)
        return folder

    def test_an_sae_that_is_there(self, trained):
        (point,) = trained_points({str(trained): settings()}, 0, "toy")
        assert (point.folder, point.seed, point.record["l0"]) == (trained, 0, 4.5)
        assert point.digest == digest_of(trained / "manifest.json")

    @pytest.mark.parametrize(
        ("text", "seed", "source"),
        [(settings(lr=0.02), 0, "toy"), (settings(), 1, "toy"), (settings(), 0, "another")],
        ids=["settings", "seed", "source"],
    )
    def test_one_of_other_settings_is_left_out(self, trained, text, seed, source, capsys):
        assert trained_points({str(trained): text}, seed, source) == []
        assert f"{trained}: left out, its SAE is not there (" in capsys.readouterr().out

    def test_one_that_is_missing_or_damaged_holds_up_no_other(self, trained, tmp_path):
        damaged = Path(shutil.copytree(trained, tmp_path / "damaged"))
        (damaged / "sae/sae_weights.safetensors").write_bytes(b"")
        group = {str(path): settings() for path in (tmp_path / "none", damaged, trained)}
        assert [point.folder for point in trained_points(group, 0, "toy")] == [trained]


class TestWriteRecord:
    def test_the_record_of_results_that_all_stand(self, tmp_path):
        points = [Trained(tmp_path / name, {"seed": 0}, "x") for name in ("a", "b")]
        saes = [str(point.folder) for point in points]
        write_record(tmp_path / "record.json", saes, points, [])
        assert json.loads((tmp_path / "record.json").read_text()) == {"saes": saes}

    def test_a_job_that_lacks_something_fails_and_says_why(self, tmp_path):
        there = [Trained(tmp_path / "a", {"seed": 0}, "x")]
        saes, failed = [str(tmp_path / "a"), str(tmp_path / "b")], [tmp_path / "metric"]
        record = tmp_path / "record.json"
        with pytest.raises(InputError) as found:
            write_record(record, saes, there, [])
        assert str(found.value) == f"{tmp_path / 'b'}: no SAE is there as it should be"
        for name in ("metric", "other"):
            (tmp_path / name).mkdir()
            write_json(tmp_path / name / "failure.json", {"reason": "damaged"})
        with pytest.raises(InputError) as found:
            write_record(record, saes[:1], there, failed)
        assert str(found.value) == f"{tmp_path / 'metric'}: damaged"
        with pytest.raises(InputError) as found:
            write_record(record, saes[:1], there, [*failed, tmp_path / "other"])
        assert str(found.value) == f"{tmp_path / 'metric'}: damaged (and 1 more, see the log)"
        assert not record.exists()

    def test_a_training_that_failed_holds_up_no_record(self, tmp_path):
        """Whoever gathers the points refuses, with its reason."""
        there = [Trained(tmp_path / "a", {"seed": 0}, "x")]
        write_json(tmp_path / "b" / "failure.json", {"reason": "the loss is non-finite"})
        saes = [str(tmp_path / "a"), str(tmp_path / "b")]
        write_record(tmp_path / "record.json", saes, there, [])
        assert json.loads((tmp_path / "record.json").read_text()) == {"saes": saes[:1]}
