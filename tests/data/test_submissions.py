"""Submission files: the competitions' columns and order, in one step, with flat memory."""

import csv
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rna_hf.data import submissions
from rna_hf.data.submissions import write_openvaccine_submission, write_ribonanza_submission, write_rna3d_submission

TESTS = [
    {"id": "x1", "sequence": "GAC", "id_min": 0, "id_max": 2},
    {"id": "x2", "sequence": "UA", "id_min": 3, "id_max": 4},
]
# Channels as a model gives them: 2A3, then DMS.
REACTIVITY = [[[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]], [[1.0, 0.0], [0.123456, 0.00004]]]


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_ribonanza_has_dms_first(tmp_path):
    path = tmp_path / "new" / "submission.csv"
    assert write_ribonanza_submission(path, TESTS, REACTIVITY) == 5
    header, *rows = rows_of(path)
    assert header == ["id", "reactivity_DMS_MaP", "reactivity_2A3_MaP"]
    assert [row[0] for row in rows] == ["0", "1", "2", "3", "4"]
    values = [[float(value) for value in row[1:]] for row in rows]
    assert values == [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.0, 1.0], [0.0, 0.1235]]
    assert path.read_text().splitlines()[1] == "0,0.9,0.1"


def test_ribonanza_channels_of_another_model(tmp_path):
    swapped = [np.array(prediction)[:, ::-1] for prediction in REACTIVITY]
    write_ribonanza_submission(tmp_path / "a.csv", TESTS, REACTIVITY)
    write_ribonanza_submission(tmp_path / "b.csv", TESTS, swapped, channels=("DMS_MaP", "2A3_MaP"))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    with pytest.raises(ValueError, match="must order"):
        write_ribonanza_submission(tmp_path / "a.csv", TESTS, REACTIVITY, channels=("DMS",))


def test_ribonanza_parquet(tmp_path):
    path = tmp_path / "submission.parquet"
    write_ribonanza_submission(path, iter(TESTS), iter(REACTIVITY))
    table = pq.read_table(path)
    assert table.schema.names == ["id", "reactivity_DMS_MaP", "reactivity_2A3_MaP"]
    assert table.schema.types == [pa.int64(), pa.float32(), pa.float32()]
    assert table["id"].to_pylist() == [0, 1, 2, 3, 4]
    assert table["reactivity_DMS_MaP"].to_numpy().tolist() == np.float32([0.9, 0.8, 0.7, 0, 0]).tolist()


def test_openvaccine(tmp_path):
    path = tmp_path / "submission.csv"
    predictions = [np.arange(15).reshape(3, 5) / 10, np.full((2, 5), 0.25)]
    assert write_openvaccine_submission(path, TESTS, predictions) == 5
    header, *rows = rows_of(path)
    assert header == ["id_seqpos", "reactivity", "deg_Mg_pH10", "deg_pH10", "deg_Mg_50C", "deg_50C"]
    assert [row[0] for row in rows] == ["x1_0", "x1_1", "x1_2", "x2_0", "x2_1"]
    assert [float(value) for value in rows[1][1:]] == [0.5, 0.6, 0.7, 0.8, 0.9]


def test_rna3d(tmp_path):
    path = tmp_path / "submission.csv"
    first = np.arange(45).reshape(5, 3, 3)  # structure, nucleotide, axis
    second = np.full((5, 2, 3), -1.23456)
    assert write_rna3d_submission(path, TESTS, [first, second]) == 5
    header, *rows = rows_of(path)
    expected = [f"{axis}_{number}" for number in (1, 2, 3, 4, 5) for axis in "xyz"]
    assert header == ["ID", "resname", "resid", *expected]
    assert [row[:3] for row in rows] == [
        ["x1_1", "G", "1"],
        ["x1_2", "A", "2"],
        ["x1_3", "C", "3"],
        ["x2_1", "U", "1"],
        ["x2_2", "A", "2"],
    ]
    assert [float(value) for value in rows[1][3:]] == [3, 4, 5, 12, 13, 14, 21, 22, 23, 30, 31, 32, 39, 40, 41]
    assert {float(value) for value in rows[3][3:]} == {-1.235}


@pytest.mark.parametrize(
    ("write", "predictions", "match"),
    [
        (write_ribonanza_submission, [REACTIVITY[0], REACTIVITY[0]], r"record 2 has shape \(3, 2\); \(2, 2\) is"),
        (write_ribonanza_submission, REACTIVITY[:1], "there are 1 predictions but more records"),
        (write_ribonanza_submission, [*REACTIVITY, REACTIVITY[0]], "there are 2 records but more predictions"),
        (write_ribonanza_submission, [REACTIVITY[0], [[0.1, float("nan")], [0, 0]]], "record 2 holds NaN"),
        (write_openvaccine_submission, [np.zeros((3, 3)), np.zeros((2, 3))], r"\(3, 5\) is needed"),
        (write_rna3d_submission, [np.zeros((4, 3, 3)), np.zeros((4, 2, 3))], r"\(4, 3, 3\); \(5, 3, 3\) is needed"),
    ],
)
def test_predictions_that_do_not_fit(tmp_path, write, predictions, match):
    path = tmp_path / "submission.csv"
    path.write_text("an earlier submission")
    with pytest.raises(ValueError, match=match):
        write(path, TESTS, predictions)
    assert path.read_text() == "an earlier submission"
    assert list(tmp_path.glob(".*")) == []


def test_records_that_do_not_fit(tmp_path):
    path = tmp_path / "submission.csv"
    with pytest.raises(ValueError, match="record 2: its ids begin at 4 where 3 is due"):
        write_ribonanza_submission(path, [TESTS[0], TESTS[1] | {"id_min": 4, "id_max": 5}], REACTIVITY)
    with pytest.raises(ValueError, match="record 1: ids 0 to 3 do not fit its 3 nucleotides"):
        write_ribonanza_submission(path, [TESTS[0] | {"id_max": 3}], REACTIVITY[:1])
    with pytest.raises(ValueError, match="no records"):
        write_ribonanza_submission(path, [], [])
    with pytest.raises(ValueError, match=r"ends in '.txt'; a submission is a .csv or .parquet file"):
        write_ribonanza_submission(tmp_path / "submission.txt", TESTS, REACTIVITY)
    with pytest.raises(ValueError, match=r"is a \.csv file"):
        write_openvaccine_submission(tmp_path / "submission.parquet", TESTS, REACTIVITY)
    assert not path.exists()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_memory_does_not_grow_with_the_submission(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(submissions, "_BATCH_ROWS", 1 << 14)
    count, length = 3000, 200

    def records():
        for number in range(count):
            yield {"sequence": "A" * length, "id_min": number * length, "id_max": (number + 1) * length - 1}

    prediction = np.random.default_rng(0).random((length, 2))
    write_ribonanza_submission(tmp_path / f"first{suffix}", [TESTS[0]], [REACTIVITY[0]])  # imports and the like
    tracemalloc.start()
    arrow = pa.total_allocated_bytes()
    try:
        path = tmp_path / f"submission{suffix}"
        assert write_ribonanza_submission(path, records(), (prediction for _ in range(count))) == count * length
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 600,000 rows of 24 bytes would be 14 MB.
    assert peak < 4_000_000
    assert pa.total_allocated_bytes() - arrow < 4_000_000
