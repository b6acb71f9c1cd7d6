"""The tables that `predict` writes for people: a row for each nucleotide, kept columns, warnings in the output."""

import csv
import json
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_models import save_tiny

from rna_hf import RibonanzaNetConfig, RibonanzaNetForTertiaryStructure
from rna_hf.cli.main import run
from rna_hf.data.long_tables import group_nucleotides
from rna_hf.prediction import chunks, predict
from rna_hf.tasks import TASKS
from rna_hf.training.arguments import DataArguments
from rna_hf.training.training_data import load_labelled
from rna_hf.training.training_range import describe_range

RNAS = [("a", "GGGAAACUCC"), ("b", "acgtacgtacgtacg"), ("c", "GGCAUUCGUGCC")]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    limits = {"training_min_length": 12, "training_max_length": 30, "unmeasured_5prime": 2, "unmeasured_3prime": 3}
    return save_tiny(tmp_path_factory.mktemp("tiny"), fix_attention_mask=True, **limits)


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*to take with care.*")
        yield


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_csv_has_a_row_for_each_nucleotide(tiny, tmp_path):
    rows = predict(RNAS, model=tiny)
    found = read_csv(predict(RNAS, tmp_path, model=tiny, format="csv"))
    assert list(found[0]) == ["id", "position", "nucleotide", "reactivity_2A3", "reactivity_DMS", "warning"]
    assert len(found) == sum(len(sequence) for _, sequence in RNAS)
    lines = iter(found)
    for row in rows:
        for place, letter in enumerate(row["sequence"]):
            line = next(lines)
            assert (line["id"], line["position"], line["nucleotide"]) == (row["id"], str(place + 1), letter)
            for name in ("reactivity_2A3", "reactivity_DMS"):
                assert np.float32(line[name]) == np.float32(row[name][place])


def test_samples_stand_beside_positions(tmp_path):
    model = save_tiny(tmp_path / "model", model_class=RibonanzaNetForTertiaryStructure, fix_attention_mask=True)
    path = predict(RNAS[:1], tmp_path / "out", task="3d", model=model, format="csv", num_samples=2)
    found = read_csv(path)
    assert list(found[0]) == ["id", "sample", "position", "nucleotide", "x", "y", "z", "warning"]
    assert [(row["sample"], row["position"]) for row in found] == [(s, str(p)) for s in "12" for p in range(1, 11)]


def test_warnings_stand_where_they_belong(tiny, tmp_path):
    short = "shorter than the 12 nt of the shortest RNA that the model was trained on"
    first, last = (f"the {end} nt were measured in no RNA of the training" for end in ("first 2", "last 3"))
    texts = [row["warning"] for row in predict(RNAS, model=tiny)]
    assert texts == [
        f"{short}; nt 1 to 2: {first}; nt 8 to 10: {last}",
        f"nt 1 to 2: {first}; nt 13 to 15: {last}",
        f"nt 1 to 2: {first}; nt 10 to 12: {last}",
    ]
    found = read_csv(predict(RNAS, tmp_path, model=tiny, format="csv"))
    assert [row["warning"] for row in found if row["id"] == "a"] == [
        *[f"{short}; {first}"] * 2,
        *[short] * 5,
        *[f"{short}; {last}"] * 3,
    ]
    assert [row["warning"] for row in found if row["id"] == "c"] == [*[first] * 2, *[""] * 7, *[last] * 3]
    # Of an RNA shorter than both ends no nucleotide is left, and each stands for itself.
    assert predict("ACG", model=tiny)[0]["warning"] == f"{short}; nt 1 to 2: {first}; nt 1 to 3: {last}"


def test_the_short_rna_is_named_once_on_the_way(tiny):
    with pytest.warns(UserWarning, match=r"^2 RNAs to take with care \(shorter than the 12 nt .*\): 'a', 'd'$"):
        predict([*RNAS, ("d", "ACGU")], model=tiny)


def test_options_that_say_nothing_are_refused(tiny, tmp_path):
    with pytest.raises(ValueError, match="wide is for format csv; parquet has a row for each RNA anyway"):
        predict(RNAS, tmp_path, model=tiny, wide=True)
    with pytest.raises(ValueError, match="wide is not for `predict structure`, whose table has a row for each RNA"):
        predict(RNAS, tmp_path, task="structure", format="csv", wide=True)


TABLE = "id;sequence;gene;score\nr1;GGGAAACUCC;lacZ;1.5\nr2;GGCAUUCG;;2\n"


def test_columns_of_a_text_file_are_kept_as_text(tiny, tmp_path):
    (tmp_path / "in.csv").write_text(TABLE)
    table = pq.read_table(predict(tmp_path / "in.csv", tmp_path / "out", model=tiny, keep_columns=True))
    assert table.column_names[-3:] == ["warning", "gene", "score"]
    assert table["gene"].to_pylist() == ["lacZ", None]
    assert table["score"].to_pylist() == ["1.5", "2"]
    found = read_csv(predict(tmp_path / "in.csv", tmp_path / "long", model=tiny, keep_columns=True, format="csv"))
    assert [row["gene"] for row in found] == ["lacZ"] * 10 + [""] * 8
    lines = predict(tmp_path / "in.csv", tmp_path / "json", model=tiny, keep_columns=True, format="jsonl").read_text()
    assert [json.loads(line)["gene"] for line in lines.splitlines()] == ["lacZ", None]


def test_columns_of_a_typed_table_keep_their_types(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_SEQUENCES", 1)
    columns = {
        "name": ["x", "y"],
        "sequence": ["GGGAAACUCC", "GGCAUUCG"],
        "count": [1, 2],
        "value": [0.5, None],
        "is_new": [True, False],
        "mixed": [[1, 2], [3]],
    }
    kinds = {"name": "string", "count": "int64", "value": "double", "is_new": "bool", "mixed": "string"}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    for inputs in (tmp_path / "in.parquet", pd.DataFrame(columns), pa.table(columns)):
        out = tmp_path / type(inputs).__name__
        table = pq.read_table(predict(inputs, out, model=tiny, keep_columns=True))
        assert {name: str(table.schema.field(name).type) for name in kinds} == kinds
        assert table["value"].to_pylist() == [0.5, None]
        assert table["mixed"].to_pylist() == ["[1, 2]", "[3]"]
    rows = predict((dict(zip(columns, row)) for row in zip(*columns.values())), model=tiny, keep_columns=True)
    assert [(row["count"], row["is_new"]) for row in rows] == [(1, True), (2, False)]


def test_descriptions_of_headers_are_kept(tiny, tmp_path):
    (tmp_path / "in.fa").write_text(">r1 the first one\nGGGAAACUCC\n>r2\nGGCAUUCG\n")
    (tmp_path / "in.fastq").write_text("@r1 lane 1\nGGGAAACUCC\n+\n!!!!!!!!!!\n")
    rows = predict(tmp_path / "in.fa", model=tiny, keep_columns=True)
    assert [row["description"] for row in rows] == ["the first one", None]
    assert [row["description"] for row in predict(tmp_path / "in.fastq", model=tiny, keep_columns=True)] == ["lane 1"]
    assert "description" not in predict(tmp_path / "in.fa", model=tiny)[0]


def test_columns_that_cannot_be_kept(tiny, tmp_path):
    with pytest.raises(ValueError, match="has no columns beside 'id' and 'sequence' that could be kept; leave out"):
        predict(["GGGAAACUCC"], model=tiny, keep_columns=True)
    for name in ("reactivity_2A3", "position", "warning"):
        rows = [{"sequence": "GGGAAACUCC", name: 1}]
        with pytest.raises(ValueError, match=f"the column '{name}' is called as one of the predictions is; rename it"):
            predict(rows, tmp_path / name, model=tiny, keep_columns=True)


def test_other_columns_are_another_run(tiny, tmp_path):
    rows = [{"sequence": "GGGAAACUCC", "gene": "lacZ"}]
    predict(rows, tmp_path, model=tiny, keep_columns=True)
    with pytest.raises(FileExistsError, match="another input"):
        predict([{"sequence": "GGGAAACUCC", "gene": "lacY"}], tmp_path, model=tiny, keep_columns=True)
    with pytest.raises(FileExistsError, match="keep_columns True there, False here"):
        predict(rows, tmp_path, model=tiny)


@pytest.mark.parametrize("wide", [True, False])
def test_what_is_written_can_be_trained_on(wide, tiny, tmp_path):
    path = predict(RNAS, tmp_path, model=tiny, format="csv", wide=wide)
    rows = predict(RNAS, model=tiny)
    config = RibonanzaNetConfig()
    found = load_labelled(str(path), DataArguments(train_file=str(path)), TASKS["reactivity"], config)
    assert found["sequence"][:] == [sequence for _, sequence in RNAS]
    for labels, row in zip(found["labels"], rows, strict=True):
        wanted = np.array([row["reactivity_2A3"], row["reactivity_DMS"]], dtype=np.float32).T
        assert np.array_equal(np.float32(labels), wanted)


def test_a_long_table_with_a_gap_is_refused(tiny, tmp_path):
    path = predict(RNAS, tmp_path, model=tiny, format="csv")
    lines = path.read_text().splitlines(keepends=True)
    arguments = DataArguments(train_file=str(path))

    def refusal(changed):
        path.write_text("".join(changed))
        with pytest.raises(ValueError, match=r"predictions\.csv") as caught:
            load_labelled(str(path), arguments, TASKS["reactivity"], RibonanzaNetConfig())
        return str(caught.value)

    assert "row 4 (id 'a'): position is 5, 4 was to come" in refusal(lines[:4] + lines[5:])
    assert "row 26: rows of 'a' stand apart; sort them by id and position" in refusal([*lines[:26], lines[1]])
    assert "row 1: nucleotide is 'GG'; one letter is needed" in refusal([lines[0], lines[1].replace("G", "GG", 1)])
    assert "no column 'id'" in refusal([line.split(",", 1)[1] for line in lines])


def test_the_range_of_a_training():
    nan = float("nan")
    labels = [[[nan, nan], [1, nan], [2, 2], [nan, -100]], [[nan], [nan], [3], [1], [nan]], [[nan]] * 3]
    labels = [np.array(rows, dtype=float) for rows in labels]
    assert describe_range(["ACGU", "ACGUA", "ACG"], labels) == {
        "training_min_length": 3,
        "training_max_length": 5,
        "unmeasured_5prime": 1,
        "unmeasured_3prime": 1,
    }
    assert describe_range(["ACGU", "AC"], crop=3) == {
        "training_min_length": 2,
        "training_max_length": 3,
        "unmeasured_5prime": 0,
        "unmeasured_3prime": 0,
    }


def test_the_flags_of_the_command(tiny, tmp_path, capsys):
    (tmp_path / "in.csv").write_text(TABLE)
    arguments = ["predict", "reactivity", str(tmp_path / "in.csv"), "--model", str(tiny), "--format", "csv"]
    assert run([*arguments, "-o", str(tmp_path / "out"), "--wide", "--keep-columns"]) == 0
    found = read_csv(tmp_path / "out" / "predictions.csv")
    assert [row["gene"] for row in found] == ["lacZ", ""]
    assert len(json.loads(found[0]["reactivity_2A3"])) == 10
    capsys.readouterr()
    assert run(["predict", "reactivity", str(tmp_path / "out" / "predictions.csv"), "-o", str(tmp_path / "again")]) == 0
    assert run([*arguments, "-o", str(tmp_path / "long")]) == 0
    capsys.readouterr()
    assert run(["predict", "reactivity", str(tmp_path / "long" / "predictions.csv"), "-o", str(tmp_path / "no")]) == 2
    assert "has a row for each nucleotide; predict from the file it was made of, or from a table made with --wide" in (
        capsys.readouterr().err
    )


def test_grouping_keeps_what_an_rna_has_once():
    from datasets import Dataset

    table = Dataset.from_dict(
        {
            "id": [7, 7, 8],
            "position": [1, 2, 1],
            "nucleotide": ["A", "C", "G"],
            "labels": [1, 2, 3],
            "gene": list("xxy"),
        }
    )
    assert group_nucleotides(table, {"labels"}, "t.csv").to_list() == [
        {"id": "7", "sequence": "AC", "labels": [1, 2], "gene": "x"},
        {"id": "8", "sequence": "G", "labels": [3], "gene": "y"},
    ]
