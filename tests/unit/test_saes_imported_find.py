"""Which SAEs an import means: by names, by small files, by SAELens' table."""

import re

import pytest

import imported_toy as toy
from correct_l0.errors import InputError
from correct_l0.saes.imported.find import sweep_of
from correct_l0.saes.imported.layouts import recognise, tell
from correct_l0.saes.imported.listing import Listing, local_listing, release_listing
from correct_l0.saes.imported.settings import Import, ImportedSweep

SCOPE = "google/gemma-scope-2b-pt-res"


def scope(*l0, layer=12, width="16k"):
    return [f"layer_{layer}/width_{width}/average_l0_{x}/params.npz" for x in l0]


def found(names, origin=SCOPE, read=lambda name: {}, **wanted):
    sweep = sweep_of(Import(repository=origin, **wanted), Listing(origin, tuple(names), read))
    return ImportedSweep.model_validate(sweep)


def test_names_tell_layer_width_and_l0():
    sweep = found(scope(445, 22, 176, 41, 82))
    assert sweep.l0 == (22, 41, 82, 176, 445)
    assert (sweep.d_sae, sweep.d_in, sweep.layer, sweep.family) == (16384, 2304, "12", "jumprelu")
    assert sweep.all_points == [(x, 0) for x in ("22", "41", "82", "176", "445")]
    assert sweep.of_l0(82)[0].name == "layer_12/width_16k/average_l0_82"


def test_near_equal_l0_are_replicates():
    sweep = found(scope(22, 83, 84, 176))
    assert sweep.l0 == (22, 83, 176) and sweep.seeds == (0, 1)
    assert sweep.all_points == [("22", 0), ("83", 0), ("83", 1), ("176", 0)]
    assert [sae.announced for sae in sweep.of_l0(83)] == [83, 84]


def test_seeds_in_names_are_kept():
    names = [
        f"btk/l0-{l0}/seed-{seed}/sae_weights.safetensors" for l0 in (15, 20) for seed in (3, 4)
    ]
    cfg = {"d_in": 768, "d_sae": 4096, "architecture": "jumprelu"}
    sweep = found([*names, *(x.replace("sae_weights.safetensors", "cfg.json") for x in names)],
                  "decoderesearch/synth-sae-bench-16k-v1-saes", lambda name: cfg)  # fmt: skip
    assert sweep.all_points == [("15", 3), ("15", 4), ("20", 3), ("20", 4)]


def test_a_mixed_selection_names_the_groups_and_the_line_that_picks_each():
    names = [*scope(22, 41), *scope(18, 34, layer=5), *scope(21, 38, width="65k")]
    with pytest.raises(InputError) as refused:
        found(names)
    said = str(refused.value)
    assert "\n" not in said and said.startswith("saes.import: 6 SAEs of 3 groups are selected")
    assert 'layer 5 16,384 latents of 2,304 jumprelu (2): select: "layer_5/width_16k/' in said
    for pattern in re.findall(r'select: "([^"]+)"', said):
        assert len(found(names, select=pattern).saes) == 2


def test_places_of_one_layer_are_not_mixed():
    """Of names, of what SAELens writes, and of what dictionary_learning writes."""
    told = {
        f"{site}/layer_7_width_16k_l0_small/params.safetensors": {"l0": 10, "width": 16384}
        for site in ("resid_post", "resid_pre", "attn_out")
    }
    for site in ("hook_resid_post", "hook_resid_mid"):
        hook = {"hook_name": f"blocks.3.{site}"}
        told[f"{site}_1/sae_weights.safetensors"] = {"d_in": 8, "d_sae": 12, "metadata": hook}
    for site in ("resid_post_layer_8", "attn_layer_8"):
        trainer = {"activation_dim": 8, "dict_size": 12, "layer": 8, "submodule_name": site}
        told[f"{site}/ae.pt"] = {"trainer": trainer}
    names = [*told]
    for name in names:
        folder = name.rpartition("/")[0]
        told |= {f"{folder}/{file}": told[name] for file in ("config.json", "cfg.json")}
    listing = Listing("me/mine", tuple(told), lambda name: told[name])
    layers = {x.name: tell(x, listing.read, "").layer for x in recognise(listing.names)}
    assert layers == {
        "resid_post/layer_7_width_16k_l0_small": "7",
        "resid_pre/layer_7_width_16k_l0_small": "7 resid_pre",
        "attn_out/layer_7_width_16k_l0_small": "7 attn",
        "hook_resid_post_1": "3",
        "hook_resid_mid_1": "3 hook_resid_mid",
        "resid_post_layer_8": "8",
        "attn_layer_8": "8 attn",
    }


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"select": "layer_13/*"}, "selects none of the 2 SAEs of google/gemma-scope-2b-pt-res"),
        ({"l0": {20000: "*_22"}}, "l0 20000 of layer_12/width_16k/average_l0_22 is above d_sae"),
    ],
)
def test_what_cannot_be_is_one_line(wanted, words):
    with pytest.raises((ValueError, InputError), match=re.escape(words)):
        found(scope(22, 41), **wanted)


def test_sizes_that_nothing_tells_are_asked_for():
    names = ["some/average_l0_4/params.npz"]
    with pytest.raises(InputError, match=r"d_sae of some/average_l0_4 is not told[^\n]*add saes"):
        found(names, "me/mine")
    sweep = found(names, "me/mine", d_in=8, d_sae=12)
    assert (sweep.d_in, sweep.d_sae) == (8, 12)


def test_l0_that_nothing_tells_are_numbers_unless_given():
    names = [f"trainer_{i}/ae.pt" for i in (10, 2)]
    facts = {"d_in": 8, "d_sae": 64}
    sweep = found(names, "me/mine", **facts)
    assert sweep.swept == "number"
    assert [(sae.l0, sae.name) for sae in sweep.saes] == [(1, "trainer_2"), (2, "trainer_10")]
    given = found(names, "me/mine", l0={40: "trainer_10", 20: "*_2"}, **facts)
    assert [(sae.l0, sae.name) for sae in given.saes] == [(20, "trainer_2"), (40, "trainer_10")]


def test_files_of_every_layout_tell_of_their_sae(tmp_path):
    p = toy.parts()
    toy.write_batchtopk(tmp_path / "a/resid_post_layer_8/trainer_0", p, threshold=-1, k=5)
    toy.write(tmp_path, {"a/resid_post_layer_8/trainer_0/eval_results.json": {"l0": 5.5}})
    toy.write_llama_scope(tmp_path / "Llama3_1-8B-Base-L7R-8x", p)
    toy.write_gemma_3(tmp_path / "resid_post/layer_7_width_16k_l0_small", p, l0=10)
    cfg = {"d_in": 8, "num_latents": 0, "expansion_factor": 4, "k": 3}
    toy.write(tmp_path, {"layers.5/cfg.json": cfg, "layers.5/sae.safetensors": p})
    listing = local_listing((str(tmp_path),), tmp_path)
    told = {x.layout: tell(x, listing.read, "") for x in recognise(listing.names)}
    assert sorted(told) == ["dictionary_learning_1", "gemma_3", "llama_scope", "sparsify"]
    benched = told["dictionary_learning_1"]
    assert (benched.announced, benched.k, benched.d_in, benched.d_sae) == (5.5, 5, 8, 12)
    assert (benched.layer, benched.family, benched.training_steps) == ("8", "batchtopk", 1000)
    assert [x.split("/")[-1] for x in benched.files] == [
        "ae.pt",
        "config.json",
        "eval_results.json",
    ]
    sparse = told["sparsify"]
    assert (sparse.announced, sparse.d_sae, sparse.layer, sparse.family) == (3, 32, "5", "topk")
    assert (told["gemma_3"].announced, told["gemma_3"].layer) == (10, "7")
    assert (told["llama_scope"].d_sae, told["llama_scope"].layer) == (12, "7")


@pytest.mark.parametrize("named", ["layer_1/average_l0_4", "layer_1", "layer_*/average_l0_4"])
def test_a_folder_may_be_an_sae_or_hold_some(tmp_path, named):
    toy.write_gemma_2(tmp_path / "layer_1/average_l0_4", toy.parts())
    listing = local_listing((named,), tmp_path)
    (sae,) = recognise(listing.names)
    assert listing.place and (tmp_path / listing.place / sae.files[0]).is_file()
    assert sae.name.endswith("average_l0_4")


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"^saes.import.folders 'nowhere/\*': no folder matches"):
        local_listing(("nowhere/*",), tmp_path)


def test_a_release_is_read_off_the_table():
    listing = release_listing("gemma-scope-2b-pt-res")
    wanted = Import(release="gemma-scope-2b-pt-res", select="layer_12/width_16k/*")
    sweep = ImportedSweep.model_validate(sweep_of(wanted, listing))
    assert sweep.l0 == (22, 41, 82, 176, 445) and sweep.origin == SCOPE
    assert {sae.layout for sae in sweep.saes} == {"gemma_2"}


def test_an_unknown_release_names_the_nearest():
    with pytest.raises(
        InputError, match=r"'gemma-scope-2b-res' is not in[^\n]*'gemma-scope-2b-pt-"
    ):
        release_listing("gemma-scope-2b-res")


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({}, "none of folders, repository, release is set"),
        ({"folders": ["a"], "release": "b"}, "folders and release of folders, repository"),
        ({"folders": ["a"], "revision": "main"}, "folders have none"),
        ({"release": "a", "select": []}, "select is empty"),
    ],
)
def test_one_of_folders_repository_and_release_is_named(section, words):
    with pytest.raises(ValueError, match=words):
        Import.model_validate(section)
