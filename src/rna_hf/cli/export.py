"""`rna-hf export`: write a checkpoint as a program that runs without this package."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from ..options import OneLineParser
from .system import hide_bars_of_files

DESCRIPTION = """Write a checkpoint as an ONNX file (needs the extra `export`) or a program of torch.export, for any
number of sequences of any length, with its tokenizer.json and a description, export.json. The program is run at four
shapes and has to give what the model gives within 1e-5 of the largest output.

With onnxruntime and tokenizers alone:
  tokenizer = tokenizers.Tokenizer.from_file("DIR/tokenizer.json")
  session = onnxruntime.InferenceSession("DIR/model.onnx")
  ids = numpy.array([tokenizer.encode("GGGAAACUUCGGUUUCCC").ids])
  session.run(None, {"input_ids": ids, "attention_mask": numpy.ones_like(ids)})"""

FORMATS = ("onnx", "torch-export")


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = OneLineParser(
        prog="rna-hf export", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "checkpoint", metavar="FOLDER_OR_ID", help="a folder, one of `rna-hf models`, or an id on the Hub"
    )
    parser.add_argument("--to", required=True, choices=FORMATS, help="format")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="folder to write")
    parser.add_argument("--task", help="with the head of this task; default: the head that the checkpoint has")
    arguments = parser.parse_args(argv)
    if arguments.output.exists() and (not arguments.output.is_dir() or any(arguments.output.iterdir())):
        raise FileExistsError(f"{arguments.output} exists and is not an empty folder: name another one")

    hide_bars_of_files()
    from ..hub.export import export
    from ..registration import register

    register()
    written = export(arguments.checkpoint, arguments.output, arguments.to, arguments.task)
    print(f"wrote {written}; run at four shapes and compared with the model")
    return 0
