"""What the configurations state about memory (`RnaConfig.forward_cost`) beside what a forward pass takes.

Each model class of the registry is measured at three lengths, in a forked process of its own for each, one sequence
without gradients on one CPU thread: the most memory that the process held in the pass, less what it held before. Linux
only. Run it from a checkout: python -m benchmarks.speed.forward_cost [--architecture NAME] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.common.places import RESULTS
from benchmarks.common.reporting import table_lines, write_report

OUTPUT = RESULTS / "forward_cost.json"
# What is measured: fields of the configuration, and lengths in nucleotides. Layers follow one another in the same
# memory, so that two of them cost what all do.
CASES: dict[str, list[tuple[str, dict[str, Any], tuple[int, ...]]]] = {
    "ribonanzanet": [
        ("released sizes, 2 layers", {"num_hidden_layers": 2, "fix_attention_mask": True}, (300, 600, 1200)),
        (
            "mini sizes",
            {
                "hidden_size": 128,
                "num_hidden_layers": 5,
                "num_attention_heads": 4,
                "pair_hidden_size": 32,
                "fix_attention_mask": True,
            },
            (300, 600, 1200),
        ),
        (
            "triangular attention, 2 layers",
            {"num_hidden_layers": 2, "use_triangular_attention": True, "fix_attention_mask": True},
            (100, 200, 400),
        ),
    ],
    "rnatracker": [("default sizes", {}, (20_000, 100_000, 400_000))],
    "plantrna_fm": [
        ("published sizes, 2 layers", {"num_hidden_layers": 2}, (1000, 2000, 3000)),
        (
            "narrow",
            {"num_hidden_layers": 2, "hidden_size": 128, "num_attention_heads": 4, "intermediate_size": 512},
            (1000, 2000, 3000),
        ),
    ],
}


def measure_inside(architecture: str, kind: str, fields: dict[str, Any], length: int, dtype: str) -> dict[str, int]:
    """Run one forward pass in this process.

    Args:
        architecture: name in the registry.
        kind: of class, such as "Model" or "ForReactivity".
        fields: of the configuration.
        length: of the sequence, nucleotides.
        dtype: "float32" or "bfloat16".

    Returns:
        Bytes `stated` and `measured`.
    """
    import torch

    from rna_hf.models.registry import ARCHITECTURES

    entry = ARCHITECTURES[architecture]
    config = entry.find_class("Config")(**fields)
    config.architectures = [entry.prefix + kind]  # as in a saved checkpoint: heads for pairs take more
    model = entry.find_class(kind)(config).eval().to(getattr(torch, dtype))
    return {"stated": config.forward_cost(1, length, model.dtype.itemsize), "measured": measure_pass(model, length)}


def measure_pass(model: Any, length: int) -> int:
    """Return the bytes that a model's pass over one random sequence takes at its peak, in this process.

    Args:
        model: in evaluation mode, on the CPU.
        length: of the sequence, nucleotides.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 4, (1, length), generator=generator)
    with torch.inference_mode():
        # Libraries set themselves up in the first pass.
        model(ids[:, : max(model.config.min_sequence_length, 64)])
        before = _status("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # forget the most that was ever held
        model(ids)
    return _status("VmHWM") - before


def _status(name: str) -> int:
    """Return a size of this process, bytes, from /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table and write the file; exit code 1 if a statement is off by more than a factor of 1.3."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", choices=sorted(CASES), action="append", help="by default all")
    parser.add_argument("--kind", action="append", help="of class, such as ForReactivity; by default all")
    parser.add_argument("--runs", type=int, default=3, help="of which the median counts")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--output", type=Path, help=f"JSON file to write, and a table beside it, such as {OUTPUT.name}")
    arguments = parser.parse_args(argv)

    import torch

    from rna_hf.models.registry import ARCHITECTURES

    torch.set_num_threads(1)
    rows = []
    for name in arguments.architecture or sorted(CASES):
        entry = ARCHITECTURES[name]
        kinds = arguments.kind or ["Model", *(f"For{head}" for head in entry.heads)]
        for kind in kinds:
            entry.find_class(kind)  # imported once, before the forks
        cases = [
            (sizes, kind, variant, {**fields, **extra}, length)
            for sizes, fields, lengths in CASES[name]
            for kind in kinds
            for variant, extra in _variants(kind)
            for length in lengths
        ]
        for sizes, kind, variant, fields, length in cases:
            runs = [_fork(name, kind, fields, length, arguments.dtype) for _ in range(arguments.runs)]
            stated, measured = (statistics.median(run[what] for run in runs) for what in ("stated", "measured"))
            row = {"class": entry.prefix + kind + variant, "sizes": sizes, "length": length, "dtype": arguments.dtype}
            row |= {"stated_mb": round(stated / 1e6, 1), "measured_mb": round(measured / 1e6, 1)}
            rows.append(row | {"ratio": round(stated / measured, 2)})
            print(rows[-1], file=sys.stderr, flush=True)
    columns = ["sizes", "nt", "stated, MB", "measured, MB", "ratio"]
    cells = [
        [
            row["class"],
            row["sizes"],
            f"{row['length']:,}",
            *(f"{row[name]:,.0f}" for name in ("stated_mb", "measured_mb")),
            f"{row['ratio']:.2f}",
        ]
        for row in rows
    ]
    table = "\n".join(table_lines(columns, cells))
    if arguments.output:
        write_report({"device": "one CPU thread", "runs": arguments.runs, "rows": rows}, table, arguments.output)
    else:
        print(table)
    return int(any(not 1 / 1.3 <= row["ratio"] <= 1.3 for row in rows))


def _fork(*arguments: Any) -> dict[str, int]:
    """Measure in a process that has imported everything and run nothing."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(measure_inside, arguments)


def _variants(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the variants of a class that cost differently: what to call each, and fields of the configuration."""
    if kind == "ForTertiaryStructure":
        return [(" (sequence)", {}), (" (pair)", {"coordinate_head": "pair"})]
    return [("", {})]


if __name__ == "__main__":
    sys.exit(main())
