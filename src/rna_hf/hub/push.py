"""`rna-hf push`: checkpoints looked over, compared with the Hub, and uploaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoints import find_checkpoint
from .card_metadata import is_repository_id
from .hub_state import SAME, HubState, ask_hub, first_line
from .push_checks import CARD_FILE, find_problems, is_needed, list_files

DEFAULT_REVISION = "main"
CARD_LINES = 30


@dataclass(frozen=True)
class PlannedFile:
    """A file to upload: its name in folder and repository, its size in bytes, and its state on the Hub."""

    name: str
    size: int
    state: str


@dataclass(frozen=True)
class Plan:
    """What uploading a folder would do.

    Attributes:
        folder: of the checkpoint.
        hub: the repository as it is.
        files: to upload.
        left_out: files that stay here on purpose.
        stay: files that are on the Hub alone, and stay there.
        problems: why it is not uploaded, a line each; nothing where it may be.
    """

    folder: Path
    hub: HubState
    files: list[PlannedFile]
    left_out: list[str]
    stay: list[str]
    problems: list[str]

    @property
    def num_bytes(self) -> int:
        """Size of the files that would be uploaded."""
        return sum(file.size for file in self.files if file.state != SAME)

    def card_head(self) -> str:
        """Return the first lines of the card, which the Hub shows and searches."""
        path = self.folder / CARD_FILE
        if not path.is_file():
            return ""
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[:CARD_LINES])


def name_repositories(folders: Sequence[Path], repository: str) -> list[str]:
    """Return the repository of each folder.

    Args:
        folders: one or several.
        repository: `owner/name` for one folder; `owner` alone for any number, each under its own name.

    Raises:
        ValueError: it is no name that the Hub takes, or one for several folders.
    """
    if "/" in repository:
        if len(folders) > 1:
            raise ValueError(
                f"{len(folders)} folders can't go to one repository {repository}: give the owner alone, "
                f"--repo {repository.split('/')[0]}, and each goes to a repository of its folder's name"
            )
        names = [repository]
    else:
        names = [f"{repository}/{folder.resolve().name}" for folder in folders]
    for name in names:
        if not is_repository_id(name):
            raise ValueError(
                f"{name!r} is no id of a repository: it is OWNER/NAME, of letters, digits and single - _ . between them"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"two folders have the same name: push them one at a time, with --repo {names[0]}")
    return names


def find_folders(names: Sequence[str | os.PathLike]) -> list[Path]:
    """Return the folders of checkpoints, which may also be names of `rna-hf models`.

    Raises:
        FileNotFoundError: there is no such checkpoint here.
    """
    return [Path(name) if Path(name).is_dir() else find_checkpoint(name) for name in names]


def plan_push(
    folder: Path, repository: str, revision: str = DEFAULT_REVISION, leave_out_others: bool = False, api: Any = None
) -> Plan:
    """Look a folder over and compare it with the Hub; nothing is changed, there or here.

    Args:
        folder: of the checkpoint.
        repository: `owner/name`.
        revision: branch to upload to.
        leave_out_others: leave files here that no checkpoint needs, instead of refusing the folder.
        api: a `huggingface_hub.HfApi`; by default one with the token that is stored here.
    """
    found = list_files(folder)
    names = [name for name in found if is_needed(name)] if leave_out_others else found
    hub = ask_hub(api or _make_api(), repository, revision)
    files = [
        PlannedFile(name, (folder / name).stat().st_size, hub.compare(folder, name))
        for name in names
        if (folder / name).is_file()
    ]
    stay = sorted(set(hub.files) - set(names) - {".gitattributes"})
    return Plan(folder, hub, files, sorted(set(found) - set(names)), stay, list(find_problems(folder, names)))


def push(
    plan: Plan,
    private: bool = False,
    pull_request: bool = False,
    collection: str | None = None,
    message: str | None = None,
    api: Any = None,
) -> str:
    """Upload what a plan says. What is there already is not sent again, so that a repetition goes on where it stopped.

    Args:
        plan: of `plan_push`, without problems.
        private: make the repository private, where it is made.
        pull_request: open a pull request instead of a commit on the branch.
        collection: to put the model into: its slug `owner/title-...`, or a title, which is made where it is missing.
        message: of the commit.
        api: as in `plan_push`.

    Returns:
        The address of the commit or of the pull request.

    Raises:
        ValueError: the plan has problems, or options contradict each other or the Hub.
        PermissionError: there is no token, or it may not write there.
        ConnectionError: the Hub can't be reached, or failed in between.
    """
    api = api or _make_api()
    check_push(plan, private, pull_request, api)
    hub = plan.hub
    if not pull_request and not any(file.state != SAME for file in plan.files) and hub.exists:
        address = f"{api.endpoint}/{hub.repository}"
    else:
        address = _upload(api, plan, private, pull_request, message)
    if collection:
        with _HubErrors(f"putting {hub.repository} into the collection {collection!r}"):
            slug = collection
            if "/" not in collection:
                owner = hub.repository.split("/")[0]
                slug = api.create_collection(collection, namespace=owner, private=private, exists_ok=True).slug
            api.add_collection_item(slug, hub.repository, "model", exists_ok=True)
    return address


def check_push(plan: Plan, private: bool = False, pull_request: bool = False, api: Any = None) -> None:
    """See that a plan can be carried out, as far as that can be told before; the arguments and errors are `push`'s."""
    if plan.problems:
        raise ValueError(f"{plan.folder} is not uploaded: {plan.problems[0]}")
    hub = plan.hub
    if private and hub.exists and not hub.is_private:
        raise ValueError(f"{hub.repository} is public on the Hub, and --private does not change that: change it there")
    if pull_request and hub.revision != DEFAULT_REVISION:
        raise ValueError("a pull request goes to the main branch: leave --revision out")
    check_access(api or _make_api(), hub.repository)
    if pull_request and not hub.exists:
        raise ValueError(f"{hub.repository} is not on the Hub: there is nothing to open a pull request for")


def check_access(api: Any, repository: str) -> None:
    """See that there is a token which the Hub knows.

    Raises:
        PermissionError: there is none.
        ConnectionError: the Hub can't be reached.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    try:
        api.whoami()
    except LocalTokenNotFoundError as error:
        raise PermissionError(
            "there is no token of the Hub: `hf auth login`, or HF_TOKEN in the environment"
        ) from error
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in (401, 403):
            raise PermissionError(
                f"the Hub does not know the token, for {repository}: `hf auth login` stores another"
            ) from error
        raise ConnectionError(f"the Hub can't be asked: {first_line(error)}") from error
    except Exception as error:  # of the library below huggingface_hub
        raise ConnectionError(f"the Hub can't be reached: {first_line(error)}") from error


def make_repository(api: Any, repository: str, private: bool = False) -> None:
    """Make a repository where there is none.

    Raises:
        PermissionError: the token may not.
        ConnectionError: the Hub can't be reached, or does not take it.
    """
    with _HubErrors(f"making {repository}"):
        api.create_repo(repository, private=private or None, exist_ok=True)


def _upload(api: Any, plan: Plan, private: bool, pull_request: bool, message: str | None) -> str:
    repository, revision = plan.hub.repository, plan.hub.revision
    if not plan.hub.exists:
        make_repository(api, repository, private)
    with _HubErrors(f"uploading to {repository}"):
        if revision != DEFAULT_REVISION:
            api.create_branch(repository, branch=revision, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=plan.folder,
            # Names without any of the characters that mean something in a pattern; see `is_needed`.
            allow_patterns=[file.name for file in plan.files],
            commit_message=message or f"Upload {plan.folder.resolve().name} with rna-hf",
            revision=revision,
            create_pr=pull_request or None,
        )
    return str(commit.pr_url or commit.commit_url)


def _make_api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(library_name="rna-hf")


class _HubErrors:
    """Turns what huggingface_hub raises into one line that says what was being done.

    Args:
        action: what that is.
    """

    def __init__(self, action: str):
        self._action = action

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        from huggingface_hub.errors import HfHubHTTPError

        if error is None or not isinstance(error, Exception):
            return
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None)
        if isinstance(error, HfHubHTTPError) and status in (401, 403):
            raise PermissionError(f"{self._action}: the token may not do that ({first_line(error)})") from error
        raise ConnectionError(
            f"{self._action} failed ({first_line(error)}); what was sent is kept there: run the same command again"
        ) from error
