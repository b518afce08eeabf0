"""Activations that somebody has: files of rows, used where they lie.

In: an array of rows, as .npy, .safetensors, a Zarr array or a folder that `datasets` saved. Out: a
source of its rows, some of them held out. On disk it is an index: a checksum for each piece of the
files, and which rows are held out; the rows themselves are not copied.

`RECIPE` changes when the same rows and settings give another index.
"""

RECIPE = 1

STAGE = "index_stored"

MODEL_RECIPE = 1
MODEL_STAGE = "stage_model"
"""The model that rows are of, where probing asks for one."""


def is_path(documents: str) -> bool:
    """Tell whether `documents` is a file or a folder, and no name."""
    return "/" in documents or documents.endswith((".npy", ".zarr"))
