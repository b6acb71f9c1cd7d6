"""`rna-hf pretrain`: train in stages, with labels that models predict."""

from __future__ import annotations

from collections.abc import Sequence

from .finetune import check_recipe
from .system import hide_bars_of_files


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    check_recipe(argv)
    hide_bars_of_files()
    from ..registration import register
    from ..training.pretrain import parse_recipe, pretrain

    register()
    pretrain(parse_recipe(argv))
    return 0
