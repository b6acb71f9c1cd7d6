"""Broken and foreign inputs to every reader: read, or refused in one line, at once::

    python -m benchmarks.robustness.fuzz --count 100000 --seed 1 --output benchmarks/results/fuzz.json

Counts for each reader the inputs, those that were read and those that were refused, and lists what is a fault: any
other error than a `ValueError` or `OSError` of the package's own in one line, something read that is no RNA, and an
input that takes longer than `--limit`. Exit code 1 if there is a fault. The same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .mutations import mutate
from .readers import READS, Misread, plain_streams, read_memory
from .seeds import Seed, make_seeds

_PACKAGE = "rna_hf"
_LONGEST_LINE = 2000
_MAX_EXAMPLES = 8  # for each reader
_MAX_MEMORY = 16 * 2**30
_WRONG_SUFFIX = 0.08  # part of the files that are named as if they held something else


class Hang(BaseException):
    """An input takes too long; not an `Exception`, so that no reader catches it."""


@dataclass
class Tally:
    """What became of a reader's inputs.

    Attributes:
        inputs: number of them.
        read: how many were read to the end.
        refused: how many were refused in one line.
        faults: how many did something else.
        slowest_s: the longest time of one, in seconds.
        examples: the first few faults.
    """

    inputs: int = 0
    read: int = 0
    refused: int = 0
    faults: int = 0
    slowest_s: float = 0.0
    examples: list[str] = field(default_factory=list)


def explain_fault(error: BaseException, name: str) -> str | None:
    """Say in what an error is not the package's own refusal; None if it is one.

    Args:
        error: what was raised.
        name: of the file, which the message must hold.
    """
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = str(error)
    at = f"{Path(where.filename).name}:{where.lineno}: {type(error).__name__}: {' '.join(text.split())[:300]}"
    if not (type(error) is ValueError or isinstance(error, OSError)):
        return at
    if f"/{_PACKAGE}/" not in where.filename:
        return f"not raised by the package: {at}"
    if "\n" in text or "\r" in text or not text or len(text) > _LONGEST_LINE:
        return f"not one line ({len(text)} characters): {at}"
    return f"does not name the file: {at}" if name not in text else None


def try_input(
    seed: Seed, number: int, rng: random.Random, folder: Path, suffixes: list[str], limit_s: float, raises: bool = False
) -> str:
    """Break one input and read it.

    Returns:
        `read`, `refused`, or what is wrong.
    """
    suffix = rng.choice(suffixes) if rng.random() < _WRONG_SUFFIX else seed.suffix
    path, beside = folder / f"input{number}{suffix}", folder / f"beside{number}.fasta"
    name = f"{number}"
    if seed.reader == "memory":
        name = ""
    else:
        data, second = mutate(seed.data, rng), seed.beside
        if seed.beside and rng.random() < 0.3:
            data, second = seed.data, mutate(second, rng)
        path.write_bytes(data)
        if seed.beside:
            beside.write_bytes(second)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        if seed.reader == "memory":
            read_memory(rng)
        else:
            READS[seed.reader](path, beside)
        return "read"
    except Hang:
        return f"takes longer than {limit_s} s"
    except Misread as error:
        return f"misread: {error}"
    except Exception as error:
        if raises:
            raise
        return explain_fault(error, name) or "refused"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        path.unlink(missing_ok=True)
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def _watching() -> Iterator[None]:
    """Let the alarm raise `Hang` meanwhile."""

    def stop(number: int, frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.signal(signal.SIGALRM, before)


def fuzz(count: int, seed: int, limit_s: float = 10.0, only: int | None = None) -> dict[str, Tally]:
    """Read broken inputs, in turn from each seed.

    Args:
        count: number of inputs.
        seed: of what is random; each input depends on it and on its own number alone.
        limit_s: how long one input may take.
        only: number of a single input to try again, without catching what it raises.

    Returns:
        What became of them by reader.
    """
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="rna-hf-fuzz-") as name, _watching(), plain_streams():
        folder = Path(name)
        seeds = make_seeds(folder)
        suffixes = sorted({seed.suffix for seed in seeds})
        by_reader = {
            name: [seed for seed in seeds if seed.reader == name] for name in dict.fromkeys(s.reader for s in seeds)
        }
        turns = [*by_reader, *["prediction"] * 5, "memory", "structures", "structure files", "trace", "rdat"]
        for number in range(count) if only is None else [only]:
            own = by_reader[turns[number % len(turns)]]
            chosen = own[number // len(turns) % len(own)]
            began = time.monotonic()
            outcome = try_input(
                chosen, number, random.Random(f"{seed}/{number}"), folder, suffixes, limit_s, only is not None
            )
            tally = tallies.setdefault(chosen.reader, Tally())
            tally.inputs += 1
            tally.slowest_s = max(tally.slowest_s, round(time.monotonic() - began, 3))
            tally.read += outcome == "read"
            tally.refused += outcome == "refused"
            if outcome not in ("read", "refused"):
                tally.faults += 1
                if len(tally.examples) < _MAX_EXAMPLES:
                    tally.examples.append(f"input {number}: {outcome}")
    return dict(sorted(tallies.items()))


def main(argv: list[str] | None = None) -> int:
    """Fuzz with one or several seeds; exit code 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="inputs for each seed")
    parser.add_argument("--seed", type=int, nargs="+", default=[1], help="one process each")
    parser.add_argument("--limit", type=float, default=10.0, help="how long one input may take, in seconds")
    parser.add_argument("--only", type=int, help="number of a single input, to see what it raises")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args(argv)
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))  # what wants more fails, and the machine lives
    report = []
    run = functools.partial(fuzz, arguments.count, limit_s=arguments.limit, only=arguments.only)
    with contextlib.ExitStack() as stack:
        runs: Iterable[dict[str, Tally]] = map(run, arguments.seed)
        if len(arguments.seed) > 1:
            spawn = multiprocessing.get_context("spawn")
            runs = stack.enter_context(ProcessPoolExecutor(mp_context=spawn)).map(run, arguments.seed)
        results = list(zip(arguments.seed, runs, strict=True))
    for seed, tallies in results:
        report.append({"seed": seed, "count": arguments.count, "readers": {k: asdict(v) for k, v in tallies.items()}})
        for name, tally in tallies.items():
            print(
                f"seed {seed}  {name:24} {tally.inputs:6} inputs  {tally.read:6} read  {tally.refused:6} refused  "
                f"{tally.faults:4} faults  slowest {tally.slowest_s:.3f} s",
                *tally.examples,
                sep="\n    ",
                flush=True,
            )
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(any(tally["faults"] for run in report for tally in run["readers"].values()))


if __name__ == "__main__":
    sys.exit(main())
