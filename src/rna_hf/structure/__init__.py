"""RNA structure: dot-bracket and pair files, decoding of pairing probabilities, metrics of base pairs."""

from .decoding import decode_pairs, structure_confidence, unpaired_probabilities
from .dotbracket import (
    has_pseudoknot,
    normalise_pairs,
    pairs_to_matrix,
    pairs_to_partners,
    parse_dotbracket,
    partners_to_pairs,
    write_dotbracket,
)
from .pair_files import (
    SecondaryStructure,
    format_bpseq,
    format_ct,
    format_dbn,
    parse_bpseq,
    parse_ct,
    parse_dbn,
    parse_st,
    read_structures,
    write_structures,
)
from .pair_metrics import mean_pair_metrics, pair_metrics

__all__ = [
    "SecondaryStructure",
    "decode_pairs",
    "format_bpseq",
    "format_ct",
    "format_dbn",
    "has_pseudoknot",
    "mean_pair_metrics",
    "normalise_pairs",
    "pair_metrics",
    "pairs_to_matrix",
    "pairs_to_partners",
    "parse_bpseq",
    "parse_ct",
    "parse_dbn",
    "parse_dotbracket",
    "parse_st",
    "partners_to_pairs",
    "read_structures",
    "structure_confidence",
    "unpaired_probabilities",
    "write_dotbracket",
    "write_structures",
]
