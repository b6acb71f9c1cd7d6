"""What the pipelines of this package share."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from transformers import Pipeline

from rna_hf.checkpoints import DEFAULT_CHECKPOINTS, default_checkpoint_path
from rna_hf.prediction import PredictionTask, Row, is_padding_masked


class RnaPipeline(Pipeline):
    """Predicts for one sequence or a list of them what a `PredictionTask` predicts.

    Returns for each sequence a dict with `sequence` (as given), what a subclass says, and `unit`. Opened without a
    model it uses the task's bundled checkpoint, offline, if there is one.

    Attributes:
        task_name: as for `pipeline(...)`.
        prediction_task: turns outputs of the model into values.
        call_options: options of the prediction task that a call takes.
    """

    task_name: ClassVar[str]
    prediction_task: ClassVar[PredictionTask]
    call_options: ClassVar[tuple[str, ...]] = ()

    tokenizer: Any

    # transformers annotates these as None, and says in the comment beside them that they are three-valued.
    _load_tokenizer = True  # type: ignore[assignment]
    _load_processor = False  # type: ignore[assignment]
    _load_image_processor = False  # type: ignore[assignment]
    _load_video_processor = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]

    @classmethod
    def registration(cls) -> dict[str, Any]:
        """Return the arguments of `PIPELINE_REGISTRY.register_pipeline`."""
        task = cls.prediction_task
        arguments: dict[str, Any] = {
            "task": cls.task_name,
            "pipeline_class": cls,
            "pt_model": (task.auto_class(),),
            "type": "text",
        }
        if task.name in DEFAULT_CHECKPOINTS:
            # A folder in place of a name on the Hub, without a revision.
            arguments["default"] = {"model": (str(default_checkpoint_path(task.name)), None)}
        return arguments

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict, dict, dict]:
        unknown = sorted(set(kwargs) - set(self.call_options))
        if unknown:
            known = ", ".join((*self.call_options, "batch_size"))
            raise ValueError(f"{self.task_name} takes no option {', '.join(unknown)}; options: {known}")
        return kwargs, kwargs, kwargs

    def _task(self, options: dict[str, Any]) -> PredictionTask:
        """Return the prediction task with a call's options."""
        return self.prediction_task.with_options(**options).for_checkpoint(self.model.config, self.tokenizer)

    def preprocess(self, input_: str, **preprocess_parameters: Any) -> dict[str, Any]:
        """Encode a sequence."""
        if not isinstance(input_, str):
            raise ValueError(f"{self.task_name} takes a sequence or a list of sequences, got {type(input_).__name__}")
        sequence = input_.strip()
        if not sequence:
            raise ValueError("the sequence is empty; give at least one nucleotide")
        task = self._task(preprocess_parameters)
        problem = task.explain_length(len(sequence), self.model.config)
        if problem is not None:
            raise ValueError(f"the sequence cannot be predicted: {problem}")
        return {**task.encode(self.tokenizer, [sequence], self.model.config), "sequence": sequence}

    def _forward(self, input_tensors: dict[str, Any], **forward_parameters: Any) -> Any:
        task = self._task(forward_parameters)
        input_ids, mask = input_tensors["input_ids"], input_tensors["attention_mask"]
        sequences = input_tensors["sequence"]
        sequences = [sequences] if isinstance(sequences, str) else sequences
        widths = [task.read_length(len(sequence), self.model.config) for sequence in sequences]
        keep = ((input_tensors["special_tokens_mask"] == 0) & (mask != 0)).cpu()
        if mask.all():
            # Without padding no mask is given: the same numbers with less work.
            values = task.values(task.forward(self.model, input_ids, None), keep)
        elif is_padding_masked(self.model.config) or min(widths) == input_ids.shape[1]:
            values = task.values(task.forward(self.model, input_ids, mask), keep)
        else:
            # The batch's padding leaks into such a model's nucleotides as in the original: each sequence runs alone.
            values = []
            for ids, own, kept in zip(input_ids, mask != 0, keep, strict=True):
                values += task.values(task.forward(self.model, ids[own][None], None), kept[own.cpu()][None])
        return {"values": values, "sequence": input_tensors["sequence"]}

    def postprocess(self, model_outputs: dict[str, Any], **postprocess_parameters: Any) -> dict[str, Any]:
        """Name the values."""
        sequence = model_outputs["sequence"]
        sequence = sequence if isinstance(sequence, str) else sequence[0]
        # One sequence's array, in a list or behind an axis of one.
        values: np.ndarray = model_outputs["values"][0]
        task = self._task(postprocess_parameters)
        rows = task.rows(values, sequence, self.model.config)
        return {"sequence": sequence, **self._name(rows, sequence, task), "unit": task.unit}

    @abstractmethod
    def _name(self, rows: list[Row], sequence: str, task: Any) -> dict[str, Any]:
        """Turn a sequence's rows, made by a task, into plain Python values by name."""

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save model and tokenizer. Unlike transformers' own, this copies no code: the package brings it."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory)
