"""`rna-hf card`: write the card of a checkpoint folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..options import OneLineParser

DESCRIPTION = """Write README.md, the card that the Hugging Face Hub shows, into a checkpoint folder: from its files
and from a YAML file for what they can't say (licence, authors, limits, metrics with the file that holds each number).
`model_cards/` in the repository has examples; `rna_hf.hub.card_facts.CardFacts` lists the fields."""


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = OneLineParser(prog="rna-hf card", description=DESCRIPTION)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="with config.json and model.safetensors")
    parser.add_argument("--facts", type=Path, metavar="FILE.yaml", help="what the folder's files don't say")
    parser.add_argument("--overwrite", action="store_true", help="also write over a README.md that was not made here")
    arguments = parser.parse_args(argv)
    if not (arguments.folder / "config.json").is_file():
        raise FileNotFoundError(f"{arguments.folder} is not a checkpoint folder: it holds no config.json")
    if arguments.facts and not arguments.facts.is_file():
        raise FileNotFoundError(f"{arguments.facts} does not exist")

    from ..hub.model_card import card_of_folder
    from ..registration import register

    register()
    print(f"wrote {card_of_folder(arguments.folder, arguments.facts, overwrite=arguments.overwrite)}")
    return 0
