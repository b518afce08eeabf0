"""Which L0 should a sparse autoencoder have? Training sweeps, decoder metrics and their reading.

The public face; each name is imported when it is first asked for:

- `c_dec(sae)`: mean absolute cosine between decoder rows;
- `s_n_dec(acts, sae, n)`: the n-th highest projection of activations on the decoder;
- `stability(saes)`: how alike SAEs of several seeds are;
- `read_curves(table)`: from anybody's table of L0, seed and values to the answer;
- `read_sweep(saes)`: the same from SAEs by L0;
- `load_sae(folder)`: a trained SAE in SAELens' inference format, or a TopK SAE in sparsify's;
- `save_for_sparsify(folder, sae)`: a TopK SAE in sparsify's format.

An SAE is one of SAELens or sparsify, a `load_sae` result, or a decoder as a tensor or an array.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_FACE = {
    "c_dec": ("correct_l0.metrics.face", "c_dec"),
    "s_n_dec": ("correct_l0.metrics.face", "s_n_dec"),
    "stability": ("correct_l0.metrics.face", "stability"),
    "load_sae": ("correct_l0.saes.saved", "load_saved_sae"),
    "save_for_sparsify": ("correct_l0.saes.sparsify", "write_sparsify_sae"),
    "read_curves": ("correct_l0.report.sweep", "read_curves"),
    "read_sweep": ("correct_l0.report.sweep", "read_sweep"),
}

__all__ = [
    "__version__",
    "c_dec",
    "load_sae",
    "read_curves",
    "read_sweep",
    "s_n_dec",
    "save_for_sparsify",
    "stability",
]


def __getattr__(name: str) -> Any:
    """Import a name of the public face."""
    if name not in _FACE:
        raise AttributeError(f"module 'correct_l0' has no attribute {name!r}")
    module, found = _FACE[name]
    return getattr(import_module(module), found)
