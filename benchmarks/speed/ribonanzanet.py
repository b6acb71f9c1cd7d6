"""Speed and memory of RibonanzaNet beside `multimolecule`, in one go: `make bench`, or `make bench-quick`.

Each measurement is a fresh process that builds the released size with random weights, runs once to warm up and then a
few times; ours and the other's take turns, and the numbers are medians. Memory is the growth of the process's peak over
what it held when its packages were imported and the model was built. `multimolecule` lives in an environment of its own
(`--peer-python`); without it, ours alone is measured. Writes `benchmarks/results/speed.json` and `.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.common.places import RESULTS
from benchmarks.common.processes import PEER_PYTHON, run_module


class Case(NamedTuple):
    """One line of the table: what runs, at which length (nucleotides), and the other side's number type.

    `layers` is the number of layers, None for all: each takes the same memory in turn.
    """

    task: str
    length: int
    dtype: str = "float32"
    peer_dtype: str = "float32"
    layers: int | None = None

    @property
    def name(self) -> str:
        """As the table has it."""
        what = {"forward": "forward", "train": "training step"}[self.task]
        number = "" if self.dtype == self.peer_dtype else f" (the other: {self.peer_dtype})"
        part = "" if self.layers is None else f", {self.layers} of 9 layers"
        return f"{what}, {self.length} nt, {self.dtype}{number}{part}"


CASES = (
    Case("forward", 128),
    Case("forward", 256),
    Case("forward", 512),
    Case("forward", 512, "bfloat16"),
    Case("train", 256),
)
QUICK_CASES = (Case("forward", 128), Case("forward", 128, "bfloat16"), Case("train", 64))
OURS_ALONE = (Case("train", 512), Case("forward", 2048))


def forward_operations(length: int) -> float:
    """Floating-point operations of a forward pass at released size, in the factorised form."""
    return 2 * 9 * length**2 * (85_000 + 128 * length)


def _resident(name: str) -> int:
    """Bytes of a line of /proc/self/status: VmRSS (now) or VmHWM (the highest ever)."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name + ":"))


def work(side: str, case: Case, runs: int, threads: int, checkpointing: bool) -> dict[str, Any]:
    """Measure one case in this process; called in a fresh one.

    Returns:
        `seconds` of each run and `growth`, bytes.
    """
    import time

    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if side == "ours":
        from rna_hf import RibonanzaNetConfig, RibonanzaNetModel

        config = RibonanzaNetConfig(num_hidden_layers=case.layers or 9)
    else:
        from multimolecule import RibonanzaNetConfig, RibonanzaNetModel

        config = RibonanzaNetConfig()
    config._attn_implementation = "sdpa"
    model = RibonanzaNetModel(config).to(getattr(torch, case.dtype if side == "ours" else case.peer_dtype))
    if checkpointing:
        model.activation_checkpointing_enable()
    low = 0 if side == "ours" else 6  # its special tokens come first; any nucleotides will do
    ids = torch.randint(low, low + 4, (1, case.length))
    mask = torch.ones_like(ids)

    def step() -> None:
        if case.task == "forward":
            with torch.inference_mode():
                model(input_ids=ids, attention_mask=mask)
        else:
            model.zero_grad()
            model(input_ids=ids, attention_mask=mask).last_hidden_state.float().square().mean().backward()

    model.train(case.task == "train")
    before = _resident("VmRSS")
    seconds = []
    for _ in range(runs + (case.length <= 512)):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds[-runs:], "growth": _resident("VmHWM") - before}


def matrix_rate(threads: int) -> float:
    """Return the operations per second of a large float32 product in PyTorch, the median of a few."""
    import time

    import torch

    torch.set_num_threads(threads)
    matrix = torch.randn(4096, 4096)
    rates = []
    for _ in range(7):
        start = time.perf_counter()
        matrix @ matrix
        rates.append(2 * 4096**3 / (time.perf_counter() - start))
    return statistics.median(rates)


def _run(python: Path, *arguments: str, threads: int) -> Any:
    """Run a part of this file in a fresh process and return what it prints, or the reason why it ended."""
    module = "benchmarks.speed.ribonanzanet"
    return run_module(module, *arguments, "--threads", str(threads), python=python, threads=threads)


def measure(
    cases: Sequence[Case], peer_python: Path | None, rounds: int, runs: int, threads: int
) -> list[dict[str, Any]]:
    """Measure cases side by side; the sides take turns.

    Returns:
        For each case its name and for each side the median `seconds` and `growth` (bytes), or an `error`.
    """
    sides = {"ours": Path(sys.executable)} | ({"multimolecule": peer_python} if peer_python else {})
    rows = []
    for case in cases:
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side, python in sides.items():
                arguments = ["--work", side, "--case", json.dumps(case), "--runs", str(runs)]
                found[side].append(_run(python, *arguments, threads=threads))
        row: dict[str, Any] = {"case": list(case), "name": case.name}
        for side, results in found.items():
            errors = [result["error"] for result in results if "error" in result]
            if errors:
                row[side] = {"error": errors[0]}
                continue
            seconds = statistics.median(second for result in results for second in result["seconds"])
            row[side] = {"seconds": seconds, "growth": statistics.median(result["growth"] for result in results)}
        rows.append(row)
        print(_line(row), file=sys.stderr, flush=True)
    return rows


def training_memory(lengths: Sequence[int], threads: int) -> list[dict[str, Any]]:
    """Measure what a training step holds at its peak by length, with and without activation checkpointing."""
    rows = []
    for length in lengths:
        row: dict[str, Any] = {"length": length}
        for name, flags in (("plain", []), ("checkpointing", ["--checkpointing"])):
            case = json.dumps(Case("train", length))
            arguments = ["--work", "ours", "--case", case, "--runs", "1", *flags]
            row[name] = _run(Path(sys.executable), *arguments, threads=threads)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    return rows


def _cell(side: dict[str, Any] | None) -> list[str]:
    if side is None:
        return ["", ""]
    if "error" in side:
        return [side["error"], ""]
    return [f"{side['seconds']:.2f} s", f"{side['growth'] / 1e6:,.0f} MB"]


def _line(row: dict[str, Any]) -> str:
    ours, peer = row["ours"], row.get("multimolecule")
    ratios = ["", ""]
    if peer and "error" not in ours and "error" not in peer:
        ratios = [f"{peer['seconds'] / ours['seconds']:.1f}", f"1/{peer['growth'] / ours['growth']:.1f}"]
    return "| " + " | ".join([row["name"], *_cell(ours), *_cell(peer), *ratios]) + " |"


def markdown(report: dict[str, Any]) -> str:
    """Render the report."""
    lines = [
        f"RibonanzaNet at released size, one sequence, {report['threads']} threads of {report['machine']}, torch "
        f"{report['torch']}; medians of {report['rounds']} processes each, one after the other. "
        "Memory is growth over the built model.",
        "",
        "| | rna_hf | memory | multimolecule (sdpa) | memory | times faster | memory ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_line(row) for row in report["cases"]),
        "",
    ]
    if "fraction_of_matrix_rate" in report:
        lines += [
            f"Forward at 512 nt in float32 runs at {report['fraction_of_matrix_rate']:.2f} of the rate of a large "
            f"float32 matrix product in PyTorch ({report['matrix_rate'] / 1e9:.0f} GFLOP/s here).",
            "",
        ]
    if report.get("training_memory"):
        lines += ["| training step, float32 | memory | with activation checkpointing |", "| --- | ---: | ---: |"]
        for row in report["training_memory"]:
            sides = (row["plain"], row["checkpointing"])
            cells = [side.get("error") or f"{side['growth'] / 1e6:,.0f} MB" for side in sides]
            lines.append(f"| {row['length']} nt | " + " | ".join(cells) + " |")
    return "\n".join(lines).rstrip() + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything and write the results."""
    parser = argparse.ArgumentParser(description="Speed and memory beside multimolecule.")
    parser.add_argument("--peer-python", type=Path, default=PEER_PYTHON, help="interpreter with multimolecule")
    parser.add_argument("--quick", action="store_true", help="short sequences, one round; writes nothing")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side and case")
    parser.add_argument("--runs", type=int, default=2, help="timed runs in each process")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", choices=["forward", "train"], help="measure these again; the other rows stay")
    parser.add_argument(
        "--longest",
        type=int,
        metavar="N",
        help="measure one forward pass of 2 layers at this length alone; the other rows stay",
    )
    parser.add_argument("--work", choices=["ours", "multimolecule", "rate"], help=argparse.SUPPRESS)
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--checkpointing", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.work == "rate":
        print(json.dumps(matrix_rate(arguments.threads)))
        return 0
    if arguments.work:
        case = Case(*arguments.case)
        print(json.dumps(work(arguments.work, case, arguments.runs, arguments.threads, arguments.checkpointing)))
        return 0

    import torch

    rounds, threads = (1 if arguments.quick else arguments.rounds), arguments.threads
    peer = arguments.peer_python if arguments.peer_python.exists() else None
    if peer is None:
        print(f"{arguments.peer_python} is not there: ours alone (`make bench` installs it)", file=sys.stderr)
    if arguments.longest:
        report = json.loads((RESULTS / "speed.json").read_text(encoding="utf-8"))
        _add(report, measure([Case("forward", arguments.longest, layers=2)], None, 1, 1, threads))
        _write(report)
        return 0
    cases, alone = (QUICK_CASES, ()) if arguments.quick else (CASES, OURS_ALONE)
    report: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "threads": threads,
        "rounds": rounds,
        "cases": [],
    }
    if arguments.only:
        report = json.loads((RESULTS / "speed.json").read_text(encoding="utf-8")) | {"rounds": rounds}
        cases, alone = (tuple(case for case in part if case.task == arguments.only) for part in (cases, alone))
    _add(report, measure(cases, peer, rounds, arguments.runs, threads))
    if not arguments.quick:
        _add(report, measure(alone, None, 1, 1, threads))
        if arguments.only != "train":
            rate = _run(Path(sys.executable), "--work", "rate", threads=threads)
            forward = next(row for row in report["cases"] if row["name"] == Case("forward", 512).name)
            report["matrix_rate"] = rate
            report["fraction_of_matrix_rate"] = forward_operations(512) / forward["ours"]["seconds"] / rate
        if arguments.only != "forward":
            report["training_memory"] = training_memory((128, 256, 384, 512), threads)
        _write(report)
    print(markdown(report))
    return 0


def _add(report: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Put measured rows into a report, each in the place of the one that has its name."""
    places = {row["name"]: index for index, row in enumerate(report["cases"])}
    for row in rows:
        if row["name"] in places:
            report["cases"][places[row["name"]]] = row
        else:
            report["cases"].append(row)


def _write(report: dict[str, Any]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "speed.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "speed.md").write_text(markdown(report), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
