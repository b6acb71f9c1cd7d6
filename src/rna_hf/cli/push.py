"""`rna-hf push`: upload checkpoints to the Hugging Face Hub, after a look at what would be uploaded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..options import OneLineParser
from .system import hide_bars_of_files

if TYPE_CHECKING:
    from ..hub.push import Plan

DESCRIPTION = """Upload checkpoint folders to the Hugging Face Hub. Without --yes nothing is changed: each file with its
size, the head of the card and what would change on the Hub are shown. A folder is refused if it holds pickles, tokens
or keys, files that no checkpoint needs, weights that are not finite or that may not be published, no card or licence,
or if it does not give its golden output. All folders are looked at before the first one is uploaded; an upload that was
interrupted goes on with the same command. The token is that of `hf auth login`, or HF_TOKEN."""

EXAMPLES = """examples:
  rna-hf push my_model --repo me/rna-model                    what would be uploaded
  rna-hf push my_model --repo me/rna-model --yes --private    the upload
  rna-hf push runs/a runs/b --repo me --yes                   to me/a and me/b"""


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    parser = OneLineParser(
        prog="rna-hf push",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="a checkpoint's folder, or one of `rna-hf models`")
    parser.add_argument(
        "--repo", required=True, metavar="OWNER/NAME", help="repository; OWNER alone: each folder under its own name"
    )
    parser.add_argument("-y", "--yes", action="store_true", help="upload")
    parser.add_argument("--private", action="store_true", help="a repository that is made is private")
    parser.add_argument("--revision", default="main", metavar="BRANCH", help="branch, made where there is none")
    parser.add_argument("--pull-request", action="store_true", help="open a pull request instead of a commit")
    parser.add_argument("--collection", metavar="SLUG_OR_TITLE", help="put the models into this collection too")
    parser.add_argument("--message", metavar="TEXT", help="of the commit")
    parser.add_argument(
        "--leave-out-others",
        action="store_true",
        help="leave files here that no checkpoint needs, such as a training's",
    )
    arguments = parser.parse_args(argv)

    from ..hub.push import find_folders, name_repositories

    if arguments.pull_request and arguments.revision != "main":
        raise ValueError("a pull request goes to the main branch: leave --revision or --pull-request out")
    folders = find_folders(arguments.folders)
    repositories = name_repositories(folders, arguments.repo)
    return _push(arguments, folders, repositories)


def _push(arguments: argparse.Namespace, folders: list[Any], repositories: list[str]) -> int:
    from ..hub.push import check_push, plan_push, push

    hide_bars_of_files()
    plans = [
        plan_push(folder, repository, arguments.revision, arguments.leave_out_others)
        for folder, repository in zip(folders, repositories)
    ]
    for plan in plans:
        show(plan)
    refused = [plan for plan in plans if plan.problems]
    if refused:
        print(f"{len(refused)} of {len(plans)} folders can't be uploaded; nothing was")
        return 1
    if not arguments.yes:
        print("Nothing was uploaded: --yes does it.")
        return 0
    for plan in plans:  # all of them before the first is uploaded
        check_push(plan, arguments.private, arguments.pull_request)
    for plan in plans:
        address = push(plan, arguments.private, arguments.pull_request, arguments.collection, arguments.message)
        print(f"{plan.folder} is at {address}")
    return 0


def show(plan: Plan) -> None:
    """Print what a plan would do."""
    hub = plan.hub
    print(f"{plan.folder} -> {hub.repository}, branch {hub.revision}: {hub.note}")
    for file in plan.files:
        print(f"  {'?' if hub.exists is None else file.state:<8}{file.size:>12,}  {file.name}")
    for name in plan.left_out:
        print(f"  {'left out':<20}  {name}")
    for name in plan.stay:
        print(f"  {'stays there':<20}  {name}")
    print(f"  {len(plan.files)} files, {plan.num_bytes:,} bytes to upload")
    if head := plan.card_head():
        print("\n".join(f"  | {line}" for line in head.splitlines()))
    for problem in plan.problems:
        print(f"  REFUSED: {problem}")
