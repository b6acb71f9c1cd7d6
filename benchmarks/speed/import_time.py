"""What starting costs: `import rna_hf` on top of transformers, and commands that open no model; medians of processes.

Run it from a checkout: python -m benchmarks.speed.import_time [--runs 9] [--output FILE.json]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

BEFORE = "from transformers import AutoModel, PreTrainedModel, pipeline"
CODE = f"""
import time
start = time.perf_counter()
{BEFORE}
middle = time.perf_counter()
import rna_hf
print(middle - start, time.perf_counter() - middle)
"""
COMMANDS = (
    "--version",
    "--help",
    "predict --help",
    "predict structure --help",
    "models",
    "predict structure missing.fa -o out",
)


def measure_import() -> tuple[float, float]:
    """Import both in a fresh process.

    Returns:
        Seconds for transformers, and seconds for `rna_hf` after it.
    """
    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    transformers_s, rna_hf_s = result.stdout.split()
    return float(transformers_s), float(rna_hf_s)


def measure_command(command: str) -> tuple[float, float]:
    """Run a command of `rna-hf`.

    Returns:
        Seconds of the clock, and seconds of processor time.
    """
    program = Path(sys.executable).with_name("rna-hf")
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([program, *command.split()], capture_output=True, check=False)
    clock = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(argv: list[str] | None = None) -> int:
    """Measure, print a JSON line and sentences, and write the file if one was named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9, help="fresh processes, after one that warms the file cache")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args(argv)
    if arguments.runs < 1:
        parser.error(f"--runs is {arguments.runs}: at least one is needed")

    measure_import()
    pairs = [measure_import() for _ in range(arguments.runs)]
    record = {
        "before": BEFORE,
        "runs": arguments.runs,
        "transformers_s": round(statistics.median(first for first, _ in pairs), 4),
        "rna_hf_s": round(statistics.median(second for _, second in pairs), 4),
        "rna_hf_s_worst": round(max(second for _, second in pairs), 4),
        "commands": {},
    }
    for command in COMMANDS:
        measure_command(command)
        clock, processor = zip(*(measure_command(command) for _ in range(arguments.runs)), strict=True)
        record["commands"][command] = {
            "clock_s": round(statistics.median(clock), 3),
            "processor_s": round(statistics.median(processor), 3),
        }
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record))
    print(f"import rna_hf adds {record['rna_hf_s']:.3f} s (median of {arguments.runs}) to transformers' imports")
    for command, times in record["commands"].items():
        print(f"rna-hf {command}: {times['clock_s']:.2f} s, {times['processor_s']:.2f} s of processor time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
