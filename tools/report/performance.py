"""The README's part on speed and memory, from the files that the programs in `benchmarks/speed` write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def performance_text(results: Path) -> str:
    """Lay out what was measured.

    Args:
        results: folder with `speed.md`, `tokenising.json`, `throughput.json`, `bf16_agreement.json` and
            `localisation_speed.md`; any may be missing.

    Returns:
        Markdown; the empty string if nothing was measured.
    """
    parts = []
    speed = results / "speed.md"
    if speed.is_file():
        parts.append(speed.read_text(encoding="utf-8").strip())
    sentences = {"tokenising": _tokenising, "throughput": _throughput, "bf16_agreement": _bf16_agreement}
    for name, sentence in sentences.items():
        path = results / f"{name}.json"
        if path.is_file():
            parts.append(sentence(json.loads(path.read_text(encoding="utf-8"))))
    localisation = results / "localisation_speed.md"
    if localisation.is_file():
        parts += ["**RNATracker**", localisation.read_text(encoding="utf-8").strip()]
    return "\n\n".join(parts)


def _tokenising(record: dict[str, Any]) -> str:
    text = (
        f"Tokenising {record['sequences']:,} sequences of {record['length_nt']} nt takes `encode_bulk` "
        f"{record['bulk_s'] * 1e3:.0f} ms"
    )
    if "ratio" in record:
        text += f", {record['ratio']:.0f} times less than multimolecule {record['peer_version']}'s tokenizer"
    return text + "."


def _throughput(record: dict[str, Any]) -> str:
    shortest, longest = record["lengths"]
    return (
        f"`rna-hf predict reactivity` with the bundled model, {record['sequences']:,} RNAs of {shortest} to {longest} "
        f"nt on {record['threads']} threads ({record['device']}): {record['sequences_per_s']:.1f} a second, "
        f"{record['model_share']:.1%} of the time in the model, peak memory {record['peak_mb']:,} MB, of which the "
        f"imports are {record['imports_mb']:,} MB."
    )


def _bf16_agreement(record: dict[str, Any]) -> str:
    parts = []
    for name, source in record["sources"].items():
        half, autocast = source["loaded as bfloat16"], source["autocast"]
        parts.append(
            f"{half['pearson']:.5f} loaded as bfloat16 and {autocast['pearson']:.5f} under autocast on "
            f"{source['rnas']} RNAs of up to {source['longest']} nt ({name})"
        )
    return f"Correlation of bfloat16 with float32 predictions of {record['checkpoint']}: {'; '.join(parts)}."
