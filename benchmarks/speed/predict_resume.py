"""What `rna-hf predict` promises for long files, tried on the bundled checkpoint::

    python -m benchmarks.speed.predict_resume --rows 5000 --memory-rows 1000 20000

1. A run that is killed (SIGKILL) at random moments and started again ends with the rows of an undisturbed run.
2. Its peak memory does not grow with the file: the peaks at two numbers of rows, and their ratio.

Prints one line of JSON for each.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.common.made_up_rnas import write_fasta
from benchmarks.common.processes import peak_memory

COMMAND = [sys.executable, "-c", "from rna_hf.cli.main import run; raise SystemExit(run())", "predict", "reactivity"]


def start(fasta: Path, output: Path) -> subprocess.Popen:
    """Start a prediction in a process of its own."""
    return subprocess.Popen(
        [*COMMAND, str(fasta), "--output", str(output), "--quiet", "--plot", "0"], stderr=subprocess.DEVNULL
    )


def finish(process: subprocess.Popen) -> int:
    """Wait for a prediction and return its peak memory in MB."""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the prediction failed with status {status}")
    return peak_memory(usage) // 2**20


def try_kills(folder: Path, rows: int, kills: int, lengths: tuple[int, int]) -> dict[str, object]:
    """Kill a run at random moments, finish it, and compare it with an undisturbed one."""
    fasta = folder / "rows.fasta"
    write_fasta(fasta, rows, lengths)
    began = time.monotonic()
    finish(start(fasta, folder / "undisturbed"))
    duration = time.monotonic() - began
    rng, killed_at = random.Random(1), []
    for _ in range(kills):
        process = start(fasta, folder / "killed")
        wait = rng.uniform(0.2, 0.6) * duration
        time.sleep(wait)
        process.kill()
        process.wait()
        killed_at.append(round(wait, 1))
    finish(start(fasta, folder / "killed"))
    expected = pq.read_table(folder / "undisturbed" / "predictions.parquet")
    found = pq.read_table(folder / "killed" / "predictions.parquet")
    return {
        "rows": found.num_rows,
        "undisturbed_s": round(duration, 1),
        "killed_after_s": killed_at,
        "equal": found.equals(expected),
    }


def main(argv: list[str] | None = None) -> int:
    """Run both trials; exit code 1 if a row differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=5000, help="of the run that is killed; 0 leaves it out")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--memory-rows", type=int, nargs=2, default=[1000, 20000], help="0 0 leaves it out")
    parser.add_argument("--lengths", type=int, nargs=2, default=[20, 60], help="shortest and longest RNA, nucleotides")
    arguments = parser.parse_args(argv)
    lengths = (arguments.lengths[0], arguments.lengths[1])
    is_equal = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.rows:
            result = try_kills(folder, arguments.rows, arguments.kills, lengths)
            is_equal = bool(result["equal"])
            print(json.dumps(result), flush=True)
        if arguments.memory_rows[1]:
            peaks = []
            for rows in arguments.memory_rows:
                write_fasta(folder / "memory.fasta", rows, lengths)
                peaks.append(finish(start(folder / "memory.fasta", folder / f"memory{rows}")))
            ratio = round(peaks[1] / peaks[0], 3)
            print(json.dumps({"rows": arguments.memory_rows, "peak_mb": peaks, "ratio": ratio}), flush=True)
    return 0 if is_equal else 1


if __name__ == "__main__":
    sys.exit(main())
