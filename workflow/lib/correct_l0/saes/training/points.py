"""Several points trained in one pass over the data, each to the bits it would have alone.

The points share the batch: one reading, one copy to the device, one scaling. Weights, optimiser,
history and checkpoint are each point's own, so that after a crash the points go on from their own
checkpoints in whatever group they come back in.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from correct_l0.errors import InputError
from correct_l0.jobs.progress import Progress
from correct_l0.provenance.manifest import read_manifest, write_json
from correct_l0.saes.engine.workspace import Workspace
from correct_l0.saes.settings import PointJob, SaeSettings, parse_settings
from correct_l0.saes.training.checkpoint import Checkpoints, Interruption
from correct_l0.saes.training.feed import Feed, feed_of
from correct_l0.saes.training.result import Store, scale_of, write_point
from correct_l0.saes.training.schedules import Measures
from correct_l0.saes.training.tracking import Tracker, Untracked
from correct_l0.saes.training.train import Batches, Run


def train_points(
    store: Store,
    batches: Batches,
    jobs: Sequence[PointJob],
    *,
    measures: Measures,
    device: str = "cpu",
    checkpoint_s: float = 600.0,
    metadata: Mapping[str, Any] | None = None,
    tracker: Tracker | None = None,
    snapshots: bool = False,
) -> dict[PointJob, InputError]:
    """Train SAEs on one stream; write each one's folder as soon as it is done.

    A folder holds `sae/`, loss.csv, decoder_init_cosine.npy, decoder_norms.npy, where L0 follows a
    schedule l0_course.csv, where asked for snapshots.safetensors, and manifest.json. A checkpoint
    of the same settings, seed and store is taken up. A point that cannot be trained leaves
    failure.json, and the others go on. SAEs that are there are trained again: see `finished`.

    In a point's manifest `wall_s` is the time of its own steps and an equal share of the time for
    its batches, among the points that took the same step; `data_wait_fraction` is its share of
    the waiting for these, relative to `wall_s`. On CUDA `wall_s` is time of the host, which waits
    for the device, and the waiting is that of the device.

    Parameters
    ----------
    store
        Activations; the raw rows times sqrt(d_in) / mean_norm are what the SAEs are trained on.
    batches
        The training rows by step, raw: of one seed and one size.
    jobs
        The points. They may differ in all but seed and `batch_tokens`.
    measures
        What is measured along the trainings (`metrics.decoder.along_training.measures()`).
    device
        `cpu` or `cuda`.
    checkpoint_s
        Seconds between checkpoints.
    metadata
        What the saved SAEs tell about their input: model_name, hook_name, ...
    tracker
        Follows the trainings.
    snapshots
        Whether the decoders at the tenths of the trainings are kept.

    Returns
    -------
    dict of PointJob to InputError
        The points that failed, and why.

    Raises
    ------
    ValueError
        If the points do not share seed and `batch_tokens`.
    SystemExit
        If a signal asked to stop; the states are saved first.
    """
    feed = feed_of(batches, device, scale_of(store))
    with Interruption(checkpoint_s) as interruption, closing(feed):
        group = _Group(
            store, feed, measures, device, metadata or {}, interruption, tracker or Untracked(),
            snapshots,
        )  # fmt: skip
        settings: dict[PointJob, SaeSettings] = {}
        for job in jobs:
            with group.point(job):
                settings[job] = parse_settings(job.settings_json)
        kinds = {(job.seed, point.training.batch_tokens) for job, point in settings.items()}
        if len(kinds) > 1:
            raise ValueError(f"points of one stream differ in (seed, batch_tokens): {kinds}")
        for job, point in settings.items():
            group.start(job, point)
        group.train()
    return group.failures


@dataclass
class _Group:
    """The points still in training, and those that failed."""

    store: Store
    feed: Feed
    measures: Measures
    device: str
    metadata: Mapping[str, Any]
    interruption: Interruption
    tracker: Tracker
    snapshots: bool
    runs: dict[PointJob, Run] = field(default_factory=dict)
    failures: dict[PointJob, InputError] = field(default_factory=dict)
    shared: dict[int, Workspace] = field(default_factory=dict)
    progress: Progress = field(default_factory=lambda: Progress(0, "steps"))

    @contextmanager
    def point(self, job: PointJob) -> Iterator[None]:
        """Within the block an unusable input ends this point and no other."""
        try:
            yield
        except InputError as error:
            self.fail(job, error)

    def fail(self, job: PointJob, error: InputError) -> None:
        run = self.runs.pop(job, None)
        if run is not None:
            self.progress.keep(run.settings.steps - run.step)
        self.failures[job] = error
        self.tracker.end(job, {})
        write_json(job.folder / "failure.json", {"reason": str(error)})
        print(f"{job.folder}: {error}")

    def start(self, job: PointJob, settings: SaeSettings) -> None:
        identity = {
            "recipe": settings.recipe,
            "settings": job.settings_json,
            "seed": job.seed,
            "store": self.store.digest,
        }
        checkpoints = Checkpoints(job.folder / "checkpoint", identity)
        run = Run(
            settings, job.seed, self.store.d_in, self.device, checkpoints,
            self.measures, scale_of(self.store), self.shared, keep_snapshots=self.snapshots,
        )  # fmt: skip
        run.resume()
        self.runs[job] = run

    def train(self) -> None:
        runs = self.runs.values()
        self.progress = Progress(sum(run.settings.steps for run in runs), "steps")
        self.progress.keep(sum(run.step for run in runs))
        while self.runs:
            for job, run in list(self.runs.items()):
                if run.ended:
                    with self.point(job):
                        self.finish(job, run)
            if self.runs:
                self.train_step()
            if self.interruption.due():
                self.save()
                self.interruption.leave_if_asked()

    def train_step(self) -> None:
        """Train the points that are least far on one batch."""
        step = min(run.step for run in self.runs.values())
        members = [(job, run) for job, run in self.runs.items() if run.step == step]
        started = time.perf_counter()
        try:
            sae_in = self.feed.batch(step)
        except InputError as error:
            for job, run in members:
                with self.point(job):
                    run.save(self.feed)
                    raise error
            return
        shared = time.perf_counter() - started
        for job, run in members:
            run.wall_s += shared / len(members)
            with self.point(job):
                run.train_step(sae_in, self.feed)
                self.tracker.look(job, run)
        # After the steps: at a point's end the device has been waited for, and all is known.
        waited = self.feed.waited_s()
        for _, run in members:
            run.wait_s += waited / len(members)
        self.progress.add(len(members), lambda: how_far(list(self.runs.values()), self.progress))

    def finish(self, job: PointJob, run: Run) -> None:
        """Calibrate, save and measure a point that is trained; keep its state if that fails.

        No state is written before: it would be forgotten a moment later, and takes longer than all
        the rest.
        """
        try:
            write_point(
                run, job, self.store,
                device=self.device, metadata=self.metadata, between=self.leave_if_asked,
            )  # fmt: skip
        except Exception:
            try:
                run.save(self.feed)
            except OSError as error:  # What failed first is what to tell.
                print(f"{job.folder}: nor could its state be saved ({error})")
            raise
        self.tracker.end(job, read_manifest(job.folder / "manifest.json"))
        del self.runs[job]

    def save(self) -> None:
        for job, run in list(self.runs.items()):
            with self.point(job):
                run.save(self.feed)

    def leave_if_asked(self) -> None:
        if self.interruption.signal is not None:
            self.save()
            self.interruption.leave_if_asked()


def how_far(runs: Sequence[Run], progress: Progress) -> str:
    """Return in words where trainings of one stream stand.

    Parameters
    ----------
    runs
        Those that are left.
    progress
        Of all, in steps.
    """
    if not runs:
        return "no SAE left"
    first = min(runs, key=lambda run: run.step)
    words = [f"step {first.step:,} of {first.settings.steps:,}"]
    if len(runs) > 1:
        words.append(f"{len(runs)} SAEs")
    looked = [run.last for run in runs if run.last is not None]
    looked.sort(key=lambda last: last["l0_batch"])
    for name, called in (("loss", "loss"), ("l0_batch", "L0")) if looked else ():
        ends = (f"{last[name]:.4g}" for last in (looked[0], looked[-1]))
        words.append(f"{called} {' to '.join(dict.fromkeys(ends))}")
    tokens = progress.per_s * first.settings.training.batch_tokens
    return ", ".join([*words, f"{tokens:,.0f} tokens/s"])
