"""ViennaRNA's secondary structures, kept on disk: thousands of RNAs take minutes and never change."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "vienna"
METHODS = ("mfe", "mea")


class ViennaStructures:
    """Structures of minimum free energy and of maximum expected accuracy (default energies, 37 C, gamma 1)."""

    def __init__(self, folder: Path = CACHE) -> None:
        import RNA

        self.file = folder / f"structures-{RNA.__version__}.json"
        self.known: dict[str, list[str]] = json.loads(self.file.read_text()) if self.file.is_file() else {}

    def __call__(self, sequences: Sequence[str]) -> dict[str, list[str]]:
        """Look up or fold sequences.

        Args:
            sequences: upper case, U for T.

        Returns:
            By `METHODS`, a dot-bracket of each sequence, without pseudoknots.
        """
        missing = sorted({sequence for sequence in sequences if sequence not in self.known}, key=len)
        start = saved = time.monotonic()
        for number, sequence in enumerate(missing, 1):
            self.known[sequence] = _fold(sequence)
            if number == len(missing) or time.monotonic() - saved > 60:
                self._save()
                saved = time.monotonic()
                print(f"folded {number} of {len(missing)} in {saved - start:.0f} s", file=sys.stderr, flush=True)
        return {method: [self.known[s][place] for s in sequences] for place, method in enumerate(METHODS)}

    def _save(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.known))
        temporary.replace(self.file)


def _fold(sequence: str) -> list[str]:
    """Return the structures of `METHODS`."""
    import RNA

    compound = RNA.fold_compound(sequence)
    structure, energy = compound.mfe()
    compound.exp_params_rescale(energy)  # or the partition function of a long RNA leaves double range
    compound.pf()
    return [structure, compound.MEA()[0]]
