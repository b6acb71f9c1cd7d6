"""A loaded base model for programs that ask for vectors again and again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..data.sources import open_sequences
from .engine import Run
from .processes import Processes
from .run import check_embed_call


class Embedder:
    """Turns RNAs into the vectors of `rna_hf.embed`, with the model kept in memory from one call to the next.

    Args:
        model: a checkpoint saved with any head: a folder, the name of a bundled one, or an id on the Hub.
        **options: of `rna_hf.embed`, but those of files.

    Raises:
        ValueError: the checkpoint or an option cannot be used.

    Example:
        >>> embedder = rna_hf.Embedder("ribonanzanet-mini", pooling="mean")
        >>> embedder(["GGGAAACUCC", "GGCA"])[0].shape
        (128,)
    """

    def __init__(self, model: str | os.PathLike | None = None, **options: Any):
        task, prediction, run_options, checkpoint = check_embed_call(None, model, options)
        if run_options.skip_invalid:
            raise ValueError("skip_invalid is not for an Embedder, which gives a vector for each RNA; leave it out")
        self._run = Run(task, prediction, checkpoint, run_options, Processes(), progress=False)

    @property
    def size(self) -> int:
        """Numbers in a vector."""
        return int(self._run.config.state_size)

    def __call__(self, sequences: Iterable[str]) -> list[np.ndarray]:
        """Return a float32 array for each RNA: (H,), or with `pooling` "none" (L, H).

        Args:
            sequences: as `rna_hf.embed` takes them; none of them gives none.

        Raises:
            ValueError: a sequence cannot be used; the message says which and why.
        """
        sequences = list(sequences)
        if not sequences:
            return []
        with open_sequences(sequences) as source:
            rows = self._run.collect(source)
        return [np.asarray(row["embedding"], dtype=np.float32) for row in rows]
