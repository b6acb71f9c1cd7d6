"""How fast `rna-hf predict` goes through a long file, how much memory it takes, and who takes the time::

    python -m benchmarks.speed.throughput --count 20000

Runs the command once, in a fresh process, on random RNAs of 60 to 300 nt, with the bundled model. The command is as it
is installed, but for clocks around its steps; further options, such as `--device cuda`, are handed on to it.

- `command_s` is the whole process, imports included; `predict_s` goes from the start of reading to the last file.
- `forward_s` is spent inside the model's forward, waiting for the GPU included where there is one; `model_share` is its
  part of `predict_s`. All else, loading of the weights too, counts as plumbing.
- `peak_mb` is the largest resident memory of the process, and `above_imports_mb` what of it comes on top of a process
  that has only imported what the command imports.

Prints one line of JSON; exit code 1 if the model's share is below `--min-share`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common.made_up_rnas import write_fasta
from benchmarks.common.places import REPOSITORY
from benchmarks.common.processes import peak_memory

LENGTHS = (60, 300)
# What the command has imported when it begins to read.
IMPORTS = "import pyarrow.parquet, tqdm, transformers, rna_hf.prediction, rna_hf.cli.predict; "
IMPORTS += "from transformers import AutoConfig, AutoTokenizer; import torch; torch.ones(8, 8) @ torch.ones(8, 8)"


def measure(count: int, lengths: tuple[int, int] = LENGTHS, options: list[str] | None = None) -> dict[str, Any]:
    """Run the command in a fresh process on random RNAs.

    Args:
        count: number of RNAs.
        lengths: of the shortest and of the longest RNA, in nucleotides.
        options: further ones of `rna-hf predict reactivity`.

    Returns:
        Times in seconds, memory in MB (10^6 bytes), and what they were measured with; see the head of this file.

    Raises:
        RuntimeError: the command failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fasta, report = folder / "rnas.fasta", folder / "report.json"
        write_fasta(fasta, count, lengths)
        num_letters = sum(len(line) - 1 for line in fasta.read_text().splitlines(True) if not line.startswith(">"))
        imports_mb, _ = _run_process([sys.executable, "-c", IMPORTS])
        command = [sys.executable, "-m", "benchmarks.speed.throughput", "--inside", str(report), str(fasta)]
        command += ["--output", str(folder / "out")]
        peak_mb, command_s = _run_process([*command, *(options or [])])
        found = json.loads(report.read_text())
    return {
        "sequences": count,
        "lengths": list(lengths),
        "nucleotides": num_letters,
        **found,
        "command_s": round(command_s, 2),
        "sequences_per_s": round(count / command_s, 2),
        "nucleotides_per_s": round(num_letters / command_s, 1),
        "model_share": round(found["forward_s"] / found["predict_s"], 4),
        "peak_mb": round(peak_mb),
        "imports_mb": round(imports_mb),
        "above_imports_mb": round(peak_mb - imports_mb),
    }


def _run_process(command: list[str]) -> tuple[float, float]:
    """Run a process of its own; return its peak resident memory in MB and its time in seconds."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stderr is not None
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if status:
        raise RuntimeError(f"{' '.join(command)} failed with status {status}: {message[-2000:]}")
    return peak_memory(usage) / 1e6, seconds


def run_inside(report: Path, arguments: list[str]) -> int:
    """Run the command in this process, with clocks around its steps, and write what they show.

    Args:
        report: JSON file to write.
        arguments: of `rna-hf predict reactivity`.
    """
    import torch

    import rna_hf.prediction
    import rna_hf.prediction.engine
    from rna_hf.cli.main import run
    from rna_hf.data.checks import SequenceChecker
    from rna_hf.data.run_folder import RunFolder
    from rna_hf.tasks import TASKS

    seconds: dict[str, float] = {}
    devices: list[torch.device] = []

    def clock(step: str, function: Callable) -> Callable:
        seconds[step] = 0.0

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                # A GPU works on after the call has returned; nothing is under way when a forward begins, since the
                # values of the last one have been copied.
                if step == "forward_s" and devices[0].type == "cuda":
                    torch.cuda.synchronize(devices[0])
                seconds[step] += time.perf_counter() - began

        return timed

    load = rna_hf.prediction.engine.load_model

    def load_with_clock(*args: Any, **kwargs: Any) -> Any:
        model = load(*args, **kwargs)
        devices.append(model.device)
        model.forward = clock("forward_s", model.forward)
        return model

    for owner, name, step in [
        (SequenceChecker, "check", "check_s"),
        (RunFolder, "write_part", "write_parts_s"),
        (RunFolder, "join", "join_s"),
        (type(TASKS["reactivity"].prediction), "plot", "plot_s"),
        (rna_hf.prediction, "predict", "predict_s"),
    ]:
        setattr(owner, name, clock(step, getattr(owner, name)))
    rna_hf.prediction.engine.load_model = clock("load_s", load_with_clock)
    code = run(["predict", "reactivity", *arguments])
    facts = {"device": str(devices[0]) if devices else None, "threads": torch.get_num_threads()}
    facts["torch"] = torch.__version__
    if devices and devices[0].type == "cuda":
        facts["gpu"] = torch.cuda.get_device_name(devices[0])
        facts["gpu_peak_mb"] = round(torch.cuda.max_memory_allocated(devices[0]) / 1e6)
    report.write_text(json.dumps({**facts, **{step: round(value, 3) for step, value in seconds.items()}}))
    return code


def main(argv: list[str] | None = None) -> int:
    """Measure and print; exit code 1 if the model takes too small a part of the time."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["--inside"]:
        return run_inside(Path(arguments[1]), arguments[2:])
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0].rstrip(":"), allow_abbrev=False)
    parser.add_argument("--count", type=int, default=20_000, help="RNAs; default: %(default)s")
    parser.add_argument("--lengths", type=int, nargs=2, default=LENGTHS, help="shortest and longest, nucleotides")
    parser.add_argument(
        "--min-share", type=float, default=0.9, help="of the model, for exit code 0; default: %(default)s"
    )
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the JSON to this file as well")
    options, command_options = parser.parse_known_args(arguments)
    result = measure(options.count, tuple(options.lengths), command_options)
    print(json.dumps(result))
    if options.output:
        options.output.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if result["model_share"] >= options.min_share else 1


if __name__ == "__main__":
    sys.exit(main())
