"""What the pipelines of this package share."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from transformers import Pipeline

from ..checkpoints import CHECKPOINTS, find_bundled
from ..options import option_names
from ..prediction.predictor import Predictor
from ..tasks import Prediction, Task


class RnaPipeline(Pipeline):
    """Predicts for one sequence or a list of them what `rna_hf.predict` predicts.

    Returns for each sequence a dict with `sequence` (as given), what the task's `Prediction.describe` says, and `unit`.
    Opened without a model it uses the task's default checkpoint, offline, if there is one. Options of a call are those
    of the task that change values.

    Attributes:
        rna_task: what is predicted.
    """

    rna_task: ClassVar[Task]

    tokenizer: Any

    # transformers annotates these as None, and says in the comment beside them that they are three-valued.
    _load_tokenizer = True  # type: ignore[assignment]
    _load_processor = False  # type: ignore[assignment]
    _load_image_processor = False  # type: ignore[assignment]
    _load_video_processor = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]

    @property
    def prediction(self) -> Prediction:
        """How the task is predicted."""
        assert self.rna_task.prediction is not None  # as `pipeline_class` makes sure
        return self.rna_task.prediction

    @classmethod
    def registration(cls) -> dict[str, Any]:
        """Return the arguments of `PIPELINE_REGISTRY.register_pipeline`."""
        task = cls.rna_task
        arguments: dict[str, Any] = {
            "task": task.pipeline_name,
            "pipeline_class": cls,
            "pt_model": (task.auto_class(),),
            "type": "text",
        }
        if task.default_checkpoint is not None:
            # A folder in place of a name on the Hub, without a revision.
            entry = CHECKPOINTS[task.default_checkpoint]
            arguments["default"] = {
                "model": (entry.hub_id or str(find_bundled(task.default_checkpoint)), entry.revision)
            }
        return arguments

    def _sanitize_parameters(self, **kwargs: Any) -> tuple[dict, dict, dict]:
        known = option_names(self.prediction, for_files=False)
        unknown = sorted(set(kwargs) - set(known))
        if unknown:
            options = ", ".join((*known, "batch_size"))
            raise ValueError(f"{self.rna_task.pipeline_name} takes no option {', '.join(unknown)}; options: {options}")
        return kwargs, kwargs, kwargs

    def _predictor(self, options: dict[str, Any]) -> Predictor:
        """Return a predictor with a call's options."""
        config: Any = self.model.config
        prediction = self.prediction.with_options(**options).for_checkpoint(config, self.tokenizer)
        return Predictor(prediction, self.model, self.tokenizer, name=self.rna_task.pipeline_name)

    def preprocess(self, input_: str, **options: Any) -> dict[str, Any]:
        """Check a sequence."""
        if not isinstance(input_, str):
            name = self.rna_task.pipeline_name
            raise ValueError(f"{name} takes a sequence or a list of sequences, got {type(input_).__name__}")
        sequence = input_.strip()
        if not sequence:
            raise ValueError("the sequence is empty; give at least one nucleotide")
        predictor = self._predictor(options)
        problem = predictor.prediction.explain_length(len(sequence), predictor.config)
        if problem is not None:
            raise ValueError(f"the sequence cannot be predicted: {problem}")
        return {"sequence": sequence}

    def _forward(self, input_tensors: dict[str, Any], **options: Any) -> Any:
        given = input_tensors["sequence"]
        sequences = [given] if isinstance(given, str) else list(given)
        return {"rows": self._predictor(options).predict(sequences), "sequence": sequences}

    def postprocess(self, model_outputs: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Name the values."""
        rows, sequence = model_outputs["rows"], model_outputs["sequence"]
        if isinstance(sequence, list):  # a batch of one that nobody has taken apart
            (rows,), (sequence,) = rows, sequence
        prediction = self._predictor(options).prediction
        described = prediction.describe(rows, sequence, self.model.config)
        return {"sequence": sequence, **described, "unit": prediction.unit}

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save model and tokenizer. Unlike transformers' own, this copies no code: the package brings it."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory)
