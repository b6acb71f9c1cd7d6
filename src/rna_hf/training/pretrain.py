"""Pre-training in stages: `rna-hf pretrain recipe.yaml`, alone or with torchrun or accelerate in front.

A recipe is a file of `rna-hf finetune` with a list `stages` whose entries override its options. Each stage is a
fine-tuning in a folder of its own that starts from the weights of the stage before, and may first have its labels
predicted ("pseudo-labels"). That is how RibonanzaNet was trained: He et al. 2024, "Ribonanza: deep learning of RNA
structure through dual crowdsourcing".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import TrainingArguments

from ..checkpoints import find_checkpoint
from .arguments import DataArguments, ModelArguments, parse_options, read_options
from .finetune import SCORES_FILE, check_arguments, finetune, open_config
from .pseudo_labels import LABELS_FILE, PseudoLabels, write_pseudo_labels
from .run_record import RECORD_FILE, check_record, make_record
from .training_data import find_files


@dataclass
class Stage:
    """One stage of a recipe.

    Attributes:
        name: of its folder.
        model: see `ModelArguments`.
        data: see `DataArguments`.
        training: see `TrainingArguments`; its `output_dir` is the stage's folder.
        pseudo_labels: what is predicted for its training data; None where `data` names them.
    """

    name: str
    model: ModelArguments
    data: DataArguments
    training: TrainingArguments
    pseudo_labels: PseudoLabels | None


def parse_recipe(argv: Sequence[str]) -> list[Stage]:
    """Read a recipe.

    Beside options, an entry of `stages` has a `name` and perhaps `pseudo_labels` (see `PseudoLabels`). The options
    `model` and `from_scratch` outside of `stages` are for the first stage; a later one starts from the weights of the
    one before, or from the `model` of its own entry. There and in `pseudo_labels`, the name of an earlier stage stands
    for the checkpoint that it trained.

    Args:
        argv: `FILE.yaml [--option value ...]`; options after the file win over it in every stage.

    Raises:
        FileNotFoundError: the file, or data that it names, is missing.
        ValueError: it has no stages, or an option is unknown, wrong or missing.
    """
    if argv and argv[0] in ("-h", "--help"):
        parse_options({}, argv, command="pretrain FILE.yaml")
    if not argv or argv[0].startswith("-"):
        raise ValueError("the recipe is missing: rna-hf pretrain FILE.yaml [--option value ...]")
    source, rest = argv[0], argv[1:]
    options = read_options(Path(source))
    entries = options.pop("stages", None)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry.get("name") for entry in entries):
        raise ValueError(f"{source}: stages is missing: list the stages, each with a name and what is different in it")
    stages: list[Stage] = []
    folders: dict[str, str] = {}
    for entry in entries:
        own = {key: value for key, value in entry.items() if key not in ("name", "pseudo_labels")}
        name = str(entry["name"])
        where = f"{source}, stage {name!r}"
        if name in folders or Path(name).name != name:
            raise ValueError(f"{where}: a name is that of a new folder; choose one that no stage has, without slashes")
        model, data, training = parse_options(options | own, rest, where, "pretrain")
        if stages:
            model.model = entry.get("model", stages[-1].name)
            model.from_scratch = entry.get("from_scratch", False)
        model.model = folders.get(model.model, model.model)
        folder = Path(str(training.output_dir)) / name
        training.output_dir = str(folder)
        pseudo_labels = None
        if entry.get("pseudo_labels"):
            pseudo_labels = PseudoLabels.parse(entry["pseudo_labels"], where)
            pseudo_labels.models = [folders.get(teacher, teacher) for teacher in pseudo_labels.models]
            if model.task != "reactivity":
                raise ValueError(f"{where}: pseudo_labels are reactivities, but task is {model.task!r}")
            data.train_file, data.data_format, data.profiles = str(folder / LABELS_FILE), "table", "all"
        if data.folds and not data.fold:
            raise ValueError(f"{where}: folds is for rna-hf finetune; name one of the {data.folds} with fold")
        # Before days of training, not after them.
        check_arguments(model, data, training)
        sources = [part.file for part in pseudo_labels.sources] if pseudo_labels else [data.train_file]
        checkpoints = set() if model.is_architecture else {model.model}
        for checkpoint in (checkpoints | set(pseudo_labels.models if pseudo_labels else [])) - set(folders.values()):
            find_checkpoint(checkpoint)
        for file in filter(None, [*sources, data.validation_file, data.test_file]):
            find_files(file)
        stages.append(Stage(name, model, data, training, pseudo_labels))
        folders[name] = str(folder)
    return stages


def pretrain(stages: Sequence[Stage]) -> None:
    """Train stage after stage; stages that are finished are passed over, one that was stopped goes on.

    Raises:
        FileExistsError: a stage's folder holds another run.
    """
    for number, stage in enumerate(stages, start=1):
        folder = Path(str(stage.training.output_dir))
        is_finished = (folder / SCORES_FILE).exists()
        if stage.training.process_index == 0:
            state = "is finished already" if is_finished else "begins or goes on"
            print(f"rna-hf: stage {number} of {len(stages)}, {stage.name}, {state}: {folder}", file=sys.stderr)
        if stage.pseudo_labels:
            config = open_config(stage.model, stage.model.config_fields())
            write_pseudo_labels(stage.pseudo_labels, folder, config.channels, stage.training)
        if is_finished:
            check_record(folder / RECORD_FILE, make_record(stage.model, stage.data, stage.training))
        else:
            finetune(stage.model, stage.data, stage.training)
