"""Tokenising many sequences: `encode_bulk`, our tokenizer's ordinary call, and multimolecule's tokenizer.

All of them make one padded batch of int64 tensors with a token before and after each sequence. multimolecule's
tokenizer runs in a fresh process of an environment of its own (`python -m pip install multimolecule`), on the same
sequences. It is timed twice, with and without padding and tensors, and the ratio is to the faster of the two.

Run it from a checkout: python -m benchmarks.speed.tokenising [--peer-python PATH] [--output FILE.json]
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEED = 0
# Runs in the other environment. Sequences and number of runs come as JSON on standard input; the last line answers.
PEER_CODE = """
import json, statistics, sys, time
from importlib.metadata import version
from multimolecule import RnaTokenizer

sequences, runs = json.load(sys.stdin)
tokenizer = RnaTokenizer()
tokenizer(sequences[:10], padding=True, return_tensors="pt")
lists, tensors = [], []
for _ in range(runs):
    start = time.perf_counter()
    tokenizer(sequences)
    middle = time.perf_counter()
    encoded = tokenizer(sequences, padding=True, return_tensors="pt")
    lists.append(middle - start)
    tensors.append(time.perf_counter() - middle)
print(json.dumps({
    "peer_version": version("multimolecule"),
    "peer_shape": list(encoded["input_ids"].shape),
    "peer_lists_s": statistics.median(lists),
    "peer_tensors_s": statistics.median(tensors),
}))
"""


def median_seconds(call: Callable[[], Any], runs: int) -> float:
    """Median wall time of a call in seconds, after one that is not counted."""
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def random_sequences(count: int, length: int) -> list[str]:
    """Random sequences of A, C, G and U, the same at each call."""
    generator = random.Random(SEED)
    return ["".join(generator.choices("ACGU", k=length)) for _ in range(count)]


def measure_peer(python: str | Path, sequences: list[str], runs: int) -> dict[str, Any]:
    """Time multimolecule's tokenizer in a fresh process.

    Args:
        python: interpreter of an environment with multimolecule.
        sequences: what to tokenise.
        runs: timed calls of each kind.

    Returns:
        `peer_version`, `peer_shape` (of `input_ids`), `peer_lists_s` and `peer_tensors_s` (medians in seconds, without
        and with padding and tensors).

    Raises:
        RuntimeError: the process failed; the message holds what it said last.
    """
    process = subprocess.run(
        [str(python), "-c", PEER_CODE],
        input=json.dumps([sequences, runs]),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    if process.returncode:
        raise RuntimeError(f"multimolecule's tokenizer did not run in {python}: {process.stderr.strip()[-500:]}")
    return json.loads(process.stdout.splitlines()[-1])


def measure(
    count: int = 10_000,
    length: int = 200,
    runs: int = 31,
    slow_runs: int = 3,
    peer_python: str | Path | None = None,
) -> dict[str, Any]:
    """Time the ways of tokenising the same random sequences.

    Args:
        count: number of sequences.
        length: of each sequence, in nucleotides.
        runs: timed calls of `encode_bulk`.
        slow_runs: timed calls of what takes seconds.
        peer_python: interpreter of an environment with multimolecule; None leaves it out.

    Returns:
        The arguments; `bulk_s` and `call_s`, medians in seconds; with a peer also what `measure_peer` returns and
        `ratio`, the peer's faster way over `bulk_s`.

    Raises:
        RuntimeError: the ways do not give the same ids (ours) or the same shape (the peer's).
    """
    from rna_hf.tokenization import RnaTokenizerFast, encode_bulk

    sequences = random_sequences(count, length)
    tokenizer = RnaTokenizerFast(bos_token=True, eos_token=True)

    def call() -> Any:
        return tokenizer(sequences, padding=True, return_tensors="pt", return_special_tokens_mask=True)

    record: dict[str, Any] = {
        "sequences": count,
        "length_nt": length,
        "runs": runs,
        "slow_runs": slow_runs,
        # First, because the call leaves memory behind that would make it faster.
        "bulk_s": median_seconds(lambda: encode_bulk(tokenizer, sequences), runs),
        "call_s": median_seconds(call, slow_runs),
    }
    ids = encode_bulk(tokenizer, sequences)["input_ids"]
    if not ids.equal(call()["input_ids"]):
        raise RuntimeError("encode_bulk and the tokenizer's call give different ids")
    if peer_python is not None:
        record |= measure_peer(peer_python, sequences, slow_runs)
        if record["peer_shape"] != list(ids.shape):
            raise RuntimeError(f"the peer's batch has shape {record['peer_shape']}, ours {list(ids.shape)}")
        record["ratio"] = min(record["peer_lists_s"], record["peer_tensors_s"]) / record["bulk_s"]
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in record.items()}


def main(argv: list[str] | None = None) -> int:
    """Measure, print a JSON line and a sentence for each time, and write the file if one was named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=int, default=10_000, help="number of random sequences")
    parser.add_argument("--length", type=int, default=200, help="nucleotides of each")
    parser.add_argument("--runs", type=int, default=31, help="timed calls of encode_bulk")
    parser.add_argument("--slow-runs", type=int, default=3, help="timed calls of what takes seconds")
    parser.add_argument("--peer-python", type=Path, help="interpreter of an environment with multimolecule")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args(argv)
    for name in ("sequences", "length", "runs", "slow_runs"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(arguments, name)}: at least one is needed")

    record = measure(arguments.sequences, arguments.length, arguments.runs, arguments.slow_runs, arguments.peer_python)
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record))
    print(f"{record['sequences']:,} sequences of {record['length_nt']} nt")
    print(f"rna_hf encode_bulk:             {record['bulk_s'] * 1e3:9.1f} ms (median of {record['runs']})")
    print(f"rna_hf tokenizer call:          {record['call_s'] * 1e3:9.1f} ms (median of {record['slow_runs']})")
    if "ratio" in record:
        peer = f"multimolecule {record['peer_version']}"
        print(f"{peer + ', lists:':31} {record['peer_lists_s'] * 1e3:9.1f} ms (median of {record['slow_runs']})")
        print(f"{peer + ', tensors:':31} {record['peer_tensors_s'] * 1e3:9.1f} ms (median of {record['slow_runs']})")
        print(f"encode_bulk is {record['ratio']:.0f} times faster than the faster of these two")
    return 0


if __name__ == "__main__":
    sys.exit(main())
