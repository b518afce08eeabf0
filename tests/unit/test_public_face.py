"""The names that a notebook uses: what they take, what they say, and what they need."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import correct_l0
import imported_toy as toy
from correct_l0.errors import InputError
from correct_l0.saes.saved import load_saved_sae

ROOT = Path(__file__).parents[2]
CORE = ("torch", "numpy", "scipy", "pandas", "pydantic", "safetensors")


def test_the_package_itself_imports_nothing_heavy():
    code = "import sys, correct_l0; print(sorted({'numpy', 'torch', 'pandas'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_name_of_the_face_is_there():
    for name in correct_l0._FACE:
        assert callable(getattr(correct_l0, name))
        assert {"Parameters", "Examples"} <= {
            line.strip() for line in getattr(correct_l0, name).__doc__.splitlines()
        } or name in ("load_sae", "save_for_sparsify")
    assert set(correct_l0.__all__) == {*correct_l0._FACE, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = correct_l0.nothing


# Rows at angles 0, 90 and 45 degrees: |cosines| 0, sqrt(1/2), sqrt(1/2).
W_DEC = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5**0.5, 0.5**0.5]])


class Sae(torch.nn.Module):
    """As of sparsify, and of SAELens in training: parameters with gradients."""

    def __init__(self, dtype):
        super().__init__()
        self.W_dec = torch.nn.Parameter(W_DEC.to(dtype))
        self.b_dec = torch.nn.Parameter(torch.zeros(2, dtype=dtype))


@pytest.mark.parametrize(
    "sae",
    [
        W_DEC,
        7 * W_DEC.numpy(),
        W_DEC.double() * torch.tensor([[3.0], [0.2], [1.0]]),
        Sae(torch.float32),
        Sae(torch.bfloat16),
    ],
    ids=["tensor", "array of norm 7", "rows of several norms", "parameters", "bfloat16"],
)
def test_metrics_of_whatever_has_a_decoder(sae):
    close = 5e-3 if isinstance(sae, Sae) and sae.W_dec.dtype == torch.bfloat16 else 1e-6
    assert correct_l0.c_dec(sae) == pytest.approx(2 * 0.5**0.5 / 3, abs=close)
    # Projections of (2, 1): 2, 1, 3 / sqrt(2) = 2.12; the second highest is 2.
    acts = torch.tensor([[2.0, 1.0]])
    bias = None if isinstance(sae, Sae) else torch.zeros(2)
    assert correct_l0.s_n_dec(acts, sae, 1, b_dec=bias) == pytest.approx(2, abs=close)
    both = correct_l0.s_n_dec(acts.bfloat16(), sae, [1, 2], b_dec=bias)
    assert both == pytest.approx([2, 1], abs=close)


def test_a_last_short_batch_has_the_weight_of_its_tokens():
    # Of three tokens (4, 0) the second highest per token is 4 / sqrt(2), of one (0, 0) it is 0.
    acts = torch.zeros(4, 2)
    acts[:3, 0] = 4
    told = {"b_dec": torch.zeros(2)}
    found = correct_l0.s_n_dec(acts.split(3), W_DEC, 1, **told)
    assert found == pytest.approx(3 / 4 * 4 * 0.5**0.5)
    sequences = correct_l0.s_n_dec(acts[:3].reshape(1, 3, 2), W_DEC, 1, **told)
    assert sequences == pytest.approx(4 * 0.5**0.5)


def test_load_sae_reads_what_saelens_writes_and_its_result_is_taken(tmp_path):
    theirs = toy.write_sae_lens(tmp_path, "jumprelu", toy.parts())
    ours = correct_l0.load_sae(tmp_path)
    assert correct_l0.c_dec(ours) == pytest.approx(correct_l0.c_dec(theirs), abs=1e-7)
    acts = torch.randn(50, toy.D_IN, generator=torch.Generator().manual_seed(0))
    found = [correct_l0.s_n_dec(acts, sae, [3, 5]) for sae in (ours, theirs)]
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert correct_l0.stability({4: ours, 7: theirs})["pw_mcc"].item() == pytest.approx(1)
    assert torch.equal(load_saved_sae(tmp_path).W_dec, theirs.W_dec)


CURVE = pd.DataFrame({"l0": [5, 10, 20, 40, 80, 160], "value": [0.5, 0.3, 0.1, 0.12, 0.2, 0.3]})


def test_a_table_of_anybody_is_read_and_shows_itself():
    answer = correct_l0.read_curves(CURVE)
    assert 10 < answer.l0 < 40
    assert list(answer.table.columns) == ["l0", "c_dec", "seed"]
    assert answer._repr_html_().startswith(f"<p><b>{answer.headline}")
    assert correct_l0.read_curves(CURVE.rename(columns={"value": "c_dec"})).l0 == answer.l0
    s_n = CURVE.rename(columns={"value": "s_n_dec_700"}).assign(seed=3, note="mine")
    both = correct_l0.read_curves(s_n.assign(c_dec=CURVE["value"]), d_in=64, d_sae=2048)
    assert both.l0 == pytest.approx(answer.l0)
    assert any("s_n^dec" in line for line in both.lines)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"x": [1]}, "the table has columns x, not l0"),
        ({"l0": [1, 2], "f1": [0, 1]}, "none of c_dec, s_n_dec_<n> and value"),
        ({"l0": [1, 2], "value": [0.1, np.nan]}, "c_dec is nan in a row of the table, not"),
        ({"l0": [1, "many"], "value": [0.1, 0.2]}, "l0 is many in a row"),
        ({"l0": [0, 2], "value": [0.1, 0.2]}, "l0 0 is not above zero"),
        ({"l0": [2, 2], "value": [0.1, 0.2]}, "L0 2 seed 0 stands twice"),
    ],
)
def test_what_is_no_table_is_one_line(table, words):
    with pytest.raises(InputError, match=words) as refused:
        correct_l0.read_curves(pd.DataFrame(table))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: correct_l0.c_dec("a folder"), "str is no decoder; give W_dec"),
        (lambda: correct_l0.s_n_dec(torch.ones(1, 2), W_DEC, 1), "Tensor has no b_dec; give"),
        (lambda: correct_l0.s_n_dec(torch.ones(1, 2), 0 * W_DEC, 1, b_dec=torch.ones(2)),
         "decoder row 0 is zero or not finite"),
        (lambda: correct_l0.s_n_dec(torch.ones(1, 2), W_DEC, 3, b_dec=torch.ones(2)),
         "n 3 is not between 1 and d_sae - 1 = 2"),
        (lambda: correct_l0.stability([W_DEC]), "stability of 1 SAE; give two or more"),
    ],
)  # fmt: skip
def test_what_is_no_sae_is_one_line(call, words):
    with pytest.raises(InputError, match=words):
        call()


FORBID = """
import sys
from importlib.machinery import PathFinder

found, forbidden = PathFinder.find_spec, set(sys.argv[1].split())

def find_spec(name, path=None, target=None):
    return None if name.split(".")[0] in forbidden else found(name, path, target)

PathFinder.find_spec = staticmethod(find_spec)
sys.path.insert(0, sys.argv[2])
import correct_l0
assert correct_l0.__file__.startswith(sys.argv[2]), correct_l0.__file__
"""
USE = """
import torch, pandas as pd
for name in correct_l0.__all__:
    getattr(correct_l0, name)
print(correct_l0.c_dec(torch.eye(3)), correct_l0.stability([torch.eye(8)] * 2)["pw_mcc"].item())
table = {"l0": [5, 10, 20, 40, 80], "value": [0.5, 0.3, 0.1, 0.2, 0.3]}
print(correct_l0.read_curves(pd.DataFrame(table)).headline)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder into which the package was installed, alone."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "workflow" / "lib", source / "workflow" / "lib")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(source)], check=True)
    return folder / "site"


def run_with(installed, names, code):
    """Run code with the installed package and what some packages require; nothing else is there."""
    found = importlib.metadata.packages_distributions()
    allowed = requirements_of(names)
    forbidden = {top for top, of in found.items() if not allowed & set(map(plain, of))}
    assert {"snakemake", "zarr"} <= forbidden
    assert not {*names} & forbidden
    run = subprocess.run(
        [sys.executable, "-c", FORBID + code, " ".join(forbidden - {"correct_l0"}), str(installed)],
        capture_output=True, text=True, cwd=installed.parent,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_an_installed_wheel_needs_the_core_and_nothing_else(installed):
    first, second = run_with(installed, CORE, USE)
    assert first == "0.0 1.0"
    assert "L0" in second


def test_the_notebook_runs_with_an_installed_wheel_and_saelens_alone(installed):
    cells = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    last = run_with(installed, [*CORE, "sae-lens"], f"{code}\nprint(answer.headline)")[-1]
    assert last.startswith("L0 about")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements_of(names) -> set[str]:
    """Return packages and all that they require, as installed here."""
    found: set[str] = set()
    left = list(map(plain, names))
    while left:
        if (name := left.pop()) in found:
            continue
        found.add(name)
        try:
            requires = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        left += [plain(re.match(r"[\w.-]+", x)[0]) for x in requires if "extra ==" not in x]
    return found


def test_the_core_is_what_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [re.match(r"[\w.-]+", line)[0] for line in project["dependencies"]]
    assert sorted(declared) == sorted(CORE)
    assert set(project["optional-dependencies"]) == {"workflow", "saelens", "sparsify", "probing"}
