"""Thermodynamic folding by ViennaRNA, for training the pair track and for the baselines."""

from __future__ import annotations

import numpy as np


def fold(sequence: str) -> np.ndarray:
    """Return ViennaRNA's base-pair probabilities (L, L), symmetric, float32: default energies, 37 C.

    Args:
        sequence: L letters of ACGU.
    """
    import RNA

    compound = RNA.fold_compound(sequence)
    if len(sequence) > 400:
        # Scaled by the minimum free energy, so that the partition function stays within double range.
        compound.exp_params_rescale(compound.mfe()[1])
    compound.pf()
    upper = np.asarray(compound.bpp(), dtype=np.float32)[1:, 1:]
    return upper + upper.T
