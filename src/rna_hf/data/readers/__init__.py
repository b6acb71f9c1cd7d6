"""Readers of the public RNA data formats, exactly as downloaded, into `datasets.Dataset`.

A new reader is a file here and a line in `READERS`.

| function | files | labels |
| --- | --- | --- |
| `read_fasta` | FASTA | none |
| `read_ribonanza` | Ribonanza `train_data.csv` | reactivity to 2A3 and DMS |
| `read_ribonanza_test` | Ribonanza `test_sequences.csv` | none |
| `read_rdat` | RDAT of the RNA Mapping Database | reactivity to the file's modifier |
| `read_shape` | `.shape`, `.map`, `.react` and FASTA or `.seq` | reactivity to the named modifier |
| `read_openvaccine` | OpenVaccine `train.json`, `test.json` | reactivity and four kinds of degradation |
| `read_secondary_structures` | CT, BPSEQ, dot-bracket | base pairs |
| `read_cefra` | RNATracker's three lines a record (CeFra-seq) | part of the RNA in each compartment |
| `read_localisation` | CSV, or FASTA and CSV | part of the RNA in each compartment |
| `read_rna3d` | Stanford RNA 3D Folding `*_sequences.csv`, `*_labels.csv` | C1' coordinates |

All of them keep the letters of a sequence as they are written (case, T or U), and raise one line that names file, line
and remedy when something is wrong. Files may be gzipped, or zip archives of one file (structures: plain text only). A
`Dataset` is written to the cache of the `datasets` library as an Arrow file (`cache_dir` says where else) and mapped
from there; a changed file is read anew. With `streaming=True` the same records come as an `IterableDataset` that
holds one at a time.
"""

from collections.abc import Callable
from typing import Any

from .coordinates import read_rna3d
from .degradation import OPENVACCINE_TARGETS, read_openvaccine
from .fasta import read_fasta
from .localisation import CEFRA_COMPARTMENTS, read_cefra, read_localisation
from .rdat import RDAT_CHANNELS, read_rdat
from .reactivity import EXPERIMENT_TYPES, read_ribonanza, read_ribonanza_test
from .shape import read_shape
from .structures import read_secondary_structures

READERS: dict[str, Callable[..., Any]] = {
    "ribonanza": read_ribonanza,
    "ribonanza_test": read_ribonanza_test,
    "rdat": read_rdat,
    "shape": read_shape,
    "openvaccine": read_openvaccine,
    "structures": read_secondary_structures,
    "rna3d": read_rna3d,
    "fasta": read_fasta,
    "cefra": read_cefra,
    "localisation": read_localisation,
}
"""The public formats by the names that `rna-hf finetune --data_format` takes, each with its reader: a function of one
path or two. `datasets` is imported when a reader is called."""

__all__ = [
    "CEFRA_COMPARTMENTS",
    "EXPERIMENT_TYPES",
    "OPENVACCINE_TARGETS",
    "RDAT_CHANNELS",
    "READERS",
    "read_cefra",
    "read_fasta",
    "read_localisation",
    "read_openvaccine",
    "read_rdat",
    "read_ribonanza",
    "read_ribonanza_test",
    "read_rna3d",
    "read_secondary_structures",
    "read_shape",
]
