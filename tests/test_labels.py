"""Labels of tables: what is read, in each way that a file may write it, and what is refused before the first step."""

import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from tiny_models import RIBONANZANET_TO_TRAIN, save_tiny

from rna_hf import RibonanzaNetConfig
from rna_hf.cli.main import run
from rna_hf.tasks import TASKS
from rna_hf.training.arguments import DataArguments
from rna_hf.training.training_data import load_labelled

NAN = float("nan")
LETTERS = random.Random(7)
RNAS = ["".join(LETTERS.choices("ACGU", k=12 + index % 4)) for index in range(12)]
ODD = 5  # the row that is not like the others, from 0


def write(path, make, odd=None):
    """Write a table whose rows `make(index, sequence)` gives, but for one row."""
    rows = [{"id": f"rna{i}", "sequence": s} | (odd(s) if odd and i == ODD else make(i, s)) for i, s in enumerate(RNAS)]
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        cells = [
            [json.dumps(v) if isinstance(v, list) else "" if v is None else str(v) for v in r.values()] for r in rows
        ]
        quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in line) for line in cells]
        path.write_text("\n".join([",".join(rows[0]), *quoted]) + "\n")
    return path


def load(path, task, stated=None, **fields):
    """Read a table as a run does; return it with the configuration."""
    config = RibonanzaNetConfig(**(stated or {}) | fields)
    arguments = DataArguments(train_file=str(path))
    return load_labelled(str(path), arguments, TASKS[task], config, stated or {}), config


def refusal(path, task, stated=None):
    """Return the message of what is refused; it is one line of bounded length."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the caller looks at the message
        load(path, task, stated)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < len(str(path)) + 330
    return message.removeprefix(f"{path.parent}/")


FORMATS = ("jsonl", "csv", "parquet")


def classes(values):
    return lambda index, sequence: {"labels": values[index % len(values)]}


def profile(*row):
    return lambda index, sequence: {"labels": [list(row)] * len(sequence)}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("values", "expected", "names"),
    [
        ([0, 1], [0, 1], {0: "LABEL_0", 1: "LABEL_1"}),
        ([2, 0, 1], [2, 0, 1], {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}),
        (["1", "2", "0"], [1, 2, 0], {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}),
        ([1.0, 0.0], [1, 0], {0: "LABEL_0", 1: "LABEL_1"}),
        (["1.0", "0.0"], [1, 0], {0: "LABEL_0", 1: "LABEL_1"}),
        ([1, -100, 0], [1, -100, 0], {0: "LABEL_0", 1: "LABEL_1"}),
        (["snoRNA", "a long ncRNA "], [1, 0], {0: "a long ncRNA", 1: "snoRNA"}),
    ],
    ids=str,
)
def test_classes_of_sequences(suffix, values, expected, names, tmp_path):
    dataset, config = load(write(tmp_path / f"t.{suffix}", classes(values)), "sequence-classification")
    assert dataset["labels"][: len(expected)] == expected
    assert config.id2label == names
    assert config.label2id == {name: number for number, name in names.items()}


@pytest.mark.parametrize("suffix", FORMATS)
def test_booleans_are_classes(suffix, tmp_path):
    dataset, config = load(write(tmp_path / f"t.{suffix}", classes([True, False])), "sequence-classification")
    assert dataset["labels"][:2] == [1, 0]
    assert config.num_labels == 2


@pytest.mark.parametrize("suffix", FORMATS)
def test_classes_of_nucleotides(suffix, tmp_path):
    def names(index, sequence):
        return {"labels": ["a stem" if letter in "GC" else "loop" for letter in sequence]}

    def numbers(index, sequence):
        return {"labels": [None, *("ACGU".index(letter) for letter in sequence[1:])]}

    dataset, config = load(write(tmp_path / f"n.{suffix}", names), "token-classification")
    assert config.id2label == {0: "a stem", 1: "loop"}
    assert dataset["labels"][0] == [int(letter not in "GC") for letter in RNAS[0]]
    dataset, config = load(write(tmp_path / f"c.{suffix}", numbers), "token-classification")
    assert config.num_labels == 4
    assert dataset["labels"][0] == [-100, *("ACGU".index(letter) for letter in RNAS[0][1:])]


def test_classes_that_a_model_has_keep_their_numbers(tmp_path):
    table = write(tmp_path / "t.jsonl", classes(["b", "a"]))
    names = {"id2label": {0: "b", 1: "a", 2: "c"}, "label2id": {"b": 0, "a": 1, "c": 2}}
    dataset, config = load(table, "sequence-classification", **names)
    assert dataset["labels"][:2] == [0, 1]
    assert config.num_labels == 3
    assert "'b' is no class of the training data or the model, which are x, y" in refusal(
        table, "sequence-classification", {"id2label": {0: "x", 1: "y"}}
    )


@pytest.mark.parametrize("name", ["label", "Label", "Labels", "LABEL"])
def test_a_column_label_will_do(name, tmp_path):
    table = write(tmp_path / "t.csv", lambda index, sequence: {name: index % 2})
    assert load(table, "sequence-classification")[0]["labels"][:3] == [0, 1, 0]


@pytest.mark.parametrize("name", ["y", "Target", "class"])
def test_other_names_are_spoken_of(name, tmp_path):
    table = write(tmp_path / "t.csv", lambda index, sequence: {name: index % 2})
    assert refusal(table, "sequence-classification").endswith(
        f"lacks the column 'labels'; it has id, sequence, {name}; rename {name!r} to 'labels'"
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_predict_writes_is_read(suffix, tmp_path):
    """Lists in a cell, and the columns that `rna-hf predict` writes for each task."""
    values = [[0.25, None], [0.5, 1.0]]

    def lists(index, sequence):
        return {"labels": values + [[0.0, 0.125]] * (len(sequence) - 2)}

    dataset, _ = load(write(tmp_path / f"lists.{suffix}", lists), "reactivity")
    np.testing.assert_array_equal(np.array(dataset["labels"][1], dtype=float)[:2], [[0.25, NAN], [0.5, 1.0]])

    def columns(index, sequence):
        return {"reactivity_2A3": [0.5] * len(sequence), "reactivity_DMS": [0.25] * len(sequence)}

    dataset, _ = load(write(tmp_path / f"columns.{suffix}", columns), "reactivity")
    assert dataset["labels"][2] == [[0.5, 0.25]] * len(RNAS[2])

    dataset, _ = load(
        write(tmp_path / f"xyz.{suffix}", lambda i, s: {c: [float(n) + i for n in range(len(s))] for c in "xyz"}), "3d"
    )
    assert dataset["coordinates"][1][:2] == [[1.0] * 3, [2.0] * 3]

    dataset, _ = load(write(tmp_path / f"reads.{suffix}", lambda i, s: {"reads_2A3": 5.5, "reads_DMS": i}), "dropout")
    assert dataset["labels"][3] == [5.5, 3.0]

    fold = {"structure": "((" + "." * 8 + "))"}
    dataset, _ = load(
        write(tmp_path / f"s.{suffix}", lambda i, s: {"structure": fold["structure"].ljust(len(s), ".")}), "structure"
    )
    assert dataset["pairs"][0] == [[0, 11], [1, 10]]


@pytest.mark.parametrize("text", ["[[0.5, NaN]]", "[[0.5, nan]]", "[(0.5, None)]", "[[0.5, null]]", "[['0.5', 'nan']]"])
def test_lists_as_json_and_as_python_write_them(text, tmp_path):
    table = tmp_path / "t.jsonl"
    rows = [{"sequence": "A", "labels": text}, {"sequence": "G", "labels": "[[1, 2]]"}]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset, _ = load(table, "reactivity")
    np.testing.assert_array_equal(np.array(dataset["labels"][0], dtype=float), [[0.5, NAN]])


@pytest.mark.parametrize("suffix", FORMATS)
def test_numbers_of_sequences_and_nucleotides(suffix, tmp_path):
    table = write(tmp_path / f"s.{suffix}", lambda index, sequence: {"labels": index})
    assert load(table, "sequence-classification", {"num_labels": 1})[0]["labels"][:2] == [0.0, 1.0]
    table = write(tmp_path / f"n.{suffix}", lambda index, sequence: {"labels": [0.5] * len(sequence)})
    assert load(table, "token-classification", {"num_labels": 1})[0]["labels"][0][0] == [0.5]
    several = {"num_labels": 2, "problem_type": "multi_label_classification"}
    table = write(tmp_path / f"m.{suffix}", classes([[0, None], [1, 1]]))
    np.testing.assert_array_equal(load(table, "sequence-classification", several)[0]["labels"][0], [0, NAN])
    table = write(tmp_path / f"d.{suffix}", classes([[7, None], [1, 1]]))
    np.testing.assert_array_equal(load(table, "dropout")[0]["labels"][0], [7, NAN])


WHOLE = {"num_labels": 3, "problem_type": "multi_label_classification"}
WHOLE_NUMBERS = {"num_labels": 2}
REFUSED = {
    "null": ("reactivity", profile(0.1, 0.2), lambda s: {"labels": None}, "no labels; drop the row"),
    "short": ("reactivity", profile(0.1, 0.2), lambda s: {"labels": [[0.1, 0.2]] * 12}, "13 nucleotides but 12 rows"),
    "long": ("reactivity", profile(0.1, 0.2), lambda s: {"labels": [[0.1, 0.2]] * 14}, "13 nucleotides but 14 rows"),
    "ragged": (
        "reactivity",
        profile(0.1, 0.2),
        lambda s: {"labels": [*[[0.1, 0.2]] * 12, [0.1]]},
        "nucleotide 13: 1 labels where 2 are needed, one for each of 2A3, DMS",
    ),
    "no row": (
        "degradation",
        profile(1.0, 2.0, 3.0, 4.0, 5.0),
        lambda s: {"labels": [*[[0.1] * 5] * 12, None]},
        "nucleotide 13: labels are None: 5 numbers are needed",
    ),
    "turned": (
        "reactivity",
        profile(0.1, 0.2),
        lambda s: {"labels": [[0.1] * 13] * 2},
        "turn the table, which has a row for each channel",
    ),
    "no class": ("sequence-classification", classes([0, 1]), lambda s: {"labels": None}, "no labels; drop the row"),
    "no name": ("sequence-classification", classes(["a", "b"]), lambda s: {"labels": None}, "no labels; drop the row"),
    "negative": (
        "sequence-classification",
        classes([0, 1]),
        lambda s: {"labels": -1},
        "class -1: classes count from 0",
    ),
    "half": ("sequence-classification", classes([0, 1]), lambda s: {"labels": 0.5}, "label 0.5 is no class"),
    "far": ("sequence-classification", classes([0, 1]), lambda s: {"labels": 7}, "class 7, but no RNA has class 2"),
    "class nucleotide": (
        "token-classification",
        lambda i, s: {"labels": [0, 1] * 6 + [0] * (len(s) - 12)},
        lambda s: {"labels": [0] * 12},
        "13 nucleotides but 12 entries of labels",
    ),
    "negative reads": ("dropout", classes([[1.0, 2.0]]), lambda s: {"labels": [3.0, -2.0]}, "a negative number (-2)"),
    "reads": ("dropout", classes([[1.0, 2.0]]), lambda s: {"labels": [3.0]}, "1 labels where 2 are needed"),
    "outside": ("structure", lambda i, s: {"pairs": [[0, 11]]}, lambda s: {"pairs": [[0, 13]]}, "pairs position 13"),
    "self": ("contact-prediction", lambda i, s: {"pairs": [[0, 11]]}, lambda s: {"pairs": [[4, 4]]}, "4 with itself"),
    "three": ("structure", lambda i, s: {"pairs": [[0, 11]]}, lambda s: {"pairs": [[1, 2, 3]]}, "[1, 2, 3] is no pair"),
    "no pairs": ("structure", lambda i, s: {"pairs": [[0, 11]]}, lambda s: {"pairs": None}, "write [] for an RNA"),
    "plane": (
        "3d",
        lambda i, s: {"coordinates": [[1.0, 2.0, 3.0]] * len(s)},
        lambda s: {"coordinates": [[1.0, 2.0]] * len(s)},
        "2 coordinates where 3 are needed, x, y and z",
    ),
    "partners": (
        "structure",
        lambda i, s: {"pairs": [[0, 11]]},
        lambda s: {"pairs": [[0, 11], [0, 7]]},
        "pairs position 0 with both 7 and 11; keep one of them, or train for contact-prediction",
    ),
    "letter": (
        "reactivity",
        profile(0.1, 0.2),
        lambda s: {"sequence": f"X{s[1:]}", "labels": [[0.0, 1.0]] * len(s)},
        "unknown letter 'X' at position 1",
    ),
    "gap": (
        "masked-lm",
        lambda i, s: {},
        lambda s: {"sequence": f"{s[:3]}-{s[4:]}"},
        "unknown letter '-' at position 4",
    ),
    "missing": ("masked-lm", lambda i, s: {}, lambda s: {"sequence": "missing"}, "'missing' reads as a missing value"),
    "no sequence": (
        "reactivity",
        profile(0.1, 0.2),
        lambda s: {"sequence": None, "labels": [[0.0, 1.0]]},
        "no sequence",
    ),
}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", REFUSED)
def test_the_row_is_named(name, suffix, tmp_path):
    task, make, odd, message = REFUSED[name]
    found = refusal(write(tmp_path / f"t.{suffix}", make, odd), task)
    assert found.startswith(f"t.{suffix}, row {ODD + 1} (id 'rna{ODD}'): ")
    assert message in found


@pytest.mark.parametrize(
    ("task", "make", "odd", "stated", "message"),
    [
        ("sequence-classification", classes([1, 2]), None, {}, "row 2 (id 'rna1'): class 2, where the smallest is 1"),
        ("sequence-classification", classes([0, 2]), None, {"num_labels": 2}, "class 2, but the model has 2"),
        (
            "sequence-classification",
            classes(["a", "b"]),
            None,
            {"num_labels": 3},
            "2 classes (a, b), but num_labels is 3",
        ),
        ("sequence-classification", classes(["one"]), None, {}, "all labels are 'one'; two classes at least"),
        ("sequence-classification", classes([1]), None, {}, "all labels are 1; two classes at least"),
        ("sequence-classification", classes(["mRNA", "mrna"]), None, {}, "differ in their letters' case alone"),
        ("sequence-classification", lambda i, s: {"labels": 1, "label": 0}, None, {}, "the columns labels and label:"),
        ("sequence-classification", classes([{"a": 1}]), None, WHOLE_NUMBERS, "{'a': 1} is no class"),
        ("structure", lambda i, s: {"pairs": [[0, 11]]}, lambda s: {"pairs": [[0, float("inf")]]}, {}, "is no pair"),
        ("structure", lambda i, s: {"pairs": [[False, True]]}, None, {}, "is no pair"),
        ("masked-lm", lambda i, s: {"sequence": i}, None, {}, "the sequence is 0, no text"),
        ("sequence-classification", classes([0.1, 0.7]), None, {}, "label 0.1 is no class"),
        ("sequence-classification", classes([[0.1, 0.7]]), None, {}, "labels are [0.1, 0.7]: one class is needed"),
        (
            "sequence-classification",
            classes(["0", "1"]),
            lambda s: {"labels": "O"},
            {},
            "labels are 'O', where most are",
        ),
        ("sequence-classification", classes([[0, 1, 1]]), lambda s: {"labels": [0, 1]}, WHOLE, "2 labels where 3"),
        (
            "sequence-classification",
            classes([[0, 1, 1]]),
            lambda s: {"labels": [0, 5, 1]},
            WHOLE,
            "5 among labels is out",
        ),
        ("reactivity", lambda i, s: {"labels": [0.5] * len(s)}, None, {}, "nucleotide 1: labels are 0.5: 2 numbers"),
        ("reactivity", classes([0.5]), None, {}, "a list is needed, with an entry for each of the 12 nucleotides"),
        ("reactivity", classes([str(np.ones((40, 2)))]), None, {}, "which is no list: write JSON, such as [0.1, NaN]"),
        ("reactivity", classes([str([[0.1] * 200] * 2)]), None, {}, "12 nucleotides but 2 rows"),
        ("reactivity", profile("x" * 5000, "y"), None, {}, "xxx... among labels is no number"),
        ("structure", classes([1]), None, {}, "lacks the column 'pairs'"),
        ("structure", lambda i, s: {"pairs": [[0, 5]]}, lambda s: {"pairs": [0, 5]}, {}, f"row {ODD + 1}"),
        (
            "structure",
            lambda i, s: {"structure": "((."},
            None,
            {},
            "a dot-bracket as long as the sequence (12) is needed",
        ),
    ],
)
def test_what_is_refused(task, make, odd, stated, message, tmp_path):
    assert message in refusal(write(tmp_path / "t.jsonl", make, odd), task, stated)


def test_an_rna_without_pairs_is_fine(tmp_path):
    table = write(tmp_path / "t.csv", lambda i, s: {"pairs": [[0.0, 11]]}, lambda s: {"pairs": []})
    dataset, _ = load(table, "structure")
    assert dataset["pairs"][ODD - 1 : ODD + 1] == [[[0, 11]], []]


def test_a_run_with_named_classes_remembers_them(tmp_path, capsys):
    base = save_tiny(tmp_path / "base", {"alphabet": "ribonanzanet"}, **RIBONANZANET_TO_TRAIN)
    table = write(tmp_path / "train.csv", lambda i, s: {"label": ["mRNA", "tRNA", "miRNA"][i % 3]})
    command = ["finetune", "--task", "sequence-classification", "--model", str(base), "--train_file", str(table)]
    command += ["--output_dir", str(tmp_path / "run"), "--max_steps", "1", "--use_cpu", "true", "--split", "random"]
    command += ["--disable_tqdm", "true", "--validation_fraction", "0.25"]
    assert run(command) == 0
    config = RibonanzaNetConfig.from_pretrained(tmp_path / "run")
    assert config.id2label == {0: "mRNA", 1: "miRNA", 2: "tRNA"}
    other = write(tmp_path / "other.csv", lambda i, s: {"label": "rRNA"})
    assert run([*command, "--output_dir", str(tmp_path / "again"), "--validation_file", str(other)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{other}, row 1 (id 'rna0'): 'rRNA' is no class of the training data or the model" in last


def test_large_profiles_are_not_looked_at_one_by_one(monkeypatch, tmp_path):
    import rna_hf.training.label_checks as module

    monkeypatch.setattr(module, "_fault", None)
    rows = {"sequence": RNAS, "labels": [np.zeros((len(rna), 2)).tolist() for rna in RNAS]}
    layout = module.Layout.of(TASKS["reactivity"].training, RibonanzaNetConfig())
    module.check_labels(Dataset.from_dict(rows), "file", layout)
