"""Alphabets and the RNA tokenizer."""

import copy
import itertools
import json
import pickle
import random
import warnings

import numpy as np
import pytest
from fresh_process import run_python

from rna_hf.tokenization import (
    ALPHABETS,
    AMBIGUITY_CODES,
    KEPT_ENDS,
    REFUSED_BYTE,
    RIBONANZANET,
    RNATRACKER,
    Alphabet,
    RnaTokenizerFast,
    byte_to_id_table,
    get_alphabet,
    letter_map,
)

BOS_EOS = {"bos_token": True, "eos_token": True}
CONFIGURATIONS = [
    {},
    BOS_EOS,
    {"eos_token": True, "mask_token": False},
    {"mask_token": "[M]", "pad_token": "[PAD]"},
    {"ignore_case": False, "t_as_u": False},
    {"on_unknown": "n"},
    {"alphabet": "rnatracker"},
    {"k": 2},
    {"k": 3, **BOS_EOS},
    {"k": 3, "overlapping": True},
    {"k": 4, "overlapping": True, **BOS_EOS},
]
UNKNOWN = [" ", "\n", "\t", "1", "*", "-", ".", "X", "x", "I", "E", "é", "Á", "\u0301", "Ｕ", "😊", "[", "]", "^", "\\"]


def sequences(letters: str, count: int = 30, longest: int = 40) -> list[str]:
    generator = random.Random(7)
    return ["".join(generator.choices(letters, k=generator.randrange(longest))) for _ in range(count)]


def describe(options: dict) -> str:
    return ",".join(f"{name}={value}" for name, value in options.items()) or "defaults"


@pytest.fixture(params=CONFIGURATIONS, ids=describe)
def options(request) -> dict:
    return request.param


# Alphabets


def test_ribonanzanet_ids_are_frozen():
    assert RIBONANZANET.token_to_id == {
        "A": 0,
        "C": 1,
        "G": 2,
        "U": 3,
        "<pad>": 4,
        "N": 5,
        "<mask>": 6,
        "<bos>": 7,
        "<eos>": 8,
    }
    assert RIBONANZANET.vocab_size == 9
    assert RIBONANZANET.on_by_default == ("mask",)
    assert ALPHABETS["ribonanzanet"] is get_alphabet("ribonanzanet") is RIBONANZANET


def test_rnatracker_ids_are_frozen():
    """The first four are the channels of the original's convolution, which writes T for U."""
    assert RNATRACKER.token_to_id == {"G": 0, "A": 1, "U": 2, "C": 3, "<pad>": 4, "N": 5}
    assert ALPHABETS["rnatracker"] is RNATRACKER
    tokenizer = RnaTokenizerFast(alphabet="rnatracker")
    assert tokenizer("GATCgaucNR").input_ids == [0, 1, 2, 3, 0, 1, 2, 3, 5, 5]
    assert (tokenizer.pad_token_id, tokenizer.mask_token, tokenizer.bos_token, len(tokenizer)) == (4, None, None, 6)
    with pytest.raises(ValueError, match="unknown letter 'X' at position 3"):
        tokenizer("GAX")
    for option in ("mask_token", "bos_token", "eos_token"):
        with pytest.raises(ValueError, match="has no"):
            RnaTokenizerFast(alphabet="rnatracker", **{option: True})


@pytest.mark.parametrize(("end", "kept"), [("5prime", "GA"), ("3prime", "UC")])
def test_rnatracker_pads_in_front_and_keeps_either_end(tmp_path, end, kept):
    RnaTokenizerFast(alphabet="rnatracker", truncation_side=KEPT_ENDS[end]).save_pretrained(tmp_path)
    tokenizer = RnaTokenizerFast.from_pretrained(tmp_path)
    batch = tokenizer(["GAUC", "A"], padding="max_length", max_length=2, truncation=True)
    assert tokenizer.batch_decode(batch.input_ids) == [kept, "<pad>A"]
    assert batch.attention_mask == [[1, 1], [0, 1]]
    assert RnaTokenizerFast(alphabet="rnatracker", padding_side="right").padding_side == "right"
    assert RnaTokenizerFast().padding_side == "right"


def test_letters_follow_the_alphabet():
    letters = letter_map(RIBONANZANET)
    assert "".join(sorted(letter for letter in letters if letter.isupper())) == "ABCDGHKMNRSTUVWY"
    assert {letters[code] for code in AMBIGUITY_CODES} == {"N"}
    assert all(letters[letter.lower()] == token for letter, token in letters.items() if letter.isupper())
    assert letters["T"] == "U"
    dna = Alphabet("dna", ("G", "A", "T", "C", "<pad>"), ("G", "A", "T", "C"), pad_token="<pad>")
    assert letter_map(dna, ignore_case=False) == {"G": "G", "A": "A", "T": "T", "C": "C", "U": "T"}
    assert "U" not in letter_map(dna, t_as_u=False)


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": ("A", "A", "<pad>"), "nucleotides": ("A",)},
        {"nucleotides": ("A", "C")},
        {"nucleotides": ("<pad>",)},
        {"pad_token": "<padding>"},
        {"pad_token": "A"},
        {"unknown_nucleotide": "N"},
        {"on_by_default": ("mask",)},
        {"on_by_default": ("cls",)},
        {"padding_side": "both"},
    ],
    ids=str,
)
def test_contradictory_alphabet_is_refused(changes):
    fields = {"name": "test", "tokens": ("A", "<pad>"), "nucleotides": ("A",), "pad_token": "<pad>"}
    Alphabet(**fields)
    with pytest.raises(ValueError, match="alphabet 'test'"):
        Alphabet(**{**fields, **changes})


@pytest.mark.parametrize("ignore_case", [True, False])
@pytest.mark.parametrize("t_as_u", [True, False])
@pytest.mark.parametrize("on_unknown", ["error", "n"])
def test_table_class_and_back_end_agree_on_every_byte(ignore_case, t_as_u, on_unknown):
    """The class, its back end alone and the bulk table accept the same letters and give the same ids."""
    options = {"ignore_case": ignore_case, "t_as_u": t_as_u, "on_unknown": on_unknown}
    table = byte_to_id_table(RIBONANZANET, **options)
    assert table.shape == (256,)
    assert table.dtype == np.int16
    tokenizer = RnaTokenizerFast(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for byte, expected in enumerate(table.tolist()):
            letter = chr(byte)
            if expected == REFUSED_BYTE:
                with pytest.raises(ValueError, match="position 1 "):
                    tokenizer(letter)
                with pytest.raises(Exception, match="UNK"):
                    tokenizer.backend_tokenizer.encode(letter)
            else:
                assert tokenizer(letter).input_ids == [expected]
                assert tokenizer.backend_tokenizer.encode(letter).ids == [expected]
    assert (table == REFUSED_BYTE).any() == (on_unknown == "error")


# Letters


def test_ids_of_letters():
    tokenizer = RnaTokenizerFast()
    assert tokenizer("ACGU").input_ids == [0, 1, 2, 3]
    assert tokenizer("acgtTu").input_ids == [0, 1, 2, 3, 3, 3]
    assert tokenizer("RYSWKMBDHVNryswkmbdhvn").input_ids == [5] * 22
    assert tokenizer("AC<mask>G<pad>U").input_ids == [0, 1, 6, 2, 4, 3]
    assert tokenizer("ACG").attention_mask == [1, 1, 1]
    assert list(tokenizer("ACG")) == ["input_ids", "attention_mask"]


def test_switches():
    with pytest.raises(ValueError, match="unknown letter 'c' at position 2"):
        RnaTokenizerFast(ignore_case=False)("Acg")
    with pytest.raises(ValueError, match="unknown letter 'T' at position 3"):
        RnaTokenizerFast(t_as_u=False)("ACT")
    assert RnaTokenizerFast(ignore_case=False)("ACT").input_ids == [0, 1, 3]
    assert RnaTokenizerFast(t_as_u=False)("acu").input_ids == [0, 1, 3]


@pytest.mark.parametrize("letter", UNKNOWN)
@pytest.mark.parametrize(
    "options", [options for options in CONFIGURATIONS if "on_unknown" not in options], ids=describe
)
def test_unknown_letter_is_refused_everywhere(letter, options):
    tokenizer = RnaTokenizerFast(**options)
    text = f"ACG{letter}UU"
    calls = {
        "call": lambda: tokenizer(text),
        "encode": lambda: tokenizer.encode(text),
        "tokenize": lambda: tokenizer.tokenize(text),
        "batch": lambda: tokenizer(["ACG", text]),
        "pair": lambda: tokenizer("ACG", text),
        "pairs": lambda: tokenizer([("ACG", text)]),
        "pair batch": lambda: tokenizer(["ACG"], [text]),
        "target": lambda: tokenizer(text_target=text),
        "words": lambda: tokenizer(["ACG", text], is_split_into_words=True),
        "word batch": lambda: tokenizer([["ACG"], ["ACG", text]], is_split_into_words=True),
        "word pairs": lambda: tokenizer([(["ACG"], ["ACG", text])], is_split_into_words=True),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=r"unknown letter .* at position 4 \(1-based\)") as error:
            call()
        assert repr(letter) in str(error.value), name
        assert repr(text) in str(error.value), name


def test_message_says_where():
    tokenizer = RnaTokenizerFast()
    long = "A" * 50 + "CG*UU" + "A" * 50
    with pytest.raises(ValueError, match=r"'\*' at position 53 .*: '\.\.\.A{10}CG\*UUA{10}\.\.\.'"):
        tokenizer(long)
    with pytest.raises(ValueError, match="of sequence 2 of the batch"):
        tokenizer(["A", "C", "G G"])
    with pytest.raises(ValueError, match="of sequence 1 of the pair of item 0 of the batch"):
        tokenizer([("A", "G G")])
    with pytest.raises(ValueError, match="of text_pair"):
        tokenizer("A", "G G")
    with pytest.raises(ValueError, match="of word 1 of item 1 of the batch"):
        tokenizer([["A"], ["C", "G G"]], is_split_into_words=True)


def test_first_unknown_letter_of_a_long_sequence_is_found():
    text = "ACGU" * 250_000
    with pytest.raises(ValueError, match="'!' at position 1000001 "):
        RnaTokenizerFast()(text + "!")


def test_unknown_letters_as_n_warn_once():
    tokenizer = RnaTokenizerFast(on_unknown="n")
    with pytest.warns(UserWarning, match=r"unknown letter '\*' at position 2 \(1-based\) of sequence 1") as caught:
        assert tokenizer(["AC", "A*é U"]).input_ids == [[0, 1], [0, 5, 5, 5, 3]]
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tokenizer("A-").input_ids == [0, 5]
        assert tokenizer("<bos>").input_ids == [5] * 5
    with pytest.warns(UserWarning, match="unknown letter"):
        RnaTokenizerFast(on_unknown="n")("X")


def test_empty_sequence_has_no_letters():
    assert RnaTokenizerFast()("").input_ids == []
    assert RnaTokenizerFast(**BOS_EOS)("").input_ids == [7, 8]
    assert RnaTokenizerFast()(["", "AC"], padding=True).input_ids == [[4, 4], [0, 1]]
    assert RnaTokenizerFast(k=3, overlapping=True)("").input_ids == []


# Special tokens


def test_tokens_on_and_off_keep_their_ids():
    for bos, eos, mask in itertools.product([True, False], repeat=3):
        tokenizer = RnaTokenizerFast(bos_token=bos, eos_token=eos, mask_token=mask)
        assert tokenizer("AU").input_ids == [7] * bos + [0, 3] + [8] * eos
        assert tokenizer("AU", add_special_tokens=False).input_ids == [0, 3]
        assert tokenizer.num_special_tokens_to_add() == bos + eos
        assert len(tokenizer) == tokenizer.vocab_size == 9
        assert sorted(tokenizer.get_vocab().values()) == list(range(9))
        assert tokenizer.pad_token_id == 4
        for role, on, index in (("bos", bos, 7), ("eos", eos, 8), ("mask", mask, 6)):
            text = f"<{role}>"
            assert getattr(tokenizer, f"{role}_token") == (text if on else None)
            assert getattr(tokenizer, f"{role}_token_id") == (index if on else None)
            assert tokenizer.convert_tokens_to_ids(text) == (index if on else None)
            if on:
                assert tokenizer(f"AC{text}G", add_special_tokens=False).input_ids == [0, 1, index, 2]
            else:
                with pytest.raises(ValueError, match=f"'<' at position 3 .* {role}_token=True switches it on"):
                    tokenizer(f"AC{text}G")
                with pytest.raises(Exception, match="UNK"):
                    tokenizer.backend_tokenizer.encode(f"AC{text}G")


def test_default_is_the_originals():
    tokenizer = RnaTokenizerFast()
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token) == (None, None, None)
    assert tokenizer.mask_token == "<mask>"
    assert sorted(tokenizer.all_special_ids) == [4, 6]


def test_pairs_have_their_own_bos_and_eos():
    encoding = RnaTokenizerFast(**BOS_EOS)("AC", "G")
    assert encoding.input_ids == [7, 0, 1, 8, 7, 2, 8]
    assert encoding.sequence_ids() == [None, 0, 0, None, None, 1, None]
    assert RnaTokenizerFast()([("AC", "G")]).input_ids == [[0, 1, 2]]


def test_renamed_token_keeps_its_id():
    tokenizer = RnaTokenizerFast(mask_token="[M]", pad_token="[PAD]")
    assert tokenizer("A[M][PAD]").input_ids == [0, 6, 4]
    with pytest.raises(ValueError, match="unknown letter '<'"):
        tokenizer("A<mask>")


def test_split_special_tokens_takes_text_forms_away():
    tokenizer = RnaTokenizerFast()
    with pytest.raises(ValueError, match="unknown letter '<' at position 2"):
        tokenizer("A<mask>", split_special_tokens=True)
    assert tokenizer("A<mask>").input_ids == [0, 6]


def test_token_that_is_off_cannot_be_added():
    tokenizer = RnaTokenizerFast()
    with pytest.raises(ValueError, match="bos_token=True"):
        tokenizer.add_special_tokens({"bos_token": "<bos>"})
    with pytest.raises(ValueError, match="eos_token=True"):
        tokenizer.add_tokens("<eos>")


def test_users_tokens_stand_behind_the_alphabet(tmp_path):
    tokenizer = RnaTokenizerFast()
    assert tokenizer.add_tokens(["bam", "<tag>"]) == 2
    assert tokenizer("ACbam<tag>NAN").input_ids == [0, 1, 9, 10, 5, 0, 5]
    tokenizer.save_pretrained(tmp_path)
    reloaded = RnaTokenizerFast.from_pretrained(tmp_path, bos_token=True)
    assert reloaded("ACbam<tag>NAN").input_ids == [7, 0, 1, 9, 10, 5, 0, 5]
    assert len(reloaded) == 11


# Encodings


def test_offsets_and_words_refer_to_what_was_typed():
    text = "ac<mask>tRG"
    encoding = RnaTokenizerFast(**BOS_EOS)(text, return_offsets_mapping=True)
    assert encoding.offset_mapping == [(0, 0), (0, 1), (1, 2), (2, 8), (8, 9), (9, 10), (10, 11), (0, 0)]
    assert encoding.word_ids() == [None, 0, 1, 2, 3, 4, 5, None]
    assert encoding.tokens() == ["<bos>", "A", "C", "<mask>", "U", "N", "G", "<eos>"]
    assert [encoding.char_to_token(place) for place in (0, 4, 9)] == [1, 3, 5]
    words = RnaTokenizerFast()(["AC", "G"], is_split_into_words=True)
    assert (words.input_ids, words.word_ids()) == ([0, 1, 2], [0, 0, 1])


def test_padding_on_either_side():
    batch = ["ACGU", "A"]
    right = RnaTokenizerFast()(batch, padding=True, return_tensors="pt")
    assert right.input_ids.tolist() == [[0, 1, 2, 3], [0, 4, 4, 4]]
    assert right.attention_mask.tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    left = RnaTokenizerFast(padding_side="left", eos_token=True)(batch, padding="max_length", max_length=6)
    assert left.input_ids == [[4, 0, 1, 2, 3, 8], [4, 4, 4, 4, 0, 8]]
    assert left.attention_mask == [[0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1]]
    padded = RnaTokenizerFast().pad([{"input_ids": [0, 1]}, {"input_ids": [2]}])
    assert padded["input_ids"] == [[0, 1], [2, 4]]


def test_truncation_keeps_bos_and_eos():
    tokenizer = RnaTokenizerFast(**BOS_EOS)
    assert tokenizer("ACGUACGU", truncation=True, max_length=5).input_ids == [7, 0, 1, 2, 8]
    overflow = RnaTokenizerFast()("ACGUA", truncation=True, max_length=3, stride=1, return_overflowing_tokens=True)
    assert overflow.input_ids == [[0, 1, 2], [2, 3, 0]]
    left = RnaTokenizerFast(truncation_side="left")
    assert left("ACGU", truncation=True, max_length=2).input_ids == [2, 3]


def test_decode_has_no_blanks():
    tokenizer = RnaTokenizerFast(**BOS_EOS)
    ids = tokenizer(["acgt", "R<mask>"], padding=True).input_ids
    assert tokenizer.batch_decode(ids) == ["<bos>ACGU<eos>", "<bos>N<mask><eos><pad><pad>"]
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == ["ACGU", "N"]
    assert tokenizer.decode(np.array([0, 3])) == "AU"
    assert tokenizer.decode(2) == "G"
    assert tokenizer.convert_tokens_to_string(["A", "N", "<pad>"]) == "AN<pad>"


# k-mers


def test_kmer_vocabulary_is_frozen():
    tokenizer = RnaTokenizerFast(k=2)
    vocabulary = tokenizer.get_vocab()
    assert [tokenizer.convert_ids_to_tokens(index) for index in range(7)] == [*RIBONANZANET.tokens[:7]]
    kmers = ["AA", "AC", "AG", "AU", "CA", "CC", "CG", "CU", "GA", "GC", "GG", "GU", "UA", "UC", "UG", "UU"]
    assert [vocabulary[kmer] for kmer in kmers] == list(range(9, 25))
    assert len(tokenizer) == 25
    assert (tokenizer.pad_token_id, tokenizer.mask_token_id) == (4, 6)
    six = RnaTokenizerFast(k=6, overlapping=True)
    assert (len(six), six.convert_tokens_to_ids("UUUUUU")) == (9 + 4**6, 9 + 4**6 - 1)


@pytest.mark.parametrize(
    ("text", "tokens", "offsets"),
    [
        ("ACGUAC", ["ACG", "UAC"], [(0, 3), (3, 6)]),
        ("acgtACuu", ["ACG", "UAC", "U", "U"], [(0, 3), (3, 6), (6, 7), (7, 8)]),
        ("ACGCNUGGG", ["ACG", "C", "N", "U", "GGG"], [(0, 3), (3, 4), (4, 5), (5, 6), (6, 9)]),
        ("CACG<mask>ACG", ["CAC", "G", "<mask>", "ACG"], [(0, 3), (3, 4), (4, 10), (10, 13)]),
        ("AC", ["A", "C"], [(0, 1), (1, 2)]),
    ],
)
def test_windows_side_by_side(text, tokens, offsets):
    encoding = RnaTokenizerFast(k=3)(text, return_offsets_mapping=True)
    assert encoding.tokens() == tokens
    assert encoding.offset_mapping == offsets


@pytest.mark.parametrize(
    ("text", "tokens", "offsets"),
    [
        ("ACGUA", ["ACG", "CGU", "GUA"], [(0, 3), (1, 4), (2, 5)]),
        ("acgtR", ["ACG", "CGU", "N"], [(0, 3), (1, 4), (2, 5)]),
        ("ACGU<mask>tcg", ["ACG", "CGU", "<mask>", "UCG"], [(0, 3), (1, 4), (4, 10), (10, 13)]),
        ("AN", ["A", "N"], [(0, 1), (1, 2)]),
    ],
)
def test_windows_at_each_letter(text, tokens, offsets):
    encoding = RnaTokenizerFast(k=3, overlapping=True)(text, return_offsets_mapping=True)
    assert encoding.tokens() == tokens
    assert encoding.offset_mapping == offsets
    assert encoding.word_ids() == list(range(len(tokens)))


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_windows_of_random_sequences(k):
    plain, overlapping = RnaTokenizerFast(k=k), RnaTokenizerFast(k=k, overlapping=True)
    for text in sequences("ACGUN"):
        assert plain.decode(plain(text).input_ids) == text
        tokens = overlapping(text).tokens()
        if len(text) < k:
            assert tokens == list(text)
        else:
            windows = [text[start : start + k] for start in range(len(text) - k + 1)]
            assert tokens == ["N" if "N" in window else window for window in windows]
    for text in sequences("ACGU"):
        assert overlapping.decode(overlapping(text).input_ids) == text
        whole = len(text) - len(text) % k
        assert plain.tokenize(text) == [text[start : start + k] for start in range(0, whole, k)] + list(text[whole:])


def test_decode_merges_overlapping_windows():
    tokenizer = RnaTokenizerFast(k=3, overlapping=True, **BOS_EOS)
    ids = tokenizer(["acgtNacgt", "ACGU<mask>CCC"], padding=True).input_ids
    assert tokenizer.batch_decode(ids) == ["<bos>ACGUNACGU<eos>", "<bos>ACGU<mask>CCC<eos><pad><pad><pad>"]
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == ["ACGUNACGU", "ACGUCCC"]
    # The second letter is in no window without N.
    assert tokenizer.decode(tokenizer("ACNGUA").input_ids, skip_special_tokens=True) == "NNNGUA"
    assert tokenizer.convert_tokens_to_string(["ACG", "CGU"]) == "ACGU"


# Saving


def outcome(tokenizer, text: str) -> list | str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            encoding = tokenizer(text, return_offsets_mapping=True)
        except Exception as error:
            return type(error).__name__
    return [encoding.input_ids, [list(span) for span in encoding.offset_mapping], tokenizer.decode(encoding.input_ids)]


VALID = ["ACGU", "GAUUACA", "AC", "", *sequences("ACGUN", 10)]
MIXED = [
    "acgtTu",
    "ACRNYg",
    "AC<mask>GG",
    "A<bos>C",
    "A[M]C[PAD]",
    "AC GU",
    "AC*",
    "X",
    "ACGé",
    "AC\nG",
    "A<reserved_7>",
]


def test_save_and_reload(options, tmp_path):
    tokenizer = RnaTokenizerFast(**options)
    tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "RnaTokenizerFast"
    assert config["alphabet"] == options.get("alphabet", "ribonanzanet")
    copies = {
        "reloaded": RnaTokenizerFast.from_pretrained(tmp_path),
        "unpickled": pickle.loads(pickle.dumps(tokenizer)),
        "copied": copy.deepcopy(tokenizer),
        "saved": tokenizer,
    }
    RnaTokenizerFast.from_pretrained(tmp_path).save_pretrained(tmp_path / "again")
    copies["saved twice"] = RnaTokenizerFast.from_pretrained(tmp_path / "again")
    fresh = RnaTokenizerFast(**options)
    for name, other in copies.items():
        assert other.get_vocab() == fresh.get_vocab(), name
        assert (other.k, other.overlapping, other.on_unknown) == (fresh.k, fresh.overlapping, fresh.on_unknown)
        for text in VALID + MIXED:
            assert outcome(other, text) == outcome(fresh, text), (name, text)


def test_how_it_was_loaded_is_not_saved(options, tmp_path):
    RnaTokenizerFast(**options).save_pretrained(tmp_path / "first")
    loaded = RnaTokenizerFast.from_pretrained(tmp_path / "first", local_files_only=True)
    loaded.save_pretrained(tmp_path / "again")
    first, again = (json.loads((tmp_path / name / "tokenizer_config.json").read_text()) for name in ("first", "again"))
    assert not {"is_local", "local_files_only"} & set(again)
    assert {name: again[name] for name in first} == first


def test_ids_after_reload_are_literal(tmp_path):
    RnaTokenizerFast(eos_token=True, mask_token=False).save_pretrained(tmp_path)
    reloaded = RnaTokenizerFast.from_pretrained(tmp_path)
    assert reloaded("ACGUN").input_ids == [0, 1, 2, 3, 5, 8]
    assert reloaded.mask_token is None
    assert len(reloaded) == 9
    assert RnaTokenizerFast.from_pretrained(tmp_path, trust_remote_code=True)("AN").input_ids == [0, 5, 8]


def test_tokens_can_be_switched_on_reload(tmp_path):
    RnaTokenizerFast(bos_token=True).save_pretrained(tmp_path)
    switched = RnaTokenizerFast.from_pretrained(tmp_path, bos_token=False, eos_token=True, on_unknown="n")
    assert switched("AC").input_ids == [0, 1, 8]
    assert switched.on_unknown == "n"
    with pytest.raises(ValueError, match="bos_token=True"):
        RnaTokenizerFast.from_pretrained(tmp_path, bos_token=False)("<bos>A")


def test_typed_but_not_added_bos_survives(tmp_path):
    tokenizer = RnaTokenizerFast(bos_token=True, add_bos_token=False)
    assert tokenizer("<bos>A").input_ids == [7, 0]
    tokenizer.save_pretrained(tmp_path)
    reloaded = RnaTokenizerFast.from_pretrained(tmp_path)
    assert reloaded("A").input_ids == [0]
    assert reloaded.bos_token_id == 7


@pytest.mark.parametrize("change", [{"k": 3}, {"k": 2, "overlapping": True}])
def test_vocabulary_cannot_change_on_reload(change, tmp_path):
    RnaTokenizerFast().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="the saved vocabulary"):
        RnaTokenizerFast.from_pretrained(tmp_path, **change)


def test_moved_ids_are_refused_on_reload(tmp_path):
    RnaTokenizerFast().save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["A"], vocabulary["C"] = vocabulary["C"], vocabulary["A"]
    file.write_text(json.dumps(content))
    for trust in (False, True):
        with pytest.raises(ValueError, match="the saved vocabulary"):
            RnaTokenizerFast.from_pretrained(tmp_path, trust_remote_code=trust)


WITHOUT_PACKAGE = """
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "rna_hf":
            raise ImportError("rna_hf is blocked in this process")

sys.meta_path.insert(0, Blocked())
from transformers import AutoTokenizer

folders, texts = json.load(sys.stdin)
answers = []
for folder in folders:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    answers.append([type(tokenizer).__name__, len(tokenizer), tokenizer.padding_side])
    for text in texts:
        try:
            encoding = tokenizer(text, return_offsets_mapping=True)
        except Exception as error:
            answers[-1].append("refused")
        else:
            answers[-1].append([encoding.input_ids, encoding.offset_mapping, tokenizer.decode(encoding.input_ids)])
assert not any(name.split(".")[0] == "rna_hf" for name in sys.modules)
print(json.dumps(answers))
"""


def test_without_the_package(tmp_path):
    """Plain AutoTokenizer gives the same ids, offsets and texts, and refuses the same letters."""
    texts = VALID + MIXED + UNKNOWN
    folders, tokenizers = [], []
    for index, options in enumerate(CONFIGURATIONS):
        tokenizers.append(RnaTokenizerFast(**options))
        folders.append(str(tmp_path / str(index)))
        tokenizers[-1].save_pretrained(folders[-1])
    # As in a model's folder, whose architecture that process does not know either.
    config = {"model_type": "ribonanzanet", "architectures": ["RibonanzaNetModel"]}
    (tmp_path / "0" / "config.json").write_text(json.dumps(config))
    process = run_python(WITHOUT_PACKAGE, input=json.dumps([folders, texts]))
    assert process.returncode == 0, process.stderr
    answers = json.loads(process.stdout.splitlines()[-1])
    for tokenizer, options, (name, length, side, *got) in zip(tokenizers, CONFIGURATIONS, answers, strict=True):
        assert (name, length, side) == ("TokenizersBackend", len(tokenizer), tokenizer.padding_side)
        for text, answer in zip(texts, got, strict=True):
            expected = outcome(tokenizer, text)
            if expected == "ValueError":
                expected = "refused"
            if options.get("overlapping"):
                # Windows are Python code: what the file cannot express is refused, never cut another way.
                assert answer in (expected, "refused"), (options, text)
            else:
                assert answer == expected, (options, text)
    overlapping = answers[CONFIGURATIONS.index({"k": 3, "overlapping": True})]
    assert overlapping[3 + texts.index("GAUUACA")] == "refused"


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"alphabet": "protein"},
            r"unknown alphabet 'protein'; choose one of \['plantrna_fm', 'ribonanzanet', 'rnatracker'\]",
        ),
        ({"alphabet": None}, "unknown alphabet None"),
        ({"k": 0}, "k=0 .* from 1 to 8"),
        ({"k": 9}, "k=9 .* from 1 to 8"),
        ({"k": 2.0}, "k=2.0 "),
        ({"k": True}, "k=True "),
        ({"on_unknown": "x"}, r"on_unknown='x' .*\['error', 'n'\]"),
        ({"overlapping": "yes"}, "overlapping='yes' .* True or False"),
        ({"ignore_case": None}, "ignore_case=None"),
        ({"t_as_u": 1.5}, "t_as_u=1.5"),
        ({"pad_token": None}, "padding cannot be switched off"),
        ({"bos_token": 1}, "bos_token=1 is not a choice"),
        ({"mask_token": "NAN"}, "could be a piece of a sequence"),
        ({"mask_token": "*"}, "could be a piece of a sequence"),
        ({"bos_token": "<pad>"}, "given to two tokens"),
        ({"tokenizer_object": RnaTokenizerFast().backend_tokenizer}, "tokenizer_object is not accepted"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        RnaTokenizerFast(**options)


@pytest.mark.parametrize("name", ["alphabet", "k", "overlapping", "ignore_case", "t_as_u", "on_unknown"])
def test_options_are_read_only(name):
    tokenizer = RnaTokenizerFast()
    with pytest.raises(AttributeError):
        setattr(tokenizer, name, getattr(tokenizer, name))


def test_nothing_to_train():
    with pytest.raises(NotImplementedError, match="frozen"):
        RnaTokenizerFast().train_new_from_iterator([["ACGU"]], 10)
