"""RNA alphabets and the tokenizer, which imports transformers: it waits until it is asked for."""

from typing import TYPE_CHECKING, Any

from .alphabets import (
    ALPHABETS,
    AMBIGUITY_CODES,
    KEPT_ENDS,
    REFUSED_BYTE,
    RIBONANZANET,
    RNATRACKER,
    Alphabet,
    byte_to_id_table,
    get_alphabet,
    letter_map,
)

if TYPE_CHECKING:
    from .bulk import encode_bulk
    from .tokenization_rna import RnaTokenizerFast

__all__ = [
    "ALPHABETS",
    "AMBIGUITY_CODES",
    "KEPT_ENDS",
    "REFUSED_BYTE",
    "RIBONANZANET",
    "RNATRACKER",
    "Alphabet",
    "RnaTokenizerFast",
    "byte_to_id_table",
    "encode_bulk",
    "get_alphabet",
    "letter_map",
]


def __getattr__(name: str) -> Any:
    if name == "encode_bulk":
        from .bulk import encode_bulk

        return encode_bulk
    if name == "RnaTokenizerFast":
        from .tokenization_rna import RnaTokenizerFast

        return RnaTokenizerFast
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
