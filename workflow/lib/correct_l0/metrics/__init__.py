"""What is measured on trained SAEs: the metrics of a point, by name, one folder each.

A metric declares itself in `metrics/<name>/metric.py` as `METRIC`; rules, costs, `make why`, the
check of what stands and the tables read it there. Its module, imported when a job needs it, has

- `measure(sae, facts, source, settings, folder)`, which writes its files and returns `Measured`;
  `facts` are what the SAE's manifest says, and its `folder`;
- `read(folder, manifest)`, which returns its tables by name.

Sparse probing, which needs the activations of prompts, and the comparison of seeds have rules of
their own. Nothing heavy is imported here, because the workflow reads it whenever it is parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from correct_l0.study.config import Config
    from correct_l0.study.plan import Plan


@dataclass(frozen=True)
class Metric:
    """What a metric of a point declares.

    Attributes
    ----------
    room
        The folder of its results, `results/<study>/<room>/l0_<l0>/seed_<seed>/`.
    stage, recipe
        Name of the stage in its manifests, and its `RECIPE`.
    title, called
        What `make why` calls it, and its result where others follow from it.
    module
        The module that has `measure` and `read`. Tables are gathered by `read`, so what takes long
        to import is imported in `measure`.
    settings
        The canonical settings that its numbers depend on.
    asked
        Whether a study has it.
    products
        What it costs, in multiplications of one row with the decoder.
    tables
        The columns of each of its tables, after `l0`, `l0_measured` and `seed`.
    trainings
        What it trains of each SAE: the latents and steps of each training.
    """

    room: str
    stage: str
    recipe: int
    title: str
    called: str
    module: str
    settings: Callable[[Plan], str]
    asked: Callable[[Config], bool]
    products: Callable[[Config], float]
    tables: Mapping[str, tuple[str, ...]]
    trainings: Callable[[Config], tuple[tuple[int, int], ...]] = lambda study: ()

    def load(self) -> Any:
        """Return the module that has `measure` and `read`."""
        return import_module(self.module)


@dataclass(frozen=True)
class Measured:
    """What a metric left.

    Attributes
    ----------
    outputs
        The files it wrote.
    facts
        What its manifest says besides.
    """

    outputs: list[Path]
    facts: dict[str, Any] = field(default_factory=dict)


@cache
def metrics() -> dict[str, Metric]:
    """Return every metric by its room: of each folder here with a `metric.py`."""
    names = sorted(path.parent.name for path in Path(__file__).parent.glob("*/metric.py"))
    found = [import_module(f"{__name__}.{name}.metric").METRIC for name in names]
    return {metric.room: metric for metric in found}
