"""Python processes in which this package was never imported, at the price of a fork.

`import torch, transformers` takes seconds. One process does it for all tests of a session, imports nothing of this
package and forks for each piece of code, which therefore finds what a user of transformers has at the start.
"""

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_SERVER = """
import gc, json, os, sys, traceback
import torch, transformers
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, pipeline, dynamic_module_utils

assert not any(name.split(".")[0] == "rna_hf" for name in sys.modules)
gc.freeze()
for line in sys.stdin:
    request, children = json.loads(line), []
    for arguments, folder in zip(request["arguments"], request["folders"]):
        child = os.fork()
        if child == 0:
            for number, name in enumerate(("stdin", "stdout", "stderr")):
                os.dup2(os.open(f"{folder}/{name}", os.O_RDWR | os.O_CREAT), number)
            os.environ.update(request["environment"])
            # transformers has read this one when it was imported.
            dynamic_module_utils.HF_MODULES_CACHE = os.environ.get("HF_MODULES_CACHE", f"{folder}/modules")
            sys.stdin, sys.argv = open(0), ["-c", *arguments]
            code = 0
            try:
                exec(compile(request["code"], "<string>", "exec"), {"__name__": "__main__"})
            except SystemExit as end:
                code = end.code or 0
            except BaseException:
                traceback.print_exc()
                code = 1
            sys.stdout.flush()
            os._exit(code)  # to take all modules down would last longer than most of the codes
        children.append(child)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
"""


@functools.cache
def _server() -> subprocess.Popen:
    """The process that forks; it ends with this one."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    server = subprocess.Popen([sys.executable, "-c", _SERVER], env=environment, start_new_session=True, **pipes)
    atexit.register(_stop, server)
    return server


def _stop(server: subprocess.Popen) -> None:
    """End the process and all that it has started."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def run_each(
    code: str, *arguments: list[str], input: str = "", **environment: str
) -> list[subprocess.CompletedProcess]:
    """Run the same code in several processes at once, each with its own arguments, and return them once all have ended.

    Args:
        code: Python text.
        arguments: those of each process, from `sys.argv[1]` on.
        input: what each finds at its standard input.
        environment: variables to set beside those of this process.
    """
    server = _server()
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place, str(index)) for index in range(len(arguments))]
        for folder in folders:
            folder.mkdir()
            (folder / "stdin").write_text(input)
        request = {"code": code, "arguments": arguments, "folders": [*map(str, folders)], "environment": environment}
        try:
            server.stdin.write(json.dumps(request) + "\n")
            server.stdin.flush()
            codes = json.loads(server.stdout.readline())
        except BaseException:
            # Most likely the test's time is over, and the next one must not read this one's answer.
            _stop(server)
            _server.cache_clear()
            raise
        return [
            subprocess.CompletedProcess(
                ["-c", *own], code, *((folder / name).read_text() for name in ("stdout", "stderr"))
            )
            for own, code, folder in zip(arguments, codes, folders)
        ]


def run_python(code: str, *arguments: str, input: str = "", **environment: str) -> subprocess.CompletedProcess:
    """Run code in one process; see `run_each`."""
    return run_each(code, list(arguments), input=input, **environment)[0]
