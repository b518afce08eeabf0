"""Manifests: a result is refused when settings, inputs or bytes are not what it says."""

from __future__ import annotations

import hashlib
import json

import pytest

from correct_l0.errors import InputError
from correct_l0.provenance.checks import check_manifest, checked_digest_of
from correct_l0.provenance.differences import describe_difference
from correct_l0.provenance.manifest import digest_of, read_manifest, replacing, write_manifest

EXPECTED = {
    "stage": "train_sae",
    "recipe": 1,
    "parameters": '{"lr":0.1}',
    "inputs": {"store": "abc"},
}


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "result.csv").write_text("a\n1\n")
    path = tmp_path / "manifest.json"
    write_manifest(path, outputs=[tmp_path / "result.csv"], **EXPECTED, seed=3)
    return path


def test_a_good_manifest_is_returned_with_its_facts(manifest):
    checked = check_manifest(manifest, **EXPECTED)
    assert checked["seed"] == 3
    assert checked["outputs"]["result.csv"] == {
        "bytes": 4,
        "sha256": hashlib.sha256(b"a\n1\n").hexdigest(),
    }


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("stage", "other", "stage is 'train_sae', not 'other'"),
        ("recipe", 2, "recipe is 1, not 2"),
        ("parameters", '{"lr":0.2}', r"made with other settings \(lr: 0.1 -> 0.2\)"),
        ("inputs", {"store": "xyz"}, "made from another store"),
        ("inputs", dict.fromkeys("abcde", "xyz"), "made from another a, b, c and 2 more"),
    ],
)
def test_a_disagreement_is_named(manifest, key, value, message):
    with pytest.raises(InputError, match=message):
        check_manifest(manifest, **{**EXPECTED, key: value})


def test_a_changed_shortened_or_missing_file_is_named(manifest):
    result = manifest.parent / "result.csv"
    result.write_text("a\n2\n")
    with pytest.raises(InputError, match=r"result.csv: bytes differ"):
        check_manifest(manifest, **EXPECTED)
    result.write_text("a\n")
    with pytest.raises(InputError, match=r"result.csv: 2 bytes, not 4"):
        check_manifest(manifest, **EXPECTED)
    result.unlink()
    with pytest.raises(InputError, match=r"result.csv: missing"):
        check_manifest(manifest, **EXPECTED)


def test_only_the_checksum_of_a_named_output_is_left_out(manifest):
    result = manifest.parent / "result.csv"
    result.write_text("a\n2\n")
    check_manifest(manifest, **EXPECTED, without_checksum={"result.csv"})
    result.write_text("a\n")
    with pytest.raises(InputError, match=r"result.csv: 2 bytes, not 4"):
        check_manifest(manifest, **EXPECTED, without_checksum={"result.csv"})


def test_a_digest_is_not_given_for_damaged_files(manifest):
    assert checked_digest_of(manifest) == digest_of(manifest)
    (manifest.parent / "result.csv").write_text("a\n2\n")
    with pytest.raises(
        InputError, match=r"result.csv: bytes differ.*delete .*manifest.json and run"
    ):
        checked_digest_of(manifest)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_torn_manifest_is_named(manifest, text):
    manifest.write_text(text)
    with pytest.raises(InputError, match=r"manifest.json: damaged"):
        read_manifest(manifest)


def test_a_manifest_that_is_a_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path}: cannot be read \(Is a directory\); "):
        read_manifest(tmp_path)


@pytest.mark.parametrize("outputs", [None, 3, {"result.csv": 4}, {"result.csv": {"bytes": 4}}])
def test_a_manifest_without_its_outputs_is_damaged(manifest, outputs):
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"outputs": outputs}))
    for check in (checked_digest_of, lambda path: check_manifest(path, **EXPECTED)):
        with pytest.raises(InputError, match=r"manifest.json: damaged, .*; delete .* run again"):
            check(manifest)


def test_the_digest_is_of_the_numbers_not_of_the_run(manifest):
    before = digest_of(manifest)
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "wall_s": 99, "code_version": "x"}))
    assert digest_of(manifest) == before
    manifest.write_text(json.dumps({**content, "recipe": 2}))
    assert digest_of(manifest) != before


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_differences_name_nested_keys_and_defaults():
    found, wanted = '{"a":{"b":1}}', '{"a":{"b":2},"c":true}'
    assert describe_difference(found, wanted) == "a.b: 1 -> 2, c: default -> true"


@pytest.mark.parametrize(
    ("found", "wanted", "words"),
    [
        # A report's settings.
        (
            '{"study":"a","saes":{"seeds":[0,1]}}',
            '{"study":"a","saes":{}}',
            "saes.seeds: [0, 1] -> [0]",
        ),
        # An override falls back to what all points have, or to its default.
        (
            '{"study":"a","saes":{"training":{"lr":0.003},"overrides":{"32.0":{"lr":0.001}}}}',
            '{"study":"a","saes":{"training":{"lr":0.003}}}',
            "saes.overrides.32.0.lr: 0.001 -> 0.003",
        ),
        (
            '{"study":"a","saes":{"overrides":{"32.0":{"lr":0.001}}}}',
            '{"study":"a","saes":{}}',
            "saes.overrides.32.0.lr: 0.001 -> 0.0003",
        ),
        # An SAE's, a cache's and probing's.
        ('{"d_sae":4,"training":{"lr":0.1}}', '{"d_sae":4}', "training.lr: 0.1 -> 0.0003"),
        ('{"hook_name":"x"}', '{"hook_name":"x","seed":3}', "seed: 0 -> 3"),
        ('{"tasks":["a"]}', "{}", 'tasks: ["a"] -> "none"'),
        # A setting without one.
        ('{"d_sae":4}', "{}", "d_sae: 4 -> default"),
    ],
)
def test_differences_name_the_default(found, wanted, words):
    assert describe_difference(found, wanted) == words
