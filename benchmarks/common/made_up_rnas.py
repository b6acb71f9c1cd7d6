"""RNAs for benchmarks of speed, which any letters will do for."""

from __future__ import annotations

import random
from pathlib import Path


def write_fasta(path: Path, rows: int, lengths: tuple[int, int], seed: int = 0) -> None:
    """Write random RNAs.

    Args:
        path: FASTA to write.
        rows: number of RNAs.
        lengths: of the shortest and of the longest, nucleotides.
        seed: of the letters.
    """
    rng = random.Random(seed)
    with path.open("w") as file:
        for row in range(rows):
            sequence = "".join(rng.choices("ACGU", k=rng.randint(*lengths)))
            file.write(f">rna{row}\n{sequence}\n")
