"""`rna-hf convert`: turn checkpoints of other formats into folders that Auto classes open, and back."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..models.registry import ARCHITECTURES, Architecture
from ..options import OneLineParser, add_options, given_options, parse_strictly
from .system import hide_bars_of_files

USAGE = """usage: rna-hf convert ARCHITECTURE --checkpoint PATH -o PATH [options]

Convert a checkpoint of the original, or a folder in the format of the package multimolecule,
into a folder with config, weights and tokenizer; or such a folder into the original's format.

architectures: {architectures}

`rna-hf convert ARCHITECTURE --help` lists the options of an architecture.

examples:
  rna-hf convert ribonanzanet --checkpoint RibonanzaNet.pt --config pairwise.yaml -o ribonanzanet
  rna-hf convert ribonanzanet --checkpoint multimolecule-folder -o ribonanzanet --set fix_attention_mask=true
  rna-hf convert ribonanzanet --checkpoint ribonanzanet --to original -o RibonanzaNet.pt
  rna-hf convert rnatracker --checkpoint epoch100.pt -o rnatracker
  rna-hf convert rnatracker --checkpoint epoch100.pt -o rnatracker --keep 3prime --set mask_padding=true"""


def parse_setting(text: str, names_as_text: Sequence[str] = ()) -> tuple[str, Any]:
    """Split KEY=VALUE; the value is read as YAML, or as names between commas.

    Args:
        text: the setting.
        names_as_text: keys whose values are names as they stand: YAML would read 1 as a number and no as False.
    """
    import yaml

    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    if key in names_as_text:
        return key, [part.strip() for part in value.strip().removeprefix("[").removesuffix("]").split(",")]
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"the value of {text!r} can't be read") from error


def make_parser(architecture: Architecture) -> argparse.ArgumentParser:
    """Build the parser of an architecture; its own options are those of its entry in the registry."""
    parser = OneLineParser(prog=f"rna-hf convert {architecture.name}")
    parser.add_argument(
        "--checkpoint",
        required=True,
        type=Path,
        metavar="PATH",
        help="the original's .pt or .safetensors, or a folder with config.json and model.safetensors",
    )
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="PATH", help="what to write")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=lambda text: parse_setting(text, architecture.names_as_text),
        metavar="KEY=VALUE",
        dest="settings",
        help="set a config field, such as fix_attention_mask=true or mask_padding=true; may be repeated",
    )
    add_options(parser, architecture.conversion)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    convertible = {name: entry for name, entry in ARCHITECTURES.items() if entry.conversion}
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE.format(architectures=", ".join(convertible)))
        return 0 if argv else 2
    if argv[0].startswith("-"):
        raise ValueError(
            f"the architecture comes first, before {argv[0]}: rna-hf convert ARCHITECTURE --checkpoint PATH"
        )
    if argv[0] not in convertible:
        known = ", ".join(convertible)
        raise ValueError(f"there is no architecture {argv[0]!r}; choose one of {known} (see rna-hf convert --help)")
    architecture = convertible[argv[0]]
    owners = {name: entry.conversion for name, entry in convertible.items()}
    arguments = parse_strictly(make_parser(architecture), argv[1:], owners)
    options = given_options(arguments, architecture.conversion)
    hide_bars_of_files()
    written = architecture.convert(arguments.checkpoint, arguments.output, dict(arguments.settings), options)
    print(f"wrote {written}; opened again and checked")
    return 0
