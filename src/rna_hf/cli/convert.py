"""`rna-hf convert`: turn checkpoints of other formats into folders that Auto classes open, and back."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ..tokenization.alphabets import KEPT_ENDS


def parse_setting(text: str) -> tuple[str, Any]:
    """Split KEY=VALUE; the value is read as YAML, that of `channels` and `compartments` as names between commas."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    if key in ("channels", "compartments"):  # names as they stand: YAML would read 1 as a number and no as False
        return key, [part.strip() for part in value.strip().removeprefix("[").removesuffix("]").split(",")]
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"the value of {text!r} can't be read") from error


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    parser = argparse.ArgumentParser(
        prog="rna-hf convert",
        description="Convert a checkpoint of the original, or a folder in the format of the package multimolecule,\n"
        "into a folder with config, weights and tokenizer; or such a folder into the original's format.",
        epilog="""examples:
  rna-hf convert ribonanzanet --checkpoint RibonanzaNet.pt --config pairwise.yaml --output ribonanzanet
  rna-hf convert ribonanzanet --checkpoint multimolecule-folder --output ribonanzanet --set fix_attention_mask=true
  rna-hf convert ribonanzanet --checkpoint ribonanzanet --to original --output RibonanzaNet.pt
  rna-hf convert rnatracker --checkpoint epoch100.pt --output rnatracker
  rna-hf convert rnatracker --checkpoint epoch100.pt --output rnatracker --keep 3prime --set mask_padding=true""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("architecture", choices=["ribonanzanet", "rnatracker"])
    parser.add_argument(
        "--checkpoint",
        required=True,
        type=Path,
        metavar="PATH",
        help="the original's .pt or .safetensors, or a folder with config.json and model.safetensors",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the original's YAML or JSON, for ribonanzanet; a folder has its own config",
    )
    parser.add_argument(
        "--output",
        required=True,
        type=Path,
        metavar="PATH",
        help="folder to write; with --to original a .pt file, beside which its configuration is written as .yaml",
    )
    parser.add_argument(
        "--to",
        choices=["rna_hf", "original"],
        default="rna_hf",
        help="rna_hf (default) writes a folder that transformers opens, original a file that the original's code opens",
    )
    parser.add_argument(
        "--head",
        metavar="NAME",
        help="of the original's .pt, for ribonanzanet: reactivity, degradation, dropout, structure, 3d or none; by "
        "default what its names and columns tell, which is not enough for read counts (dropout) and for coordinates in "
        "a plain decoder (3d)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=parse_setting,
        metavar="KEY=VALUE",
        dest="settings",
        help="set a config field, such as fix_attention_mask=true or mask_padding=true; may be repeated",
    )
    parser.add_argument(
        "--keep",
        choices=list(KEPT_ENDS),
        help="for rnatracker: the end of longer sequences that the tokenizer keeps; 5prime (default) as the original",
    )
    parser.add_argument(
        "--max-length",
        type=int,
        metavar="NT",
        help="for rnatracker: length to which the tokenizer pads and truncates, nucleotides (default: 4000)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    convert = _convert_rnatracker if arguments.architecture == "rnatracker" else _convert_ribonanzanet
    print(f"wrote {convert(arguments)}; opened again and checked")
    return 0


def _convert_ribonanzanet(arguments: argparse.Namespace) -> Path:
    if arguments.keep is not None or arguments.max_length is not None:
        raise ValueError("--keep and --max-length are for rnatracker: leave them out")
    if arguments.to == "original":
        if arguments.config or arguments.head or arguments.settings:
            raise ValueError(
                "--config, --head and --set don't go with --to original: the checkpoint is written as it is"
            )
        from ..models.ribonanzanet.convert_ribonanzanet_to_original import convert_ribonanzanet_to_original

        return convert_ribonanzanet_to_original(arguments.checkpoint, arguments.output)
    from ..models.ribonanzanet.convert_ribonanzanet import convert_ribonanzanet

    return convert_ribonanzanet(
        arguments.checkpoint, arguments.config, arguments.output, dict(arguments.settings), arguments.head
    )


def _convert_rnatracker(arguments: argparse.Namespace) -> Path:
    if arguments.config or arguments.head or arguments.to == "original":
        raise ValueError("--config, --head and --to original are for ribonanzanet: leave them out")
    from ..models.rnatracker.convert_rnatracker import convert_rnatracker

    given = {"keep": arguments.keep, "max_length": arguments.max_length}
    return convert_rnatracker(
        arguments.checkpoint,
        arguments.output,
        dict(arguments.settings),
        **{name: value for name, value in given.items() if value is not None},
    )
