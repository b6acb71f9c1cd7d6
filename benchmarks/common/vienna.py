"""What ViennaRNA makes of sequences, kept on disk: thousands of RNAs take minutes and never change."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from abc import ABC, abstractmethod
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recipes.ribonanzanet_mini.folding import fold

from .places import VIENNA

METHODS = ("mfe", "mea")


def require_vienna(parser: ArgumentParser) -> None:
    """End the program with a remedy where ViennaRNA is missing."""
    if importlib.util.find_spec("RNA") is None:
        parser.error("the structures need ViennaRNA: pip install 'rna-hf[structure]', or run `make setup`")


class Folded(ABC):
    """Results by sequence, computed when first asked for and kept in one file.

    Args:
        folder: of the file.
    """

    NAME: str  # of the file, with {version} of ViennaRNA

    def __init__(self, folder: Path = VIENNA) -> None:
        import RNA

        self.file = folder / self.NAME.format(version=RNA.__version__)
        self.known: dict[str, Any] = self._read() if self.file.is_file() else {}

    def fold_missing(self, sequences: Sequence[str]) -> None:
        """Fold those that are not known, the shortest first, and keep the results."""
        missing = sorted({sequence for sequence in sequences if sequence not in self.known}, key=len)
        start = saved = time.monotonic()
        for number, sequence in enumerate(missing, 1):
            self.known[sequence] = self._fold(sequence)
            if number == len(missing) or time.monotonic() - saved > 60:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                temporary = self.file.with_suffix(f".tmp{self.file.suffix}")
                self._write(temporary)
                temporary.replace(self.file)
                saved = time.monotonic()
                print(f"folded {number} of {len(missing)} in {saved - start:.0f} s", file=sys.stderr, flush=True)

    @abstractmethod
    def _fold(self, sequence: str) -> Any: ...

    @abstractmethod
    def _read(self) -> dict[str, Any]: ...

    @abstractmethod
    def _write(self, path: Path) -> None: ...


class ViennaStructures(Folded):
    """Structures of minimum free energy and of maximum expected accuracy (default energies, 37 C, gamma 1)."""

    NAME = "structures-{version}.json"

    def __call__(self, sequences: Sequence[str]) -> dict[str, list[str]]:
        """Look up or fold sequences.

        Args:
            sequences: upper case, U for T.

        Returns:
            By `METHODS`, a dot-bracket of each sequence, without pseudoknots.
        """
        self.fold_missing(sequences)
        return {method: [self.known[s][place] for s in sequences] for place, method in enumerate(METHODS)}

    def _fold(self, sequence: str) -> list[str]:
        import RNA

        compound = RNA.fold_compound(sequence)
        structure, energy = compound.mfe()
        compound.exp_params_rescale(energy)  # or the partition function of a long RNA leaves double range
        compound.pf()
        return [structure, compound.MEA()[0]]

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.read_text())
        return found

    def _write(self, path: Path) -> None:
        path.write_text(json.dumps(self.known))


class UnpairedProbabilities(Folded):
    """Probability of each nucleotide to be unpaired, from the partition function (default energies, 37 C)."""

    NAME = "unpaired-{version}.npz"

    def __call__(self, sequences: Sequence[str]) -> list[np.ndarray]:
        """Look up or fold sequences.

        Args:
            sequences: ACGU.

        Returns:
            One (L,) float32 array each.
        """
        self.fold_missing(sequences)
        return [self.known[sequence] for sequence in sequences]

    def _fold(self, sequence: str) -> np.ndarray:
        return unpaired_probabilities(sequence)

    def _read(self) -> dict[str, Any]:
        with np.load(self.file) as stored:
            sequences = bytes(stored["sequences"]).decode("ascii").split("\n")
            bounds = np.cumsum([len(s) for s in sequences])[:-1]
            return dict(zip(sequences, np.split(stored["values"], bounds)))

    def _write(self, path: Path) -> None:
        names = np.frombuffer("\n".join(self.known).encode("ascii"), dtype=np.uint8)
        np.savez(path, sequences=names, values=np.concatenate(list(self.known.values())))


def unpaired_probabilities(sequence: str) -> np.ndarray:
    """Return the probability of each nucleotide to be unpaired, (L,) float32."""
    return (1.0 - fold(sequence).sum(axis=0)).clip(0.0, 1.0)
