"""`rna-hf finetune`: train a head on your own data."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    from ..training.finetune import main as finetune

    return finetune(list(argv or []))
