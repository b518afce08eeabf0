"""Seconds and memory of matching the decoders of two seeds, against scipy's dense solver.

    python benchmarks/matching.py half 4096x768 [--dense]

`random`: nothing in common. `half`: half of the latents come back with a cosine about .96.
`collapsed`: twenty latents around each direction, as many in the other decoder on average.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch
from scipy.optimize import linear_sum_assignment

from correct_l0.metrics.assignment import assign, unit_rows


def decoders(kind: str, d_sae: int, d_in: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two decoders of a kind."""
    draw = torch.Generator().manual_seed(0)
    first, second = (torch.randn(d_sae, d_in, generator=draw) for _ in range(2))
    if kind == "half":
        half = d_sae // 2
        second[:half] = first[:half] + 0.3 * second[:half]
    if kind == "collapsed":
        few = torch.randn(d_sae // 20, d_in, generator=draw)
        for rows in (first, second):
            rows.mul_(0.3).add_(few[torch.randint(len(few), (d_sae,), generator=draw)])
    return first, second


def main() -> None:
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("random", "half", "collapsed"))
    parser.add_argument("size", help="d_sae x d_in")
    parser.add_argument("--dense", action="store_true", help="scipy's dense solver as well")
    asked = parser.parse_args()
    first, second = decoders(asked.kind, *map(int, asked.size.split("x")))
    wall, cpu = time.perf_counter(), time.process_time()
    found = assign(first, second)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{asked.kind} {asked.size}: {wall:.1f} s, {cpu:.1f} s of CPU, {memory:.2f} GB at most; "
        f"mean cosine {found.cosines.mean():.6f}, optimum at most {found.error_bound:.1e} above"
    )
    if asked.dense:
        start = time.perf_counter()
        cosines = (unit_rows(first) @ unit_rows(second).T).numpy()
        best = cosines[linear_sum_assignment(cosines, maximize=True)].mean(dtype=float)
        print(f"dense: {time.perf_counter() - start:.1f} s, mean cosine {best:.6f}")


if __name__ == "__main__":
    main()
