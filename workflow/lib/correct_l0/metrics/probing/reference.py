"""The `reference` engine: sae-probes' own `run_sae_evals`, called as it is."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from correct_l0.errors import InputError
from correct_l0.metrics.probing.data import SPLIT_SEED, activations_file
from correct_l0.provenance.manifest import replacing


class ReferenceEngine:
    """Probes one SAE with the package; the SAE is loaded by SAELens.

    Parameters
    ----------
    sae_folder
        Folder of an inference SAE that `SAE.load_from_disk` reads.
    activations_folder, cache, hook_name
        Where the probing activations are, in the package's layout, with the cache's name in the
        place of the model's.
    device
        Passed on; the package would take `cuda` by itself.
    """

    def __init__(
        self,
        sae_folder: Path | str,
        activations_folder: Path | str,
        cache: str,
        hook_name: str,
        device: str = "cpu",
    ) -> None:
        from sae_lens import SAE

        # `sae_probes.run_sae_evals` is a function of that name, and hides the module.
        self._module = importlib.import_module("sae_probes.run_sae_evals")
        self._sae = SAE.load_from_disk(str(sae_folder), device=device)
        self._activations = Path(activations_folder)
        self._cache, self._hook_name, self._device = cache, hook_name, device
        if type(self._sae).__name__ != "JumpReLUSAE":
            raise InputError(
                f"{sae_folder}: loads as {type(self._sae).__name__}, not JumpReLUSAE; "
                "save the SAE in its inference form"
            )

    def probe_task(self, task: str, probe_k: Sequence[int], work: Path) -> list[dict[str, Any]]:
        """Return the package's result entries of one task, one per `probe_k`.

        Parameters
        ----------
        work
            Folder for the package's temporary results: it keeps an existing result file, whatever
            SAE made it, so each call gets an empty folder.

        Raises
        ------
        InputError
            If the activations are missing: the package would fetch a model from a hub.
        """
        path = activations_file(self._activations, self._cache, task, self._hook_name)
        if not path.exists():
            raise InputError(f"{path}: missing; run the job that makes it again")
        work.mkdir(parents=True, exist_ok=True)
        results = mkdtemp(dir=work)
        try:
            self._module.run_sae_evals(
                sae=self._sae,
                model_name=self._cache,
                hook_name=self._hook_name,
                reg_type="l1",
                setting="normal",
                ks=list(probe_k),
                results_path=results,
                model_cache_path=self._activations,
                datasets=[task],
                device=self._device,
                seed=SPLIT_SEED,
            )
            return json.loads(result_file(results, self._cache, task, self._hook_name).read_text())
        finally:
            shutil.rmtree(results, ignore_errors=True)


def result_file(folder: Path | str, cache: str, task: str, hook_name: str) -> Path:
    """Return where sae-probes writes the L1 probes of a task, in its normal setting."""
    return Path(folder) / f"sae_probes_{cache}" / "normal_setting" / f"{task}_{hook_name}_l1.json"


def write_package_results(
    folder: Path, cache: str, hook_name: str, probes: Mapping[str, list[dict[str, Any]]]
) -> list[Path]:
    """Write each task's entries as sae-probes' result file; files of other tasks are removed."""
    paths = [result_file(folder, cache, task, hook_name) for task in probes]
    for old in paths[0].parent.glob("*.json"):
        if old not in paths:
            old.unlink()
    for path, task_probes in zip(paths, probes.values(), strict=True):
        entries = [probe["entry"] for probe in task_probes]
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(entries, indent=4, ensure_ascii=False))
    return paths
