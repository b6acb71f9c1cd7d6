"""Vectors of millions of RNAs with Ray Data, over as many machines as a Ray cluster has.

::

    pip install 'rna-hf' 'ray[data]'
    python examples/embed_with_ray.py rnas.csv vectors --model ribonanzanet-mini --workers 4
    python examples/embed_with_ray.py rnas.csv vectors --workers 8 --gpus 1

`rnas.csv` (or a folder of parquet files) has the columns `id` and `sequence`; `vectors` gets parquet files with `id`
and `embedding`, the vectors of `rna-hf embed`, in no order. Unlike that command it does not go on where it was stopped.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from rna_hf import Embedder

BATCH = 1024


class RnaEmbedder:
    """A worker: it loads the model once and turns one batch after the other into vectors.

    Args:
        model: a checkpoint's folder or name; a folder has to be there on each machine.
        **options: of `rna_hf.embed`.
    """

    def __init__(self, model: str, **options: Any):
        self._embedder = Embedder(model, **options)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return `id` and `embedding` (rows, H) for a batch with `id` and `sequence`."""
        return {"id": batch["id"], "embedding": np.stack(self._embedder(batch["sequence"].tolist()))}


def main() -> None:
    """Read, embed and write."""
    import ray

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("input", help="CSV file, or folder of parquet files")
    parser.add_argument("output", help="folder to write")
    parser.add_argument("--model", default="ribonanzanet-mini")
    parser.add_argument("--workers", type=int, default=2)
    # Reading and writing need some too: workers that hold all of them wait for ever.
    parser.add_argument("--cpus", type=float, default=0.5, help="for each worker, without GPUs")
    parser.add_argument("--gpus", type=float, default=0, help="for each worker")
    arguments = parser.parse_args()

    read = ray.data.read_csv if arguments.input.endswith(".csv") else ray.data.read_parquet
    vectors = read(arguments.input).map_batches(
        RnaEmbedder,
        fn_constructor_kwargs={"model": arguments.model, "pooling": "mean"},
        batch_size=BATCH,
        compute=ray.data.ActorPoolStrategy(size=arguments.workers),
        num_cpus=None if arguments.gpus else arguments.cpus,
        num_gpus=arguments.gpus or None,
    )
    vectors.write_parquet(arguments.output)


if __name__ == "__main__":
    main()
