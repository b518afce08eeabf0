"""The stages of the sources of activations: rows of the table in `stages`."""

from __future__ import annotations

from correct_l0.costs import estimates, memory, throughputs
from correct_l0.metrics import probing
from correct_l0.sources import language_model, semi_synthetic, stored, synthetic
from correct_l0.stages.stage import Stage
from correct_l0.study.plan import Plan


def _of_language_model(plan: Plan) -> bool:
    return plan.study.activations is not None


def probes(plan: Plan) -> bool:
    """Whether anything is probed."""
    return "probing" in plan.rooms


OF_SOURCES = (
    Stage(
        "stage_text", "source", "text", "the text", (),
        room="activations",
        recipe=language_model.RECIPE,
        settings=lambda plan, l0: plan.settings_rows(),
        result="text/manifest.json",
        seconds=lambda study, l0: estimates.staging_s(study),
        host_bytes=lambda study, saes: memory.staging_bytes(study),
        writes="text",
        grows=True,
        asked=_of_language_model,
    ),
    Stage(
        "cache_activations", "source", "activations", "the activations", ("stage_text",),
        recipe=language_model.RECIPE,
        settings=lambda plan, l0: plan.settings_rows(),
        result="parts/part_{job}.json",
        seconds=lambda study, l0: estimates.caching_s(study) / estimates.caching_jobs(study),
        host_bytes=lambda study, saes: memory.caching_bytes(study),
        jobs=estimates.caching_jobs,
        writes="activations",
        on_device=True,
        grows=True,
        asked=_of_language_model,
    ),
    Stage(
        "seal_activations", "source", "activations sealed", "the activations",
        ("cache_activations", "stage_text"),
        room="activations",
        recipe=language_model.RECIPE,
        settings=lambda plan, l0: plan.settings_source(),
        result="manifest.json",
        seconds=lambda study, l0: estimates.sealing_s(study),
        host_bytes=lambda study, saes: memory.sealing_bytes(study),
        asked=_of_language_model,
    ),
    Stage(
        stored.STAGE, "source", "index of the activations", "the index of the activations", (),
        room="world",
        recipe=stored.RECIPE,
        settings=lambda plan, l0: plan.settings_source(),
        result="manifest.json",
        seconds=lambda study, l0: estimates.indexing_s(study),
        host_bytes=lambda study, saes: memory.indexing_bytes(study),
        grows=True,
        asked=lambda plan: plan.study.stored is not None,
    ),
    Stage(
        stored.MODEL_STAGE, "source", "model of the activations", "the model", (),
        room="world",
        recipe=stored.MODEL_RECIPE,
        settings=lambda plan, l0: plan.settings_prompts(),
        result="cache.json",
        seconds=lambda study, l0: estimates.finding_model_s(study),
        grows=True,
        asked=lambda plan: plan.study.stored is not None and probes(plan),
    ),
    Stage(
        "cache_probing_activations", "source", "probing activations", "the probing activations",
        ("stage_text", stored.MODEL_STAGE, stored.STAGE),
        room="activations",
        recipe=probing.CACHE_RECIPE,
        settings=lambda plan, l0: plan.settings_prompts(),
        result="probing/tasks",
        seconds=lambda study, l0: estimates.prompts_s(study),
        host_bytes=lambda study, saes: memory.prompts_bytes(study),
        writes="probing activations",
        on_device=True,
        grows=True,
        asked=probes,
    ),
    Stage(
        "make_world", "source", "synthetic world", "the world", (),
        room="world",
        recipe=synthetic.RECIPE,
        settings=lambda plan, l0: plan.settings_source(),
        result="manifest.json",
        seconds=lambda study, l0: estimates.samples_s(study, throughputs.SURVEYED_SAMPLES),
        asked=lambda plan: plan.study.synthetic is not None,
    ),
    Stage(
        "make_semi_synthetic", "source", "semi-synthetic source", "the semi-synthetic source", (),
        room="world",
        recipe=semi_synthetic.RECIPE,
        settings=lambda plan, l0: plan.settings_source(),
        result="manifest.json",
        seconds=lambda study, l0: estimates.semi_synthetic_s(study),
        host_bytes=lambda study, saes: memory.source_bytes(study),
        asked=lambda plan: plan.study.semi_synthetic is not None,
    ),
)  # fmt: skip
"""What a source is made by, in the order in which it is."""
