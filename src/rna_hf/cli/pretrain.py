"""`rna-hf pretrain`: train in stages, with labels that models predict."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    from ..training.pretrain import main as pretrain

    return pretrain(list(argv or []))
