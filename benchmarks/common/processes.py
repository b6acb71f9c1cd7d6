"""Measurements in processes of their own. It needs the standard library alone, for other environments run it too."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from .places import REPOSITORY

PEER_PYTHON = REPOSITORY / ".cache" / "multimolecule" / "bin" / "python"


def run_module(
    module: str, *arguments: str, python: str | Path = sys.executable, threads: int | None = None
) -> dict[str, Any]:
    """Run a module of the checkout in a fresh process.

    Args:
        module: its dotted name.
        arguments: of its command line.
        python: interpreter; of another environment than this one, it does not see this checkout's package.
        threads: of numerical libraries; None leaves it to them.

    Returns:
        The JSON object in the last line that it prints, or the `error` that ended it.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if str(python) == sys.executable:
        environment["PYTHONPATH"] = str(REPOSITORY / "src")
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    command = [str(python), "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"error": "out of memory" if done.returncode == -9 else lines[-1][:120]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def peak_memory(usage: resource.struct_rusage | None = None) -> int:
    """Return the most memory that a process ever held, in bytes.

    Args:
        usage: of the process; by default of this one.
    """
    if usage is None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
    # Linux counts in KiB, macOS in bytes.
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
