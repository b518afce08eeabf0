"""What a toy study consists of: its parts, files, and the settings string of each stage.

Imported whenever Snakemake parses the workflow, so nothing heavy is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from correct_l0.settings.base import format_l0
from correct_l0.settings.canonical import canonical
from correct_l0.study.plan import RESULTS
from correct_l0.toy_model.settings import ToyStudy, parse_toy_study


@dataclass(frozen=True)
class ToyPlan:
    """A toy study's parts and paths, relative to the folder Snakemake runs in."""

    study: ToyStudy

    @classmethod
    def from_config(cls, raw: Mapping[str, Any]) -> ToyPlan:
        """Check a configuration.

        Raises
        ------
        InputError
            One line per problem: the value, the limit, the remedy.
        """
        return cls(parse_toy_study(raw))

    def as_json(self) -> str:
        """Return the configuration as JSON that `ToyPlan.from_config` reads back."""
        return self.study.model_dump_json()

    @property
    def results(self) -> str:
        """The study's folder."""
        return str(RESULTS / self.study.study)

    @property
    def part_l0(self) -> list[list[float]]:
        """The target L0s of each part: points that one job trains on one stream."""
        l0, size = sorted(self.study.saes.l0), self.study.saes.points_per_job
        return [l0[start : start + size] for start in range(0, len(l0), size)]

    def parts(self, room: str) -> list[str]:
        """Return the file that ends each job of a room, `saes` or `decoder_metrics`."""
        return [
            f"{self.results}/{room}/parts/seed_{seed}/part_{part}.json"
            for seed in self.study.saes.seeds
            for part in range(len(self.part_l0))
        ]

    def experiments(self) -> list[str]:
        """Return the manifest of each experiment and seed."""
        section = self.study.experiments
        return [
            f"{self.results}/toy_model/{name}/seed_{seed}/manifest.json"
            for name in section.names()
            for seed in getattr(section, name).seeds
        ]

    def point_manifest(self, l0: str, seed: int) -> str:
        """Return the manifest of one point."""
        return f"{self.results}/saes/l0_{l0}/seed_{seed}/manifest.json"

    def points_of(self, seed: int | str, part: int | str) -> list[str]:
        """Return the manifests of one part's points."""
        l0 = self.part_l0[int(part)]
        return [self.point_manifest(format_l0(x), int(seed)) for x in l0]

    def settings_saes(self) -> str:
        """Return the settings that every SAE of the sweep depends on."""
        return canonical(self.settings_of_saes())

    def settings_of_saes(self) -> dict[str, Any]:
        """Return the same, not as a string; those of a point have its `l0` as well."""
        saes = self.study.saes
        return {
            "toy_model": _plain(self.study.toy_model),
            "d_sae": saes.d_sae,
            "training": _plain(saes.training),
        }

    def settings_decoder_metrics(self) -> str:
        """Return the settings of what is measured on the SAEs of the sweep."""
        return canonical(self.study.decoder_metrics)

    def settings_experiment(self, name: str) -> str:
        """Return the settings of one experiment."""
        return canonical(
            {
                "name": name,
                "experiment": _plain(getattr(self.study.experiments, name)),
                "toy_model": _plain(self.study.toy_model),
                "d_sae": self.study.saes.d_sae,
                "samples": self.study.decoder_metrics.samples,
            }
        )

    def settings_tables(self) -> str:
        """Return the whole configuration without what changes no table."""
        settings = _plain(self.study)
        settings.pop("title", None)
        settings["saes"].pop("checkpoint_min", None)
        settings["saes"]["l0"] = sorted(settings["saes"]["l0"])
        return canonical(settings)


def _plain(section: Any) -> Any:
    return json.loads(canonical(section))
