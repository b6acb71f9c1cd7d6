"""RNA alphabets and the tokenizer."""

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
