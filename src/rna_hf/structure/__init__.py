"""RNA structure: pairs, their files, decoding and metrics; C1' traces, their files, scores and a viewer."""

from .coordinates import best_tm_score, kabsch, lddt, mark_missing, rmsd, superpose, tm_d0, tm_score
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
from .dotbracket_files import format_dbn, parse_dbn, parse_st
from .pair_files import format_bpseq, format_ct, parse_bpseq, parse_ct, read_structures, write_structures
from .pair_metrics import mean_pair_metrics, pair_metrics
from .secondary_structure import SecondaryStructure
from .trace_files import PDB_MAX_RESIDUES, Trace, read_trace, write_trace
from .trace_viewer import write_viewer

__all__ = [
    "PDB_MAX_RESIDUES",
    "SecondaryStructure",
    "Trace",
    "best_tm_score",
    "decode_pairs",
    "format_bpseq",
    "format_ct",
    "format_dbn",
    "has_pseudoknot",
    "kabsch",
    "lddt",
    "mark_missing",
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
    "read_trace",
    "rmsd",
    "structure_confidence",
    "superpose",
    "tm_d0",
    "tm_score",
    "unpaired_probabilities",
    "write_dotbracket",
    "write_structures",
    "write_trace",
    "write_viewer",
]
