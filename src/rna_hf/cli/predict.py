"""`rna-hf predict`: predictions for the sequences of a file, of standard input or of the command line."""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

EPILOG = """INPUT that names an existing path, or looks like one (it has '/', '\\' or '.'), is a file; else a sequence.
Without an `id` column, sequences of a table are called seq1, seq2, ...; a FASTA record's id is the first word of its
header. Killed or interrupted, the same command goes on where it stopped and gives the same files.

reactivity and degradation give a number for each nucleotide, dropout the number of reads of each RNA, structure its
base pairs, 3d the positions of its nucleotides in several samples, localisation the share of each mRNA in each
compartment of the cell. Degradation rates are relative to a reference, so only ratios mean something; several RNAs are
ranked by half-life in half_life_ranking.csv.

localisation also writes attention_windows.csv, the stretches of each mRNA that the model looks at most (start and end
are 0-based, the end is not included; of windows that overlap, the strongest), and for several mRNAs motifs.csv: the
6-mers in more of these windows than in shuffled ones, and than elsewhere in the same mRNAs, with p-values and with
q-values, which are corrected for the number of 6-mers. A motif should stand out against both. Each mRNA is read whole
and without padding, whatever the model. The original's weights were trained on mRNAs padded or cut to 4,000 nt, which
changes what they predict: --fixed-length 4000 does that, on the sides that the checkpoint's tokenizer says.

examples:
  rna-hf predict reactivity GGGAACGACUCGAGUAGAGUCGAAAA --output demo
  rna-hf predict reactivity rnas.fasta.gz --output predictions --format csv
  rna-hf predict reactivity library.parquet --output predictions --model ./my-checkpoint --flip-average
  zcat rnas.fasta.gz | rna-hf predict reactivity - --output predictions --skip-invalid
  rna-hf predict structure rnas.fasta --output structures --ct
  rna-hf predict degradation designs.fasta --output designs
  rna-hf predict 3d GGGAACGACUCGAGUAGAGUCGAAAA --output demo_3d --samples 3 --pdb \\
    --model ./my-checkpoint
  rna-hf predict dropout library.csv --output reads --model ./my-checkpoint
  rna-hf predict localisation mrnas.fasta --output localisation --model ./my-checkpoint
  rna-hf predict localisation mrnas.fasta --output as_original --model ./converted --fixed-length 4000

two GPUs, sharing the work:
  accelerate launch --multi_gpu --num_processes 2 -m rna_hf.cli.main predict reactivity rnas.fasta --output out"""


class _Parser(argparse.ArgumentParser):
    """Reports wrong arguments as every other error: by raising."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


def make_parser() -> argparse.ArgumentParser:
    """Build the parser; `rna_hf.prediction` says what the choices are."""
    from rna_hf.prediction import (
        DEFAULT_BATCH_TOKENS,
        DEFAULT_PLOT_ROWS,
        DEFAULT_SAMPLES,
        DEFAULT_WINDOWS,
        DTYPES,
        FORMATS,
        MAX_SAMPLES,
        MAX_WINDOWS,
        TASKS,
    )

    parser = _Parser(
        prog="rna-hf predict",
        description="Predict for every sequence of an input: a table in input order, and pictures or files beside it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=list(TASKS), help="what to predict: %(choices)s")
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="FASTA, CSV, TSV or parquet file with a 'sequence' column (text also gzipped), '-' for standard input, "
        "or a sequence",
    )
    parser.add_argument("--output", metavar="DIR", required=True, help="folder to write to; one folder holds one run")
    parser.add_argument(
        "--model",
        metavar="NAME_OR_FOLDER",
        help="checkpoint: a folder or one of `rna-hf models`; default: the bundled, where there is one",
    )
    parser.add_argument(
        "--flip-average",
        action="store_true",
        help="average with the prediction for the reversed sequence (2 x slower); not for 3d and localisation",
    )
    parser.add_argument("--format", choices=FORMATS, default="parquet", help="default: %(default)s")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ...; default: a GPU if there is one")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="default: %(default)s")
    parser.add_argument(
        "--batch-tokens",
        type=int,
        metavar="N",
        default=DEFAULT_BATCH_TOKENS,
        help="nucleotides in a batch, padding included, fewer beyond 256 nt where a model has states for pairs; "
        "more is faster on a GPU and takes more memory; default: %(default)s",
    )
    parser.add_argument(
        "--skip-invalid",
        action="store_true",
        help="leave out sequences that cannot be predicted, and list them in DIR/skipped.tsv",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what another run left in DIR")
    parser.add_argument(
        "--plot",
        type=int,
        metavar="N",
        default=DEFAULT_PLOT_ROWS,
        help="RNAs in the picture, 0 for none; dropout and 3d have none; default: %(default)s",
    )
    parser.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help=f"for 3d: structures for each RNA, 1 to {MAX_SAMPLES}; default: {DEFAULT_SAMPLES}",
    )
    parser.add_argument(
        "--windows",
        type=int,
        metavar="N",
        help=f"for localisation: rows of each RNA in attention_windows.csv at most, 1 to {MAX_WINDOWS}; "
        f"default: {DEFAULT_WINDOWS}",
    )
    parser.add_argument(
        "--fixed-length",
        type=int,
        metavar="N",
        help="for localisation: cut each mRNA to N nucleotides and pad it up to them; a model that masks padding cuts "
        "only; default: each mRNA whole and without padding",
    )
    parser.add_argument("--pdb", action="store_true", help="for 3d: write PDB files beside the mmCIF files")
    parser.add_argument("--ct", action="store_true", help="for structure: write a CT file beside the dot-bracket file")
    parser.add_argument("--quiet", action="store_true", help="show warnings and errors only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
        argv: arguments after `rna-hf predict`.

    Returns:
        Exit code 0; whatever goes wrong is raised.
    """
    # Imported here: the parser has just imported its package.
    parser = make_parser()
    from rna_hf.layers.products import share_one_heap
    from rna_hf.prediction.processes import MainProcessStopped, find_process

    # Of several processes with the same arguments the main one does the talking.
    is_helper = find_process()[0] > 0
    try:
        options = parser.parse_args(argv)
    except SystemExit as stop:  # after --help
        return int(stop.code or 0)
    except ValueError:
        if is_helper:
            return 0
        raise
    _speak_plainly(options.quiet, is_helper)
    # oneDNN and the layer above it keep 1,024 compiled kernels each, one for each shape of matrices: memory would grow
    # with the number of shapes. This many serve one batch. Both are read at the first kernel.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    os.environ.setdefault("LRU_CACHE_CAPACITY", "16")
    share_one_heap()

    from rna_hf.prediction import predict

    try:
        predict(
            options.input,
            options.output,
            task=options.task,
            model=options.model,
            flip_average=options.flip_average,
            format=options.format,
            device=options.device,
            dtype=options.dtype,
            batch_tokens=options.batch_tokens,
            skip_invalid=options.skip_invalid,
            overwrite=options.overwrite,
            plot_rows=options.plot,
            num_samples=options.samples,
            num_windows=options.windows,
            fixed_length=options.fixed_length,
            ct=options.ct,
            pdb=options.pdb,
            progress=not (options.quiet or is_helper),
            distributed=True,
        )
    except MainProcessStopped:
        # Its message and its exit code are enough; ours might come first and let the launcher end it unheard.
        return 0
    except KeyboardInterrupt:
        if is_helper:
            return 130
        raise
    return 0


def _speak_plainly(quiet: bool, is_helper: bool) -> None:
    """Print our messages and all warnings as single lines on standard error; silence other packages' progress.

    Args:
        quiet: warnings only.
        is_helper: not even warnings, since the main process has the same ones.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter())
    logger = logging.getLogger("rna_hf")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.ERROR if is_helper else logging.WARNING if quiet else logging.INFO)

    def show(message: Warning | str, category: type[Warning], *position: Any, **options: Any) -> None:
        # Warnings for programmers (deprecations and the like) are not for the user of a command.
        if category is UserWarning:
            logger.warning("%s", " ".join(str(message).split()))

    warnings.showwarning = show


class _LineFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        return f"rna-hf: {prefix}{record.getMessage()}"
