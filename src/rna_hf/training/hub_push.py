"""`push_to_hub` of a fine-tuning: the Hub is asked before anything is trained, and the finished folder goes there.

What goes there is what `rna-hf push --leave-out-others` would upload, after the same checks; the Trainer's own way also
uploads its arguments, as a pickle, and checkpoints that are not finished.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from transformers import TrainingArguments
from transformers.trainer_utils import HubStrategy

from ..hub.card_metadata import LICENCES, is_repository_id
from ..hub.push import DEFAULT_REVISION, check_access, make_repository, plan_push, push


class HubPush:
    """Where a fine-tuning is uploaded to at its end.

    Args:
        arguments: whose `push_to_hub` is on. It is turned off, so that the Trainer does not do it in its own way.
        licence: of the weights that will be trained, as the Hub calls it.

    Raises:
        ValueError: options that do not go together, or no licence.
        PermissionError: there is no token, or it may not write there.
        ConnectionError: the Hub can't be reached.
    """

    def __init__(self, arguments: TrainingArguments, licence: str | None):
        strategy = HubStrategy(arguments.hub_strategy)
        if strategy not in (HubStrategy.EVERY_SAVE, HubStrategy.END):
            raise ValueError(
                f"hub_strategy {strategy.value} uploads the state of the training, which is a pickle: leave it out, "
                "and the checkpoint is uploaded at the end"
            )
        check_licence(licence)
        if licence is None:
            raise ValueError("push_to_hub: say under which licence, such as --license apache-2.0 or cc-by-4.0")
        self._api = HfApi(token=arguments.hub_token, library_name="rna-hf")
        self._revision = getattr(arguments, "hub_revision", None) or DEFAULT_REVISION
        self._private = bool(arguments.hub_private_repo)
        name = arguments.hub_model_id or Path(str(arguments.output_dir)).resolve().name
        check_access(self._api, name)
        self.repository = name if "/" in name else f"{self._api.whoami()['name']}/{name}"
        if not is_repository_id(self.repository):
            raise ValueError(f"hub_model_id {self.repository!r} is no id of a repository, which is OWNER/NAME")
        make_repository(self._api, self.repository, self._private)
        arguments.push_to_hub = False

    def upload(self, folder: Path) -> None:
        """Upload a finished folder; one that may not be uploaded stays here, with a warning that says why.

        Raises:
            ConnectionError: the upload failed; the folder is whole, and `rna-hf push` goes on.
        """
        plan = plan_push(folder, self.repository, self._revision, leave_out_others=True, api=self._api)
        if plan.problems:
            warnings.warn(f"{folder} was not uploaded: {plan.problems[0]}", stacklevel=2)
            return
        try:
            address = push(plan, api=self._api)
        except ConnectionError as error:
            raise ConnectionError(
                f"{folder} is finished, and was not uploaded: {error}; "
                f"`rna-hf push {folder} --repo {self.repository} --leave-out-others --yes` does it"
            ) from error
        print(f"rna-hf: {folder} is at {address}", file=sys.stderr)


def make_hub_push(arguments: TrainingArguments, licence: str | None) -> Any:
    """Return where to upload to, or None without `push_to_hub`; of several processes, the first alone uploads."""
    if not arguments.push_to_hub:
        return None
    if arguments.process_index:
        arguments.push_to_hub = False
        return None
    return HubPush(arguments, licence)


def check_licence(licence: str | None) -> None:
    """Refuse a licence that the Hub has no identifier for.

    Raises:
        ValueError: with what to do.
    """
    if licence is not None and (licence not in LICENCES or licence == "other"):
        raise ValueError(
            f"license is {licence!r}: use an identifier of the Hub in small letters, such as apache-2.0; for another "
            "licence, `rna-hf card --facts` says its name and link"
        )
