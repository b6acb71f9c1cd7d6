"""What lies in a repository on the Hub, and how a folder differs from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

# A file's state there: not there, another content, the same.
NEW, CHANGED, SAME = "new", "changed", "same"


class RemoteFile(NamedTuple):
    """A file of a repository: its identifier in git, and its SHA-256 where it is stored beside git."""

    blob_id: str
    sha256: str | None


@dataclass(frozen=True)
class HubState:
    """What is known of a repository.

    Attributes:
        repository: `owner/name`.
        revision: branch that was looked at.
        exists: whether the repository is there; None: the Hub could not be asked.
        is_private: whether it is; None: not known.
        files: its files by name, at that revision; none where that is not there yet.
        note: one line for people, about what there is, or why that is not known.
    """

    repository: str
    revision: str
    exists: bool | None
    is_private: bool | None
    files: Mapping[str, RemoteFile]
    note: str

    def compare(self, folder: Path, name: str) -> str:
        """Return `NEW`, `CHANGED` or `SAME` for a file of a folder."""
        remote = self.files.get(name)
        if remote is None:
            return NEW
        path = folder / name
        is_same = hash_file(path) == remote.sha256 if remote.sha256 else hash_blob(path) == remote.blob_id
        return SAME if is_same else CHANGED


def ask_hub(api: Any, repository: str, revision: str) -> HubState:
    """Ask the Hub for the state of a repository; whatever goes wrong is in the state's note.

    Args:
        api: a `huggingface_hub.HfApi`.
        repository: `owner/name`.
        revision: a branch.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = api.model_info(repository)
    except GatedRepoError as error:
        return HubState(repository, revision, None, None, {}, f"the Hub does not show it: {first_line(error)}")
    except RepositoryNotFoundError:
        return HubState(repository, revision, False, None, {}, "not on the Hub yet (or private, and not yours)")
    except Exception as error:  # of huggingface_hub and the library below it: no network, no such host, offline mode
        return HubState(repository, revision, None, None, {}, f"the Hub was not asked: {first_line(error)}")
    is_private = bool(info.private)
    kind = "private" if is_private else "public"
    try:
        entries = list(api.list_repo_tree(repository, recursive=True, revision=revision))
    except RevisionNotFoundError:
        return HubState(repository, revision, True, is_private, {}, f"on the Hub ({kind}), without branch {revision}")
    files = {
        entry.path: RemoteFile(entry.blob_id, entry.lfs.sha256 if entry.lfs else None)
        for entry in entries
        if hasattr(entry, "blob_id")
    }
    return HubState(repository, revision, True, is_private, files, f"on the Hub ({kind}), {len(files)} files")


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_blob(path: Path) -> str:
    """Return git's identifier of a file's content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its kind."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
