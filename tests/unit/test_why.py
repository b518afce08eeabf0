"""What `make why` reads, and the words it finds; the dry run is a real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from workflow_runs import TINY, tiny_config

from correct_l0.command import main
from correct_l0.costs import estimates as costs
from correct_l0.costs.disk import disk_bytes
from correct_l0.costs.training import training_s
from correct_l0.errors import InputError
from correct_l0.provenance.manifest import write_manifest
from correct_l0.saes import RECIPE
from correct_l0.settings.canonical import canonical
from correct_l0.stages import BY_RULE, limits
from correct_l0.standing.stale_words import Stale
from correct_l0.study.config import parse_config
from correct_l0.study.plan import Plan
from correct_l0.why import dry_run, preflight, rates, words
from correct_l0.why.dry_run import Job, read_jobs
from correct_l0.why.reasons import explain, parts_of

POINTS = [(l0, seed) for l0 in ("4", "10.5", "32") for seed in (0, 1)]


@pytest.fixture(scope="module")
def dry(tmp_path_factory) -> list[dict]:
    """The events of a real dry run, where nothing was made yet."""
    events, printed = dry_run.run_dry(TINY, tmp_path_factory.mktemp("dry"))
    assert "This was a dry-run" in printed
    return events


@pytest.fixture
def plan(tmp_path, monkeypatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    return Plan(parse_config({**tiny_config(), "device": "cpu"}))


def write(path: str | Path, content: dict) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(content))


def train(l0s: str, seed: int) -> Job:
    return Job("train_points", {"l0s": l0s, "seed": str(seed)}, "Forced execution")


def finish(plan: Plan, l0: str, seed: int) -> Path:
    """Write a trained SAE of one file, and return its manifest."""
    folder = Path(plan.point_folder("saes", l0, seed))
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"12345")
    write_manifest(
        folder / "manifest.json",
        stage="train_sae",
        recipe=RECIPE,
        parameters=plan.settings_sae(l0),
        inputs={"activations": "x"},
        outputs=[folder / "weights"],
        seed=seed,
    )
    return folder / "manifest.json"


def reasons(plan: Plan, *jobs: Job, stale: list[Stale] | None = None) -> list[str]:
    return [why.reason for why in explain(plan, jobs, stale or [])]


class TestEvents:
    def test_a_real_dry_run(self, dry):
        jobs = read_jobs(dry)
        assert jobs is not None
        plan = Plan(parse_config(tiny_config()))
        results = [part for job in jobs for part in parts_of(plan, job)]
        for rule in ("train_sae", "project_decoder", "probe_sae"):
            found = [part for part in results if part.rule == rule]
            assert sorted(part.point for part in found) == sorted(POINTS)
            # The record of a training is made anew in any case, and what follows with it.
            said = "Forced execution" if rule == "train_sae" else "Missing output files: "
            assert all(part.reason.startswith(said) for part in found)
        # 16,384 training rows and 32,768 held out, in windows of 8,192, one to a job.
        parts = sorted(job.wildcards["job"] for job in jobs if job.rule == "cache_activations")
        assert parts == ["0", "1", "2", "3", "4", "5"]
        asked = {stage.made_by for stage in BY_RULE.values() if stage.asked(plan)}
        assert {job.rule for job in jobs} == asked
        asked = {stage.rule for stage in BY_RULE.values() if stage.asked(plan)}
        assert {part.rule for part in results} == asked

    def test_a_job_too_few_is_noticed(self, dry):
        number = next(i for i, e in enumerate(dry) if e.get("rule_name") == "train_points")
        assert read_jobs(dry[:number] + dry[number + 1 :]) is None

    @pytest.mark.parametrize("name", ["rule_name", "wildcards", "reason", "stats"])
    def test_a_field_that_is_missing_is_noticed(self, dry, name):
        assert read_jobs([{k: e[k] for k in e if k != name} for e in dry]) is None

    def test_a_snakemake_that_says_nothing_is_noticed(self, dry):
        assert read_jobs([]) is None
        assert read_jobs([e for e in dry if e["event"] != "workflow_started"]) is None

    def test_a_reason_over_several_lines(self, dry):
        changed = [{**e, "reason": "first\n  second"} if "reason" in e else e for e in dry]
        jobs = read_jobs(changed)
        assert jobs is not None
        assert {job.reason for job in jobs} == {"first second"}

    def test_nothing_to_do(self):
        assert read_jobs([{"event": "workflow_started"}]) == []

    def test_what_snakemake_refuses_is_an_error(self, tmp_path):
        config = tiny_config()
        config["saes"]["l0"] = [4, 4]
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
        with pytest.raises(InputError, match="lists 4 more than once"):
            dry_run.run_dry(tmp_path / "study.yaml", tmp_path)


class TestReasons:
    def test_nothing_was_made(self, plan):
        jobs = [Job("stage_text"), Job("cache_activations", {"job": "0"}), train("4", 0)]
        measures = Job("probe_sae", {"l0": "4", "seed": "0"})
        assert reasons(plan, *jobs, measures) == ["not made yet"] * 4

    def test_a_changed_setting_and_what_follows(self, plan):
        for room in ("saes", "decoder_metrics"):
            write(f"{plan.point_folder(room, '4', 1)}/manifest.json", {})
        stale = [Stale("saes", "4", 1, "manifest.json", "lr 0.003 -> 0.001")]
        project = Job("project_decoder", {"l0": "4", "seed": "1"})
        found = reasons(plan, train("4", 1), project, Job("gather_tables"), stale=stale)
        wanted = ["lr 0.003 -> 0.001", "follows from the SAE", "follows from the results above"]
        assert found == wanted

    def test_a_comparison_of_seeds_follows_from_the_saes_of_its_l0(self, plan):
        for l0 in ("4", "32"):
            write(plan.stability_manifests()[l0], {})
        stale = [Stale("stability", "4", None, "x", "damaged")]
        whys = explain(plan, [train("32", 1), Job("compare_seeds", {}, "x")], stale)
        assert [why.reason for why in whys[1:]] == [
            "damaged",
            "not made yet",
            "follows from the SAE",
        ]
        assert words.reasons_in_words(plan, whys)[-4:] == [
            "  comparison of seeds",
            "    l0 4 (seeds 0, 1): damaged",
            "    l0 10.5 (seeds 0, 1): not made yet",
            "    l0 32 (seeds 0, 1): follows from the SAE",
        ]

    def test_of_a_job_that_measures_several_points_what_stands_is_not_told(self, plan):
        for l0 in ("4", "32"):
            write(f"{plan.point_folder('decoder_metrics', l0, 0)}/manifest.json", {})
        stale = [Stale("decoder_metrics", "4", 0, "x", "n with 62")]
        job = Job("measure_points", {"l0s": "4-10.5-32", "seed": "0"}, "x")
        whys = explain(plan, [job], stale)
        assert [(why.job.rule, why.points, why.reason) for why in whys] == [
            ("project_decoder", (("4", 0),), "n with 62"),
            ("project_decoder", (("10.5", 0),), "not made yet"),
        ]
        # One start, and the work of the two that are measured.
        cost = preflight.estimate(plan, whys, {}, at_once=1)
        each = BY_RULE["project_decoder"].seconds(plan.study, ())
        start = limits.start_s("measure_points", plan.study)
        assert [(rule.rule, rule.jobs) for rule in cost.rules] == [("measure_points", 1)]
        assert cost.wall_s == pytest.approx(start + 2 * each)

    def test_a_report_alone_says_why_itself(self, plan):
        stale = [Stale("tables", None, None, "tables/manifest.json", 'title "a" -> "b"')]
        assert reasons(plan, Job("gather_tables"), stale=stale) == ['title "a" -> "b"']

    def test_a_cache_made_by_another_recipe(self, plan):
        path = f"{plan.source_folder}/text/manifest.json"
        write(path, {})
        stale = [Stale("activations", None, None, path, "recipe 1 -> 2")]
        assert reasons(plan, Job("stage_text"), stale=stale) == ["recipe 1 -> 2"]

    def test_a_checkpoint(self, plan):
        folder = plan.point_folder("saes", "4", 0)
        identity = {"recipe": RECIPE, "settings": plan.settings_sae("4"), "seed": 0, "store": "x"}
        write(f"{folder}/checkpoint/index.json", {"identity": identity, "step": 96, "file": "x"})
        (why,) = explain(plan, [train("4", 0)], [])
        # 65,536 tokens in batches of 512.
        assert why.reason == "going on from step 96 of 128 (checkpoint)"
        assert why.left == 0.25
        identity["settings"] = plan.settings_sae("32")
        write(f"{folder}/checkpoint/index.json", {"identity": identity, "step": 96, "file": "x"})
        (why,) = explain(plan, [train("4", 0)], [])
        assert (why.reason, why.left) == ("not made yet", 1.0)

    def test_a_failure(self, plan):
        write(f"{plan.point_folder('saes', '32', 1)}/failure.json", {"reason": "the loss is nan"})
        assert reasons(plan, train("32", 1)) == ["failed before: the loss is nan"]

    def test_a_training_that_goes_on_beside_an_sae_of_other_settings(self, plan):
        folder = finish(plan, "4", 0).parent
        identity = {"recipe": RECIPE, "settings": plan.settings_sae("4"), "seed": 0, "store": "x"}
        write(f"{folder}/checkpoint/index.json", {"identity": identity, "step": 32})
        stale = [Stale("saes", "4", 0, "manifest.json", "lr 0.003 -> 0.001")]
        (why,) = explain(plan, [train("4", 0)], stale)
        assert why.reason == "lr 0.003 -> 0.001; going on from step 32 of 128 (checkpoint)"
        assert why.left == 0.75

    def test_an_sae_may_stand_after_the_activations(self, plan):
        for seed in (0, 1):
            finish(plan, "4", seed)
        jobs = [train("4", 0), train("4", 1), Job("seal_activations")]
        whys = explain(plan, jobs, [Stale("saes", "4", 1, "x", "weights missing")])
        assert [why.reason for why in whys[:2]] == [
            "follows from the activations; stands if they come out the same",
            "weights missing",
        ]
        assert [why.left for why in whys] == [1, 1, 1]
        cost = preflight.estimate(plan, whys, {}, 2)
        printed = " ".join(" ".join(words.costs_in_words(plan.study, cost, {}, 10**12)).split())
        assert "All this is at most: less where the SAE stands." in printed
        assert "Wall time: at most about" in printed
        # Activations of another recipe are others.
        sealed = f"{plan.source_folder}/manifest.json"
        stale = [Stale("activations", None, None, sealed, "manifest.json recipe 1 -> 2")]
        assert explain(plan, jobs, stale)[0].reason == "follows from the activations"

    def test_tasks_that_were_added(self, plan):
        first, second = plan.study.probing.tasks
        job = Job("cache_probing_activations", {}, "Missing output files: x")
        write(f"{plan.source_folder}/probing/tasks/{first}.json", {})
        (why,) = explain(plan, [job], [])
        assert (why.reason, why.left) == (f"task {second}: not made yet", 0.5)
        cost = preflight.estimate(plan, [why], {}, 2)
        whole = disk_bytes(plan.study)["probing activations"]
        assert cost.disk == {"probing activations": whole / 2}

    def test_otherwise_snakemakes_own(self, plan):
        write(f"{plan.point_folder('probing', '4', 0)}/manifest.json", {})
        job = Job("probe_sae", {"l0": "4", "seed": "0"}, "Forced execution")
        assert reasons(plan, job) == ["Snakemake: Forced execution"]
        job = Job("probe_sae", {"l0": "4", "seed": "0"}, "Updated input files: " + 99 * "path, ")
        assert len(reasons(plan, job)[0]) <= 400


class TestWords:
    def test_points_with_one_reason_stand_together(self, plan):
        jobs = [
            Job(rule, {"l0s": "10.5-32", "seed": str(seed)})
            for rule in ("train_points", "measure_points", "probe_points")
            for seed in (0, 1)
        ]
        stale = [Stale("saes", "32", seed, "x", "lr 0.001 -> 0.002") for seed in (0, 1)]
        assert words.reasons_in_words(plan, explain(plan, jobs, stale)) == [
            "WHY",
            "  SAEs",
            "    l0 10.5 (seeds 0, 1): not made yet",
            "    l0 32 (seeds 0, 1): lr 0.001 -> 0.002",
            "  decoder metrics, probing",
            "    l0 10.5, 32 (seeds 0, 1): not made yet",
        ]

    def test_lines_fit_a_terminal(self):
        raw = yaml.safe_load((TINY.parents[2] / "config/gemma-2-2b-layer-12.yaml").read_text())
        plan = Plan(parse_config(raw))
        jobs = [train(*point) for point in plan.points[:-1]]
        whys = explain(plan, jobs, [])
        cost = preflight.estimate(plan, whys, {}, 8)
        lines = [
            *words.reasons_in_words(plan, whys),
            *words.costs_in_words(plan.study, cost, {}, free=10**9),
        ]
        assert max(map(len, lines)) <= 80
        assert any("WARNING: it does not fit" in line for line in lines)
        assert "throughputs measured on one H100" in " ".join(line.strip() for line in lines)
        plenty = words.costs_in_words(plan.study, cost, {}, free=10**14)
        assert not any("WARNING" in line for line in plenty)


class TestPreflight:
    def test_time_disk_and_limits(self, plan):
        jobs = [train("4", 0), train("4", 1), Job("read_curves")]
        cost = preflight.estimate(plan, explain(plan, jobs, []), {}, at_once=2)
        once = limits.seconds("train_points", plan.study, "4")
        by_rule = {rule.rule: rule for rule in cost.rules}
        assert by_rule["train_points"].jobs == 2
        assert by_rule["train_points"].seconds == pytest.approx(2 * once)
        assert by_rule["train_points"].limit_min == 30
        # Two at once take as long as one; the verdict comes after them.
        assert cost.wall_s == pytest.approx(once + limits.seconds("read_curves", plan.study))
        assert cost.disk == {"SAEs": disk_bytes(plan.study)["SAEs"] * 2 / 6}
        assert cost.checkpoints == 2 * disk_bytes(plan.study)["one checkpoint"]

    def test_a_group_costs_what_is_left_of_its_points(self, plan):
        jobs = [train("4-32", 0), train("10.5", 1)]
        checkpoint = {"recipe": RECIPE, "settings": plan.settings_sae("32"), "seed": 0}
        folder = f"{plan.point_folder('saes', '32', 0)}/checkpoint"
        write(f"{folder}/index.json", {"identity": checkpoint, "step": 64})
        write(f"{plan.source_folder}/manifest.json", {})
        whys = explain(plan, jobs, [])
        # Of 128 steps at L0 32 half are left.
        assert [why.left for why in whys] == [1, 0.5, 1]
        work = [costs.train_s(plan.study, l0, together=2) for l0 in (4, 32)]
        cost = preflight.estimate(plan, whys, {"train_sae": rates.Rate(2, 1)}, at_once=2)
        start = limits.start_s("train_points", plan.study)
        together = start + 2 * (work[0] + work[1] / 2)
        alone = start + 2 * limits.work_s("train_points", plan.study, "10.5")
        (trained,) = cost.rules
        assert (trained.rule, trained.jobs) == ("train_points", 2)
        assert trained.seconds == pytest.approx(together + alone)
        assert cost.together == 2
        # The checkpoints of two SAEs in one job and of one in another.
        assert cost.checkpoints == 3 * disk_bytes(plan.study)["one checkpoint"]
        assert cost.disk == {"SAEs": disk_bytes(plan.study)["SAEs"] * 3 / 6}
        assert words.reasons_in_words(plan, whys) == [
            "WHY",
            "  SAEs",
            "    l0 4 (seed 0); l0 10.5 (seed 1): not made yet",
            "    l0 32 seed 0: going on from step 64 of 128 (checkpoint)",
        ]

    def test_a_group_is_measured_after_its_training(self, plan):
        jobs = [train("4-32", 0), Job("measure_points", {"l0s": "4-32", "seed": "0"})]
        cost = preflight.estimate(plan, explain(plan, jobs, []), {}, at_once=2)
        took = [limits.seconds(job.rule, plan.study, "4-32") for job in jobs]
        assert cost.wall_s == pytest.approx(sum(took))

    def test_gpus_are_what_there_are_few_of(self, plan):
        study = plan.study.model_copy(update={"device": "cuda"})
        probe = Job("probe_points", {"l0s": "4", "seed": "0"})
        jobs = [train("4", 0), train("4", 1), probe, Job("probe_baselines")]
        plan = Plan(study)
        cost = preflight.estimate(plan, explain(plan, jobs, []), {}, at_once=1)
        assert [rule.on_gpu for rule in cost.rules] == [True, True, False]
        trained = 2 * limits.seconds("train_points", study, "4")
        probed = limits.seconds("probe_points", study, "4")
        # What runs on a core is reckoned to begin once the GPU is free.
        baselines = limits.seconds("probe_baselines", study)
        assert cost.wall_s == pytest.approx(trained + probed + baselines)

    def test_a_shard_with_a_record_takes_no_more_disk(self, plan):
        jobs = [Job("cache_activations", {"job": str(number)}) for number in range(6)]
        whole = disk_bytes(plan.study)["activations"]
        cost = preflight.estimate(plan, explain(plan, jobs, []), {}, 2)
        assert cost.disk == {"activations": pytest.approx(whole)}
        # 4 training and 8 held-out shards of 4,096 rows, in windows of two.
        for shard in range(3):
            write(f"{plan.source_folder}/records/training_{shard:06d}.json", {})
        cost = preflight.estimate(plan, explain(plan, jobs, []), {}, 2)
        assert cost.disk == {"activations": pytest.approx(whole * 9 / 12)}

    def test_measured_rates_correct_the_estimate(self, plan):
        study = plan.study
        training = study.training(4).model_copy(update={"training_tokens": 2**24})
        parameters = canonical({"training": json.loads(canonical(training))})
        estimated = training_s(384, 128, 4, training, "cpu")
        assert estimated > 5
        manifest = {"device": "cpu", "parameters": parameters, "d_in": 384, "d_sae": 128}
        manifest |= {"l0": 4.0, "tokens": 2**24}
        took = [("4", 0, 3, "cpu"), ("4", 1, 5, "cpu"), ("32", 0, 100, "cuda")]
        # Not in the study; a seed that is not in it any more.
        took += [("8", 0, 100, "cpu"), ("4", 2, 100, "cpu")]
        for l0, seed, factor, device in took:
            speed = {"device": device, "tokens_per_s": 2**24 / estimated / factor}
            write(f"{plan.point_folder('saes', l0, seed)}/manifest.json", {**manifest, **speed})
        write(f"{plan.point_folder('saes', '10.5', 0)}/manifest.json", {"device": "cpu"})
        # So short that its time says nothing of the rate.
        short = {"parameters": plan.settings_sae("10.5"), "tokens": 65_536, "tokens_per_s": 1}
        write(f"{plan.point_folder('saes', '10.5', 1)}/manifest.json", {**manifest, **short})
        project = {"device": "cpu", "parameters": plan.settings_decoder_metrics(), "wall_s": 99}
        write(f"{plan.point_folder('decoder_metrics', '4', 0)}/manifest.json", project)
        found = rates.measured_rates(plan)
        assert found == {"train_sae": rates.Rate(pytest.approx(4), 2)}
        start = limits.start_s("train_points", study)
        work = limits.seconds("train_points", study, "4") - start
        left = rates.seconds("train_points", study, "4", found["train_sae"], left=0.5)
        assert left == pytest.approx(start + 4 * work / 2)

    def test_free_space_of_a_folder_to_be(self, tmp_path):
        assert preflight.free_bytes(tmp_path / "not" / "yet") > 0


class TestRefusals:
    def test_no_such_configuration(self, tmp_path, capsys):
        assert main(["why", "--configfile", str(tmp_path / "x.yaml")]) == 1
        assert "x.yaml: no such file" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("", "study.yaml: empty; name a study's configuration"),
            ("- 1\n", "study.yaml: no settings in it; name a study's configuration"),
            ("a: 1\nb: [2\nc: 3\n", "study.yaml, line 3: not YAML ("),
            ("a: 2024-13-45\n", "study.yaml: not YAML (month must be in 1..12"),
        ],
    )
    def test_what_holds_no_settings(self, tmp_path, capsys, content, words):
        path = tmp_path / "study.yaml"
        path.write_text(content)
        assert main(["why", "--configfile", str(path)]) == 1
        printed = capsys.readouterr().err
        assert words in printed
        assert printed.count("\n") == 1

    def test_a_folder(self, tmp_path, capsys):
        assert main(["why", "--configfile", str(tmp_path)]) == 1
        wanted = f"error: {tmp_path}: is a directory; name a study's configuration\n"
        assert capsys.readouterr().err == wanted

    @pytest.mark.parametrize("jobs", ["0", "-1", "two"])
    def test_no_number_of_jobs(self, capsys, jobs):
        assert main(["why", f"--jobs={jobs}"]) == 1
        wanted = f"error: --jobs {jobs}: not a number of GPUs or cores; give 1 or more\n"
        assert capsys.readouterr().err == wanted

    def test_a_reader_that_has_enough(self):
        """As in `make why | head`: no traceback."""
        code = (
            "import sys; from correct_l0.command import main; from correct_l0.why import explained;"
            "explained.describe = lambda *arguments: 'x'; sys.exit(main(['why']))"
        )
        ours, theirs = os.pipe()
        os.close(ours)
        command = [sys.executable, "-c", code]
        run = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
        os.close(theirs)
        assert (run.returncode, run.stderr) == (0, "")

    def test_a_wrong_value(self, tmp_path, capsys):
        config = tiny_config()
        config["saes"]["d_sae"] = -1
        (tmp_path / "x.yaml").write_text(yaml.safe_dump(config))
        assert main(["why", "--configfile", str(tmp_path / "x.yaml")]) == 1
        assert capsys.readouterr().err.startswith("error: ")

    def test_what_cannot_be_read_is_shown_whole(self, tmp_path, capsys, monkeypatch):
        (tmp_path / "x.yaml").write_text(TINY.read_text())
        text = "Job stats:\nanother form\n"
        monkeypatch.setattr("correct_l0.why.explained.run_dry", lambda *arguments: ([], text))
        arguments = ["--configfile", str(tmp_path / "x.yaml"), "--directory", str(tmp_path)]
        assert main(["why", *arguments]) == 0
        printed = capsys.readouterr().out
        assert "could not be read" in printed
        assert text in printed


def test_a_study_that_is_being_run(tmp_path, capsys, monkeypatch):
    (tmp_path / "x.yaml").write_text(TINY.read_text())
    nothing = [{"event": "workflow_started"}], ""
    monkeypatch.setattr("correct_l0.why.explained.run_dry", lambda *arguments: nothing)
    monkeypatch.setattr(
        "correct_l0.why.explained.describe_run", lambda results: f"is being run by Ada in {results}"
    )
    arguments = ["--configfile", str(tmp_path / "x.yaml"), "--directory", str(tmp_path)]
    assert main(["why", *arguments]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "Study tiny is being run by Ada in results/tiny." in printed
