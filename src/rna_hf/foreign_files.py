"""Kinds of files that are not read, told by their first bytes or their names, and how to get at what they hold."""

from __future__ import annotations

import re
import zlib

NUM_BYTES = 1024
"""How much of a file `explain_foreign` wants to see."""

_TO_FASTA = "convert it to FASTA"
_ALIGNMENT = "a prediction is for single RNAs: write them as FASTA without gaps (seqkit seq --remove-gaps)"
_SAVE_TABLE = "save the table as CSV or parquet"
_UNPACK = "unpack it, or pack it as gzip"
_EXPORT = "export the sequences as FASTA or CSV"
_STRUCTURES = "write its sequence as FASTA, or read it with rna_hf.structure.read_structures"

# Patterns of the beginning, the first match first; a file of a kind that is read has none of them.
_BEGINNINGS = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), kind, remedy)
    for pattern, kind, remedy in (
        (rb"BAM\x01", "BAM", f"{_TO_FASTA} (samtools fasta)"),
        (rb"CRAM[\x01-\x05]", "CRAM", f"{_TO_FASTA} (samtools fasta)"),
        (rb"@(HD|SQ|RG|PG|CO)\t", "SAM", f"{_TO_FASTA} (samtools fasta)"),
        (rb"\x1a\x41\x27\x43|\x43\x27\x41\x1a", "2bit", f"{_TO_FASTA} (twoBitToFa)"),
        (rb"BZh\d", "packed with bzip2", _UNPACK),
        (rb"\xfd7zXZ", "packed with xz", _UNPACK),
        (rb"\x28\xb5\x2f\xfd", "packed with zstd", _UNPACK),
        (rb"7z\xbc\xaf|Rar!", "a packed archive", _UNPACK),
        (rb".{257}ustar", "a tar archive", "unpack it and name the file to read"),
        (rb"\xd0\xcf\x11\xe0", "an old Excel or Word file", _SAVE_TABLE),
        (rb"ARROW1|FEA1", "an Arrow or Feather file", _SAVE_TABLE),
        (rb"\x93NUMPY", "an array of NumPy", "load it and pass the array, or save a CSV"),
        (rb"\x89HDF", "HDF5", _SAVE_TABLE),
        (rb"\x80[\x02-\x05][\x95}\]c(KX]", "a pickle", f"load it where you trust it, and {_SAVE_TABLE}"),
        (rb"SQLite format", "a data base of SQLite", _SAVE_TABLE),
        (rb"%PDF-", "PDF", _EXPORT),
        (rb"\{\\rtf", "RTF", "save it as plain text"),
        (rb"ABIF", "a trace of a sequencer", f"{_TO_FASTA} (seqret)"),
        (rb"\s*(\{\s*\"|\[\s*[{\"])", "JSON", _SAVE_TABLE),
        (rb"\s*<(\?xml|!doctype|html|\w+>)", "XML or HTML", _EXPORT),
        (rb"LOCUS {3,}\S", "GenBank", f"{_TO_FASTA} (seqret, or Bio.SeqIO.convert)"),
        (rb"ID {3}\S[^\n]*;", "EMBL", f"{_TO_FASTA} (seqret, or Bio.SeqIO.convert)"),
        (rb"##gff-version", "GFF", f"{_TO_FASTA} (bedtools getfasta, gffread -w)"),
        (rb"##fileformat=VCF", "VCF", f"{_TO_FASTA} (bcftools consensus)"),
        (rb"# STOCKHOLM", "a Stockholm alignment", _ALIGNMENT),
        (rb"(CLUSTAL|MUSCLE \(|PROBCONS)", "a Clustal alignment", _ALIGNMENT),
        (rb"!!\w\w_MULTIPLE_ALIGNMENT|PileUp\s", "an MSF alignment", _ALIGNMENT),
        (rb"#NEXUS", "NEXUS", _ALIGNMENT),
        (rb"#MEGA", "MEGA", _ALIGNMENT),
    )
)
# Found among sequences only: these are read as structures, or as coordinates, elsewhere.
_BEGINNINGS_OF_RNA = (
    (re.compile(rb"\s*\d+ +\d+ *\r?\n *\S+ +[A-Za-z-]{5}"), "a PHYLIP alignment", _ALIGNMENT),
    (re.compile(rb"\s*\d+[ \t][^\n]*\n\s*1\s+[A-Za-z]\s+0\s+\d+\s+\d+"), "a connectivity table (CT)", _STRUCTURES),
    (re.compile(rb"(#[^\n]*\n)*\s*1\s+[A-Za-z]\s+\d+\s*\n\s*2\s+[A-Za-z]\s+\d+\s"), "BPSEQ", _STRUCTURES),
    (re.compile(rb"(HEADER|TITLE|REMARK|CRYST1|MODEL|ATOM|HETATM) {2,}\S"), "PDB", "write its sequence as FASTA"),
    (re.compile(rb"data_\w*\s*\n(#|_|loop_)"), "mmCIF", "write its sequence as FASTA"),
)
# By name, where the beginning shows nothing.
_SUFFIXES = {
    **dict.fromkeys((".xlsx", ".xlsm", ".ods", ".numbers"), ("a spreadsheet", _SAVE_TABLE)),
    **dict.fromkeys((".docx", ".odt", ".pptx"), ("a document", _EXPORT)),
    **dict.fromkeys((".npz", ".pt", ".pth"), ("an archive of arrays", "load it and pass a list of sequences")),
    **dict.fromkeys((".gtf", ".gff", ".gff3", ".bed"), ("a list of regions", f"{_TO_FASTA} (bedtools getfasta)")),
    **dict.fromkeys((".aln", ".msf", ".phy", ".phylip", ".sto", ".stk"), ("an alignment", _ALIGNMENT)),
    **dict.fromkeys((".gb", ".gbk", ".embl"), ("an entry of a data base", f"{_TO_FASTA} (seqret)")),
    ".sam": ("SAM", f"{_TO_FASTA} (samtools fasta)"),
    ".fai": ("the index of a FASTA file", "name the FASTA file"),
}


def explain_foreign(start: bytes, suffix: str = "", is_structure: bool = False) -> str | None:
    """Say in a phrase what a file is that is not read, and what to do; None for any other.

    Args:
        start: the first `NUM_BYTES` bytes, or all.
        suffix: of the file's name, without that of its packing.
        is_structure: whether structures are to be read from it, not sequences.
    """
    if start.startswith(b"\x1f\x8b"):
        start = _unpack(start)
    start = start.removeprefix(b"\xef\xbb\xbf")
    patterns = _BEGINNINGS if is_structure else (*_BEGINNINGS, *_BEGINNINGS_OF_RNA)
    kind, remedy = next(((k, r) for pattern, k, r in patterns if pattern.match(start)), (None, ""))
    # A FASTA file of any name is one.
    if kind is None and not start.lstrip().startswith((b">", b"@")):
        kind, remedy = _SUFFIXES.get(suffix.lower(), (None, ""))
    if is_structure and remedy != _UNPACK:
        remedy = "write the structures as dot-bracket, CT or BPSEQ"
    return None if kind is None else f"{kind}; {remedy}"


def _unpack(start: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(start, NUM_BYTES)
    except zlib.error:
        return b""
