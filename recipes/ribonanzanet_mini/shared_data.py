"""Files of the shared data folder that the recipe reads: sources, selection rules and the test sets kept out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rna_hf.data.splits import is_near_duplicate, normalise_sequence

FILES = {
    "lib15k": ("ribonanza_15k/lib15k.parquet",),
    "pk50": ("ribonanza_openknot/pk50.parquet", "ribonanza_pk50_replicates/pk50_replicates.parquet"),
    "cloudlab": ("eternabench_cloudlab/cloudlab.parquet",),
    "openvaccine": ("openvaccine/train.parquet",),
    "bprna": ("ss_bprna/bprna.parquet",),
    "rnastralign": ("ss_rnastralign/rnastralign.parquet",),
    "rfam": ("ss_rfam_seed/rfam_seed.parquet",),
    "pieces": (
        "plant_transcripts/arabidopsis.parquet",
        "genomes/celegans_transcripts_1pct.fa.gz",
        "genomes/athaliana_1pct.fa.gz",
        "genomes/ebola.fa.gz",
        "genomes/cdiphtheriae.fa.gz",
        "genomes_more/phages_vclust.fa.gz",
        "genomes_more/dmelanogaster_1pct.fa.gz",
        "genomes_more/human_chr1_start.fa.gz",
    ),
}
RULES = {
    "lib15k": "2A3 and DMS profiles with sn_filter 1; no near-duplicate of a test set",
    "pk50": "2A3 and DMS profiles with sn_filter 1, up to four replicates averaged by signal to noise; not near_pk90; "
    "no near-duplicate of a test set",
    "cloudlab": "1M7; not near_pk90, near_test or in_openvaccine_test; no near-duplicate of a test set",
    "openvaccine": "1M7 of the training file, first 68 nt; no near-duplicate of a test set",
    "bprna": "split train; no near-duplicate of ArchiveII or a reactivity test set",
    "rnastralign": "split train; not in_archiveii, archiveii_cosine < 0.7; not in the valid or test part of bpRNA; "
    "no near-duplicate of ArchiveII or a reactivity test set",
    "rfam": "near_test_sets empty, without pseudoknots; no near-duplicate of ArchiveII or a reactivity test set",
    "pieces": "random pieces of up to 400 nt, of Arabidopsis those of split valid; no near-duplicate of ArchiveII or a "
    "reactivity test set; folded by ViennaRNA",
}
TEST_FILES = {
    "pk90": "ribonanza_openknot/pk90.parquet",
    "test60": "eternabench_cm/test60.parquet",
    "natural": "chemmap_natural/natural.parquet",
    "openvaccine_public": "openvaccine/test_public_107.parquet",
    "archiveii": "ss_archiveii/archiveii.parquet",
}
REACTIVITY_TESTS = ("pk90", "test60", "natural", "openvaccine_public")
STRUCTURE_TESTS = (*REACTIVITY_TESTS, "archiveii")


def read_columns(data_dir: str | Path, file: str, columns: Sequence[str]) -> dict[str, Any]:
    """Read columns of a parquet: lists of numbers as a list of float32 arrays, the rest as plain lists or arrays."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(data_dir) / file
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found; name the shared data folder with --data")
    table = pq.read_table(path, columns=list(columns))
    result: dict[str, Any] = {}
    for name in columns:
        column = table.column(name).combine_chunks()
        if pa.types.is_list(column.type):
            values, offsets = column.values.to_numpy(zero_copy_only=False), column.offsets.to_numpy()
            result[name] = [values[a:b].astype(np.float32) for a, b in pairwise(offsets)]
        elif pa.types.is_large_string(column.type) or pa.types.is_string(column.type):
            result[name] = column.to_pylist()
        else:
            result[name] = column.to_numpy(zero_copy_only=False)
    return result


def load_test_sequences(data_dir: str | Path, names: Sequence[str] = STRUCTURE_TESTS) -> dict[str, list[str]]:
    """Sequences of the test sets that no training may hold, exactly or nearly.

    Args:
        data_dir: the shared data folder.
        names: keys of `TEST_FILES`.

    Returns:
        The sequences of each.
    """
    return {
        n: [normalise_sequence(s) for s in read_columns(data_dir, TEST_FILES[n], ["sequence"])["sequence"]]
        for n in names
    }


def find_near_tests(sequences: Sequence[str], tests: dict[str, list[str]], dropped: dict[str, int]) -> np.ndarray:
    """Tell which sequences are near a test set, counting them by the first test set that they are near."""
    near = np.zeros(len(sequences), dtype=bool)
    for name, references in tests.items():
        found = is_near_duplicate(sequences, references) & ~near
        dropped[f"near {name}"] = int(found.sum())
        near |= found
    return near
