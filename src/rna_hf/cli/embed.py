"""`rna-hf embed`: states of the base model for the sequences of a file, of standard input or of the command line."""

import argparse
from collections.abc import Sequence
from typing import Any

from ..options import OneLineParser, add_options, given_options, parse_strictly
from ..prediction.options import EmbeddingRunOptions
from ..prediction.run import check_embed_call, embed
from ..tasks import EMBEDDING
from .predict import ARGUMENTS, INPUT_HELP, add_arguments, run_command

NOTES = """Writes DIR/embeddings.parquet with the columns id and embedding: a list of numbers for each RNA, or with
--pooling none a list of lists, one for each of its nucleotides. As npz or h5: the arrays ids and embeddings, and with
--pooling none lengths, the rows of embeddings that each RNA has, in order. The checkpoint may have any head.

With --window, longer RNAs are read in windows; a nucleotide gets its state from the window in which it lies farthest
from a cut.

Several processes, or machines that share the output folder, take the same command under `accelerate launch`. Where they
can't reach each other, each does a part of the input with --part."""


def make_parser() -> argparse.ArgumentParser:
    """Build the parser; its options are those of `EmbeddingRunOptions` and of the `EmbeddingPrediction`."""
    prediction = EMBEDDING.prediction
    assert prediction is not None
    parser = OneLineParser(
        prog="rna-hf embed",
        description=f"{prediction.summary[0].upper()}{prediction.summary[1:]}.",
        epilog=f"{NOTES}\n\n{INPUT_HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser, EMBEDDING)
    add_options(parser, prediction)
    add_options(parser, EmbeddingRunOptions, leave_out=prediction.run_options_left_out())
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
        argv: arguments after `rna-hf embed`.

    Returns:
        Exit code 0; whatever goes wrong is raised.
    """
    return run_command(lambda: _parse(argv), check_embed_call, embed)


def _parse(argv: Sequence[str]) -> dict[str, Any]:
    prediction = EMBEDDING.prediction
    assert prediction is not None
    namespace = parse_strictly(make_parser(), argv, {})
    values = {argument: getattr(namespace, argument) for argument in ARGUMENTS}
    left_out = prediction.run_options_left_out()
    return values | given_options(namespace, prediction) | given_options(namespace, EmbeddingRunOptions, left_out)
