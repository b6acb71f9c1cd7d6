"""Parser and dispatch of `rna-hf`; a command's module is imported only when the command is called.

Each command's module has `main(argv)`, which takes the arguments after the command's name and returns the exit code.
Whatever it raises becomes one line on standard error: exit code 2 for something wrong with the input or the options, 1
for a failure, 130 after Ctrl-C, 143 after SIGTERM. `--debug`, anywhere, shows the traceback.
"""

import contextlib
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from ..atomic_files import find_remedy
from ..version import __version__
from .system import Stopped, discard_output, one_line, prepare_streams, stop_by_exception

# Command: its module and one line of help.
COMMANDS = {
    "predict": ("rna_hf.cli.predict", "predict reactivity, degradation, structure, 3D or reads of the RNAs of a file"),
    "embed": ("rna_hf.cli.embed", "write the model's states, a vector for each RNA or each nucleotide"),
    "models": ("rna_hf.cli.models", "list the checkpoints that ship with this package"),
    "finetune": ("rna_hf.cli.finetune", "train a head on your own data"),
    "pretrain": ("rna_hf.cli.pretrain", "train in stages, with labels that models predict"),
    "convert": ("rna_hf.cli.convert", "convert an original checkpoint"),
    "export": ("rna_hf.cli.export", "write a checkpoint as ONNX or a program of torch.export"),
    "card": ("rna_hf.cli.card", "write the card of a checkpoint folder"),
    "push": ("rna_hf.cli.push", "upload checkpoints to the Hugging Face Hub; says first what it would do"),
    "check": ("rna_hf.cli.check", "see that a checkpoint gives the output recorded beside it"),
}

# Commands that go on where they were stopped.
RESUMABLE = ("predict", "embed", "finetune", "pretrain", "push")

USAGE = """usage: rna-hf [--version] [--help] [--debug] COMMAND ...

RNA models for Hugging Face Transformers.

commands:
{commands}

examples:
  rna-hf predict reactivity GGGAACGACUCGAGUAGAGUCGAAAA -o demo
  rna-hf predict reactivity rnas.fasta -o predictions
  rna-hf models

`rna-hf COMMAND --help` says more about a command."""


def main(argv: Sequence[str]) -> int:
    """Run a command.

    Args:
        argv: arguments after the program's name.

    Returns:
        Exit code.
    """
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(USAGE.format(commands="\n".join(f"  {name:<10}{line}" for name, (_, line) in COMMANDS.items())))
        return 0 if argv else 2
    if argv[0] == "--version":
        print(f"rna-hf {__version__}")
        return 0
    command, *rest = argv
    if command not in COMMANDS:
        raise ValueError(f"there is no command {command!r}; choose one of {', '.join(COMMANDS)} (see rna-hf --help)")
    return importlib.import_module(COMMANDS[command][0]).main(rest)


def run(argv: Sequence[str] | None = None) -> int:
    """Entry point: run a command and turn whatever goes wrong into one line and an exit code.

    Args:
        argv: arguments after the program's name; the process's own if omitted.
    """
    with prepare_streams() if argv is None else contextlib.nullcontext():
        return _run(list(sys.argv[1:] if argv is None else argv))


def _run(arguments: list[str]) -> int:
    shows_traceback = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        with stop_by_exception():
            code = main(arguments)
            if sys.stdout is not None:
                sys.stdout.flush()  # here, or a failure would be left to the interpreter's end
            return code
    except KeyboardInterrupt as stop:
        is_resumable = bool(arguments) and arguments[0] in RESUMABLE and "-" not in arguments
        hint = "; run the same command again to go on where it stopped" if is_resumable else ""
        what = f"stopped by {stop.name}" if isinstance(stop, Stopped) else "interrupted"
        return _fail(f"{what}{hint}", stop.code if isinstance(stop, Stopped) else 130, shows_traceback)
    except SystemExit as stop:  # after --help of a command
        return int(stop.code or 0)
    except BrokenPipeError:
        # The reader of our output (`| head`) has left.
        discard_output()
        return 1
    except (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        return _fail(_describe(error), 2, shows_traceback)
    except (OSError, MemoryError, FloatingPointError, ImportError) as error:  # ImportError: an extra is missing
        return _fail(_describe(error), 1, shows_traceback)
    except Exception as error:  # the last net: a user never gets a traceback unasked
        message = f"unexpected {type(error).__name__}: {_describe(error)} (--debug shows where; please report it)"
        return _fail(message, 1, shows_traceback)


def _describe(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else error.filename
        text = f"{name}: {error.strerror}" if name else error.strerror
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.EISDIR):
            text += f"; {find_remedy(error)}"
    return " ".join(text.split()) or type(error).__name__


def _fail(message: str, code: int, shows_traceback: bool) -> int:
    if shows_traceback:
        traceback.print_exc()
    print(one_line(f"rna-hf: error: {message}"), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(run())
