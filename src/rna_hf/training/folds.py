"""Cross-validation: `rna-hf finetune --folds K` trains K models and reports mean and spread of their scores."""

from __future__ import annotations

import json
import sys
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
from transformers import TrainingArguments

from ..atomic_files import replace_text
from .arguments import DataArguments, ModelArguments
from .callbacks import without_timings
from .finetune import SCORES_FILE, finetune
from .run_record import RECORD_FILE, check_record, make_record

# Written when all folds are finished.
FOLDS_FILE = "folds.json"


def finetune_folds(
    model_arguments: ModelArguments, data_arguments: DataArguments, training_arguments: TrainingArguments
) -> dict[str, dict[str, float]]:
    """Train a model for each fold, in the folder `fold_<number>` below `training_arguments.output_dir`.

    A fold that is finished is passed over, one that was stopped goes on.

    Returns:
        `mean` and `std` (the standard deviation of the sample) of each score over the folds; also in `folds.json`, with
        the scores of each fold.

    Raises:
        FileExistsError: a fold's folder holds another run.
    """
    output = Path(str(training_arguments.output_dir))
    scores = []
    for fold in range(1, data_arguments.folds + 1):
        folder = output / f"fold_{fold}"
        data = replace(data_arguments, fold=fold)
        training = copy(training_arguments)
        training.output_dir = str(folder)
        if training.run_name:
            training.run_name = f"{training.run_name}-fold-{fold}"
        is_finished = (folder / SCORES_FILE).exists()
        if training.process_index == 0:
            state = "is finished already" if is_finished else "begins or goes on"
            print(f"rna-hf: fold {fold} of {data.folds} {state}: {folder}", file=sys.stderr)
        if is_finished:
            check_record(folder / RECORD_FILE, make_record(model_arguments, data, training))
            found = json.loads((folder / SCORES_FILE).read_text(encoding="utf-8"))
        else:
            found = finetune(model_arguments, data, training)
        scores.append(without_timings(found))
    table = {name: [found[name] for found in scores] for name in scores[0]}
    summary = {
        "mean": {name: float(np.mean(values)) for name, values in table.items()},
        "std": {name: float(np.std(values, ddof=1)) for name, values in table.items()},
    }
    if training_arguments.process_index == 0:
        replace_text(output / FOLDS_FILE, json.dumps(summary | {"folds": scores}, indent=1) + "\n")
        for name, mean in summary["mean"].items():
            spread = summary["std"][name]
            print(f"rna-hf: {name} {mean:.4f} ± {spread:.4f} over {len(scores)} folds", file=sys.stderr)
    return summary
