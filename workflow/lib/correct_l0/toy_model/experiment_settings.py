"""The experiments of a toy study: everything besides the sweep, each optional."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from correct_l0.settings.base import Count, Name, PositiveFloat, Section, Seed, check_unique
from correct_l0.toy_model.auto_l0_settings import DescentRule, PaperRule
from correct_l0.toy_model.correlations import check_pairs, star

Seeds = Annotated[tuple[Seed, ...], Field(min_length=1)]
L0Values = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
Rule = Literal["paper", "paper_lower", "descent"]
Correlations = Annotated[
    tuple[Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)], ...], Field(min_length=1)
]


class ToyTraining(Section):
    """Training parameters of SAEs on samples of a toy model."""

    samples: Count = 15_000_000
    """Samples each SAE sees; a last, incomplete batch is left out."""

    batch_size: Count = 1024
    """Samples per step: 1024 in the paper's code and appendix, 500 in its section 3."""

    lr: PositiveFloat = 3e-4
    """Learning rate of Adam, without warm-up or decay."""

    @property
    def steps(self) -> int:
        """Training steps."""
        return self.samples // self.batch_size

    @model_validator(mode="after")
    def _check_steps(self) -> ToyTraining:
        if self.samples < self.batch_size:
            raise ValueError(
                f"samples {self.samples} is below batch_size {self.batch_size}: not one step; "
                "train longer or make the batch smaller"
            )
        return self


class TransitionSchedule(Section):
    """How L0 goes from its start to its end: linearly, in fractional steps."""

    run: Name
    """Name of the schedule in tables and figures."""

    batch_size: Count
    """Samples per step."""

    ramp_steps: Count
    """Steps over which L0 changes."""

    steps: Count
    """Steps in all. Fewer than `ramp_steps`: L0 stops on its way, as in the paper's code."""


class Transitions(Section):
    """L0 changed during training, from too high or too low to the true one."""

    start_l0: L0Values = (20, 2)
    """Where L0 starts, one run each."""

    end_l0: PositiveFloat = 11
    """Where L0 ends."""

    schedules: Annotated[tuple[TransitionSchedule, ...], Field(min_length=1)]
    """The schedules, each run from every start and for every seed."""

    lr: PositiveFloat = 3e-4
    """Learning rate of Adam."""

    seeds: Seeds = (0, 1, 2, 3, 4)
    """Seeds."""

    @model_validator(mode="after")
    def _check_runs(self) -> Transitions:
        names = [schedule.run for schedule in self.schedules]
        for name in dict.fromkeys(n for n in names if names.count(n) > 1):
            raise ValueError(f"schedules name run {name} more than once; rename one")
        check_unique(start_l0=self.start_l0, seeds=self.seeds)
        if self.end_l0 in self.start_l0:
            raise ValueError(
                f"start_l0 lists end_l0 {self.end_l0:g}: L0 would not change; start above or below"
            )
        return self


class SmallModel(Section):
    """Few features, one of them correlated with all others: mixing seen feature by feature."""

    features: Annotated[int, Field(ge=2)] = 5
    """Number of features, and of latents."""

    d_in: Annotated[int, Field(ge=2)] = 20
    """Width of a sample."""

    probability: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """Firing probability of every feature: the true L0 is `features` times it."""

    correlation: Correlations = (0.4, -0.4)
    """Correlations of feature 0 with each other one, for the comparison of initialisations."""

    low_l0: PositiveFloat = 1.8
    """An L0 below the true one."""

    mixing_correlation: Correlations = (-0.5, -0.4, -0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4, 0.5)
    """Correlations over which mixing is measured at `low_l0`."""

    mixing_l0: L0Values = (1.7, 1.75, 1.8, 1.85, 1.9, 1.95, 2.0)
    """L0 over which mixing is measured."""

    training: ToyTraining = ToyTraining()
    """Training parameters."""

    seeds: Seeds = (0, 1, 2, 3, 4)
    """Seeds."""

    @model_validator(mode="after")
    def _check_small_model(self) -> SmallModel:
        if self.features > self.d_in:
            raise ValueError(
                f"{self.features} orthonormal features do not fit into d_in {self.d_in}; "
                "lower features or raise d_in"
            )
        for l0 in (self.low_l0, *self.mixing_l0):
            if l0 > self.features:
                raise ValueError(f"l0 {l0:g} is above the {self.features} latents; lower it")
        true_l0 = self.features * self.probability
        if self.low_l0 >= true_l0:
            raise ValueError(
                f"low_l0 {self.low_l0:g} is not below the true L0 of {true_l0:g}; lower it"
            )
        for correlation in (*self.correlation, *self.mixing_correlation):
            check_pairs(star(self.features, correlation), self.features)
        check_unique(
            correlation=self.correlation,
            mixing_correlation=self.mixing_correlation,
            mixing_l0=self.mixing_l0,
            seeds=self.seeds,
        )
        return self


class Superposition(Section):
    """More features than dimensions."""

    d_in: Annotated[int, Field(ge=2)] = 40
    """Width of a sample, below the number of features."""

    l0: L0Values
    """Target L0 of each SAE."""

    training: ToyTraining = ToyTraining()
    """Training parameters."""

    seeds: Seeds = (0, 1, 2, 3, 4)
    """Seeds."""

    @model_validator(mode="after")
    def _check_unique(self) -> Superposition:
        check_unique(l0=self.l0, seeds=self.seeds)
        return self


class JumpRelu(Section):
    """JumpReLU SAEs, whose L0 is set through the coefficient of a penalty."""

    coefficients: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
    """Coefficients (lambda) of the tanh penalty on L0, one SAE each."""

    bandwidth: PositiveFloat = 2.0
    """Width of the window around the threshold within which it gets a gradient."""

    tanh_scale: PositiveFloat = 4.0
    """Slope of the tanh."""

    pre_act_coefficient: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3e-6
    """Weight of the penalty on latents that never fire."""

    init_threshold: PositiveFloat = 0.1
    """Threshold of every latent at the start."""

    warm_up_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the training over which the coefficient rises linearly from zero."""

    training: ToyTraining = ToyTraining()
    """Training parameters."""

    seeds: Seeds = (0, 1, 2)
    """Seeds."""

    @model_validator(mode="after")
    def _check_unique(self) -> JumpRelu:
        check_unique(coefficients=self.coefficients, seeds=self.seeds)
        return self


class AutoL0(Section):
    """L0 found during the training, by the paper's rule and by one that stands beside it."""

    start_l0: L0Values = (25, 20, 15, 5)
    """Where L0 starts, one run each."""

    n: Count = 18
    """The n of s_n^dec."""

    every_steps: Count = 100
    """Training steps between changes of L0."""

    window_steps: Count = 10
    """Last training steps over which s_n^dec is averaged before each change."""

    rules: Annotated[tuple[Rule, ...], Field(min_length=1)] = ("paper", "paper_lower", "descent")
    """`paper`: by its formula, whose bias pushes towards higher L0. `paper_lower`: with the bias
    towards lower L0, as its text has it. `descent`: down to the edge where c_dec rises."""

    paper: PaperRule = PaperRule()
    """Constants of the paper's rule, in both readings."""

    descent: DescentRule = DescentRule()
    """Constants of the descent."""

    tolerance: PositiveFloat = 1.0
    """Distance from the true L0 within which a rule has found it."""

    training: ToyTraining = ToyTraining()
    """Training parameters."""

    seeds: Seeds = (0, 1, 2, 3, 4)
    """Seeds."""

    @model_validator(mode="after")
    def _check_window(self) -> AutoL0:
        if self.window_steps > self.every_steps:
            raise ValueError(
                f"window_steps {self.window_steps} is above every_steps {self.every_steps}; "
                "average over fewer steps"
            )
        if self.every_steps >= self.training.steps:
            raise ValueError(
                f"every_steps {self.every_steps} is not below the {self.training.steps} steps of "
                "training: L0 would never change; lower it or train longer"
            )
        check_unique(start_l0=self.start_l0, seeds=self.seeds)
        if len(set(self.rules)) < len(self.rules):
            raise ValueError("rules lists a rule more than once; keep one")
        return self


class Experiments(Section):
    """The experiments; one that is not named is not run."""

    transitions: Transitions | None = None
    """L0 changed during training."""

    small_model: SmallModel | None = None
    """Mixing in a model of few features."""

    superposition: Superposition | None = None
    """More features than dimensions."""

    jumprelu: JumpRelu | None = None
    """JumpReLU SAEs."""

    auto_l0: AutoL0 | None = None
    """L0 found during the training."""

    def names(self) -> list[str]:
        """Return the experiments that are run."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]

    def l0_values(self) -> dict[str, list[float]]:
        """Return the target L0s of the experiments that train SAEs of the sweep's width."""
        values: dict[str, list[float]] = {}
        if self.transitions is not None:
            values["transitions"] = [*self.transitions.start_l0, self.transitions.end_l0]
        if self.superposition is not None:
            values["superposition"] = list(self.superposition.l0)
        if self.auto_l0 is not None:
            values["auto_l0"] = list(self.auto_l0.start_l0)
        return values
