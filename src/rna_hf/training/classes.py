"""Classes of RNAs and of nucleotides: how many there are, what they are called, and their numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from ..losses import problem_type_of
from ..tasks import Training
from .labels import holds_text, listed, place, replaced, shown

# A column of text in which each of so many RNAs has another class is no column of classes.
_MAX_UNIQUE = 20
_CLASSES_STATED = frozenset({"num_labels", "id2label", "label2id"})


def settle_classes(dataset: Any, file: str, training: Training, config: Any, stated: Collection[str]) -> None:
    """Let a model have the classes of its training data, unless somebody has said how many there are.

    Classes with names are collected, in alphabetical order, into the configuration's `id2label`; those that are whole
    numbers must then be all of 0, 1, ... up to the largest.

    Args:
        dataset: the training data, see `find_labels`.
        file: its name in messages.
        training: the task's.
        config: of the model; changed.
        stated: the fields of the configuration that somebody has set.

    Raises:
        ValueError: the classes don't count from 0, are not as many as was said, or are none.
    """
    if not training.has_classes:
        return
    are_classes = problem_type_of(config) == "single_label_classification"
    if not are_classes and {"problem_type", "num_labels"} & set(stated):
        return
    values = [value for _, _, value in _leaves(dataset["labels"], training)]
    names = sorted({value for value in values if isinstance(value, str)})
    is_stated = bool(_CLASSES_STATED & set(stated))
    if names:
        known = [config.id2label[index] for index in sorted(config.id2label)]
        if set(names) <= set(known):
            return
        if {"id2label", "label2id"} & set(stated):
            return  # the one that is unknown is named with its row
        if len(names) == 1:
            raise ValueError(f"{file}: all labels are {shown(names[0])}; two classes at least are needed")
        if training.labels_of == "sequence" and len(names) == len(values) > _MAX_UNIQUE:
            raise ValueError(f"{file}: labels are text, another one for each RNA ({listed(names)}): no classes")
        folded = [name.strip().lower() for name in names]
        if len(set(folded)) < len(folded):
            alike = [name for name, low in zip(names, folded) if folded.count(low) > 1 and len(low) > 1]
            if alike:
                raise ValueError(
                    f"{file}: the classes {listed(alike)} differ in their letters' case alone; write them alike"
                )
        if is_stated and len(names) != config.num_labels:
            raise ValueError(
                f"{file} has {len(names)} classes ({listed(names)}), but num_labels is {config.num_labels}: leave it "
                "out of config"
            )
        config.id2label = dict(enumerate(names))
        config.label2id = {name: index for index, name in enumerate(names)}
        return
    if is_stated or not are_classes:
        return
    numbers = np.array([value for value in values if isinstance(value, int | float)], dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers) or (numbers != np.round(numbers)).any():
        return
    classes = np.unique(numbers[numbers >= 0]).astype(int)
    if len(classes) == 1 and len(numbers) > 1:
        raise ValueError(f"{file}: all labels are {classes[0]}; two classes at least are needed")
    if not len(classes) or classes[-1] < config.num_labels:
        return
    if classes[0] > 0:
        lowest, highest = int(classes[0]), int(classes[-1])
        row = next(row for row, _, value in _leaves(dataset["labels"], training) if value == highest)
        raise ValueError(
            f"{place(dataset, file, row)}: class {highest}, where the smallest is {lowest}: classes count from 0; "
            f"subtract {lowest}, or set how many there are: --config '{{\"num_labels\": {highest + 1}}}'"
        )
    missing = sorted(set(range(min(int(classes[-1]), len(classes)))) - set(classes.tolist()))
    if missing:
        row = next(row for row, _, value in _leaves(dataset["labels"], training) if value == classes[-1])
        raise ValueError(
            f"{place(dataset, file, row)}: class {classes[-1]}, but no RNA has class {missing[0]}: number the classes "
            f"without gaps, or set how many there are: --config '{{\"num_labels\": {classes[-1] + 1}}}'"
        )
    config.num_labels = len(classes)


def number_classes(dataset: Any, file: str, training: Training, config: Any) -> Any:
    """Return a data set whose named classes are numbers, by the configuration's `id2label`.

    Raises:
        ValueError: a class is none of these.
    """
    if not training.has_classes or not holds_text(dataset.features["labels"]):
        return dataset
    # The table of names wins: a configuration may have been given one without the other.
    numbers = {str(name): int(index) for index, name in config.id2label.items()}
    for row, _, value in _leaves(dataset["labels"], training):
        if isinstance(value, str) and value not in numbers:
            raise ValueError(
                f"{place(dataset, file, row)}: {shown(value)} is no class of the training data or the model, which are "
                f"{listed(list(numbers))}"
            )

    def number(value: Any) -> Any:
        return [number(part) for part in value] if isinstance(value, list) else numbers.get(value, value)

    return replaced(dataset, "labels", [number(value) for value in dataset["labels"]])


def _leaves(column: Any, training: Training) -> Iterator[tuple[int, int, Any]]:
    """Yield row, position and value of labels that stand for a class; none of those that are lists of numbers."""
    for row, value in enumerate(column):
        parts = value if training.labels_of == "nucleotides" else [value]
        for position, part in enumerate(parts if isinstance(parts, list) else ()):
            if not isinstance(part, list):
                yield row, position, part
