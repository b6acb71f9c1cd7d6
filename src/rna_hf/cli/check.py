"""`rna-hf check`: see that a checkpoint still gives the output that was recorded beside it."""

from __future__ import annotations

from collections.abc import Sequence

from ..checkpoints import find_checkpoint
from ..options import OneLineParser
from .system import hide_bars_of_files

DESCRIPTION = """Compare a checkpoint with its golden output (golden.json): the weights' hash, the configuration, what
its tokenizer gives, and what the model computes for two short sequences. Exit code 0 if all of it holds, 1 if not, 2 if
there is nothing to compare. With RNA_HF_CHECK=1 in the environment, every loading of a model does the last of these."""


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = OneLineParser(prog="rna-hf check", description=DESCRIPTION)
    parser.add_argument(
        "checkpoint", metavar="FOLDER_OR_ID", help="a folder, one of `rna-hf models`, or an id on the Hub"
    )
    parser.add_argument("--write", action="store_true", help="record what the checkpoint gives now, in its folder")
    arguments = parser.parse_args(argv)
    folder = find_checkpoint(arguments.checkpoint)

    hide_bars_of_files()
    from ..hub.golden import compare_golden, write_golden

    if arguments.write:
        print(f"wrote {write_golden(folder)}")
        return 0
    findings = list(compare_golden(folder))
    for finding in findings:
        print(f"{'same' if finding.holds else 'DIFFERS':<8}{finding.what}: {finding.detail}")
    return 0 if all(finding.holds for finding in findings) else 1
