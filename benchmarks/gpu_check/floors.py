"""The least time one BatchTopK step can take, from a device's rates."""

from __future__ import annotations

from dataclasses import dataclass

ADAM_BYTES = 28
"""Bytes per weight of one Adam pass in float32: weight, gradient and two moments read, weight and
moments written."""
HALF, SINGLE = 2, 4
"""Bytes of a bfloat16 and of a float32."""
PRODUCTS_AFTER = 4
"""Products after the encoder's: decoder, its gradient with respect to z, both weight gradients."""


@dataclass(frozen=True)
class Rates:
    """What a device sustains."""

    flop_per_s: float
    """Of a large bfloat16 product."""
    bytes_per_s: float
    """Of a copy on the device, bytes read and bytes written."""


@dataclass(frozen=True)
class Floor:
    """Parts of a step's least time, in ms."""

    encoder: float
    """The encoder's product."""
    others: float
    """Decoder and gradients: products with a mask, or rows moved for the non-zeros, the faster."""
    sparse: bool
    """Whether those are faster over the non-zeros."""
    adam: float
    pre_acts: float
    """Writing and reading the pre-activations in float32; nothing where the non-zeros are used, as
    the product's own end can then keep what is above a threshold."""

    @property
    def ms(self) -> float:
        """The whole floor."""
        return self.encoder + self.others + self.adam + self.pre_acts


def product_flop(rows: int, inner: int, columns: int) -> float:
    """Return the operations of a matrix product, a multiply-add counting as two.

    Examples
    --------
    >>> product_flop(2, 3, 5)
    60.0
    """
    return 2.0 * rows * inner * columns


def step_floor(d_in: int, d_sae: int, batch_tokens: int, l0: float, rates: Rates) -> Floor:
    """Return the floor of one step.

    Parameters
    ----------
    d_in, d_sae, batch_tokens
        Sizes.
    l0
        Non-zeros per token.
    rates
        Of the device.

    Examples
    --------
    A product takes 2 * 4 * 10 * 100 / 8e3 s = 1 s, one pass over 8 rows of ten bfloat16 for the
    non-zeros 8 * 20 / 16e3 s = 10 ms, Adam 28 * 2000 / 16e3 s = 3.5 s.

    >>> floor = step_floor(10, 100, 4, l0=2, rates=Rates(8e3, 16e3))
    >>> floor.encoder, floor.others, floor.adam, floor.pre_acts, floor.sparse
    (1000.0, 40.0, 3500.0, 0.0, True)
    """
    product = product_flop(batch_tokens, d_in, d_sae) / rates.flop_per_s
    rows = l0 * batch_tokens * d_in * HALF / rates.bytes_per_s
    written_and_read = 2 * batch_tokens * d_sae * SINGLE / rates.bytes_per_s
    dense = PRODUCTS_AFTER * product + written_and_read
    sparse = PRODUCTS_AFTER * rows < dense
    return Floor(
        encoder=1e3 * product,
        others=1e3 * PRODUCTS_AFTER * (rows if sparse else product),
        sparse=sparse,
        adam=1e3 * ADAM_BYTES * 2 * d_in * d_sae / rates.bytes_per_s,
        pre_acts=0.0 if sparse else 1e3 * written_and_read,
    )
