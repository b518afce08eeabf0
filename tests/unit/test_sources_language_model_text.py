"""Documents from every source, their split, and their packing."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import zstandard

from correct_l0.errors import InputError
from correct_l0.provenance.manifest import read_manifest
from correct_l0.report.caveats import ENGLISH_LIMIT
from correct_l0.sources.language_model import text
from correct_l0.sources.language_model.documents import (
    read_documents,
    read_file,
    reserved_texts,
    shuffled_probe_texts,
)
from correct_l0.sources.language_model.english import EnglishWords
from correct_l0.sources.language_model.packing import ConcatenatePacker, Contexts, DocumentPacker
from correct_l0.sources.language_model.reader import open_store
from correct_l0.sources.language_model.settings import Text
from correct_l0.sources.language_model.text import StagedText, split_of, stage_text
from correct_l0.sources.language_model.tokenizer import load_tokenizer
from language_model_toy import WordTokenizer, toy_cache, toy_settings, write_documents

ROWS = [{"text": "first document"}, {"text": "zweites, größer"}, {"text": " \n"}, {"text": None}]
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def files(*paths, **named):
    return Text(source="files", files=tuple(map(str, paths)), **named)


# Sources


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_each_format_gives_the_same_documents(tmp_path, suffix):
    path = tmp_path / f"text{suffix}"
    if suffix == ".parquet":
        pd.DataFrame(ROWS).to_parquet(path)
    else:
        pack = {".jsonl": bytes, ".jsonl.gz": gzip.compress, ".jsonl.zst": zstandard.compress}
        path.write_bytes(pack[suffix](JSONL))
    assert list(read_documents(files(path), 0)) == ["first document", "zweites, größer"]


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".jsonl.gz", gzip.compress), (".jsonl.zst", zstandard.compress)]
)
def test_files_packed_in_several_pieces_are_read_to_the_end(tmp_path, suffix, pack):
    path = tmp_path / f"text{suffix}"
    path.write_bytes(b"".join(pack(line) for line in JSONL.splitlines(keepends=True)))
    assert list(read_documents(files(path), 0)) == ["first document", "zweites, größer"]


def test_paragraphs_of_a_txt_file_are_documents(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("one\nstill one\n\n\n  \ntwo\n")
    assert list(read_file(path, "text")) == ["one\nstill one", "two"]


def test_probe_texts_are_all_different_and_their_order_is_drawn():
    texts = shuffled_probe_texts(0)
    assert len(texts) == len(set(texts)) == 297_958
    assert reserved_texts(["96_spam_is"]) < set(texts)
    assert texts != sorted(texts)


def test_a_dataset_is_streamed_and_shuffled(tmp_path):
    """A local folder stands for a hub name: the same `load_dataset` and `shuffle`."""
    lines = [json.dumps({"body": f"document {i}"}) for i in range(50)]
    (tmp_path / "train.jsonl").write_text("\n".join(lines) + "\n")
    text = Text(source="datasets", dataset=str(tmp_path), text_field="body", shuffle_buffer=20)
    documents = list(read_documents(text, 0))
    assert sorted(documents) == sorted(f"document {i}" for i in range(50))
    assert documents == list(read_documents(text, 0))
    assert documents != list(read_documents(text, 1))
    wrong = text.model_copy(update={"text_field": "text"})
    with pytest.raises(InputError, match=r"has no field 'text', only body; set text.text_field"):
        list(read_documents(wrong, 0))


def test_a_dataset_that_is_not_there_is_refused(tmp_path):
    text = Text(source="datasets", dataset=str(tmp_path / "none"))
    with pytest.raises(InputError, match=r"dataset '.*none' cannot be opened \(.*check its name"):
        list(read_documents(text, 0))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", None, r"text file '.*a\.txt' does not exist; correct text\.files"),
        ("a.txt", b"", r"text file '.*a\.txt' is empty; name one with text"),
        ("a.txt", b" \n\n", r"text file '.*a\.txt' is empty; name one with text"),
        ("a.txt", b"abc\n\nd\xffe", r"a\.txt' is not UTF-8: byte 6 cannot be decoded; convert it"),
        ("a.jsonl", b'{"text": "a\xe4"}\n', r"a\.jsonl' is not UTF-8: byte 11 cannot be decoded"),
        ("a.jsonl", b'{"text": "a"}\n{"body": "b"}\n', r"line 2 has no field 'text', only body"),
        ("a.jsonl", b'{"text": 3}\n', r"line 1: field 'text' holds int, not text"),
        ("a.jsonl", b'{"text": "a"}\nnonsense\n', r"line 2 is not JSON"),
        ("a.jsonl", b'{"text": "a"}\n' + b"[" * 100_000, r"line 2 is not JSON"),
        ("a.txt", "abc".encode("utf-16-le"), r"a\.txt' is not UTF-8: byte 1 cannot be decoded"),
        ("a.txt", "abc".encode("utf-16"), r"a\.txt' is not UTF-8: byte 0 cannot be decoded"),
        ("a.jsonl.gz", b"no gzip", r"a\.jsonl\.gz' is damaged or cut off \(.*\); replace it"),
        ("a.jsonl.zst", b"no zstd", r"a\.jsonl\.zst' is damaged or cut off \(.*\); replace it"),
        ("a.parquet", b"no parquet", r"a\.parquet' is damaged or cut off \(.*\); replace it"),
        ("a.parquet", b"", r"a\.parquet' is damaged or cut off \(.*\); replace it"),
        ("a.pdf", b"pdf", r"a\.pdf': unknown format; one of \.txt, \.jsonl"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        list(read_documents(files(path), 0))


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_a_file_is_refused_wherever_it_is_cut_off(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        pd.DataFrame({"text": ["some text"] * 9}).to_parquet(path)
    else:
        path.write_bytes(
            {".jsonl.gz": gzip.compress, ".jsonl.zst": zstandard.compress}[suffix](JSONL)
        )
    whole = path.read_bytes()
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        with pytest.raises(InputError, match=r"is (damaged or cut off \(.+\); replace it|empty)"):
            list(read_documents(files(path), 0))


def test_parquet_text_that_is_not_utf_8_is_refused(tmp_path):
    text = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff"))
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet' is damaged or cut off \('utf-8' codec"):
        list(read_documents(files(tmp_path / "a.parquet"), 0))


def test_half_a_character_is_replaced_and_counted(tmp_path):
    """The first of the two is whole, an emoji as the pair that JSON may write it in."""
    path = tmp_path / "toy.jsonl"
    path.write_text('{"text": "w1 \\ud83d\\ude00"}\n{"text": "w2 \\ud83d b \\ude00"}\n')
    settings = toy_settings(tmp_path, packing="documents", training_tokens=1, held_out_tokens=1)
    counts = text.Counts()
    contexts = {split: Contexts(8, (), 1) for split in ("training", "held_out")}
    documents = read_documents(settings.text, 0)
    found = text._assign(settings, documents, contexts, counts, EnglishWords())
    given = [document for _, document in found]
    assert given == ["w1 \U0001f600", "w2 \ufffd b \ufffd"]
    assert (counts.read, counts.mended) == (2, 1)


def test_a_parquet_file_without_the_column_is_refused(tmp_path):
    pd.DataFrame({"body": ["a"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"has no column 'text', only body; set text.text_field"):
        list(read_documents(files(tmp_path / "a.parquet"), 0))


# Packing


def concatenate(documents, context_size, begin=1, separator=1, wanted=10**9):
    contexts = Contexts(context_size, (), wanted)
    packer = ConcatenatePacker(contexts, begin, separator)
    for number, tokens in enumerate(documents):
        packer.add(number, np.array(tokens))
    arrays = contexts.arrays()
    return arrays["tokens"].reshape(-1, context_size), arrays["documents"]


def test_concatenated_contexts_by_hand():
    """BOS (1) begins each context and each document; what fills no context is dropped."""
    tokens, documents = concatenate([[5, 6, 7], [8], [9, 2, 3, 4, 5, 6]], 4)
    assert tokens.tolist() == [[1, 5, 6, 7], [1, 8, 1, 9], [1, 2, 3, 4]]
    assert documents.reshape(-1, 4).tolist() == [[0, 0, 0, 0], [1, 1, 2, 2], [2, 2, 2, 2]]


@pytest.mark.parametrize(("begin", "separator"), [(1, 1), (None, 2), (None, None)])
@pytest.mark.parametrize("context_size", [2, 3, 7, 64])
def test_concatenation_is_the_authors(context_size, begin, separator):
    """SAELens' own packing, on documents of all lengths, some beginning with the separator."""
    from sae_lens.tokenization_and_batching import concat_and_batch_sequences

    generator = np.random.default_rng(0)
    documents = [generator.integers(1, 9, n).tolist() for n in generator.integers(1, 30, 200)]
    theirs = concat_and_batch_sequences(
        (torch.tensor(tokens) for tokens in documents),
        context_size,
        begin_batch_token_id=begin,
        sequence_separator_token_id=separator,
    )
    ours, _ = concatenate(documents, context_size, begin, separator)
    assert ours.tolist() == torch.stack(list(theirs)).tolist()


def test_document_contexts_and_their_rows_by_hand():
    """Rows at BOS (1) are dropped: 2, 1 and 3 rows, of which 4 were wanted."""
    contexts = Contexts(8, (1,), wanted_rows=4)
    packer = DocumentPacker(contexts)
    for number, tokens in enumerate([[1, 5, 6], [1, 7], [1, 8, 9, 4], [1, 3]]):
        packer.add(number, np.array(tokens))
    arrays = contexts.arrays()
    assert arrays["tokens"].tolist() == [1, 5, 6, 1, 7, 1, 8, 9, 4]
    assert arrays["documents"].tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
    assert arrays["starts"].tolist() == [0, 3, 5, 9]
    assert arrays["row_starts"].tolist() == [0, 2, 3, 6]


# Staging


def words(staged, contexts=None):
    """Return the documents of a staged split as texts, by number."""
    texts = {}
    for context in range(contexts or len(staged.starts) - 1):
        for token, document in zip(staged.tokens(context), staged.documents(context), strict=True):
            if token != 1:
                texts.setdefault(int(document), []).append(f"w{token - 10}")
    return {number: " ".join(parts) for number, parts in texts.items()}


@pytest.mark.parametrize("packing", ["documents", "concatenate"])
def test_splits_share_no_document(tmp_path, packing):
    texts = write_documents(tmp_path)
    write_twice = tmp_path / "toy.jsonl"
    write_twice.write_text(write_twice.read_text() * 2)
    settings = toy_settings(tmp_path, packing=packing, context_size=32)
    stage_text(settings, WordTokenizer(), tmp_path)
    staged = {split: StagedText(tmp_path, split) for split in ("training", "held_out")}
    found = {split: words(part) for split, part in staged.items()}
    for split, wanted in (("training", 300), ("held_out", 100)):
        assert staged[split].row_starts[-1] >= wanted
        assert staged[split].row_starts[-2] < wanted
        whole = [text for text in found[split].values() if text in texts]
        assert len(whole) >= len(found[split]) - 1
        assert all(split_of(text, 0, 0.25) == split for text in whole)
    assert not set(found["training"].values()) & set(found["held_out"].values())


def test_a_text_that_comes_twice_is_taken_once(tmp_path):
    lines = [json.dumps({"text": f"w{i} w{i} w{i}"}) for i in (1, 1, 2, 3, 4, 5, 1)]
    (tmp_path / "toy.jsonl").write_text("\n".join(lines))
    settings = toy_settings(tmp_path, packing="documents", training_tokens=99, held_out_tokens=99)
    with pytest.raises(InputError, match=r"in 7 documents of which 2 repeated and 0 reserved"):
        stage_text(settings, WordTokenizer(), tmp_path / "text")


def test_reserved_tasks_are_kept_out_word_for_word(tmp_path, monkeypatch):
    from correct_l0.sources.language_model import text

    texts = write_documents(tmp_path)
    monkeypatch.setattr(text, "reserved_texts", lambda tasks: {t for t in texts[::3] if tasks})
    monkeypatch.setattr(text, "resolve_tasks", lambda tasks: (tasks,))
    settings = toy_settings(
        tmp_path,
        packing="documents",
        context_size=32,
        text={"source": "files", "files": [str(tmp_path / "toy.jsonl")]},
    )
    stage_text(settings, WordTokenizer(), tmp_path / "text")
    found = {
        part
        for split in ("training", "held_out")
        for part in words(StagedText(tmp_path / "text", split)).values()
    }
    assert found and not found & set(texts[::3])
    reserved = read_manifest(tmp_path / "text/manifest.json")["documents"]["reserved"]
    assert 0 < reserved <= len(texts[::3])


def test_too_little_text_is_refused_with_what_there_is(tmp_path):
    write_documents(tmp_path, documents=20)
    with pytest.raises(
        InputError,
        match=r"the text holds too few tokens: \d+ of 300 training tokens, \d+ of 100 held_out "
        r"tokens, in 20 documents .* add text or lower activations.training_tokens",
    ):
        stage_text(toy_settings(tmp_path), WordTokenizer(), tmp_path / "text")
    assert not (tmp_path / "text/manifest.json").exists()


@pytest.mark.parametrize(
    ("eos", "wanted"), [(None, "activations.separator: none"), (2, "activations.separator: eos or")]
)
def test_concatenating_without_bos_is_refused_with_what_there_is(tmp_path, eos, wanted):
    write_documents(tmp_path)
    tokenizer = WordTokenizer()
    tokenizer.bos_token_id, tokenizer.eos_token_id = None, eos
    with pytest.raises(InputError, match=rf"separator 'bos' needs a token BOS .*{wanted}"):
        stage_text(toy_settings(tmp_path), tokenizer, tmp_path / "text")


@pytest.mark.parametrize(("separator", "token"), [("eos", 2), ("none", None), ("bos", 1)])
def test_the_separator_is_chosen_and_recorded(tmp_path, separator, token):
    """Qwen's tokenizers have EOS and no BOS: documents of 3 words stand in contexts of 8 tokens."""
    lines = "".join(f'{{"text": "w{i} w{i} w{i}"}}\n' for i in range(300))
    (tmp_path / "toy.jsonl").write_text(lines)
    tokenizer = WordTokenizer()
    tokenizer.eos_token_id = 2
    tokenizer.bos_token_id = 1 if separator == "bos" else None
    settings = toy_settings(tmp_path, separator=separator)
    stage_text(settings, tokenizer, tmp_path / "text")
    manifest = read_manifest(tmp_path / "text/manifest.json")
    assert (manifest["separator"], manifest["separator_token_id"]) == (separator, token)
    first = StagedText(tmp_path / "text", "training").tokens(0).tolist()
    at = {"eos": [3, 7], "none": [], "bos": [0, 4]}[separator]
    assert [i for i, found in enumerate(first) if found == token] == at
    assert ('"separator":' in manifest["parameters"]) == (separator != "bos")


def test_a_separator_of_single_documents_is_refused(tmp_path):
    with pytest.raises(ValueError, match="separator 'eos' has no effect with packing 'documents'"):
        toy_settings(tmp_path, packing="documents", separator="eos")


@pytest.mark.parametrize("model_type", ["bert", "gpt2", "gemma2", "qwen2", "llama"])
def test_a_model_folder_without_a_tokenizer_is_refused(tmp_path, model_type):
    """transformers gives most of them an empty one: every word is unknown, or nothing at all."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(InputError, match=r"has no usable tokenizer \(.+\); put the model's"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version": "1.0", ', b"\xff\xfe"])
def test_a_damaged_tokenizer_is_refused(tmp_path, content):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(InputError, match=r"has no usable tokenizer \(.+\); put the model's"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("packing", ["documents", "concatenate"])
def test_the_documents_counted_are_those_of_the_rows(tmp_path, packing):
    """400 rows of documents of 3 to 20 words, of which 1,024 are read at once."""
    write_documents(tmp_path, documents=1100)
    manifest_path = toy_cache(tmp_path, packing=packing)
    store, counts = open_store(manifest_path), read_manifest(manifest_path)["documents"]
    for split, rows in (("training", 300), ("held_out", 100)):
        found = len(np.unique(store.column(split, "document_id", 0, rows)))
        assert counts[split] == found < rows
    assert counts["read"] == 1024


def test_staging_stops_when_both_splits_are_full(tmp_path):
    write_documents(tmp_path, documents=5000)
    stage_text(toy_settings(tmp_path), WordTokenizer(), tmp_path / "text")
    documents = read_manifest(tmp_path / "text/manifest.json")["documents"]
    assert documents["read"] < 2100


def test_dropped_rows_are_those_of_special_tokens(tmp_path):
    write_documents(tmp_path)
    for policy, dropped in (("keep", []), ("drop", [1])):
        settings = toy_settings(tmp_path, special_tokens=policy)
        stage_text(settings, WordTokenizer(), tmp_path / policy)
        manifest = read_manifest(tmp_path / policy / "manifest.json")
        assert manifest["dropped_ids"] == dropped
        staged = StagedText(tmp_path / policy, "training")
        kept = sum((staged.tokens(c) != 1).sum() if dropped else 8 for c in range(10))
        assert staged.row_starts[10] == kept


def test_the_seed_changes_the_split(tmp_path):
    texts = [f"document {i}" for i in range(2000)]
    first = [split_of(text, 0, 0.25) for text in texts]
    second = [split_of(text, 1, 0.25) for text in texts]
    assert first != second
    # Binomial: 500 expected, standard deviation 19.
    assert abs(first.count("held_out") - 500) < 4 * 19.4


DECLARATION = {
    "English": "They are endowed with reason and should act towards one another as brothers.",
    "German": "Sind mit Vernunft begabt und sollen einander im Geist von Geschwistern begegnen.",
    "Dutch": "Mensen worden vrij en gelijk in waardigheid geboren, met verstand en geweten.",
    "Spanish": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "Chinese": "人人生而自由,在尊严和权利上一律平等。",
}


@pytest.mark.parametrize("language", DECLARATION)
def test_english_is_known_by_its_commonest_words(language):
    words = EnglishWords()
    words.add(DECLARATION[language])
    assert (words.share > 0.15) if language == "English" else (words.share == 0)
    assert ENGLISH_LIMIT < 0.1


def test_how_english_a_text_is_stands_in_the_manifests(tmp_path):
    """Words are w0, w1, ...: none is English."""
    path = toy_cache(tmp_path)
    assert read_manifest(path)["english_words"] == 0
    assert read_manifest(path.parent / "text/manifest.json")["english_words"] == 0
