"""Speed and memory of RNATracker beside the original's loop: `python -m benchmarks.speed.rnatracker`, or `--quick`.

1,000 random transcripts of 500 to 8,000 nt, each of which is read once in training and once in inference:

- ours reads every transcript whole, from the text on, as training and predictions do: `encode_bulk`, batches of similar
  length, masked padding, AdamW;
- the original's loop reads 4,000 nt of every transcript: longer ones are cut, shorter ones padded on the left, each is
  made one-hot by a loop over its letters, and Adam takes a step after each batch. It is made anew here, from a
  description of the original. It runs with one transcript in a batch and with eight, the original's default. (The
  original itself fails on a batch of one, by a squeezed axis, which is put right here.)

Each measurement is a fresh process that goes through a few transcripts to warm up and then through all of them; the
sides take turns, and the numbers are medians over rounds. Memory is the growth of the process's peak over what it was
when the model was built. Writes `benchmarks/results/localisation_speed.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common.places import RESULTS
from benchmarks.common.processes import peak_memory, run_module
from benchmarks.common.reporting import write_report

if TYPE_CHECKING:
    from torch import nn

RESULT = RESULTS / "localisation_speed.json"
LENGTHS = (500, 8000)
FIXED_LENGTH = 4000
COMPARTMENTS = 4
LEARNING_RATE = 1e-4
OUR_BATCH = 32
# Side: transcripts in a batch.
SIDES = {"rna_hf": OUR_BATCH, "original's loop, batch of 1": 1, "original's loop, batch of 8": 8}
TASKS = ("training", "inference")
WARM_UP = 2  # batches
ONE_HOT = {"G": [1, 0, 0, 0], "A": [0, 1, 0, 0], "T": [0, 0, 1, 0], "C": [0, 0, 0, 1], "_": [0, 0, 0, 0]}

Batch = tuple[list[str], np.ndarray]


def make_transcripts(count: int) -> Batch:
    """Return random DNA letters, lengths evenly spread, in random order, and a random distribution for each."""
    generator = np.random.default_rng(0)
    lengths = generator.permutation(np.linspace(*LENGTHS, count).astype(int))
    transcripts = ["".join(generator.choice(list("ACGT"), length)) for length in lengths]
    return transcripts, generator.dirichlet(np.ones(COMPARTMENTS), count).astype(np.float32)


def original_model() -> nn.Module:
    """Build the original's network in plain PyTorch, with its names of weights, which `rna-hf convert` reads.

    It takes (B, 4, L) and gives distributions (B, 4).
    """
    import torch
    from torch import Tensor, nn

    def block(channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv1d(channels, 32, 10, bias=False), nn.ReLU(), nn.MaxPool1d(3), nn.Dropout(0.25))

    class Original(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv_block1, self.conv_block2 = block(4), block(32)
            self.gru = nn.GRU(32, 32, batch_first=True, bidirectional=True)
            layers = {"attention_w": nn.Linear(64, 50), "attention_w2": nn.Linear(50, 1, bias=False)}
            self.attention = nn.ModuleDict(layers)
            self.output = nn.Linear(64, COMPARTMENTS)

        def forward(self, one_hot: Tensor) -> Tensor:
            states = torch.relu(self.gru(self.conv_block2(self.conv_block1(one_hot)).transpose(1, 2))[0])
            inner = torch.tanh(self.attention["attention_w"](states))
            weights = self.attention["attention_w2"](inner).softmax(1)
            return self.output(torch.relu((weights * states).sum(1))).softmax(-1)

    return Original()


def original_inputs(transcript: str) -> list[list[int]]:
    """Cut or pad a transcript on the left to the fixed length and make it one-hot, letter by letter."""
    return [ONE_HOT[letter] for letter in transcript[:FIXED_LENGTH].rjust(FIXED_LENGTH, "_")]


def original_side() -> tuple[nn.Module, Callable[[Batch], Any], Callable[[Batch], Any]]:
    """Return the original's network, its training step and its inference."""
    import torch

    model = original_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    divergence = torch.nn.KLDivLoss(reduction="sum")

    def read(transcripts: Sequence[str]) -> Any:
        one_hot = [original_inputs(transcript) for transcript in transcripts]
        return torch.tensor(one_hot, dtype=torch.float32).transpose(1, 2)

    def train(batch: Batch) -> None:
        optimizer.zero_grad()
        divergence(model(read(batch[0])).log(), torch.from_numpy(batch[1])).backward()
        optimizer.step()

    def infer(batch: Batch) -> Any:
        with torch.no_grad():
            return model(read(batch[0]))

    return model, train, infer


def our_side() -> tuple[nn.Module, Callable[[Batch], Any], Callable[[Batch], Any]]:
    """Return our network of the same sizes, its training step and its inference."""
    import torch

    from rna_hf import RnaTokenizerFast, RnaTrackerConfig, RnaTrackerForLocalisation
    from rna_hf.tokenization import encode_bulk

    model = RnaTrackerForLocalisation(RnaTrackerConfig())
    tokenizer = RnaTokenizerFast(alphabet="rnatracker")
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)

    def read(transcripts: Sequence[str]) -> dict[str, Any]:
        encoded = encode_bulk(tokenizer, transcripts)
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}

    def train(batch: Batch) -> None:
        optimizer.zero_grad()
        model(**read(batch[0]), labels=torch.from_numpy(batch[1])).loss.backward()
        optimizer.step()

    def infer(batch: Batch) -> Any:
        with torch.inference_mode():
            return model(**read(batch[0])).logits.softmax(-1)

    return model, train, infer


def make_batches(side: str, transcripts: Sequence[str], labels: np.ndarray) -> Iterator[Batch]:
    """Yield batches: ours of similar length, as `rna-hf finetune` puts them together, the original's as they come."""
    order = list(range(len(transcripts)))
    if side == "rna_hf":
        from rna_hf.training.examples import SimilarLengths

        order = list(SimilarLengths({"sequence": list(transcripts)}, OUR_BATCH, seed=0))
    for first in range(0, len(order), SIDES[side]):
        rows = order[first : first + SIDES[side]]
        yield [transcripts[row] for row in rows], labels[rows]


def work(side: str, task: str, count: int, threads: int) -> dict[str, float]:
    """Measure one side and task in this process; called in a fresh one.

    Returns:
        `sequences_per_s` and `growth`, bytes.
    """
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    transcripts, labels = make_transcripts(count)
    model, train, infer = our_side() if side == "rna_hf" else original_side()
    model.train(task == "training")
    step = train if task == "training" else infer
    batches = list(make_batches(side, transcripts, labels))
    before = peak_memory()
    for batch in batches[-WARM_UP:]:
        step(batch)
    start = time.perf_counter()
    for batch in batches:
        step(batch)
    return {"sequences_per_s": count / (time.perf_counter() - start), "growth": peak_memory() - before}


def measure(count: int, rounds: int, threads: int) -> dict[str, dict[str, dict[str, float]]]:
    """Run every side and task in a fresh process each, `rounds` times in turns; return task -> side -> medians."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for task in TASKS:
        results: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side in SIDES:
                arguments = ["--work", side, task, "--count", str(count), "--threads", str(threads)]
                result = run_module("benchmarks.speed.rnatracker", *arguments, threads=threads)
                if "error" in result:
                    raise RuntimeError(f"{side}, {task} failed: {result['error']}")
                results[side].append(result)
                print(json.dumps({"task": task, "side": side, **results[side][-1]}), file=sys.stderr, flush=True)
        found[task] = {
            side: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
            for side, runs in results.items()
        }
    return found


def markdown(report: dict[str, Any]) -> str:
    """Render the report."""
    lines = [
        f"{report['count']:,} random transcripts of {LENGTHS[0]} to {LENGTHS[1]:,} nt, {report['threads']} threads of "
        f"{report['machine']}, torch {report['torch']}; medians of {report['rounds']} processes each, in turns. rna_hf "
        f"reads every transcript whole, in batches of {OUR_BATCH}; the original's loop, made anew, reads "
        f"{FIXED_LENGTH:,} nt of each, cut or padded. Memory is growth over the built model.",
        "",
        "| | transcripts a second | rna_hf is times faster | memory |",
        "| --- | ---: | ---: | ---: |",
    ]
    for task, sides in report["tasks"].items():
        for side, found in sides.items():
            ratio = "" if side == "rna_hf" else f"{sides['rna_hf']['sequences_per_s'] / found['sequences_per_s']:.1f}"
            memory = f"{found['growth'] / 1e6:,.0f} MB"
            lines.append(f"| {task}, {side} | {found['sequences_per_s']:.1f} | {ratio} | {memory} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0].split(":")[0])
    parser.add_argument("--quick", action="store_true", help="64 transcripts, one round; writes nothing")
    parser.add_argument("--count", type=int, default=1000, help="transcripts; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side and task")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=RESULT, metavar="FILE", help="JSON to write; the table is .md")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.work:
        print(json.dumps(work(*arguments.work, arguments.count, arguments.threads)))
        return 0
    from importlib.metadata import version

    count, rounds = (64, 1) if arguments.quick else (arguments.count, arguments.rounds)
    report = {
        "machine": platform.processor() or platform.machine(),
        "torch": version("torch"),
        "threads": arguments.threads,
        "rounds": rounds,
        "count": count,
        "tasks": measure(count, rounds, arguments.threads),
    }
    if arguments.quick:
        print(markdown(report))
    else:
        write_report(report, markdown(report), arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
