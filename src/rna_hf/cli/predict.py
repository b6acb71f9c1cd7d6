"""`rna-hf predict`: predictions for the sequences of a file, of standard input or of the command line."""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ..allocator import share_one_heap
from ..options import OneLineParser, add_options, given_options, parse_strictly
from ..prediction.options import RunOptions
from ..prediction.processes import MainProcessStopped, find_process
from ..prediction.run import check_call, check_input, predict
from ..tasks import TASKS, Task, predictions
from .system import hide_bars_of_files, one_line

ARGUMENTS = ("input", "output", "model", "quiet")
"""What every command has that reads an input and writes to a folder."""

INPUT_HELP = """INPUT that names an existing path, or looks like one (it has '/', '\\' or '.'), is a file; else it is a
sequence. A file is FASTA, FASTQ, a table with a column `sequence`, or text with one sequence a line. Without an `id`
column, sequences of a table are called seq1, seq2, ...; a FASTA or FASTQ record's id is the first word of its header.
Missing values (NA, nan, ...) and sequences that are N for more than half are refused. Killed or interrupted, the same
command goes on where it stopped and gives the same files."""

EXAMPLES = """examples:
  rna-hf predict reactivity GGGAACGACUCGAGUAGAGUCGAAAA -o demo
  rna-hf predict reactivity rnas.fasta.gz -o predictions --format csv
  rna-hf predict reactivity library.parquet -o predictions --model ./my-checkpoint --flip-average
  zcat rnas.fasta.gz | rna-hf predict reactivity - -o predictions --skip-invalid
  rna-hf predict structure rnas.fasta -o structures --ct
  rna-hf predict degradation designs.fasta -o designs
  rna-hf predict 3d GGGAACGACUCGAGUAGAGUCGAAAA -o demo_3d --samples 3 --pdb
  rna-hf predict dropout library.csv -o reads --model ./my-checkpoint
  rna-hf predict localisation mrnas.fasta -o localisation

two GPUs, sharing the work:
  accelerate launch --multi_gpu --num_processes 2 -m rna_hf.cli.main predict reactivity rnas.fasta -o out"""


def usage() -> str:
    """Return what `rna-hf predict --help` prints."""
    known = predictions()
    width = max(map(len, known))
    lines = "\n".join(f"  {name:<{width}}  {prediction.summary}" for name, prediction in known.items())
    return (
        "usage: rna-hf predict TASK INPUT -o DIR [options]\n\n"
        "Predict for every sequence of an input: a table in input order, and pictures or files beside it.\n\n"
        f"tasks:\n{lines}\n\n`rna-hf predict TASK --help` lists the options of a task.\n\n{INPUT_HELP}\n\n{EXAMPLES}"
    )


def make_parser(name: str) -> argparse.ArgumentParser:
    """Build the parser of a task; its options are those of `RunOptions` and of the task's `Prediction`."""
    task, prediction = TASKS[name], predictions()[name]
    parser = OneLineParser(
        prog=f"rna-hf predict {name}",
        description=f"{prediction.summary[0].upper()}{prediction.summary[1:]}.",
        epilog=f"{prediction.notes}\n\n{INPUT_HELP}".strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser, task)
    add_options(parser, prediction)
    add_options(parser, RunOptions, leave_out=prediction.run_options_left_out())
    return parser


def add_arguments(parser: argparse.ArgumentParser, task: Task) -> None:
    """Give a parser what every command has that reads an input and writes to a folder."""
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="FASTA or FASTQ file, or CSV, TSV or parquet with a 'sequence' column (text also gzipped), '-' for "
        "standard input, or a sequence",
    )
    parser.add_argument("-o", "--output", metavar="DIR", required=True, help="folder to write to; one holds one run")
    default = f"default: {task.default_checkpoint}" if task.default_checkpoint else "there is no default"
    parser.add_argument(
        "--model", metavar="NAME_OR_FOLDER", help=f"checkpoint: a folder or one of `rna-hf models`; {default}"
    )
    parser.add_argument("--quiet", action="store_true", help="show warnings and errors only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
        argv: arguments after `rna-hf predict`.

    Returns:
        Exit code 0; whatever goes wrong is raised.
    """
    if argv and argv[0] in ("-h", "--help"):
        print(usage())
        return 0
    return run_command(lambda: _parse(argv), check_call, predict)


def run_command(parse: Callable[[], dict[str, Any]], check: Callable[..., Any], run: Callable[..., Any]) -> int:
    """Run what reads an input and writes to a folder: arguments are checked before anything heavy is imported.

    Args:
        parse: returns the arguments by name: `input`, `output`, `model`, `quiet` and others.
        check: takes the output, what is between in the signature of `run`, and the options.
        run: the function.

    Returns:
        Exit code 0; whatever goes wrong is raised.
    """
    # Of several processes with the same arguments the main one does the talking.
    is_helper = find_process()[0] > 0
    try:
        values = parse()
        is_helper = is_helper and not values.get("part")  # nobody else speaks for a part
        inputs, output, quiet = (values.pop(name) for name in ("input", "output", "quiet"))
        named = {name: values[name] for name in ("task", "model") if name in values}
        check(output, *named.values(), {name: value for name, value in values.items() if name not in named})
        check_input(inputs)
    except (ValueError, OSError):
        if is_helper:
            return 0
        raise
    _speak_plainly(quiet, is_helper)
    # oneDNN and the layer above it keep 1,024 compiled kernels each, one for each shape of matrices: memory would grow
    # with the number of shapes. This many serve one batch. Both are read at the first kernel.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    os.environ.setdefault("LRU_CACHE_CAPACITY", "16")
    share_one_heap()

    # Up to here nothing heavy was imported.
    from transformers.utils import logging as transformers_logging

    from ..registration import register

    transformers_logging.set_verbosity_error()
    hide_bars_of_files()
    register()
    try:
        run(inputs, output, progress=not (quiet or is_helper), distributed=True, **values)
    except MainProcessStopped:
        # Its message and its exit code are enough; ours might come first and let the launcher end it unheard.
        return 0
    except KeyboardInterrupt:
        if is_helper:
            return 130
        raise
    return 0


def _parse(argv: Sequence[str]) -> dict[str, Any]:
    """Return the values of all arguments by name."""
    known = predictions()
    if not argv:
        raise ValueError("the task is missing: rna-hf predict TASK INPUT -o DIR (see rna-hf predict --help)")
    name = argv[0]
    if name.startswith("-"):
        raise ValueError(f"the task comes first, before {name}: rna-hf predict TASK INPUT -o DIR")
    if name not in known:
        raise ValueError(f"there is no task {name!r}; choose one of {', '.join(known)} (see rna-hf predict --help)")
    namespace = parse_strictly(make_parser(name), argv[1:], known)
    values = {"task": name} | {argument: getattr(namespace, argument) for argument in ARGUMENTS}
    left_out = known[name].run_options_left_out()
    return values | given_options(namespace, known[name]) | given_options(namespace, RunOptions, left_out)


def _speak_plainly(quiet: bool, is_helper: bool) -> None:
    """Print our messages and all warnings as single lines on standard error.

    Args:
        quiet: warnings only.
        is_helper: not even warnings, since the main process has the same ones.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter())
    logger = logging.getLogger("rna_hf")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.ERROR if is_helper else logging.WARNING if quiet else logging.INFO)

    def show(message: Warning | str, category: type[Warning], *position: object, **options: object) -> None:
        # Warnings for programmers (deprecations and the like) are not for the user of a command.
        if category is UserWarning:
            logger.warning("%s", " ".join(str(message).split()))

    warnings.showwarning = show
    # Python prints what loggers without a handler warn of (matplotlib: a cache that it cannot write).
    logging.lastResort = logging.NullHandler()


class _LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        return one_line(f"rna-hf: {prefix}{record.getMessage()}")
