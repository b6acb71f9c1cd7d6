"""Whole inputs to begin with: the files of other programs, and small ones of every kind that is read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recipes.places import REPOSITORY
from rna_hf.structure import write_trace

CORPUS = REPOSITORY / "tests" / "data" / "corpus"
_RNAS = {"hp1": "GGGGAAAACCCC", "hp2": "GACUAGCUAGC", "long": "GGCUNRYAUG" * 8}
_FASTA = "".join(f">{name} a description\n{rna[:40]}\n{rna[40:]}\n" for name, rna in _RNAS.items())
_FASTQ = "".join(f"@{name}\n{rna}\n+\n{'I' * len(rna)}\n" for name, rna in _RNAS.items())
_TABLE = "id,sequence,note\n" + "".join(f'{name},{rna},"a, b"\n' for name, rna in _RNAS.items())
_LOCALISATION = "id,sequence,Cytosol,Insoluble,Membrane,Nuclear\na,GGAUUACA,1,2,3,4\nb,ACGUN,0,0.5,1.5,0\n"
_CEFRA = ">0 ENSG01 ENST01\nGGAUUACA\n1 2 3 4\n>ENST02\nACGUN\n0.0 0.5 1.5 0\n"
_LONG = "id,position,nucleotide,reactivity\n" + "".join(
    f"{name},{place + 1},{letter},0.5\n" for name, rna in list(_RNAS.items())[:2] for place, letter in enumerate(rna)
)
_RIBONANZA = (
    "sequence_id,sequence,experiment_type,dataset_name,reads,signal_to_noise,SN_filter,reactivity_0001,reactivity_0002,"
    "reactivity_0003,reactivity_error_0001,reactivity_error_0002,reactivity_error_0003\n"
    "a1,GAC,2A3_MaP,15k_2A3,2343,0.944,0,,0.5,0.25,,0.1,0.2\na1,GAC,DMS_MaP,15k_DMS,300,1.5,1,,,0.75,,,0.4\n"
    "b2,GA,2A3_MaP,15k_2A3,150,7.5,1,,1.5,,,0.1,\n"
)
_RIBONANZA_TEST = "id_min,id_max,sequence_id,sequence\n0,2,a,GAC\n3,10,b,GGAUUACA\n"
_OPENVACCINE = {
    **{"id": "id_1", "sequence": "GGAAAUCC", "structure": "((....))", "predicted_loop_type": "SSHHHHSS"},
    **{"seq_length": 8, "seq_scored": 3, "signal_to_noise": 6.893, "SN_filter": 1.0},
    **{f"{name}": [0.125, 0.25, 0.5] for name in ("reactivity", "deg_Mg_pH10", "deg_pH10", "deg_Mg_50C", "deg_50C")},
    "reactivity_error": [0.125, 0.25, 0.5],
    **{f"deg_error_{name}": [0.1, 0.2, 0.3] for name in ("Mg_pH10", "pH10", "Mg_50C", "50C")},
}
_RNA3D = (
    'target_id,sequence,temporal_cutoff,all_sequences\n1SCL_A,GAC,1995-01-26,">1SCL\nGAC\n"\nR1107,UA,2022-05-28,x\n'
)
_RNA3D_LABELS = (
    "ID,resname,resid,x_1,y_1,z_1\nR1107_1,U,1,1.5,2.5,3.5\nR1107_2,A,2,-1e+18,-1e+18,-1e+18\n"
    "1SCL_A_1,G,1,10.0,20.0,30.0\n1SCL_A_2,A,2,11.0,21.0,31.0\n1SCL_A_3,C,3,,,\n"
)
_ST = '#Name: bpRNA_1\n#Length:  12\nGGGGAAAACCCC\n((((....))))\nSSSSHHHHSSSS\nNNNNNNNNNNNN\nS1 1..4 "GGGG"\n'


class Seed(NamedTuple):
    """A whole input.

    Attributes:
        reader: key of `benchmarks.robustness.readers.READS`.
        suffix: of the file's name.
        data: its content.
        beside: content of a second file, for readers of two.
    """

    reader: str
    suffix: str
    data: bytes
    beside: bytes = b""


def make_seeds(folder: Path) -> list[Seed]:
    """Return all seeds, in a fixed order.

    Args:
        folder: where files may be written for a moment.
    """
    texts = {
        ".fa": _FASTA,
        ".fastq": _FASTQ,
        ".csv": _TABLE,
        ".tsv": _TABLE.replace(",", "\t"),
        ".txt": "\n".join(_RNAS),
    }
    texts[".txt"] = "\n".join(_RNAS.values())
    seeds = [Seed("prediction", suffix, text.encode()) for suffix, text in texts.items()]
    seeds += [Seed("prediction", f"{s.suffix}.gz", gzip.compress(s.data, mtime=0)) for s in seeds]
    parquet = _parquet(folder / "seed.parquet", {"id": list(_RNAS), "sequence": list(_RNAS.values()), "x": [1, 2, 3]})
    seeds += [Seed("prediction", ".parquet", parquet)] * 3
    seeds += [Seed("long table", ".csv", _LONG.encode()), Seed("memory", "", b"")]
    seeds += [Seed("fasta", ".fa", _FASTA.encode()), Seed("cefra", ".txt", _CEFRA.encode())]
    seeds += [Seed("localisation", ".csv", _LOCALISATION.encode())]
    seeds += [Seed("localisation and fasta", ".csv", _LOCALISATION.encode(), b">a\nGGAUUACA\n>b\nACGUN\n")]
    seeds += [Seed("ribonanza", ".csv", _RIBONANZA.encode()), Seed("ribonanza_test", ".csv", _RIBONANZA_TEST.encode())]
    seeds += [Seed("openvaccine", ".json", (json.dumps(_OPENVACCINE) + "\n").encode() * 2)] * 2
    seeds += [
        Seed("rna3d", ".csv", _RNA3D.encode()),
        Seed("rna3d labels", ".csv", _RNA3D_LABELS.encode(), _RNA3D.encode()),
    ]
    seeds += [Seed("structures", ".st", _ST.encode()), *_traces(folder)]
    for path in sorted(CORPUS.iterdir()):
        seeds += _of_corpus(path)
    return seeds


def _of_corpus(path: Path) -> list[Seed]:
    data, suffix = path.read_bytes(), path.suffix
    if suffix in (".dbn", ".ct", ".bpseq", ".nopct"):
        return [Seed("structures", suffix, data), Seed("structure files", suffix, data)]
    if suffix in (".shape", ".map", ".react"):
        fasta = path.with_suffix(".fasta" if suffix == ".react" else ".fa")
        sequences = fasta.read_bytes() if fasta.exists() else b">hp1\nGGGGAAAACCCC\n"
        return [Seed("shape", suffix, data), Seed("shape with sequences", suffix, data, sequences)]
    if suffix == ".rdat":
        return [Seed("rdat", suffix, data)]
    if suffix == ".csv":
        return [Seed("localisation of two", suffix, data), Seed("prediction", suffix, data)]
    if suffix == ".seq":
        return [Seed("sequences of shape", suffix, data)]
    return [Seed("prediction", suffix, data)] if suffix in (".fa", ".fasta") else []


def _traces(folder: Path) -> list[Seed]:
    seeds = []
    turns = np.arange(12) * 0.5
    coordinates = np.stack([9 * np.cos(turns), 9 * np.sin(turns), 3 * turns], axis=1)
    for suffix in (".pdb", ".cif"):
        path = folder / f"seed{suffix}"
        write_trace(path, np.stack([coordinates, coordinates + 1]), _RNAS["hp1"])
        seeds += [Seed("trace", suffix, path.read_bytes())] * 2
    return seeds


def _parquet(path: Path, columns: Mapping[str, list]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(dict(columns)), path)
    return path.read_bytes()
