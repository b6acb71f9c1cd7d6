"""RNA alphabets, which import neither torch nor transformers, and the tokenizer, which waits until it is used."""

from importlib import import_module
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

_PLACES = {"RnaTokenizerFast": ".tokenization_rna", "encode_bulk": ".bulk"}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
