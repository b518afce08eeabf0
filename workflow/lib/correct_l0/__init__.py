"""Which L0 should a sparse autoencoder have? Training sweeps, decoder metrics and their reading.

The public face; each name is imported when it is first asked for:

- `c_dec(W_dec)`: mean absolute cosine between decoder rows;
- `s_n_dec(x, W_dec, b_dec, n)`: the n-th highest projection of a batch on the decoder;
- `load_sae(folder)`: a trained SAE in SAELens' inference format, or a TopK SAE in sparsify's;
- `save_for_sparsify(folder, sae)`: a TopK SAE in sparsify's format;
- `read_sweep(saes)`: from decoders by L0 to the answer, in a notebook;
- `read_curves(tables, d_sae=..., ...)`: from a study's tables to the answer.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_FACE = {
    "c_dec": ("correct_l0.metrics.decoder.cosine", "mean_absolute_cosine"),
    "s_n_dec": ("correct_l0.metrics.decoder.projection", "s_n_dec"),
    "load_sae": ("correct_l0.saes.saved", "load_saved_sae"),
    "save_for_sparsify": ("correct_l0.saes.sparsify", "write_sparsify_sae"),
    "read_curves": ("correct_l0.report.study", "read_study"),
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
]


def __getattr__(name: str) -> Any:
    """Import a name of the public face."""
    if name not in _FACE:
        raise AttributeError(f"module 'correct_l0' has no attribute {name!r}")
    module, found = _FACE[name]
    return getattr(import_module(module), found)
