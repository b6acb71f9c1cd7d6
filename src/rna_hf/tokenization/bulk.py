"""Many sequences into padded arrays in one pass, by a look-up table from byte to id."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch
from transformers import BatchEncoding, PreTrainedTokenizerBase

from .alphabets import byte_to_id_table, get_alphabet, letter_map
from .tokenization_rna import RnaTokenizerFast


def encode_bulk(
    tokenizer: PreTrainedTokenizerBase,
    sequences: Iterable[str],
    *,
    max_length: int | None = None,
    pad_to_multiple_of: int | None = None,
    return_tensors: str = "pt",
) -> BatchEncoding:
    """Tokenises sequences into one padded batch, much faster than a call of the tokenizer.

    It gives what `tokenizer(sequences, padding=True, return_special_tokens_mask=True, return_tensors="pt")` gives, with
    the same errors and warnings, except that offsets and words of the tokens are not there to be asked for. The options
    are the tokenizer's own: letters, `bos` and `eos`, sides of padding and truncation.

    The fast way is for an `RnaTokenizerFast` with `k=1` and sequences of ASCII letters. Typed special tokens
    (`"AC<mask>G"`), other letters, k-mers and other tokenizers take that ordinary call.

    Args:
        tokenizer: usually an `RnaTokenizerFast`.
        sequences: strings; an empty string has no tokens besides `bos` and `eos`.
        max_length: truncate to this number of tokens, `bos` and `eos` included; None truncates nothing.
        pad_to_multiple_of: round the padded length L up to a multiple of this number of tokens; `max_length`, if given,
            must be one.
        return_tensors: "pt" for torch tensors, "np" for numpy arrays.

    Returns:
        `input_ids`, `attention_mask` (0 at padding) and `special_tokens_mask` (0 at what stands in the sequence itself,
        1 at `bos`, `eos` and padding), each (N, L) in int64; (0, 0) without sequences.

    Raises:
        ValueError: a letter is unknown (the message names it, its position and its sequence), `sequences` is a single
            string, or an option does not fit.

    Example:
        >>> encode_bulk(RnaTokenizerFast(), ["acgt", "GN"])["input_ids"].tolist()
        [[0, 1, 2, 3], [2, 5, 4, 4]]
    """
    if isinstance(sequences, str):
        raise ValueError(f"sequences is the single string {sequences[:20]!r}; put it into a list")
    if return_tensors not in ("pt", "np"):
        raise ValueError(f'return_tensors={return_tensors!r} is not a choice; use "pt" or "np"')
    sequences = list(sequences)
    arrays = _encode(tokenizer, sequences, max_length, pad_to_multiple_of)
    if arrays is None:
        return tokenizer(
            sequences,
            padding=True,
            truncation=max_length is not None,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            return_attention_mask=True,
            return_special_tokens_mask=True,
            return_tensors=return_tensors,
        )
    if return_tensors == "np":
        return BatchEncoding(arrays)
    return BatchEncoding({name: torch.from_numpy(array) for name, array in arrays.items()})


def _encode(
    tokenizer: PreTrainedTokenizerBase, sequences: list[str], max_length: int | None, pad_to_multiple_of: int | None
) -> dict[str, np.ndarray] | None:
    """The three arrays, or None for what needs the ordinary call."""
    if not sequences:
        names = ("input_ids", "attention_mask", "special_tokens_mask")
        return {name: np.zeros((0, 0), dtype=np.int64) for name in names}
    if not isinstance(tokenizer, RnaTokenizerFast) or tokenizer.k > 1 or tokenizer.pad_token_id is None:
        return None
    text = _join(tokenizer, sequences)
    if text is None:
        return None
    before, after = _surroundings(tokenizer)
    num_added = len(before) + len(after)
    multiple = 1 if pad_to_multiple_of is None else pad_to_multiple_of
    if multiple < 1 or (max_length is not None and (max_length < num_added or max_length % multiple)):
        return None

    table, readable = _tables(tokenizer.alphabet, tokenizer.ignore_case, tokenizer.t_as_u, tokenizer.on_unknown)
    if text.translate(None, readable):
        tokenizer._check_letters(sequences)
    if max_length is not None:
        room = max_length - num_added
        kept = slice(room) if tokenizer.truncation_side == "right" or room == 0 else slice(-room, None)
        sequences = [sequence[kept] for sequence in sequences]
        text = "".join(sequences).encode("ascii")

    lengths = np.fromiter(map(len, sequences), dtype=np.int32, count=len(sequences))
    width = -(-(int(lengths.max()) + num_added) // multiple) * multiple
    start = np.zeros_like(lengths) if tokenizer.padding_side == "right" else width - num_added - lengths
    first = start + len(before)
    end = first + lengths
    place = np.arange(width, dtype=np.int32)
    is_letter = (place >= first[:, None]) & (place < end[:, None])

    input_ids = np.full(is_letter.shape, tokenizer.pad_token_id, dtype=np.int64)
    # Row by row, the places of letters are in the order of the text. No byte is out of range; "clip" saves the check.
    input_ids[is_letter] = table.take(np.frombuffer(text, dtype=np.uint8), mode="clip")
    attention_mask = is_letter.astype(np.int64)
    special_tokens_mask = 1 - attention_mask
    row = np.arange(len(sequences))
    for added, column in ((before, start), (after, end)):
        for offset, token in enumerate(added):
            input_ids[row, column + offset] = token
            attention_mask[row, column + offset] = 1
    tokenizer._eventual_warn_about_too_long_sequence(range(width), max_length, True)  # type: ignore[arg-type]
    return {"input_ids": input_ids, "attention_mask": attention_mask, "special_tokens_mask": special_tokens_mask}


def _join(tokenizer: RnaTokenizerFast, sequences: list[str]) -> bytes | None:
    """All sequences in a row, or None if there is more in them than one-byte letters."""
    try:
        text = "".join(sequences)
    except TypeError:
        return None
    if not text.isascii():
        return None
    for token in tokenizer.added_tokens_decoder.values():
        # A normalised token is compared with what the letters are read as. A search for one letter is the faster one.
        if token.normalized or (token.content[:1] in text and token.content in text):
            return None
    return text.encode("ascii")


def _surroundings(tokenizer: RnaTokenizerFast) -> tuple[list[int], list[int]]:
    """Ids that the tokenizer puts before and after a sequence, found by encoding one letter."""
    letter = get_alphabet(tokenizer.alphabet).nucleotides[0]
    encoded = tokenizer(letter, return_special_tokens_mask=True, verbose=False)
    place = encoded["special_tokens_mask"].index(0)
    return encoded["input_ids"][:place], encoded["input_ids"][place + 1 :]


@lru_cache(maxsize=64)
def _tables(alphabet: str, ignore_case: bool, t_as_u: bool, on_unknown: str) -> tuple[np.ndarray, bytes]:
    """Table from byte to id, (256,) int16, and the bytes of the letters that are known."""
    vocabulary = get_alphabet(alphabet)
    table = byte_to_id_table(vocabulary, ignore_case=ignore_case, t_as_u=t_as_u, on_unknown=on_unknown)
    table.flags.writeable = False
    return table, "".join(letter_map(vocabulary, ignore_case=ignore_case, t_as_u=t_as_u)).encode("ascii")
