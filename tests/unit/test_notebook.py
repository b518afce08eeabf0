"""docs/notebook.ipynb, run as a notebook is run."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def values(notebook):
    """Return what each code cell shows, by its kind."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [cell.outputs[-1]["data"] for cell in code if cell.outputs]


def test_every_cell_runs_and_shows_what_it_should(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    written = values(notebook)
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=1800, kernel_name="python3", resources=where).execute()
    of_trained, of_saved, table, answer, _ = values(notebook)
    overlap, projections = eval(of_trained["text/plain"])
    # 32 rows in 16 dimensions: two random directions have a cosine of 0.2.
    assert 0.1 < overlap < 0.4 and projections[0] > projections[1] > 0
    # The loaded SAE is the trained one, and batches of any size are one.
    again, by_batches = eval(of_saved["text/plain"])
    assert again == pytest.approx(overlap, abs=1e-6)
    assert by_batches == pytest.approx(projections, rel=0.1)
    assert "reproduced_share" in table["text/html"]
    assert answer["text/html"].startswith("<p><b>") and "No L0" not in answer["text/html"]
    assert answer["text/html"] == written[3]["text/html"]
