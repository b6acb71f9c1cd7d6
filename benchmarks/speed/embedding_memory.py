"""Peak memory of `rna-hf embed` over more and more RNAs: it does not grow with their number::

    python -m benchmarks.speed.embedding_memory --output benchmarks/results/embedding_memory.json

Each number of RNAs is a fresh process of the command as it is installed, on random RNAs. Seconds are those of whatever
else the machine is doing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

from benchmarks.common.made_up_rnas import write_fasta
from benchmarks.common.reporting import table_lines, write_report
from benchmarks.speed.predict_resume import finish

COUNTS = (1_000, 10_000, 100_000)
COMMAND = [sys.executable, "-c", "from rna_hf.cli.main import run; raise SystemExit(run())", "embed"]


def measure(count: int, lengths: tuple[int, int], model: str) -> dict[str, Any]:
    """Embed random RNAs in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_fasta(folder / "rnas.fasta", count, lengths)
        began = time.monotonic()
        options = ["--output", str(folder / "out"), "--model", model, "--quiet"]
        peak = finish(Popen([*COMMAND, str(folder / "rnas.fasta"), *options], stderr=DEVNULL))
        seconds = time.monotonic() - began
        size = (folder / "out" / "embeddings.parquet").stat().st_size
    return {"rnas": count, "peak_mb": peak, "seconds": round(seconds, 1), "file_mb": round(size / 2**20, 1)}


def main(argv: list[str] | None = None) -> int:
    """Measure each number of RNAs and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--lengths", type=int, nargs=2, default=[20, 40], help="shortest and longest RNA, nucleotides")
    parser.add_argument("--model", default="ribonanzanet-mini")
    parser.add_argument("--output", type=Path, help="JSON to write, and beside it a table")
    arguments = parser.parse_args(argv)
    lengths = (arguments.lengths[0], arguments.lengths[1])
    rows = []
    for count in arguments.counts:
        rows.append(measure(count, lengths, arguments.model))
        print(rows[-1], flush=True)
    heads = ["peak memory (MB)", "seconds", "file (MB)"]
    cells = [[f"{row['rnas']:,} RNAs", f"{row['peak_mb']:,}", f"{row['seconds']}", f"{row['file_mb']}"] for row in rows]
    table = "\n".join(table_lines(heads, cells)) + "\n"
    if arguments.output:
        write_report({"model": arguments.model, "lengths": lengths, "rows": rows}, table, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
