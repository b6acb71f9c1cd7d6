"""What happens at the end of an epoch and after an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ..atomic_files import replace_text


def without_timings(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return what an evaluation found out about the model, without how long it took, and without epoch and step."""
    left_out = ("_runtime", "_per_second", "_time")
    return {
        name: value
        for name, value in metrics.items()
        if name.startswith(("eval_", "test_")) and not name.endswith(left_out)
    }


class EveryEpochs(TrainerCallback):
    """Passes over the evaluations and checkpoints at the end of most epochs.

    Args:
        epochs: the number of epochs from one to the next; those at the end of the training always take place.
    """

    def __init__(self, epochs: int):
        self._epochs = epochs

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take back what the Trainer's own callback decided just before."""
        if state.global_step < state.max_steps and round(state.epoch) % self._epochs:
            control.should_evaluate &= args.eval_strategy != "epoch"
            control.should_save &= args.save_strategy != "epoch"


class LogFile(TrainerCallback):
    """Writes a text file with a line for each evaluation.

    It is written anew from the Trainer's own history, so a run that goes on from a checkpoint has each line once.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path):
        self._path = path

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write it."""
        if not state.is_world_process_zero:
            return
        lines, loss = [], ""
        for entry in state.log_history:
            if "loss" in entry:
                loss = f"  train_loss {entry['loss']:.4f}"
            if scores := without_timings(entry):
                values = "".join(f"  {name} {value:.4f}" for name, value in scores.items())
                lines.append(f"epoch {entry['epoch']:.2f}  step {entry['step']}{loss}{values}\n")
        replace_text(self._path, "".join(lines))
