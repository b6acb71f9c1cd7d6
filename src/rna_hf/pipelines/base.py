"""What the pipelines of this package share."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

from torch.utils.data import Dataset, IterableDataset
from transformers import Pipeline

from ..checkpoints import CHECKPOINTS, find_bundled
from ..data.checks import explain_caution, explain_share, find_problem, is_missing
from ..data.records import as_pair
from ..data.sources import open_values
from ..data.tables import plain_value
from ..options import option_names
from ..prediction.predictor import Predictor
from ..tasks import WARNING, Prediction, Task, join_cautions

_MAX_NAMED = 3


class _Checked(str):
    """A sequence whose place among the inputs was known when it was checked."""


class _CheckedDataset(Dataset):
    """A data set of torch, its items checked as they are read."""

    def __init__(self, check: Any, items: Any):
        self._check = check
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> _Checked:
        return self._check(self._items[index], index + 1)


class RnaPipeline(Pipeline):
    """Predicts for one sequence or many what `rna_hf.predict` predicts.

    Takes a sequence; a list, an array or a column of them (pandas, polars, Arrow, `datasets`); a table in memory with a
    column `sequence`; or, read as they come, a generator or a data set of torch such as transformers' `KeyDataset`.

    Returns for each sequence a dict with `sequence` (as given), what the task's `Prediction.describe` says, `unit`, and
    `warning`: why the prediction is to be taken with care, or None.
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

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Predict for one sequence or many; see the class.

        Raises:
            ValueError: an input is no RNA, or an option is unknown. What is in memory is checked before anything is
                predicted.
        """
        if isinstance(inputs, str):
            return super().__call__(inputs, *args, **kwargs)
        options = (
            self._preprocess_params
            | self._sanitize_parameters(
                **{name: value for name, value in kwargs.items() if name not in ("batch_size", "num_workers")}
            )[0]
        )
        return super().__call__(self._check_many(inputs, options), *args, **kwargs)

    def _check_many(self, inputs: Any, options: dict[str, Any]) -> Any:
        def check_item(item: Any, number: int) -> _Checked:
            try:
                sequence = as_pair(item, number)[1]
            except ValueError as error:
                raise self._explain_input(error) from None
            self._warn([(f"item {number}", self._check(sequence, f"item {number}", options))], options)
            return _Checked(sequence)

        if isinstance(inputs, Dataset) and not isinstance(inputs, IterableDataset) and hasattr(inputs, "__len__"):
            return _CheckedDataset(check_item, inputs)
        try:
            source = open_values(inputs)
            records = None if source is None else list(source.records())
        except ValueError as error:
            raise self._explain_input(error) from None
        if source is None or records is None:
            return _generate(check_item, inputs)
        if not records:
            raise ValueError(f"{source.name} holds no sequence")
        checked = [self._check(record.sequence, f"{source.name}, {record.location}", options) for record in records]
        self._warn([(record.location, sequence) for record, sequence in zip(records, checked)], options)
        return checked

    def _explain_input(self, error: ValueError) -> ValueError:
        return ValueError(
            f"{self.rna_task.pipeline_name} takes a sequence, sequences in a list or column, or a table with a column "
            f"'sequence': {error}. Other columns: list(table[column]), or KeyDataset(data, column) of transformers"
        )

    def _check(self, sequence: str, where: str, options: dict[str, Any]) -> _Checked:
        """Return a sequence that can be predicted."""
        sequence = sequence.strip()
        if not sequence:
            raise ValueError(f"{where} is empty; give at least one nucleotide")
        predictor = self._predictor(options)
        # A tokenizer may have been told to read other letters as N.
        reads_others = getattr(self.tokenizer, "on_unknown", "error") == "n" and not is_missing(sequence)
        problem = (
            (None if reads_others else find_problem(sequence))
            or explain_share(predictor.prediction.part_read(sequence))
            or predictor.prediction.explain_length(len(sequence), predictor.config)
        )
        if problem is not None:
            raise ValueError(f"{where} cannot be predicted: {problem}")
        return _Checked(sequence)

    def _warn(self, checked: list[tuple[str, _Checked]], options: dict[str, Any]) -> None:
        """Warn of the RNAs, given with their places, that the model was not made for."""
        predictor = self._predictor(options)
        places: dict[str, list[str]] = {}
        for where, sequence in checked:
            for caution in predictor.prediction.cautions(sequence, predictor.config):
                if caution.start is None:
                    places.setdefault(caution.reason, []).append(where)
        for reason, names in places.items():
            warnings.warn(explain_caution(names[:_MAX_NAMED], len(names), reason), stacklevel=4)

    def preprocess(self, input_: str, **options: Any) -> dict[str, Any]:
        """Check a sequence."""
        if isinstance(input_, _Checked):
            return {"sequence": str(input_)}
        value = plain_value(input_)
        if not isinstance(value, str):
            error = ValueError("missing value" if value is None else f"got {type(input_).__name__}")
            raise self._explain_input(error)
        sequence = self._check(value, "the sequence", options)
        self._warn([("the sequence", sequence)], options)
        return {"sequence": str(sequence)}

    def _forward(self, input_tensors: dict[str, Any], **options: Any) -> Any:
        given = input_tensors["sequence"]
        sequences = [given] if isinstance(given, str) else list(given)
        return {"rows": self._predictor(options).predict(sequences), "sequence": sequences}

    def postprocess(self, model_outputs: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Name the values."""
        rows, sequence = model_outputs["rows"], model_outputs["sequence"]
        if isinstance(sequence, list):  # a batch of one that nobody has taken apart
            (rows,), (sequence,) = rows, sequence
        predictor = self._predictor(options)
        prediction, config = predictor.prediction, predictor.config
        described = prediction.describe(rows, sequence, config)
        warning = join_cautions(prediction.cautions(sequence, config))
        return {"sequence": sequence, **described, "unit": prediction.unit, WARNING: warning}

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs: Any) -> None:
        """Save model and tokenizer. Unlike transformers' own, this copies no code: the package brings it."""
        self.model.save_pretrained(save_directory, **kwargs)
        self.tokenizer.save_pretrained(save_directory)


def _generate(check: Any, items: Any) -> Iterator[_Checked]:
    # transformers takes generators only for what is read as it comes.
    for number, item in enumerate(items, start=1):
        yield check(item, number)
