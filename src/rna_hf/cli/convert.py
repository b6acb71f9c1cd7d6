"""`rna-hf convert`: turn an original checkpoint into a folder that Auto classes open."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


def parse_setting(text: str) -> tuple[str, Any]:
    """Split KEY=VALUE; the value is read as YAML, that of `channels` as names between commas."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    if key == "channels":  # names as they stand: YAML would read 1 as a number and no as False
        return key, [part.strip() for part in value.strip().removeprefix("[").removesuffix("]").split(",")]
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"the value of {text!r} can't be read") from error


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of this command."""
    parser = argparse.ArgumentParser(
        prog="rna-hf convert",
        description="Convert an original checkpoint into a folder with config, weights and tokenizer.",
        epilog="example: rna-hf convert ribonanzanet --checkpoint RibonanzaNet.pt --config pairwise.yaml "
        "--output ribonanzanet --set fix_attention_mask=true",
    )
    parser.add_argument("architecture", choices=["ribonanzanet"])
    parser.add_argument("--checkpoint", required=True, type=Path, metavar="FILE", help=".pt or .safetensors")
    parser.add_argument("--config", required=True, type=Path, metavar="FILE", help="the original's YAML or JSON")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--head",
        metavar="NAME",
        help="reactivity, degradation, dropout, structure, 3d or none; by default what the checkpoint's names and "
        "columns tell, which is not enough for read counts (dropout) and for coordinates in a plain decoder (3d)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=parse_setting,
        metavar="KEY=VALUE",
        dest="settings",
        help="set a config field, such as fix_attention_mask=true or padding_quirk=bool; may be repeated",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = build_parser().parse_args(argv)
    from ..models.ribonanzanet.convert_ribonanzanet import convert_ribonanzanet

    folder = convert_ribonanzanet(
        arguments.checkpoint, arguments.config, arguments.output, dict(arguments.settings), arguments.head
    )
    print(f"wrote {folder}; opened again and checked")
    return 0
