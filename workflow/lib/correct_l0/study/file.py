"""A study as its file has it, before its sweeps are apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from correct_l0.metrics import metrics
from correct_l0.metrics.decoder.settings import DecoderMetrics
from correct_l0.metrics.hedging.settings import Hedging
from correct_l0.metrics.probing.settings import Probing
from correct_l0.saes.imported.settings import ImportedSaes, ImportedSweep
from correct_l0.saes.imported.train_on import TrainOn
from correct_l0.saes.sections import Saes
from correct_l0.settings.base import Name, Section
from correct_l0.sources.language_model.settings import Activations
from correct_l0.sources.semi_synthetic.settings import SemiSynthetic
from correct_l0.sources.settings import SourceSection
from correct_l0.sources.stored.settings import Stored
from correct_l0.sources.synthetic.settings import Synthetic

TAKEN = (
    "activations", "world", "saes", "probing", "stability", "measured", "rounds", "self_check",
    "frozen_control", "train_on", "weights", "listings", "tables", "figures", "logs", "benchmarks",
    "partial", "report.html", "report.manifest.json", "summary.txt", "running.json", "wandb",
)  # fmt: skip
"""What a study's folder has besides its sweeps and metrics, or had where it had a single one."""


def tag_of(given: Any) -> str:
    """Tell whether a section of SAEs imports them, by the tag of its model."""
    names = given if isinstance(given, Mapping) else ()
    found = isinstance(given, ImportedSaes | ImportedSweep) or {"import", "origin"} & {*names}
    return "(import)" if found else "(train)"


FileSaes = Annotated[
    Annotated[Saes, Tag("(train)")] | Annotated[ImportedSaes, Tag("(import)")],
    Discriminator(tag_of),
]


class StudyFile(Section):
    """A study as its file has it. It stands alone: nothing is taken from another configuration."""

    study: Name
    """Name of the study: its folder is `results/<study>`."""

    title: str = ""
    """Heading of the report; empty: the study's name."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models and SAEs run."""

    tracking: Literal["none", "wandb-offline", "wandb"] = "none"
    """Whether trainings are also written to Weights & Biases, one run a point: `wandb-offline` to
    `results/<study>/wandb`, for `wandb sync`; `wandb` to the service, after `wandb login`. No
    effect on the numbers."""

    activations: Activations | None = None
    """The source: the activations of a language model, cached. Or `stored`, `synthetic` or
    `semi_synthetic`."""

    stored: Stored | None = None
    """The source: activations that you have, in files. Or `activations`, `synthetic` or
    `semi_synthetic`."""

    synthetic: Synthetic | None = None
    """The source: a synthetic world, whose true features are known. Or `activations`, `stored`
    or `semi_synthetic`."""

    semi_synthetic: SemiSynthetic | None = None
    """The source: a language model's activations as an SAE decodes them, whose features are then
    known. Or `activations`, `stored` or `synthetic`."""

    saes: FileSaes | None = None
    """The SAEs: one sweep over L0, trained here or imported. Or `sweeps`."""

    sweeps: dict[Name, FileSaes] = Field({})
    """Several sweeps by name, each as `saes`: of other widths, architectures or trainings. Each has
    its own folder `results/<study>/<name>` and its own answer; the report sets them side by side.
    """

    decoder_metrics: DecoderMetrics = DecoderMetrics()
    """The decoder metrics."""

    probing: Probing = Probing()
    """Sparse probing."""

    hedging: Hedging | None = None
    """Whether the hedging rate of each SAE is measured: how far its latents go over to new ones
    that it is given. Costs two short trainings of each."""

    self_check: bool = False
    """Whether the answer is checked: SAEs of the study at the L0 it names and at the ends of its
    interval generate data (as `semi_synthetic`, the residual shuffled), which are swept again at
    small cost, 5 points of the grid, 2 seeds, a quarter of the tokens, and read alike."""

    frozen_control: bool = False
    """Whether the answer's figure shows what SAEs reach that learnt no direction: one at the middle
    of the grid for each of two seeds, whose decoder stays as it starts, at random
    (`saes.training.freeze_decoder`), trained, measured and probed like the others."""

    train_on: TrainOn | None = None
    """Whether a single imported SAE is trained on for a short while, at several L0 around its own:
    is its L0 too low, about right or too high?"""

    @model_validator(mode="after")
    def _check_sweeps(self) -> StudyFile:
        if (self.saes is None) == (not self.sweeps):
            found = "neither" if self.saes is None else "both"
            raise ValueError(f"{found} of saes and sweeps is set; set saes, or several sweeps")
        for name in self.sweeps:
            if name in TAKEN or name in metrics():
                raise ValueError(f"sweeps: {name!r} is the name of other results; rename it")
        return self


SOURCES = tuple(
    name
    for name, field in StudyFile.model_fields.items()
    if any(isinstance(x, type) and issubclass(x, SourceSection) for x in get_args(field.annotation))
)
"""The sections that say where activations come from."""
