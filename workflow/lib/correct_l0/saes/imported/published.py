"""Scores that others published of SAEs: SAEBench's result files, joined by name.

SAEBench writes a JSON file for each SAE and evaluation,
`<evaluation>/<release>_<SAE>_eval_results.json`, slashes of the SAE's name as underscores, and
`_custom_sae` after it where SAELens' table has it not.
"""

from __future__ import annotations

import glob
import json
import math
import os
import re
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from correct_l0.errors import InputError
from correct_l0.saes.imported.settings import PublishedScores

END = "_eval_results.json"


class Score(NamedTuple):
    """A number of an evaluation: where it stands in its file, what it is called, which way."""

    path: tuple[str, ...]
    title: str
    higher_is_better: bool = True


SCORES: dict[str, Score] = {
    "sparse_probing": Score(("sae", "sae_top_1_test_accuracy"), "sparse probing, 1 latent"),
    "scr": Score(("scr_metrics", "scr_metric_threshold_20"), "SCR, 20 latents"),
    "tpp": Score(("tpp_metrics", "tpp_threshold_20_total_metric"), "TPP, 20 latents"),
    "absorption": Score(("mean", "mean_absorption_fraction_score"), "absorption", False),
    "autointerp": Score(("autointerp", "autointerp_score"), "automatic interpretation"),
    "ravel": Score(("ravel", "disentanglement_score"), "RAVEL"),
    "unlearning": Score(("unlearning", "unlearning_score"), "unlearning"),
    "core": Score(("model_performance_preservation", "ce_loss_score"), "loss recovered"),
}
"""The number that SAEBench itself draws of each evaluation."""

COLUMN = "published_"
"""Before the name of an evaluation, as a column of the table of points."""


def title_of(evaluation: str) -> str:
    """Return what an evaluation's number is called, and which way is better.

    Examples
    --------
    >>> title_of("absorption"), title_of("scr")
    ('absorption (lower is better)', 'SCR, 20 latents')
    """
    score = SCORES[evaluation]
    return score.title + ("" if score.higher_is_better else " (lower is better)")


def published_columns(columns: Container[str]) -> list[tuple[str, str]]:
    """Return each evaluation of which a table of points has scores, and its column.

    Examples
    --------
    >>> published_columns(["l0", "published_scr"])
    [('scr', 'published_scr')]
    """
    return [(name, COLUMN + name) for name in SCORES if COLUMN + name in columns]


class Results(NamedTuple):
    """Result files: what they are called, and where one lies once it is asked for."""

    origin: str
    names: Sequence[str]
    place: Callable[[str], Path]
    commit: str = ""


def results_in(pattern: str, base: Path) -> Results:
    """Return the result files of local folders.

    Parameters
    ----------
    pattern
        A folder, or a pattern of several.
    base
        Folder that a relative one starts from.

    Raises
    ------
    InputError
        If there is no such folder.
    """
    folders = [
        x for x in sorted(glob.glob(os.path.normpath(base / Path(pattern).expanduser())))
        if os.path.isdir(x)
    ]  # fmt: skip
    if not folders:
        raise InputError(f"saes.import.scores {pattern!r}: no folder matches; correct it")
    files = sorted(
        file
        for folder in folders
        for file in glob.glob(f"{glob.escape(folder)}/**/*{END}", recursive=True)
    )
    return Results(pattern, files, Path)


def results_on_hub(wanted: PublishedScores) -> Results:
    """Return the result files of a data set of the hub, each fetched when it is asked for.

    Raises
    ------
    InputError
        If the hub has none, or cannot be asked.
    """
    from correct_l0.saes.imported.hub import fetch_file, hub_listing

    listing = hub_listing(wanted.repository, wanted.revision, "dataset")
    names = sorted(name for name in listing.names if name.endswith(END))

    def place(name: str) -> Path:
        return fetch_file(wanted.repository, name, listing.revision, "dataset")

    return Results(wanted.repository, names, place, listing.revision)


def published_scores(
    results: Results, names: Sequence[str], origin: str
) -> dict[str, dict[str, float]]:
    """Return the scores of SAEs by SAE and evaluation.

    Parameters
    ----------
    results
        Result files; only those of these SAEs are asked for.
    names
        The SAEs, by their names in `origin`.
    origin
        Their repository, which tells files of SAEs of one name apart.

    Raises
    ------
    InputError
        If no file is of these SAEs, two are of one SAE and evaluation, or a file is damaged.
    """
    found: dict[str, dict[str, float]] = {}
    for name in names:
        its: dict[str, tuple[str, float]] = {}
        for file in _of_sae(results.names, name, origin):
            evaluation, value = _read(file, results.place(file))
            if evaluation in its:
                raise InputError(
                    f"saes.import.scores: {its[evaluation][0]} and {file} are both {evaluation} "
                    f"scores of {name}; keep one"
                )
            if value is not None:
                its[evaluation] = file, value
        if its:
            found[name] = {evaluation: value for evaluation, (_, value) in its.items()}
    if not found:
        files = results.names
        example = f", such as {Path(files[0]).name}" if files else ""
        raise InputError(
            f"saes.import.scores {results.origin!r}: none of its {len(files)} result files (*{END})"
            f"{example} is of {names[0]} or another of these SAEs; name where theirs are"
        )
    return found


def _of_sae(files: Sequence[str], name: str, origin: str) -> list[str]:
    """Return the files that end in an SAE's name; of those its repository's, if there are any.

    A local folder may have another name than the repository's: then the rest of the SAE's name, of
    two parts or more, is looked for.

    Examples
    --------
    >>> files = [f"s/r_b_l_1_t_{i}_custom_sae_eval_results.json" for i in (0, 10)]
    >>> [_of_sae(files, *each) == files[i:i + 1] for i, each in enumerate(
    ...     [("b/l_1/t_0", "me/r"), ("mine/l_1/t_10", "mine")])]
    [True, True]
    """
    parts = name.removesuffix(".sae.pt").split("/")
    for first in range(max(1, len(parts) - 1)):
        stem = re.escape("_".join(parts[first:]))
        pattern = re.compile(rf"(^|_){stem}(_custom_sae)?{re.escape(END)}$")
        those = [file for file in files if pattern.search(os.path.basename(file))]
        if those:
            start = origin.rpartition("/")[2] + "_"
            own = [file for file in those if os.path.basename(file).startswith(start)]
            return own or those
    return []


def _read(file: str, path: Path) -> tuple[str, float | None]:
    """Return the evaluation that a file is of and its number; None where it has none of ours."""
    try:
        content = json.loads(path.read_text())
        metrics = content["eval_result_metrics"]
        evaluation = _evaluation(str(content.get("eval_type_id", "")), file)
        value: Any = metrics
        for key in SCORES[evaluation].path if evaluation in SCORES else ():
            value = value.get(key) if isinstance(value, Mapping) else None
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"saes.import.scores: {file} is no result file of SAEBench ({error!r}); delete it"
        ) from None
    if isinstance(value, int | float) and math.isfinite(value):
        return evaluation, float(value)
    return evaluation, None


def _evaluation(told: str, file: str) -> str:
    """Return the evaluation by what a file tells, or by its folder."""
    for words in (told, os.path.basename(os.path.dirname(file))):
        for name in SCORES:
            if words == name or words.startswith(f"{name}_"):
                return name
    return told
