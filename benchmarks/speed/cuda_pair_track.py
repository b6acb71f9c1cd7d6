"""Speed and memory of RibonanzaNet on a CUDA device: plain PyTorch, blocks, Triton, torch.compile and `multimolecule`::

    python -m benchmarks.speed.cuda_pair_track --peer-python .cache/multimolecule/bin/python

Every side runs in a process of its own, one after the other, on a model of the released size with random weights and
one sequence without padding. Times are medians between CUDA events, memory is the most that PyTorch's allocator held,
weights included. `multimolecule` needs an environment of its own (`python -m pip install multimolecule`) and is left
out without `--peer-python`. Blocks and Triton are also compared with the plain modules on the same weights. Writes
`benchmarks/results/cuda_<device>.md`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.common.places import RESULTS
from benchmarks.common.processes import run_module

LENGTHS = (128, 256, 512, 1024)
PEER = "multimolecule"
# Our sides: the configuration of the pair track, and whether the model is compiled.
SIDES: dict[str, dict[str, Any]] = {
    "plain": {"pair_block_size": 0, "pair_kernels": "torch"},
    "blocks": {"pair_kernels": "torch"},
    "triton": {"pair_kernels": "triton"},
    "compile": {"pair_block_size": 0, "pair_kernels": "torch"},
}
TASKS = {
    "forward": "Forward, float32 weights under bfloat16 autocast",
    "forward_bf16": "Forward, bfloat16 weights",
    "train": "Forward and backward with dropout, float32 weights under bfloat16 autocast",
}


def build(side: str, dtype: torch.dtype) -> torch.nn.Module:
    """Return a side's model with random weights from one seed, on the device."""
    if side == PEER:
        from multimolecule import RibonanzaNetConfig, RibonanzaNetModel

        config = RibonanzaNetConfig()
    else:
        from rna_hf import RibonanzaNetConfig, RibonanzaNetModel

        config = RibonanzaNetConfig(**SIDES[side])
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    model = RibonanzaNetModel(config).to("cuda", dtype)
    return torch.compile(model) if side == "compile" else model


def step_of(model: torch.nn.Module, task: str, length: int, first_id: int = 0) -> Callable[[], torch.Tensor]:
    """Return a function that runs a task once and returns the last hidden state.

    Args:
        model: on the device.
        task: one of `TASKS`.
        length: of the sequence, nucleotides.
        first_id: of the four nucleotides in the model's vocabulary.
    """
    ids = torch.randint(first_id, first_id + 4, (1, length), generator=torch.Generator().manual_seed(length)).cuda()
    mask = torch.ones_like(ids)
    model.train(task == "train")

    def step() -> torch.Tensor:
        with (
            torch.set_grad_enabled(task == "train"),
            torch.autocast("cuda", dtype=torch.bfloat16, enabled=task != "forward_bf16"),
        ):
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state
        if task == "train":
            model.zero_grad()
            states.float().square().mean().backward()
        return states

    return step


def measure(step: Callable[[], torch.Tensor], runs: int) -> dict[str, Any]:
    """Return the median `ms` of some runs after three others, and the `peak` memory in bytes; or an `error`."""
    try:
        for _ in range(3):
            step()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        times = []
        for _ in range(runs):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            step()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
        return {"ms": statistics.median(times), "peak": torch.cuda.max_memory_allocated()}
    except torch.OutOfMemoryError:
        return {"error": "out of memory"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:80] if str(error) else ''}"}


def difference(side: str, dtype: torch.dtype) -> dict[str, float]:
    """Compare a side's outputs and gradients at 100 nt with those of the plain modules, both of one precision.

    Returns:
        `output` and `gradient`: norm of the difference over the norm, of all values together.
    """
    found = []
    for name in (side, "plain"):
        model = build(name, torch.float32)
        ids = torch.randint(0, 4, (2, 100), generator=torch.Generator().manual_seed(1)).cuda()
        mask = torch.ones_like(ids)
        mask[1, 83:] = 0
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            states = model.eval()(input_ids=ids, attention_mask=mask).last_hidden_state
        states.float().square().mean().backward()
        gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
        found.append((states.float().detach(), torch.cat(gradients)))
    return {
        name: float((one - other).norm() / other.norm()) for name, one, other in zip(("output", "gradient"), *found)
    }


def work(side: str, lengths: list[int], runs: int) -> dict[str, Any]:
    """Measure one side in this process; called in a fresh one."""
    from importlib.metadata import version

    packages = [PEER, "torch", "transformers"] if side == PEER else ["torch", "triton", "transformers"]
    record: dict[str, Any] = {"versions": {name: version(name) for name in packages}}
    if side in ("blocks", "triton"):
        record["difference"] = {str(dtype): difference(side, dtype) for dtype in (torch.float32, torch.bfloat16)}
    for task in TASKS:
        try:
            model = build(side, torch.bfloat16 if task == "forward_bf16" else torch.float32)
        except Exception as error:
            record[task] = {str(length): {"error": f"{type(error).__name__}: {str(error)[:80]}"} for length in lengths}
            continue
        record[task] = {}
        for length in lengths:
            # Its special tokens come first; any nucleotides will do.
            record[task][str(length)] = measure(step_of(model, task, length, 6 if side == PEER else 0), runs)
            model.zero_grad()
            torch.compiler.reset()
            torch.cuda.empty_cache()
        del model
    return record


def run_side(side: str, python: Path, lengths: list[int], runs: int) -> dict[str, Any]:
    """Measure one side in a fresh process; return what it found, or the `error` that ended it."""
    arguments = ["--work", side, "--runs", str(runs), "--lengths", *map(str, lengths)]
    return run_module("benchmarks.speed.cuda_pair_track", *arguments, python=python)


def render(device: str, records: dict[str, dict[str, Any]], lengths: list[int]) -> str:
    """Return the tables as Markdown."""

    def cell(side: str, task: str, length: int) -> str:
        found = records[side].get(task, {}).get(str(length), records[side])
        return found["error"] if "error" in found else f"{found['ms']:.1f} ms, {found['peak'] / 2**30:.2f} GiB"

    found = {name: number for record in records.values() for name, number in record.get("versions", {}).items()}
    versions = [f"{name} {number}" for name, number in sorted(found.items())]
    lines = [
        f"# RibonanzaNet on {device}",
        "",
        "Written by `python -m benchmarks.speed.cuda_pair_track`: one sequence, released size, random weights;",
        f"median time and peak memory with weights. {', '.join(versions)}.",
    ]
    for task, title in TASKS.items():
        lines += ["", f"## {title}", "", f"| nt | {' | '.join(records)} |", "|---:" * (len(records) + 1) + "|"]
        lines += [f"| {n} | {' | '.join(cell(side, task, n) for side in records)} |" for n in lengths]
    lines += ["", "## Difference from the plain modules, as a share of the norm, 100 nt", ""]
    lines += ["| side | products | output | gradient |", "|---|---|---:|---:|"]
    for side, record in records.items():
        for dtype, found in record.get("difference", {}).items():
            lines.append(f"| {side} | {dtype} | {found['output']:.1e} | {found['gradient']:.1e} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Measure and write the tables; 1 where there is no CUDA device."""
    parser = argparse.ArgumentParser(description="Speed and memory of the pair track on a CUDA device.")
    parser.add_argument("--peer-python", type=Path, help="interpreter of an environment with multimolecule")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS, help="of the sequences, nucleotides")
    parser.add_argument("--runs", type=int, default=10, help="timed runs of each case")
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES), help="of ours, to measure")
    parser.add_argument("--output", type=Path, help="file to write; by default benchmarks/results/cuda_<device>.md")
    parser.add_argument("--work", choices=[*SIDES, PEER], help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if not torch.cuda.is_available():
        print("no CUDA device was found: this benchmark measures nothing without one", file=sys.stderr)
        return 1
    if arguments.work:
        print(json.dumps(work(arguments.work, arguments.lengths, arguments.runs)))
        return 0
    device = torch.cuda.get_device_name()
    pythons = {side: Path(sys.executable) for side in arguments.sides}
    if arguments.peer_python:
        pythons[PEER] = arguments.peer_python
    records = {}
    for side, python in pythons.items():
        print(f"measuring {side}", file=sys.stderr)
        records[side] = run_side(side, python, list(arguments.lengths), arguments.runs)
    name = re.sub(r"[^a-z0-9]+", "_", device.lower()).strip("_")
    output = arguments.output or RESULTS / f"cuda_{name}.md"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(render(device, records, list(arguments.lengths)), encoding="utf-8")
    print(f"wrote {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
