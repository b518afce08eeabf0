"""The hub's own download code against a hub on loopback, with its faults."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hub as loopback
import imported_toy as toy

LIBRARY = Path(__file__).parents[2] / "workflow" / "lib"

SCRIPT = """
import json, sys
from pathlib import Path
from correct_l0.errors import InputError
from correct_l0.saes.imported.fetch import Fetched, fetch_weights
from correct_l0.saes.imported.find import sweep_of
from correct_l0.saes.imported.hub import hub_listing
from correct_l0.saes.imported.settings import Import, ImportedSweep
from correct_l0.settings.canonical import canonical

said = {}
for repository in sys.argv[2:]:
    name, _, revision = repository.partition("@")
    try:
        wanted = Import(repository=name, revision=revision)
        sweep = ImportedSweep.model_validate(sweep_of(wanted, hub_listing(name, revision)))
        folder = Path(sys.argv[1]) / name
        fetch_weights(folder, canonical(sweep))
        fetched = Fetched(folder / "manifest.json")
        said[repository] = {
            x.name: {**fetched.facts(x), "l0": x.l0, "commit": fetched.commit,
                     "there": fetched.find(x.files[0]).is_file()}
            for x in fetched.sweep.saes
        }
    except InputError as error:
        said[repository] = str(error)
print("SAID" + json.dumps(said))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    for i, k in enumerate((2, 4, 8)):
        sae = folder / f"me/bench/BatchTopK_toy/resid_post_layer_8/trainer_{i}"
        toy.write_batchtopk(sae, toy.unit(toy.parts(i)), threshold=-1.0, k=k)
    toy.write(folder, {"me/bench/BatchTopK_toy/resid_post_layer_8/trainer_0/eval_results.json":
                       {"l0": 2.1}})  # fmt: skip
    (folder / "me/bench/README.md").write_text("large and of no use here")
    for name in ("damaged", "short"):
        toy.write_batchtopk(folder / f"me/{name}/{name}_0", toy.parts(), threshold=-1.0)
    toy.write(folder, {"me/readme/config.json": {}})
    # Above the 10 MiB that the library writes at once.
    large = toy.parts(d_in=512, d_sae=2700)
    toy.write_batchtopk(folder / "me/cut/cut_0", large, threshold=-1.0)
    return folder


CONVERT = """
import json, sys
from pathlib import Path
from correct_l0.metrics.decoder.cosine import mean_absolute_cosine
from correct_l0.saes.imported.fetch import Fetched, fetch_weights
from correct_l0.saes.imported.find import sweep_of
from correct_l0.saes.imported.hub import hub_listing
from correct_l0.saes.imported.load import load_imported
from correct_l0.saes.imported.settings import Import, ImportedSweep
from correct_l0.settings.canonical import canonical

said = {}
for repository in sys.argv[2:]:
    d_in, d_sae = (2048, 16) if "Qwen" in repository else (8, 12)
    wanted = Import(repository=repository, d_in=d_in, d_sae=d_sae)
    sweep = ImportedSweep.model_validate(sweep_of(wanted, hub_listing(repository, "")))
    folder = Path(sys.argv[1]) / repository
    fetch_weights(folder, canonical(sweep))
    fetched = Fetched(folder / "manifest.json")
    (found,) = fetched.sweep.saes
    k = fetched.facts(found)["k"]
    sae, _ = load_imported(found.name, found.layout, repository, fetched.find, k=k)
    said[repository] = [found.layout, sae.form, mean_absolute_cosine(sae.W_dec)]
print("SAID" + json.dumps(said))
"""

SCORES = """
import json, sys
from correct_l0.errors import InputError
from correct_l0.study.opened import open_plan

said = {}
for repository in sys.argv[2:]:
    name, _, revision = repository.partition("@")
    scores = {"repository": name, "revision": revision}
    wanted = {"folders": ["mine"], "d_in": 8, "d_sae": 12, "scores": scores}
    study = f"study{len(said)}"
    try:
        saes = open_plan({"study": study, "saes": {"import": wanted}}).study.saes
        said[repository] = {"scores": saes.published, "commit": saes.published_commit}
    except InputError as error:
        said[repository] = str(error)
print("SAID" + json.dumps(said))
"""


def ask(hub, home, *repositories, script=SCRIPT, **environment):
    """Return what is said of each repository, by a process that knows the hub's address."""
    env = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(home), "PYTHONPATH": str(LIBRARY),
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment,
    }  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-c", script, str(home / "out"), *repositories],
        capture_output=True, text=True, env=env, check=False, cwd=home,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.rpartition("SAID")[2])


def test_weights_are_fetched_once_and_nothing_else(root, tmp_path):
    with loopback.serve(root) as hub:
        (found,) = ask(hub, tmp_path, "me/bench").values()
        first = len(hub.asked)
        again = ask(hub, tmp_path, f"me/bench@{loopback.COMMIT}")
        assert not [x for x in hub.asked[first:] if x[0] == "GET" and x[1].endswith(".pt")]
        assert all(len(hub.downloads(f"trainer_{i}/ae.pt")) == 1 for i in range(3))
        assert hub.downloads("README.md") == []
        # What is there needs no hub, if its commit is named.
        before = len(hub.asked)
        offline = ask(hub, tmp_path, "me/bench", HF_HUB_OFFLINE="1")
        assert len(hub.asked) == before
    assert [(x["l0"], x["announced"], x["k"]) for x in found.values()] == [
        (2.1, 2.1, 2), (4, 4, 4), (8, 8, 8),
    ]  # fmt: skip
    assert {x["commit"] for x in found.values()} == {loopback.COMMIT}
    assert all(x["there"] and x["training_steps"] == 1000 for x in found.values())
    assert list(again.values()) == [found]
    assert "HF_HUB_OFFLINE is set; unset it and run again" in offline["me/bench"]
    assert "\n" not in offline["me/bench"]


def test_every_layout_is_fetched_and_converted(tmp_path):
    p, served = toy.parts(), tmp_path / "served"
    toy.write_gemma_2(served / "me/scope/layer_3/average_l0_4", p)
    toy.write_gemma_3(served / "me/scope-2/resid_post/layer_7_l0_small", p)
    toy.write_batchtopk(
        served / "me/bench/resid_post_layer_8/trainer_0", toy.unit(p), threshold=-1.0
    )
    sparse = toy.write_sparsify(served / "me/sparse/layers.5", seed=1)
    toy.write_sae_lens(served / "me/lens/a", "jumprelu", p)
    toy.write_llama_scope(served / "me/llama/Llama3_1-8B-Base-L7R-8x", p)
    wide = toy.unit(toy.parts(d_in=2048, d_sae=16))
    state = {"W_enc": wide["W_enc"].T, "W_dec": wide["W_dec"].T, "b_enc": wide["b_enc"],
             "b_dec": wide["b_dec"]}  # fmt: skip
    qwen = "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_5"
    toy.write(served / qwen, {"layer3.sae.pt": state})
    written = {
        "me/scope": ("gemma_2", "jumprelu", p["W_dec"]),
        "me/scope-2": ("gemma_3", "jumprelu", p["W_dec"]),
        "me/bench": ("dictionary_learning_1", "topk", p["W_dec"]),
        "me/sparse": ("sparsify", "topk", sparse["W_dec"]),
        "me/lens": ("sae_lens", "jumprelu", p["W_dec"]),
        "me/llama": ("llama_scope", "jumprelu", p["W_dec"]),
        qwen: ("qwen_scope", "topk", wide["W_dec"]),
    }
    with loopback.serve(served) as hub:
        said = ask(hub, tmp_path, *written, script=CONVERT)
    for repository, (layout, form, W_dec) in written.items():
        rows = torch.nn.functional.normalize(W_dec, dim=1)
        overlap = (rows @ rows.T).abs().triu(1).sum() / (len(rows) * (len(rows) - 1) / 2)
        assert said[repository] == [layout, form, pytest.approx(float(overlap), abs=1e-5)]


def test_a_download_that_breaks_off_goes_on_where_it_stopped(root, tmp_path):
    with loopback.serve(root) as hub:
        hub.cut["cut_0/ae.pt"] = 11_000_000
        said = ask(hub, tmp_path, "me/cut")["me/cut"]
        # The library tries again by itself, from where it stopped.
        assert hub.downloads("cut_0/ae.pt") == ["", f"bytes={10 * 2**20}-"]
    assert said["cut_0"]["there"]


def test_faults_are_one_line_each(root, tmp_path):
    with loopback.serve(root) as hub:
        hub.damaged.add("damaged_0/ae.pt")
        hub.short.add("short_0/ae.pt")
        said = ask(
            hub, tmp_path,
            "me/gated", "me/gone", "me/busy", "me/damaged", "me/short", "no name", "me/readme",
        )  # fmt: skip
    words = {
        "me/gated": "is gated; accept its terms on its page",
        "me/gone": "is no model repository on the hub, or is private; correct its name",
        "me/busy": "asks to wait (429, too many requests); run again later",
        "me/short": "broke off (Consistency check failed: file should be of size",
        "no name": "is no name of a repository; give <owner>/<name>",
        "me/readme": "me/readme has no SAE of a known layout",
        "me/damaged": "its content is not what the hub says it is; removed, run again",
    }
    for repository, expected in words.items():
        assert expected in said[repository], said[repository]
        assert "\n" not in said[repository]


def test_scores_of_a_data_set_are_fetched_once_and_joined(tmp_path):
    served = tmp_path / "served"
    for number, l0 in enumerate((4, 8, 16)):
        name = f"layer_1/average_l0_{l0}"
        if l0 < 16:
            toy.write_gemma_2(tmp_path / "mine" / name, toy.parts())
        toy.write_scores(served / "me/scores", "r", name, scr=number / 4, tpp=1 - number / 4)
        toy.write_scores(served / "me/others", "r", "layer_2/average_l0_4", scr=0.5)
    toy.write_scores(served / "me/short", "r", "layer_1/average_l0_4", scr=0.5)
    toy.write(served, {"me/damaged/scr/x_layer_1_average_l0_4_eval_results.json": {"a": 1}})
    wanted = {
        "scores": {
            "mine/layer_1/average_l0_4": {"scr": 0.0, "tpp": 1.0},
            "mine/layer_1/average_l0_8": {"scr": 0.25, "tpp": 0.75},
        },
        "commit": loopback.COMMIT,
    }
    words = {
        "me/others": "none of its 1 result files (*_eval_results.json), such as r_layer_2_average",
        "me/nothing": "repository me/nothing is no dataset repository on the hub, or is private",
        "me/gated": "is gated; accept its terms on its page",
        "me/busy": "asks to wait (429, too many requests); run again later",
        "me/short": "broke off (Consistency check failed: file should be of size",
        "me/damaged": "is no result file of SAEBench",
        "no name": "is no name of a repository; give <owner>/<name>",
    }
    with loopback.serve(served) as hub:
        hub.cut["tpp/r_layer_1_average_l0_4_custom_sae_eval_results.json"] = 20
        hub.short.add("scr/r_layer_1_average_l0_4_custom_sae_eval_results.json")
        short = ask(hub, tmp_path, "me/short", script=SCORES)
        hub.short.clear()
        said = ask(hub, tmp_path, "me/scores", *{*words} - {"me/short"}, script=SCORES)
        assert len(hub.downloads("average_l0_8_custom_sae_eval_results.json")) == 2
        assert hub.downloads("average_l0_16_custom_sae_eval_results.json") == []
        before = len(hub.asked)
        again = ask(hub, tmp_path, "me/scores", "me/scores@main", script=SCORES, HF_HUB_OFFLINE="1")
        assert len(hub.asked) == before
    assert said["me/scores"] == again["me/scores"] == wanted
    # What was not asked before cannot be known without a hub.
    words["me/scores@main"] = "HF_HUB_OFFLINE is set; unset it and run again"
    for repository, error in {**said, **again, **short}.items():
        if repository != "me/scores":
            assert words[repository] in error and "\n" not in error, (repository, error)
