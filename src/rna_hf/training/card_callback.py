"""A card at the end of any Trainer's run: what was trained, how long, on what, and the scores with their file."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from ..atomic_files import replace_text
from ..hub.card_facts import MANIFEST_FILE, CardFacts, find_facts, merge_facts
from ..hub.card_metadata import hub_id_of
from ..hub.model_card import card_of_folder, scores_text, write_card
from ..models.registry import ARCHITECTURES


class CardCallback(TrainerCallback):
    """Makes `trainer.create_model_card()`, and with it `trainer.push_to_hub()`, write the card of `rna-hf card`.

    `CardCallback(trainer)` is all that a script needs: it adds itself. What the run says goes to `training_data.json`,
    from where the card, and every later `rna-hf card`, reads it.

    Args:
        trainer: of a model of this package.
        facts: fields of `CardFacts`, such as `license`, `authors` or `limits`, in place of what the run says.
        manifest: what else is to be in `training_data.json`: `task`, `started_from`, `sources`.
    """

    def __init__(
        self, trainer: Trainer, facts: Mapping[str, Any] | None = None, manifest: Mapping[str, Any] | None = None
    ):
        self._trainer = trainer
        self._facts = dict(facts or {})
        self._manifest = dict(manifest) if manifest is not None else _describe_trainer(trainer)
        self._stage: dict[str, Any] | None = None
        self._started: float | None = None
        self._foreign_card = trainer.create_model_card
        trainer.create_model_card = self.create_model_card  # type: ignore[method-assign]
        trainer.add_callback(self)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock; of a run that goes on from a checkpoint the whole time is not known."""
        self._started = None if state.global_step else time.monotonic()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the steps, the seconds and the device."""
        self._stage = {"name": self._manifest.get("task") or "training", "steps": state.global_step}
        if self._started is not None:
            self._stage["seconds"] = round(time.monotonic() - self._started, 1)
        self._stage["device"] = name_device(args.device, args.world_size)

    def create_model_card(
        self,
        language: str | None = None,
        license: str | None = None,
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | None = None,
        tasks: str | list[str] | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | list[str] | None = None,
        dataset_args: str | list[str] | None = None,
    ) -> None:
        """Write the card into the output folder; the arguments are those of `Trainer.create_model_card`.

        `license`, `tags`, `finetuned_from` and `dataset_tags` are taken over; RNA has no language, and the rest comes
        from the folder.

        Raises:
            ValueError: one of them is nothing that the Hub knows, or a number has no source.
        """
        if not self._trainer.is_world_process_zero():
            return
        folder = Path(str(self._trainer.args.output_dir))
        if not (folder / "config.json").is_file():
            self._trainer.save_model(str(folder), _internal_call=True)
        if not _is_ours(folder):  # adapters alone, or a model of others
            self._foreign_card(
                language, license, tags, model_name, finetuned_from, tasks, dataset_tags, dataset, dataset_args
            )
            return
        self.write_manifest(folder)
        if not (folder / "scores.json").is_file():
            self._trainer.save_state()  # has the scores of the evaluations
        facts = self.find_facts(folder)
        given: dict[str, Any] = {
            "license": license,
            "tags": [*facts.tags, *_listed(tags)] if tags else None,
            "base_model": hub_id_of(finetuned_from),
            "datasets": _listed(dataset_tags),
        }
        given = {name: value for name, value in given.items() if value}
        card_of_folder(folder, facts=merge_facts(facts, given, "create_model_card"), overwrite=True)

    def write(self, folder: Path, scores: Mapping[str, float], file: str) -> None:
        """Write what was trained, and the card, into a folder that holds the model.

        Args:
            folder: with `config.json` and weights.
            scores: of the run.
            file: that they are about to be written to, in this folder.
        """
        self.write_manifest(folder)
        write_card(folder, self.find_facts(folder), accuracy=scores_text(file, scores))

    def write_manifest(self, folder: Path) -> None:
        """Write `training_data.json`; that of another run stays until this one has trained."""
        if self._stage is None and (folder / MANIFEST_FILE).is_file():
            return
        stages = {"stages": [self._stage]} if self._stage else {}
        replace_text(folder / MANIFEST_FILE, json.dumps(self._manifest | stages, indent=1) + "\n")

    def find_facts(self, folder: Path) -> CardFacts:
        """Return what the folder and the script say."""
        return merge_facts(find_facts(folder), self._facts)


def name_device(device: torch.device, number: int = 1) -> str:
    """Name a device for people, and how many processes had one each."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    elif device.type == "cpu":
        threads = torch.get_num_threads()
        name = f"{threads} CPU thread{'s' if threads > 1 else ''} ({platform.machine()})"
    else:
        name = str(device)
    return f"{number} x {name}" if number > 1 else name


def describe_source(
    name: str, dataset: Any, files: Iterable[str] = (), rule: str = "", digest: str = ""
) -> dict[str, Any]:
    """Return the entry of a data set in `training_data.json`."""
    sequences = dataset["sequence"] if "sequence" in getattr(dataset, "column_names", ()) else None
    entry: dict[str, Any] = {"name": name, "files": list(files), "rule": rule, "rows": len(dataset)}
    if sequences is not None:
        entry["sequences"] = len(set(sequences))
    return entry | ({"sha256": digest} if digest else {})


def _describe_trainer(trainer: Trainer) -> dict[str, Any]:
    """Say what a Trainer was given, without the names of files, which it does not know."""
    parts = {"train": trainer.train_dataset, "validation": trainer.eval_dataset}
    named = {name: dataset for name, dataset in parts.items() if dataset is not None and hasattr(dataset, "__len__")}
    head = type(trainer.model).__name__
    manifest: dict[str, Any] = {"task": head, "tool": "transformers.Trainer"}
    origin = str(getattr(trainer.model, "name_or_path", "") or "")
    if origin:
        # A folder's own name: what stands before it is of this machine.
        manifest["started_from"] = origin if hub_id_of(origin) else Path(origin).name
    return manifest | {"sources": [describe_source(name, dataset) for name, dataset in named.items()]}


def _is_ours(folder: Path) -> bool:
    path = folder / "config.json"
    if not path.is_file():
        return False
    return json.loads(path.read_text(encoding="utf-8")).get("model_type") in ARCHITECTURES


def _listed(value: str | list[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
