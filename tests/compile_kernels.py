"""Compiles the package's kernels for GPUs that are not there, with what it hands them.

    python tests/compile_kernels.py CAPABILITY ...

A capability is a card's, such as 90. Nothing is run: tensors have shapes and types alone. Prints
the names of what was compiled as JSON, and of all kernels that there are.
"""

from __future__ import annotations

import importlib
import itertools
import json
import pkgutil
import sys
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

import correct_l0
from correct_l0.metrics.decoder.on_device import DeviceStream
from correct_l0.metrics.decoder.sifting import Found, sift
from correct_l0.saes.engine import device_adam, products
from correct_l0.saes.engine.nested import Levels
from correct_l0.saes.engine.step import StepOptions, loss_and_gradients

D_IN, D_SAE, BATCH, L0 = 2304, 32768, 4096, 50
TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.int32: "*i32", torch.int64: "*i64"}
OPTIONS = ("num_warps", "num_stages")


def name_of(kernel: Any) -> str:
    return f"{kernel.fn.__module__}.{kernel.fn.__name__}"


def all_kernels() -> set[str]:
    """Return the kernels that are launched; what they call themselves has no underscore."""
    found = set()
    for module in pkgutil.walk_packages(correct_l0.__path__, "correct_l0."):
        with open(module.module_finder.find_spec(module.name).origin) as file:
            if "@triton.jit" not in file.read():
                continue
        for kernel in vars(importlib.import_module(module.name)).values():
            if isinstance(kernel, JITFunction) and kernel.fn.__name__.startswith("_"):
                found.add(name_of(kernel))
    return found


class Launches:
    """Takes the place of `JITFunction.run`: notes what would be launched."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[Any, dict[str, str], dict[str, Any], dict[str, Any]]] = {}

    def note(self, kernel: Any, *args: Any, grid: Any, warmup: bool, **named: Any) -> None:
        options = {key: named.pop(key) for key in OPTIONS if key in named}
        given = dict(zip(kernel.arg_names, args, strict=False)) | named
        assert list(given) == kernel.arg_names, f"{name_of(kernel)}: {list(given)}"
        signature = {
            parameter.name: "constexpr"
            if parameter.is_constexpr or given[parameter.name] is None
            else type_of(given[parameter.name])
            for parameter in kernel.params
        }
        constants = {name: given[name] for name, kind in signature.items() if kind == "constexpr"}
        key = f"{name_of(kernel)} {signature} {constants} {options}"
        self.seen[key] = kernel, signature, constants, options


def type_of(value: Any) -> str:
    """Return how Triton calls the type of what a kernel is given."""
    if isinstance(value, torch.Tensor):
        return TYPES[value.dtype]
    return "fp32" if isinstance(value, float) else "i32"


def launch_all() -> None:
    """Do what the package does on a GPU, on tensors without values."""
    with torch.device("meta"):
        x, W_enc = torch.empty(BATCH, D_IN), torch.empty(D_SAE, D_IN).T
        b_enc, W_dec, b_dec = torch.empty(D_SAE), torch.empty(D_SAE, D_IN), torch.empty(D_IN)
        guess, bins = torch.empty(()), torch.empty(3, 2, dtype=torch.int32)
    levels = Levels((D_SAE // 2, D_SAE), (1.0, 1.0))
    kinds: list[dict[str, Any]] = [{}, {"per_token": L0}, {"levels": levels}]
    for rounded, sparse, kind in itertools.product((False, True), (False, True), kinds):
        products._rounds = lambda values, rounded=rounded: rounded and values.dtype == torch.float32
        options = StepOptions(BATCH * L0, guess, None, 1.0, sparse, kernels=True, **kind)
        loss_and_gradients(x, W_enc, b_enc, W_dec, b_dec, options)
    one = [b_enc]
    device_adam.update(one, one, one, one, guess, 1, 0.1, (0.9, 0.999), 1e-8)
    DeviceStream(W_dec, [L0, 2 * L0]).launch(x)
    sift(b_enc, edges=bins, found=Found(BATCH, x.device))


def rounded_product(left: Any, right: Any, out: Any = None) -> Any:
    """Return a product's shape; on a processor none of bfloat16 has sums in float32."""
    return left.new_empty(len(left), right.shape[1], dtype=torch.float32) if out is None else out


def main() -> None:
    launches = Launches()
    JITFunction.run = lambda kernel, *args, **named: launches.note(kernel, *args, **named)
    for module in ("dense", "step"):
        importlib.import_module(f"correct_l0.saes.engine.{module}").product = rounded_product
    launch_all()
    compiled: dict[str, set[str]] = {}
    for capability in map(int, sys.argv[1:]):
        for kernel, signature, constants, options in launches.seen.values():
            source = ASTSource(kernel, signature, constexprs=constants)
            target = GPUTarget("cuda", capability, 32)
            made = triton.compile(source, target=target, options=options)
            assert made.asm["cubin"]
            compiled.setdefault(name_of(kernel), set()).add(f"sm_{capability}")
    found = {name: sorted(cards) for name, cards in compiled.items()}
    print(json.dumps({"compiled": found, "kernels": sorted(all_kernels())}))


if __name__ == "__main__":
    main()
