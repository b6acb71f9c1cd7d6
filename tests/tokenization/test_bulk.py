"""Tokenising in bulk gives what the tokenizer gives: ids, masks, errors and warnings."""

import itertools
import random
import warnings

import numpy as np
import pytest
import torch
from tokenizers import AddedToken
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import rna_hf
from benchmarks.speed import tokenising
from rna_hf.data import collators
from rna_hf.prediction.predictor import Predictor
from rna_hf.tasks import TASKS
from rna_hf.tokenization import RIBONANZANET, RnaTokenizerFast, bulk, encode_bulk, letter_map

NAMES = ["input_ids", "attention_mask", "special_tokens_mask"]
BOS_EOS = {"bos_token": True, "eos_token": True}
UNKNOWN = [
    " ",
    "\n",
    "1",
    "*",
    "-",
    "X",
    "x",
    "I",
    "é",
    "Ｕ",
    "😊",
    "\u0301",
    "\x80",
    "\x00",
    "<",
    "[",
    "<bos>",
    "<eos>",
]


def random_sequences(letters: str, count: int = 20, longest: int = 40, seed: int = 7) -> list[str]:
    generator = random.Random(seed)
    return ["".join(generator.choices(letters, k=generator.randrange(longest))) for _ in range(count)]


def ordinary(tokenizer, sequences, *, max_length=None, pad_to_multiple_of=None, return_tensors="pt"):
    """The call that `encode_bulk` stands for."""
    return tokenizer(
        sequences,
        padding=True,
        truncation=max_length is not None,
        max_length=max_length,
        pad_to_multiple_of=pad_to_multiple_of,
        return_tensors=return_tensors,
        return_special_tokens_mask=True,
    )


def outcome(encode, options, sequences, before=(), **call):
    """Ids and masks, or the error's text, and the warnings' texts, of a fresh tokenizer."""
    tokenizer = RnaTokenizerFast(**options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for earlier in before:
                encode(tokenizer, earlier)
            encoded = encode(tokenizer, sequences, **call)
        except Exception as error:
            result = (type(error), str(error))
        else:
            assert sorted(encoded) == sorted(NAMES)
            assert {encoded[name].dtype for name in NAMES} == {torch.int64}
            result = {name: encoded[name].tolist() for name in NAMES}
    return result, [str(warning.message) for warning in caught]


def assert_same(options, sequences, **call):
    expected = outcome(ordinary, options, sequences, **call)
    assert outcome(encode_bulk, options, sequences, **call) == expected
    return expected[0]


@pytest.fixture
def only_fast(monkeypatch):
    """Fails where whole batches go to the tokenizer; what it puts around a sequence may be asked of it."""

    def call(tokenizer, text, **kwargs):
        assert isinstance(text, str), "the ordinary call was taken"
        return original(tokenizer, text, **kwargs)

    original = RnaTokenizerFast.__call__
    monkeypatch.setattr(RnaTokenizerFast, "__call__", call)


# Same ids


@pytest.mark.parametrize(("bos", "eos"), itertools.product([False, True], repeat=2))
@pytest.mark.parametrize("padding_side", ["right", "left"])
@pytest.mark.parametrize("truncation_side", ["right", "left"])
@pytest.mark.parametrize(
    ("ignore_case", "t_as_u", "on_unknown"), itertools.product([True, False], [True, False], ["error", "n"])
)
def test_same_as_the_tokenizer(bos, eos, padding_side, truncation_side, ignore_case, t_as_u, on_unknown):
    options = {
        "bos_token": bos,
        "eos_token": eos,
        "padding_side": padding_side,
        "truncation_side": truncation_side,
        "ignore_case": ignore_case,
        "t_as_u": t_as_u,
        "on_unknown": on_unknown,
    }
    letters = "".join(letter_map(RIBONANZANET, ignore_case=ignore_case, t_as_u=t_as_u))
    sequences = random_sequences(letters)
    for call in (
        {},
        {"max_length": 17},
        {"max_length": 2},
        {"max_length": 1},
        {"max_length": 0},
        {"max_length": 100},
        {"pad_to_multiple_of": 16},
        {"max_length": 16, "pad_to_multiple_of": 8},
    ):
        assert isinstance(assert_same(options, sequences, **call), dict)
    assert_same(options, [*sequences, "acgt"])
    assert_same(options, random_sequences(letters + "acgtT-*X", seed=8))


@pytest.mark.parametrize(
    "sequences",
    [[""], ["", ""], ["", "A"], ["A"], ["ACGU"], ["ACGU", "GGGG"], ["GGGG", "A", "", "CC"]],
    ids=str,
)
@pytest.mark.parametrize("padding_side", ["right", "left"])
@pytest.mark.parametrize("options", [{}, BOS_EOS], ids=["plain", "bos_eos"])
def test_few_and_empty_sequences(sequences, padding_side, options):
    for call in ({}, {"pad_to_multiple_of": 8}, {"max_length": 3}):
        assert_same({**options, "padding_side": padding_side}, sequences, **call)


def test_literal_arrays(only_fast):
    tokenizer = RnaTokenizerFast(**BOS_EOS, padding_side="left")
    encoded = encode_bulk(tokenizer, ["acgt", "N"], return_tensors="np")
    assert encoded["input_ids"].tolist() == [[7, 0, 1, 2, 3, 8], [4, 4, 4, 7, 5, 8]]
    assert encoded["attention_mask"].tolist() == [[1] * 6, [0, 0, 0, 1, 1, 1]]
    assert encoded["special_tokens_mask"].tolist() == [[1, 0, 0, 0, 0, 1], [1, 1, 1, 1, 0, 1]]
    assert list(encoded) == NAMES
    assert all(isinstance(array, np.ndarray) and array.dtype == np.int64 for array in encoded.values())


def test_fast_way_is_taken(only_fast):
    for options in ({}, BOS_EOS, {"padding_side": "left"}, {"ignore_case": False}, {"pad_token": "[PAD]"}):
        encode_bulk(RnaTokenizerFast(**options), ["ACGU", "GN", ""], max_length=3)
        encode_bulk(RnaTokenizerFast(**options), ["ACGU", "GN", ""], pad_to_multiple_of=8)
    with pytest.raises(AssertionError, match="ordinary call"):
        encode_bulk(RnaTokenizerFast(k=3), ["ACGU"])


def test_no_sequences():
    for tokenizer in (RnaTokenizerFast(), RnaTokenizerFast(**BOS_EOS), RnaTokenizerFast(k=3)):
        encoded = encode_bulk(tokenizer, [])
        assert [(tuple(encoded[name].shape), encoded[name].dtype) for name in NAMES] == [((0, 0), torch.int64)] * 3


def test_any_iterable_of_strings(only_fast):
    tokenizer = RnaTokenizerFast()
    expected = encode_bulk(tokenizer, ["ACG", "U"])["input_ids"]
    for sequences in (("ACG", "U"), iter(["ACG", "U"]), np.array(["ACG", "U"]), {"ACG": 1, "U": 2}):
        assert torch.equal(encode_bulk(tokenizer, sequences)["input_ids"], expected)


def test_arrays_are_the_callers_own():
    tokenizer = RnaTokenizerFast()
    first = encode_bulk(tokenizer, ["ACGU"])
    for name in NAMES:
        first[name].fill_(9)
    assert encode_bulk(tokenizer, ["ACGU"])["input_ids"].tolist() == [[0, 1, 2, 3]]


# Same errors and warnings


@pytest.mark.parametrize("truncation_side", ["right", "left"])
def test_rnatracker(truncation_side):
    """Its fixed length is a multiple of itself."""
    options = {"alphabet": "rnatracker", "truncation_side": truncation_side}
    for call in ({}, {"max_length": 5}, {"max_length": 8, "pad_to_multiple_of": 8}):
        assert_same(options, ["GAUC", "gatcn", "", "GGAACCUUGA"], **call)
    batch = encode_bulk(RnaTokenizerFast(**options), ["GAU", "GGAAU"], max_length=4, pad_to_multiple_of=4)
    assert batch["input_ids"][0].tolist() == [4, 0, 1, 2]
    assert batch["input_ids"][1].tolist() == ([0, 0, 1, 1] if truncation_side == "right" else [0, 1, 1, 2])


@pytest.mark.parametrize("letter", UNKNOWN)
@pytest.mark.parametrize("on_unknown", ["error", "n"])
@pytest.mark.parametrize("options", [{}, BOS_EOS, {"mask_token": False}], ids=str)
def test_unknown_letters(letter, on_unknown, options):
    options = {**options, "on_unknown": on_unknown}
    for sequences in (
        [letter],
        ["ACG", "", f"AC{letter}GU", f"{letter}A"],
        ["ACGU" * 20 + letter + "ACGU" * 20],
        [f"AC{letter}é"],
        [f"é{letter}"],
    ):
        for call in ({}, {"max_length": 3}):
            assert_same(options, sequences, **call)
        # Letters that come out as N warn once per tokenizer, whichever way they came.
        assert_same(options, sequences, before=[sequences, ["A*"]])


def test_error_names_letter_position_and_sequence():
    with pytest.raises(ValueError, match=r"unknown letter '\*' at position 3 \(1-based\) of sequence 1 of the batch"):
        encode_bulk(RnaTokenizerFast(), ["ACGU", "AC*U"])
    with pytest.raises(ValueError, match="unknown letter 'é' at position 1 "):
        encode_bulk(RnaTokenizerFast(), ["é"])
    # Also where truncation would have cut the letter off.
    with pytest.raises(ValueError, match="at position 5 "):
        encode_bulk(RnaTokenizerFast(), ["ACGU*"], max_length=2)


def test_unknown_letters_as_n_warn_once(only_fast):
    tokenizer = RnaTokenizerFast(on_unknown="n")
    with pytest.warns(UserWarning, match=r"unknown letter '-' at position 2 \(1-based\) of sequence 1") as caught:
        assert encode_bulk(tokenizer, ["AC", "A-X"])["input_ids"].tolist() == [[0, 1, 4], [0, 5, 5]]
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert encode_bulk(tokenizer, ["*"])["input_ids"].tolist() == [[5]]


@pytest.mark.parametrize(
    "options", [{}, BOS_EOS, {"mask_token": "[M]", "pad_token": "[PAD]"}, {"mask_token": False}], ids=str
)
@pytest.mark.parametrize("on_unknown", ["error", "n"])
def test_typed_special_tokens(options, on_unknown):
    for text in ("A<mask>C", "<pad>", "A<bos>C<eos>", "A[M]C[PAD]", "<mas", "AC<reserved_7>"):
        assert_same({**options, "on_unknown": on_unknown}, ["ACG", text])


def test_split_special_tokens():
    assert_same({"split_special_tokens": True}, ["A<mask>"])
    assert_same({"split_special_tokens": True, "on_unknown": "n"}, ["A<mask>"])


@pytest.mark.parametrize(
    "sequences", [["A", None], ["A", 3], [None], [b"AC"], [("A", "C")], [["A", "C"]], ["A\ud800"]], ids=str
)
def test_what_is_no_sequence(sequences):
    assert_same({}, sequences)


def test_bad_arguments():
    tokenizer = RnaTokenizerFast()
    with pytest.raises(ValueError, match="single string 'ACGU'; put it into a list"):
        encode_bulk(tokenizer, "ACGU")
    with pytest.raises(ValueError, match="return_tensors='tf' is not a choice"):
        encode_bulk(tokenizer, ["ACGU"], return_tensors="tf")
    for call in ({"max_length": -1}, {"pad_to_multiple_of": -8}, {"max_length": 9, "pad_to_multiple_of": 8}):
        assert isinstance(assert_same({}, ["ACGU"], **call), tuple)


def test_sequence_longer_than_the_model_takes(monkeypatch):
    """The tokenizer's own warning about `model_max_length`, and not for what it puts around one letter."""
    messages = []
    monkeypatch.setattr("transformers.tokenization_utils_base.logger.warning", messages.append)
    for encode in (ordinary, encode_bulk):
        tokenizer = RnaTokenizerFast(**BOS_EOS, model_max_length=2)
        encode(tokenizer, ["", ""])
        assert not messages
        encode(tokenizer, ["", "ACGU"])
        encode(tokenizer, ["ACGUA"])
        (message,) = messages
        assert "(6 > 2)" in message
        messages.clear()


# Other tokenizers, and changed ones


@pytest.mark.parametrize(
    "options", [{"k": 3}, {"k": 3, "overlapping": True, **BOS_EOS}, {"k": 2, "on_unknown": "n"}], ids=str
)
def test_kmers(options):
    for sequences in (["ACGUA", "ACNGU", "", "A"], ["ACGU", "AC*"]):
        for call in ({}, {"max_length": 4}, {"pad_to_multiple_of": 8}):
            assert_same(options, sequences, **call)


def test_tokenizer_that_auto_loads(tmp_path, only_fast):
    RnaTokenizerFast(eos_token=True, ignore_case=False, padding_side="left").save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert encode_bulk(tokenizer, ["ACGT", "N"])["input_ids"].tolist() == [[0, 1, 2, 3, 8], [4, 4, 4, 5, 8]]
    with pytest.raises(ValueError, match="unknown letter 'c' at position 2"):
        encode_bulk(tokenizer, ["Ac"])


def test_other_tokenizers_are_called(tmp_path):
    RnaTokenizerFast(**BOS_EOS).save_pretrained(tmp_path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert not isinstance(tokenizer, RnaTokenizerFast)
    for call in ({}, {"max_length": 4}, {"return_tensors": "np"}):
        found, expected = (encode(tokenizer, ["ACGUA", "A<mask>"], **call) for encode in (encode_bulk, ordinary))
        assert all(found[name].tolist() == expected[name].tolist() for name in NAMES)


@pytest.mark.parametrize(
    "change",
    [
        lambda tokenizer: tokenizer.add_tokens(["bam", "<tag>"]),
        lambda tokenizer: tokenizer.add_tokens([AddedToken("GA", normalized=True)]),
        lambda tokenizer: tokenizer.add_special_tokens({"additional_special_tokens": ["A"]}),
        lambda tokenizer: setattr(tokenizer, "add_bos_token", False),
        lambda tokenizer: setattr(tokenizer, "bos_token", "[B]"),
        lambda tokenizer: setattr(tokenizer, "padding_side", "left"),
        lambda tokenizer: setattr(tokenizer, "pad_token", "<mask>"),
        lambda tokenizer: setattr(tokenizer, "pad_token", None),
        lambda tokenizer: tokenizer(["ACGU"], truncation=True, max_length=2, padding="max_length"),
    ],
    ids=range(9),
)
def test_tokenizer_changed_after_it_was_built(change):
    """What is found out about a tokenizer is not remembered past a change."""
    outcomes = []
    for encode in (ordinary, encode_bulk):
        tokenizer = RnaTokenizerFast(**BOS_EOS)
        encode(tokenizer, ["ACGU", "CC"])
        change(tokenizer)
        outcomes.append([])
        for sequences in (["ACGU", "CC"], ["ACbamGA<tag>", "G"], ["acg", "Ag", "gA"]):
            try:
                encoded = encode(tokenizer, sequences)
            except ValueError as error:
                outcomes[-1].append(str(error))
            else:
                outcomes[-1].append({name: encoded[name].tolist() for name in NAMES})
    assert outcomes[0] == outcomes[1]


# Who uses it


@pytest.fixture
def without_bulk(monkeypatch):
    """Calls something with `encode_bulk`, which must be used, and again with the ordinary call in its place."""

    def compare(module, call):
        calls = []

        def counted(tokenizer, sequences, **options):
            calls.append(sequences)
            return bulk.encode_bulk(tokenizer, sequences, **options)

        monkeypatch.setattr(module, "encode_bulk", counted)
        found = call()
        assert calls
        monkeypatch.setattr(module, "encode_bulk", ordinary)
        return found, call()

    return compare


@pytest.mark.parametrize("options", [{}, {**BOS_EOS, "padding_side": "left"}], ids=["plain", "bos_eos_left"])
def test_collator(options, without_bulk):
    generator = np.random.default_rng(0)
    examples = [
        {"sequence": sequence, "labels": generator.random((len(sequence), 2))}
        for sequence in [*random_sequences("ACGUNacgt", 6), "G"]
    ]
    collate = collators.DataCollatorForReactivity(RnaTokenizerFast(**options))
    found, expected = without_bulk(collators, lambda: collate(examples))
    assert sorted(found) == sorted(expected) == ["attention_mask", "input_ids", "labels"]
    for name in found:
        assert found[name].dtype == expected[name].dtype
        assert torch.equal(found[name], expected[name])
    with pytest.raises(ValueError, match=r"unknown letter 'X' at position 2 .* of sequence 1 of the batch"):
        collate([examples[0], {"sequence": "AX", "labels": [[0.0, 0.0]] * 2}])


class _Echo(torch.nn.Module):
    """A model whose prediction is the ids, as floats, and the mask that it was given."""

    config = rna_hf.RibonanzaNetConfig()
    device = torch.device("cpu")

    def forward(self, input_ids, attention_mask):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return type("Output", (), {"logits": torch.stack([input_ids, mask], dim=-1).float()})


def echo_predictor(tokenizer, tmp_path):
    return Predictor(TASKS["reactivity"].prediction, _Echo(), tokenizer, tmp_path.name)


@pytest.mark.parametrize("options", [{}, {**BOS_EOS, "padding_side": "left"}], ids=["plain", "bos_eos_left"])
def test_predictor(options, without_bulk, tmp_path):
    predictor = echo_predictor(RnaTokenizerFast(**options), tmp_path)
    sequences = ["ACGU", "GGNacgtt", "U"]
    found, expected = without_bulk(rna_hf.tokenization, lambda: predictor._forward(sequences))
    for sequence, one, other in zip(sequences, found, expected, strict=True):
        assert one.shape == (len(sequence), 2)
        assert np.array_equal(one, other)


def test_predictor_needs_one_token_for_each_nucleotide(tmp_path):
    predictor = echo_predictor(RnaTokenizerFast(k=3), tmp_path)
    with pytest.raises(ValueError, match="makes 2 tokens of 6 nt; prediction per nucleotide needs one token for each"):
        predictor._forward(["ACGUAC"])


def test_benchmark_runs():
    record = tokenising.measure(count=5, length=10, runs=1, slow_runs=1)
    assert list(record) == ["sequences", "length_nt", "runs", "slow_runs", "bulk_s", "call_s"]
    assert tokenising.random_sequences(3, 10) == tokenising.random_sequences(5, 10)[:3]
