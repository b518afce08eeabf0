"""The learning rate by step: linear warm-up, constant, linear decay to zero."""

from __future__ import annotations

from correct_l0.saes.settings import SaeSettings


def learning_rates(settings: SaeSettings) -> list[float]:
    """Return the learning rate of every step.

    From one step to the next each is multiplied, as torch's LinearLR does within SAELens' trainer:
    the same bits, where the formula of a straight line differs in the last one.

    Examples
    --------
    >>> from correct_l0.saes.settings import parse_settings
    >>> training = '{"lr":1,"training_tokens":6,"batch_tokens":1,"lr_warm_up_steps":2}'
    >>> settings = parse_settings(f'{{"d_sae":8,"l0":2,"training":{training}}}')
    >>> learning_rates(settings)
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    lr, warm_up = settings.training.lr, settings.training.lr_warm_up_steps
    decay_from = settings.steps - settings.decay_steps
    ramp = _ramp(lr, 1 / warm_up, 1.0, warm_up - 1, warm_up) if warm_up else []
    decay = _ramp(lr, 1.0, 0.0, settings.decay_steps, settings.decay_steps)
    return ramp + [lr] * (decay_from - warm_up) + decay


def _ramp(lr: float, start: float, end: float, intervals: int, steps: int) -> list[float]:
    """Return the rates of some steps on the way from start * lr to end * lr."""
    rates = [lr * start][:steps]
    for step in range(1, steps):
        change = (end - start) / (intervals * start + (step - 1) * (end - start))
        rates.append(rates[-1] * (1.0 + change))
    return rates
