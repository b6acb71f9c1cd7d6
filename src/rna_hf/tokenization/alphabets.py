"""Frozen, ordered vocabularies, one constant per model family.

The ids of an alphabet are part of every checkpoint that was trained with it, so a constant here is never edited: a
token's id is its place in `Alphabet.tokens`. A new family is one more `Alphabet` constant in `ALPHABETS`.

This file is also the one place that says which letters are read, and as what (`letter_map`). The tokenizer, its
serialised form and the vectorised table for bulk work (`byte_to_id_table`) all follow it.
"""

from dataclasses import dataclass

import numpy as np

AMBIGUITY_CODES = "RYSWKMBDHVN"
"""IUPAC codes for "one of several nucleotides" (NC-IUB 1984). `X`, gaps (`.`, `-`) and modified nucleotides such as
inosine (`I`) are not among them: they say something else than "some nucleotide", so they are refused, not guessed."""

ON_UNKNOWN = ("error", "n")
"""What to do with a letter that is not read: raise, or read it as the unknown nucleotide."""

KEPT_ENDS = {"5prime": "right", "3prime": "left"}
"""The end of a sequence that is kept where it is too long -> the `truncation_side` of a tokenizer that keeps it."""

REFUSED_BYTE = -1
"""Entry of `byte_to_id_table` for a byte that no nucleotide letter has."""

TOKEN_ROLES = ("pad", "mask", "bos", "eos")


@dataclass(frozen=True)
class Alphabet:
    """Vocabulary of one model family.

    Every single-character token is a letter that may stand in a sequence, unless it is among `symbols`; longer tokens
    are special tokens.

    Args:
        name: key in `ALPHABETS`, written into `tokenizer_config.json`.
        tokens: all tokens; the id of a token is its 0-based place here.
        nucleotides: the letters that k-mers are made of, in their order (it is the order of the k-mer ids).
        pad_token: text of the padding token; every alphabet has one.
        unknown_nucleotide: the letter that ambiguity codes become, or None where they are refused.
        mask_token: text of the mask token, or None where the alphabet has none.
        bos_token: text of the token before a sequence, or None where the alphabet has none.
        eos_token: text of the token after a sequence, or None where the alphabet has none.
        on_by_default: which of "mask", "bos" and "eos" a tokenizer switches on unless told otherwise.
        padding_side: "left" or "right", where a tokenizer pads unless told otherwise.
        symbols: single-character tokens that are no letters of a sequence, such as the brackets of a structure.

    Raises:
        ValueError: at import of a constant whose parts contradict each other.
    """

    name: str
    tokens: tuple[str, ...]
    nucleotides: tuple[str, ...]
    pad_token: str
    unknown_nucleotide: str | None = None
    mask_token: str | None = None
    bos_token: str | None = None
    eos_token: str | None = None
    on_by_default: tuple[str, ...] = ()
    padding_side: str = "right"
    symbols: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.tokens)) != len(self.tokens):
            raise ValueError(f"alphabet {self.name!r}: a token is listed twice in {self.tokens}")
        roles = {role: self.role_text(role) for role in TOKEN_ROLES}
        named = [*self.nucleotides, self.unknown_nucleotide, *roles.values()]
        missing = [token for token in named if token is not None and token not in self.tokens]
        if missing:
            raise ValueError(f"alphabet {self.name!r}: {missing} are named but not among the tokens {self.tokens}")
        if any(len(letter) != 1 for letter in (*self.nucleotides, self.unknown_nucleotide or "N")):
            raise ValueError(f"alphabet {self.name!r}: nucleotides and unknown_nucleotide must be single letters")
        if any(len(text) < 2 for text in roles.values() if text is not None):
            raise ValueError(f"alphabet {self.name!r}: a special token needs at least two characters, got {roles}")
        if self.padding_side not in ("left", "right"):
            raise ValueError(f"alphabet {self.name!r}: padding_side is {self.padding_side!r}, choose left or right")
        absent = [role for role in self.on_by_default if role not in TOKEN_ROLES or roles[role] is None]
        if absent:
            raise ValueError(f"alphabet {self.name!r}: on_by_default names {absent}, which the alphabet does not have")

    @property
    def vocab_size(self) -> int:
        """Number of tokens, on or off: the rows that a model's embedding needs (for k = 1)."""
        return len(self.tokens)

    @property
    def letters(self) -> tuple[str, ...]:
        """The single-character tokens that may stand in a sequence, in the order of their ids."""
        return tuple(token for token in self.tokens if len(token) == 1 and token not in self.symbols)

    @property
    def token_to_id(self) -> dict[str, int]:
        """Every token, on or off, with its id."""
        return {token: index for index, token in enumerate(self.tokens)}

    def role_text(self, role: str) -> str | None:
        """Text of the token with a role ("pad", "mask", "bos", "eos"); None where the alphabet has none."""
        return getattr(self, f"{role}_token")


RIBONANZANET = Alphabet(
    name="ribonanzanet",
    # 0-4 as in the original (Shujun-He/RibonanzaNet: nucleotides in the order ACGU, padding 4); the rest is ours.
    tokens=("A", "C", "G", "U", "<pad>", "N", "<mask>", "<bos>", "<eos>"),
    nucleotides=("A", "C", "G", "U"),
    pad_token="<pad>",
    unknown_nucleotide="N",
    mask_token="<mask>",
    bos_token="<bos>",
    eos_token="<eos>",
    # The original puts nothing before or after a sequence.
    on_by_default=("mask",),
)

RNATRACKER = Alphabet(
    name="rnatracker",
    # 0-3 are the channels of the original's convolution (brianchiu123/RNATracker, which writes T); the rest is ours.
    tokens=("G", "A", "U", "C", "<pad>", "N"),
    nucleotides=("G", "A", "U", "C"),
    pad_token="<pad>",
    unknown_nucleotide="N",
    padding_side="left",
)

PLANTRNA_FM = Alphabet(
    name="plantrna_fm",
    # All as published (yangheng/PlantRNA-FM, vocab.txt), lower-case letters, structure and regions included.
    tokens=(*("<cls>", "<pad>", "<eos>", "<unk>"), *"ACGTNUacgtnu", *"().*", *"123", "<mask>"),
    nucleotides=("A", "C", "G", "U"),
    pad_token="<pad>",
    unknown_nucleotide="N",
    mask_token="<mask>",
    bos_token="<cls>",
    eos_token="<eos>",
    on_by_default=("mask", "bos", "eos"),
    symbols=tuple("().*123"),
)

ALPHABETS: dict[str, Alphabet] = {alphabet.name: alphabet for alphabet in (RIBONANZANET, RNATRACKER, PLANTRNA_FM)}
"""All alphabets by name."""


def get_alphabet(name: str) -> Alphabet:
    """Looks an alphabet up.

    Args:
        name: a key of `ALPHABETS`.

    Raises:
        ValueError: if there is no such alphabet; the message lists those that exist.
    """
    if not isinstance(name, str) or name not in ALPHABETS:
        raise ValueError(f"unknown alphabet {name!r}; choose one of {sorted(ALPHABETS)}")
    return ALPHABETS[name]


def letter_map(alphabet: Alphabet, *, ignore_case: bool = True, t_as_u: bool = True) -> dict[str, str]:
    """Which letters may stand in a sequence, and as which letter token each one is read.

    A letter that is a token of the alphabet is read as itself, unless the options say otherwise; T and U stand in for
    each other where the alphabet has only one of them; ambiguity codes without a token of their own become the unknown
    nucleotide.

    Args:
        alphabet: the vocabulary.
        ignore_case: whether lower-case letters are read as their upper-case ones, also where they have tokens.
        t_as_u: whether T is read as U, also where it has a token (in an alphabet that writes T alone: U as T).

    Returns:
        Accepted letter -> letter token. What is not a key is unknown.
    """
    letters = {letter: letter for letter in alphabet.letters}
    if t_as_u:
        for read, written in (("T", "U"), ("t", "u"), ("U", "T")):
            if written in alphabet.letters and (read not in letters or written in "Uu"):
                letters[read] = written
    if alphabet.unknown_nucleotide is not None:
        for code in AMBIGUITY_CODES:
            letters.setdefault(code, alphabet.unknown_nucleotide)
    if ignore_case:
        letters |= {letter.lower(): token for letter, token in letters.items() if letter.isupper()}
    return letters


def byte_to_id_table(
    alphabet: Alphabet, *, ignore_case: bool = True, t_as_u: bool = True, on_unknown: str = "error"
) -> np.ndarray:
    """Lookup table from an ASCII byte to the id of its nucleotide token, for bulk tokenization with k = 1.

    `table[np.frombuffer(sequence.encode("latin-1"), np.uint8)]` gives the ids that the tokenizer gives, without special
    tokens. (UTF-8 would turn one foreign letter into several bytes; they are refused or read as N all the same.)

    Args:
        alphabet: the vocabulary.
        ignore_case: as in `letter_map`.
        t_as_u: as in `letter_map`.
        on_unknown: "error" leaves `REFUSED_BYTE` in unknown bytes; "n" gives them the id of the unknown nucleotide.

    Returns:
        (256,) int16, ids or `REFUSED_BYTE`.

    Raises:
        ValueError: if `on_unknown` is not one of `ON_UNKNOWN`, or is "n" in an alphabet without unknown nucleotide.
    """
    check_on_unknown(alphabet, on_unknown)
    ids = alphabet.token_to_id
    unknown_id = REFUSED_BYTE
    if on_unknown == "n" and alphabet.unknown_nucleotide is not None:
        unknown_id = ids[alphabet.unknown_nucleotide]
    table = np.full(256, unknown_id, dtype=np.int16)
    for letter, token in letter_map(alphabet, ignore_case=ignore_case, t_as_u=t_as_u).items():
        table[ord(letter)] = ids[token]
    return table


def check_on_unknown(alphabet: Alphabet, on_unknown: str) -> None:
    """Raises a ValueError unless `on_unknown` is a choice that the alphabet can follow."""
    if on_unknown not in ON_UNKNOWN:
        raise ValueError(f"on_unknown={on_unknown!r} is not a choice; use one of {list(ON_UNKNOWN)}")
    if on_unknown == "n" and alphabet.unknown_nucleotide is None:
        raise ValueError(f"on_unknown='n' needs an unknown nucleotide, and alphabet {alphabet.name!r} has none")
