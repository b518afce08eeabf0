"""Which points one job trains: counted by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from workflow_runs import tiny_config

from correct_l0.costs import estimates as costs
from correct_l0.costs import memory
from correct_l0.costs.training import training_s
from correct_l0.provenance.manifest import write_manifest
from correct_l0.saes import RECIPE
from correct_l0.saes.training_settings import Training
from correct_l0.settings.base import format_l0
from correct_l0.stages import limits
from correct_l0.standing.stale_words import Stale
from correct_l0.standing.unfinished import (
    failed_trainings,
    points_to_measure,
    points_to_train,
    seeds_to_compare,
)
from correct_l0.study.config import Config, parse_config
from correct_l0.study.groups import (
    MEASURED_TOGETHER,
    Group,
    divide,
    divide_measured,
    split_labels,
)
from correct_l0.study.plan import Plan

ROOT = Path(__file__).parents[2]


def study(**saes) -> Config:
    raw = tiny_config()
    raw["saes"].update({"l0": [4, 8, 16, 24, 32], "overrides": {}, **saes})
    return parse_config(raw)


def paper(**saes) -> Config:
    raw = yaml.safe_load((ROOT / "config/gemma-2-2b-layer-12.yaml").read_text())
    raw["saes"].update(saes)
    return parse_config(raw)


class TestDivide:
    def test_dealt_out_in_turns(self):
        groups = divide(study(), study().points(), most=3)
        labels = [("4", "16", "32"), ("8", "24")]
        assert groups == [Group(seed, each) for seed in (0, 1) for each in labels]

    def test_as_few_and_as_equal_as_can_be(self):
        sizes = [len(group.labels) for group in divide(study(), study().points(), most=4)]
        assert sizes == [3, 2, 3, 2]
        assert [len(g.labels) for g in divide(study(), study().points(), most=5)] == [5, 5]

    def test_a_point_alone_is_a_group_too(self):
        points = [(l0, seed) for l0, seed in study().points() if l0 in ("4", "32")]
        alone = [Group(seed, (l0,)) for seed in (0, 1) for l0 in ("4", "32")]
        found = divide(study(), points, most=1)
        assert sorted(found, key=lambda group: (group.seed, float(group.l0s))) == alone
        assert divide(study(), [("4", 0), ("4", 1)], most=5) == [Group(0, ("4",)), Group(1, ("4",))]
        left = divide(study(), [("32", 0), ("4", 0), ("8", 1)], most=5)
        assert left == [Group(0, ("4", "32")), Group(1, ("8",))]

    def test_batches_of_another_size_are_another_stream(self):
        config = study(overrides={8: {"batch_tokens": 256}, 4: {"lr": 1e-4}}, seeds=[0])
        groups = divide(config, config.points(), most=5)
        assert groups == [Group(0, ("4", "16", "24", "32")), Group(0, ("8",))]

    @pytest.mark.parametrize("l0", [(4, 8.5), (1e-5, 3e-7, 10), (1 / 3, 12)])
    def test_a_name_says_which(self, l0):
        labels = tuple(map(format_l0, l0))
        assert split_labels(Group(0, labels).l0s) == labels


class TestDivideMeasured:
    def test_as_they_are_trained(self):
        trained = [Group(0, ("4", "16")), Group(0, ("8",)), Group(1, ("4", "8"))]
        points = [("4", 0), ("8", 0), ("16", 0), ("4", 1), ("8", 1)]
        assert divide_measured(points, trained) == trained

    def test_what_stands_is_left_out(self):
        trained = [Group(0, ("4", "16", "32")), Group(0, ("8",))]
        assert divide_measured([("4", 0), ("32", 0)], trained) == [Group(0, ("4", "32"))]
        assert divide_measured([], trained) == []

    def test_the_others_with_those_of_their_seed(self):
        points = [("8", 1), ("16", 0), ("4", 0), ("8", 0), ("4", 1)]
        left = [Group(0, ("4", "8", "16")), Group(1, ("4", "8"))]
        assert divide_measured(points, []) == left

    def test_many_are_several_jobs_of_equal_size(self):
        labels = [str(l0) for l0 in range(1, 2 * MEASURED_TOGETHER + 2)]
        groups = divide_measured([(label, 0) for label in labels], [])
        assert [len(group.labels) for group in groups] == [11, 11, 11]
        assert groups[0].labels[:3] == ("1", "4", "7")
        dealt = sorted((label for group in groups for label in group.labels), key=float)
        assert dealt == labels


class TestPointsPerJob:
    def test_what_is_given(self):
        assert memory.points_per_job(study(points_per_job=3)) == 3

    def test_a_core_has_one(self):
        raw = {**tiny_config(), "device": "cpu"}
        assert memory.points_per_job(parse_config(raw)) == 1

    def test_a_gpu_has_what_fits_and_at_most_eight(self):
        # 0.60 GB of float32 weights: 3 times that for each SAE and for the job; six tensors of
        # 4096 x 32768; CUDA's own GB. Of 20 GB 18 may be filled: 6.1 + 1.8 n GB, n = 6.
        weights, acts = 4 * memory.sae_parameters(paper()), 4 * 4096 * 32_768
        needed = [((3 * n + 3) * weights + 6 * acts) / 2**20 + 1000 for n in range(1, 9)]
        found = [memory.gpu_mem_mb(paper(), n) for n in range(1, 9)]
        assert found == pytest.approx(needed, abs=1)
        assert needed[5] * 2**20 < 18e9 < needed[6] * 2**20
        assert memory.points_per_job(paper(gpu_memory_gb=20)) == 6
        assert memory.points_per_job(paper()) == 8
        # A GPU that is too small gets its point, and says so itself.
        assert memory.points_per_job(paper(gpu_memory_gb=4)) == 1

    def test_a_group_costs_what_its_points_cost_and_reads_once(self):
        slow = {"training_tokens": 500_000_000, "batch_tokens": 4096, "precision": "float32"}
        config = paper(training=slow)
        each = [costs.train_s(config, l0, 3) for l0 in (10, 200, 2500)]
        together = limits.work_s("train_points", config, "10-200-2500")
        assert together == pytest.approx(sum(each))
        # At L0 10 a step takes less time than the disk, which the others share.
        alone = [limits.work_s("train_points", config, l0) for l0 in ("10", "200", "2500")]
        assert alone[0] > each[0]
        assert alone[2] == pytest.approx(each[2])
        start = costs.THROUGHPUT["cuda"].start_s
        assert limits.runtime_min("train_points", config, 1, "10-200-2500") == pytest.approx(
            3 * (start + together) / 60, abs=1
        )

    def test_points_of_a_group_share_the_reading(self):
        training = Training(training_tokens=2**29, batch_tokens=4096, precision="reduced")
        read = 2**29 * 2304 * 2 / 500e6
        alone, four = (training_s(2304, 512, 10, training, "cuda", together) for together in (1, 4))
        assert alone == pytest.approx(read)
        assert four == pytest.approx(read / 4)

    def test_memory_grows_with_the_points(self):
        one, three = (limits.mem_mb("train_points", study(), 1, l0) for l0 in ("4", "4-8-16"))
        weights = 4 * memory.sae_parameters(study()) / 2**20
        assert three - one == pytest.approx(2 * 3 * weights, abs=1)


class TestPointsToTrain:
    @pytest.fixture
    def plan(self, tmp_path, monkeypatch) -> Plan:
        monkeypatch.chdir(tmp_path)
        return Plan(study(seeds=[0]))

    def finish(self, plan: Plan, l0: str) -> Path:
        folder = Path(plan.point_folder("saes", l0, 0))
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(b"12345")
        write_manifest(
            folder / "manifest.json",
            stage="train_sae",
            recipe=RECIPE,
            parameters=plan.settings_sae(l0),
            inputs={"activations": "x"},
            outputs=[folder / "weights"],
            seed=0,
        )
        return folder / "manifest.json"

    def test_nothing_is_there(self, plan):
        assert points_to_train(plan, []) == plan.points

    def test_what_stands_is_left_out(self, plan):
        self.finish(plan, "4")
        self.finish(plan, "8")
        stale = Stale("saes", "16", 0, str(self.finish(plan, "16")), "lr 0.1 -> 0.2")
        follows = Stale("decoder_metrics", "4", 0, "manifest.json", "n with 9")
        assert points_to_train(plan, [stale, follows]) == [("16", 0), ("24", 0), ("32", 0)]

    def test_activations_of_another_recipe_train_all(self, plan):
        for l0 in ("4", "8"):
            self.finish(plan, l0)
        for name in ("manifest.json", "text/manifest.json"):
            path = f"{plan.source_folder}/{name}"
            stale = Stale("activations", None, None, path, "recipe 1 -> 2")
            assert points_to_train(plan, [stale]) == plan.points
        task = f"{plan.source_folder}/probing/tasks/x.json"
        lost = Stale("activations", None, None, task, "lost")
        assert len(points_to_train(plan, [lost])) == 3


class TestFailedTrainings:
    def test_those_of_this_run_are_told(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        plan = Plan(study(seeds=[0]))
        for l0, dated in (("4", 99), ("8", 100), ("32", 101)):
            path = Path(plan.point_folder("saes", l0, 0), "failure.json")
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps({"reason": f"l0 {l0} diverged"}))
            os.utime(path, (dated, dated))
        assert len(failed_trainings(plan)) == 3
        note = Path(plan.study_folder, "running.json")
        note.write_text("{}")
        os.utime(note, (100, 100))
        assert failed_trainings(plan) == ["l0 8 diverged", "l0 32 diverged"]


class TestPointsToMeasure:
    ROOMS = ("decoder_metrics", "recovery")

    @pytest.fixture
    def plan(self, tmp_path, monkeypatch) -> Plan:
        monkeypatch.chdir(tmp_path)
        return Plan(study(l0=[4, 8, 16], seeds=[0]))

    def measure(self, plan: Plan, l0: str, *rooms: str) -> None:
        for room in rooms:
            folder = Path(plan.point_folder(room, l0, 0))
            folder.mkdir(parents=True)
            (folder / "manifest.json").write_text("{}")

    def test_nothing_is_there(self, plan):
        assert points_to_measure(plan, [], self.ROOMS, []) == plan.points

    def test_one_room_of_a_point_is_enough(self, plan):
        self.measure(plan, "4", *self.ROOMS)
        self.measure(plan, "8", "decoder_metrics")
        self.measure(plan, "16", *self.ROOMS)
        assert points_to_measure(plan, [], self.ROOMS, []) == [("8", 0)]
        assert points_to_measure(plan, [], ("decoder_metrics",), []) == []

    def test_what_does_not_stand_or_follows_from_another_sae(self, plan):
        for l0 in plan.labels:
            self.measure(plan, l0, *self.ROOMS)
        fallen = [
            Stale("recovery", "4", 0, "x", "damaged"),
            Stale("probing", "8", 0, "x", "damaged"),
            Stale("tables", None, None, "x", "damaged"),
        ]
        assert points_to_measure(plan, fallen, self.ROOMS, []) == [("4", 0)]
        assert points_to_measure(plan, fallen, ("decoder_metrics",), []) == []
        sae = Stale("saes", "16", 0, "x", "lr 0.1 -> 0.2")
        assert points_to_measure(plan, [sae], ("probing",), []) == [("4", 0), ("8", 0), ("16", 0)]
        assert points_to_measure(plan, [sae], self.ROOMS, []) == [("16", 0)]
        assert points_to_measure(plan, [], self.ROOMS, [("8", 0)]) == [("8", 0)]

    def test_seeds(self, plan):
        assert not seeds_to_compare(plan, [], [("4", 0)]), "of a single seed"
        two = Plan(study(l0=[4, 8], seeds=[0, 1]))
        for path in two.stability_manifests().values():
            assert seeds_to_compare(two, [], [])
            Path(path).parent.mkdir(parents=True)
            Path(path).write_text("{}")
        assert not seeds_to_compare(two, [], [])
        assert seeds_to_compare(two, [], [("4", 0)])
        for room, wanted in (("saes", True), ("stability", True), ("probing", False)):
            assert seeds_to_compare(two, [Stale(room, "4", None, "x", "")], []) == wanted
