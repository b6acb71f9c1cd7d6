"""The rules of the Hugging Face Hub for a card's front matter, as it documents them, checked without a network.

`huggingface_hub.ModelCard.validate` asks the Hub; what it would refuse or ignore there is refused here first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..checkpoints import CHECKPOINTS

LICENCES = frozenset(
    [
        "afl-3.0",
        "agpl-3.0",
        "apache-2.0",
        "apple-amlr",
        "apple-ascl",
        "artistic-2.0",
        "bigcode-openrail-m",
        "bigscience-bloom-rail-1.0",
        "bigscience-openrail-m",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "bsl-1.0",
        "c-uda",
        "cc",
        "cc-by-2.0",
        "cc-by-2.5",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-3.0",
        "cc-by-nc-4.0",
        "cc-by-nc-nd-3.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-2.0",
        "cc-by-nc-sa-3.0",
        "cc-by-nc-sa-4.0",
        "cc-by-nd-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "cdla-permissive-1.0",
        "cdla-permissive-2.0",
        "cdla-sharing-1.0",
        "creativeml-openrail-m",
        "deepfloyd-if-license",
        "ecl-2.0",
        "epl-1.0",
        "epl-2.0",
        "etalab-2.0",
        "eupl-1.1",
        "eupl-1.2",
        "fair-noncommercial-research-license",
        "gemma",
        "gfdl",
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "h-research",
        "intel-research",
        "isc",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
        "lgpl-lr",
        "llama2",
        "llama3",
        "llama3.1",
        "llama3.2",
        "llama3.3",
        "llama4",
        "lppl-1.3c",
        "mit",
        "mpl-2.0",
        "ms-pl",
        "ncsa",
        "odbl",
        "odc-by",
        "ofl-1.1",
        "openmdw-1.0",
        "openrail",
        "openrail++",
        "osl-3.0",
        "other",
        "pddl",
        "postgresql",
        "unknown",
        "unlicense",
        "wtfpl",
        "zlib",
    ]
)
# Of the tags that the Hub knows, those of tasks whose models read a sequence of tokens, and "other".
PIPELINE_TAGS = frozenset(
    [
        "feature-extraction",
        "fill-mask",
        "other",
        "sentence-similarity",
        "text-classification",
        "text-generation",
        "text-ranking",
        "token-classification",
        "zero-shot-classification",
    ]
)
# The Hub's name for a task of this package, where it has one that means the same.
TAG_OF_AUTO_CLASS = {
    "AutoModel": "feature-extraction",
    "AutoModelForMaskedLM": "fill-mask",
    "AutoModelForSequenceClassification": "text-classification",
    "AutoModelForTokenClassification": "token-classification",
}
RELATIONS = ("adapter", "finetune", "merge", "quantized")
_LONGEST_ID = 96
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_repository_id(name: str) -> bool:
    """Whether a name is well formed as an id on the Hub, `owner/name`."""
    is_short = len(name) <= _LONGEST_ID
    return is_short and _HUB_ID.fullmatch(name) is not None and not re.search(r"--|\.\.|\.git$|[-.](/|$)", name)


def is_hub_id(name: str) -> bool:
    """Whether a name is an id on the Hub, `owner/name`, and no folder here."""
    return is_repository_id(name) and not Path(name).exists()


def hub_id_of(checkpoint: str | None) -> str | None:
    """Return the id on the Hub of a checkpoint; None for a folder or what ships with the package alone."""
    if checkpoint in CHECKPOINTS:
        return CHECKPOINTS[checkpoint].hub_id
    return checkpoint if checkpoint and is_hub_id(checkpoint) else None


def check_metadata(data: Mapping[str, Any]) -> None:
    """Refuse front matter that the Hub would refuse or not understand.

    Args:
        data: as `ModelCardData.to_dict()` gives it.

    Raises:
        ValueError: one line names the field, its value and what is allowed.
    """
    if data.get("language"):
        raise ValueError(f"language is {data['language']!r}: RNA is none, leave it out")
    if not data.get("library_name"):
        raise ValueError("library_name is missing: the Hub needs it for its snippet")
    if data.get("pipeline_tag") not in PIPELINE_TAGS:
        known = ", ".join(sorted(PIPELINE_TAGS))
        raise ValueError(f"pipeline_tag is {data.get('pipeline_tag')!r}, none that fits of the Hub's ({known})")
    _check_licence(data)
    bases = _listed(data.get("base_model"))
    _check_ids("base_model", bases)
    relation = data.get("base_model_relation")
    if relation is not None and (relation not in RELATIONS or not bases):
        needs = "needs a base_model" if relation in RELATIONS else f"must be one of {', '.join(RELATIONS)}"
        raise ValueError(f"base_model_relation is {relation!r}: it {needs}")
    _check_ids("datasets", _listed(data.get("datasets")))
    for model in data.get("model-index") or ():
        for result in model.get("results") or ():
            _check_result(result)


def _check_licence(data: Mapping[str, Any]) -> None:
    licence = data.get("license")
    has_name, has_link = bool(data.get("license_name")), bool(data.get("license_link"))
    if licence is None:
        if has_name or has_link:
            raise ValueError("license_name and license_link go with `license: other`: add that")
        return
    if licence not in LICENCES:
        raise ValueError(
            f"license is {licence!r}, which the Hub does not know: use its identifier in small letters, or "
            "`license: other` with license_name and license_link"
        )
    if licence == "other" and not (has_name and has_link):
        raise ValueError("license is 'other': license_name and license_link have to say which")
    if licence != "other" and (has_name or has_link):
        raise ValueError(f"license is {licence!r}: license_name and license_link are for `other`, leave them out")
    link = data.get("license_link")
    if link and not re.match(r"https?://\S+$|LICENSE(\.\w+)?$", str(link)):
        raise ValueError(f"license_link is {link!r}: give an address or a file LICENSE of the folder")


def _check_ids(name: str, ids: Sequence[Any]) -> None:
    for one in ids:
        if not isinstance(one, str) or not is_hub_id(one):
            raise ValueError(
                f"{name} is {one!r}: the Hub needs one of its ids, owner/name; leave it out of the metadata"
            )


def _check_result(result: Mapping[str, Any]) -> None:
    for part, fields in (("task", ("type",)), ("dataset", ("type", "name"))):
        missing = [field for field in fields if not (result.get(part) or {}).get(field)]
        if missing:
            raise ValueError(f"model-index: a result has no {part}.{missing[0]}")
    for metric in result.get("metrics") or [{}]:
        value = metric.get("value")
        if not metric.get("type") or isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"model-index: the metric {metric.get('name')!r} needs a type and a number, has {value!r}")


def _listed(value: Any) -> Sequence[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
