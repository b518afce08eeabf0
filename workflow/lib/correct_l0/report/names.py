"""How L0 values, shares and lists are spoken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from correct_l0.settings.base import format_l0

PREFERRED = (
    1, 1.1, 1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9, 10,
)  # fmt: skip
"""Digits of an L0 that is read between points, about 12% apart: the preferred numbers R''20 of
ISO 3. The kernels of another processor move a reading by up to a percent, other seeds by more."""
FINE_GAP = 1.25
"""Ratio of neighbouring points below which what lies between them is told in two digits."""


def preferred(l0: float) -> float:
    """Return the preferred number nearest to an L0, by ratio.

    Examples
    --------
    >>> preferred(2.35), preferred(33.3), preferred(97.0), preferred(123.0)
    (2.5, 35.0, 100.0, 120.0)
    """
    power = 10.0 ** math.floor(math.log10(l0))
    digits = min(PREFERRED, key=lambda digit: abs(math.log(l0 / power / digit)))
    return float(f"{digits * power:.2g}")


class Names:
    """How measured L0 values are spoken: as the target, where they meet it within 2%.

    A point off its target is given with three digits, a value between points as a preferred number,
    or with two digits where they are near each other.

    Examples
    --------
    >>> names = Names({127.4: 128.0, 9.01: 8.0})
    >>> names(127.4), names(9.01), names(33.3), names.list([9.01, 127.4])
    ('128', '9.01', '35', '9.01 and 128')
    >>> Names({70: 70, 75: 75})(72.6)
    '73'
    """

    def __init__(self, targets: Mapping[float, float]) -> None:
        self.targets = dict(targets)

    def __call__(self, x: float) -> str:
        """Return one L0 in words."""
        for measured, target in self.targets.items():
            if math.isclose(x, measured, rel_tol=1e-9):
                met = abs(x - target) <= 0.02 * target
                return format_l0(target if met else float(f"{x:.3g}"))
        if not x > 0:
            return format_l0(x)
        below = max((point for point in self.targets if point < x), default=0.0)
        above = min((point for point in self.targets if point > x), default=math.inf)
        return format_l0(float(f"{x:.2g}") if above < FINE_GAP * below else preferred(x))

    def list(self, values: Sequence[float]) -> str:
        """Return several L0 in words."""
        return join([self(x) for x in values])

    def span(self, values: Sequence[float]) -> str:
        """Return a run of L0 points as `64 to 192`, a single one as `64`."""
        low, high = self(min(values)), self(max(values))
        return low if low == high else f"{low} to {high}"


def join(words: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def latents(probe_k: int) -> str:
    """Return `1 latent` or `16 latents`."""
    return f"{probe_k} latent" + ("" if probe_k == 1 else "s")


def percents(shares: Sequence[float]) -> str:
    """Return a range of shares in words, of those that are known.

    Examples
    --------
    >>> percents([0.0123, 0.004, float("nan")]), percents([0.02, 0.02]), percents([0.999])
    ('0.4% to 1.2%', '2%', '100%')
    """
    known = [x for x in shares if math.isfinite(x)]
    rounded = (float(f"{100 * x:.2g}") for x in (min(known), max(known)))
    ends = (f"{x:g}%".replace("-", "−") for x in rounded)
    return " to ".join(dict.fromkeys(ends))


def cosines(values: Sequence[float]) -> str:
    """Return a range of cosines in words, two digits each.

    Examples
    --------
    >>> cosines([0.435, 0.246, 0.378]), cosines([0.18])
    ('0.25 to 0.43', '0.18')
    """
    return " to ".join(dict.fromkeys(f"{x:.2f}" for x in (min(values), max(values))))


def shortened(name: str, longest: int) -> str:
    """Return a name of at most so many characters, for an axis.

    Examples
    --------
    >>> shortened("135_context_type_Event_duration", 26)
    '135_context_type_Event_du…'
    """
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
