"""Names of checkpoints for transformers: `rna-hf/ribonanzanet-mini` stands wherever the path of a folder does."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from . import OWNER, find_entry, find_local

_MARK = "finds_checkpoints_of_rna_hf"


def find_named_checkpoints() -> None:
    """Let transformers look into this package before it asks the Hub for the files of one of `CHECKPOINTS`.

    Auto classes, pipelines and models reach all files through one function of transformers, and tokenizers also list a
    repository's files. Both are given the folder in place of the id of a checkpoint that ships with this package, so
    that it opens at once and offline, and the pinned revision in place of none for one that lies on the Hub. Other ids,
    and ids with a revision of the caller's own, go their way. Repeating it changes nothing.
    """
    import transformers
    from transformers.utils import hub

    tokenizers: Any = transformers.PreTrainedTokenizerBase
    if hasattr(hub.cached_files, _MARK):
        return
    find_files, open_tokenizer = hub.cached_files, tokenizers.from_pretrained.__func__

    @functools.wraps(find_files)
    def cached_files(path_or_repo_id: Any, *arguments: Any, **options: Any) -> Any:
        name, options = _settle(path_or_repo_id, options)
        return find_files(name, *arguments, **options)

    @functools.wraps(open_tokenizer)
    def from_pretrained(cls: Any, pretrained_model_name_or_path: Any, *arguments: Any, **options: Any) -> Any:
        name, options = _settle(pretrained_model_name_or_path, options)
        return open_tokenizer(cls, name, *arguments, **options)

    setattr(cached_files, _MARK, True)
    hub.cached_files = cached_files
    tokenizers.from_pretrained = classmethod(from_pretrained)


def _settle(name: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return what a name stands for: the folder in this package, or the name with the revision that is pinned."""
    entry = find_entry(str(name)) if str(name).startswith(f"{OWNER}/") else None
    if entry is None or options.get("revision") not in (None, "main") or Path(name).is_dir():
        return name, options
    folder = find_local(str(name))
    if folder is not None:
        return str(folder), options
    return name, options | ({"revision": entry.revision} if entry.revision else {})
