"""Ribonanza's files: the join of two rows, the order of channels, and flat memory."""

import gzip
import itertools
import tracemalloc
import zipfile

import numpy as np
import pytest
from transformers import AutoTokenizer

from rna_hf.data.collators import DataCollatorForReactivity
from rna_hf.data.readers import read_ribonanza, read_ribonanza_test
from rna_hf.data.readers.reactivity import _pair_rows

NAN = float("nan")
NUM_COLUMNS = 6  # 206 in the real file
HEADER = ",".join(
    ["sequence_id,sequence,experiment_type,dataset_name,reads,signal_to_noise,SN_filter"]
    + [f"reactivity_{number:04d}" for number in range(1, NUM_COLUMNS + 1)]
    + [f"reactivity_error_{number:04d}" for number in range(1, NUM_COLUMNS + 1)]
)
# As in the real file: blocks of one experiment, sequences of several lengths, empty fields where nothing was measured.
# a1 was measured in two data sets; b2 has no DMS row; c3's DMS row comes first.
ROWS = [
    "a1,GACUA,2A3_MaP,15k_2A3,2343,0.944,0,,0.5,0.25,-0.125,,,,0.1,0.2,0.3,,",
    "b2,GAC,2A3_MaP,15k_2A3,150,7.5,1,,1.5,,,,,,0.1,,,,",
    "c3,GACUAG,DMS_MaP,15k_DMS,99,2.0,0,,,,,,2.0,,,,,,0.5",
    "a1,GACUA,DMS_MaP,15k_DMS,300,1.5,1,,,0.75,0.0,,,,,0.4,0.1,,",
    "a1,GACUA,DMS_MaP,PK50_DMS_Twist,10,0.5,0,,9.0,,,,,,0.1,,,,",
    "c3,GACUAG,2A3_MaP,15k_2A3,101,3.0,1,,4.0,,,,,,0.1,,,,",
    "a1,GACUA,2A3_MaP,PK50_2A3_Twist,20,0.25,0,,8.0,,,,,,0.1,,,,",
]


@pytest.fixture
def write_train(tmp_path):
    def write(rows, header=HEADER):
        path = tmp_path / "train_data.csv"
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    return write


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("hint", ["", "sep={}\n"])
def test_other_delimiters(write_train, read_both, refuses, delimiter, hint):
    expected = read_both(read_ribonanza, write_train(ROWS))
    header, rows = (hint.format(delimiter) + HEADER).replace(",", delimiter), [r.replace(",", delimiter) for r in ROWS]
    np.testing.assert_equal(read_both(read_ribonanza, write_train(rows, header)), expected)
    line = 3 if hint else 2
    refuses(
        f"line {line}: .*'0,5', which has a comma", read_ribonanza, write_train([rows[0].replace("0.5", "0,5")], header)
    )


def test_rows_are_joined_wherever_they_are(write_train, read_both):
    records = read_both(read_ribonanza, write_train(ROWS))
    assert [(r["id"], r["dataset_name"]) for r in records] == [
        ("a1", "15k"),
        ("b2", "15k"),
        ("c3", "15k"),
        ("a1", "PK50_Twist"),
    ]
    first = records[0]
    assert first["sequence"] == "GACUA"
    expected = [[NAN, NAN], [0.5, NAN], [0.25, 0.75], [-0.125, 0.0], [NAN, NAN]]  # 2A3, DMS
    np.testing.assert_equal(first["labels"], expected)
    errors = np.float32([[NAN, NAN], [0.1, NAN], [0.2, 0.4], [0.3, 0.1], [NAN, NAN]])
    np.testing.assert_equal(first["errors"], errors.tolist())
    assert first["signal_to_noise"] == np.float32([0.944, 1.5]).tolist()
    assert first["reads"] == [2343, 300]
    assert first["sn_filter"] == [False, True]
    np.testing.assert_equal(records[1]["labels"], [[NAN, NAN], [1.5, NAN], [NAN, NAN]])
    np.testing.assert_equal(records[1]["signal_to_noise"], [7.5, NAN])
    assert records[1]["reads"] == [150, 0]
    assert np.array(records[2]["labels"])[[1, 5], [0, 1]].tolist() == [4.0, 2.0]
    assert np.array(records[3]["labels"])[1].tolist() == [8.0, 9.0]


def test_the_order_of_rows_does_not_matter(write_train, read_both):
    def by_name(records):
        return sorted(records, key=lambda record: (record["id"], record["dataset_name"]))

    records = by_name(read_both(read_ribonanza, write_train(ROWS)))
    np.testing.assert_equal(by_name(read_both(read_ribonanza, write_train(ROWS[::-1]))), records)
    adjacent = sorted(ROWS, key=lambda row: row.replace("2A3", "DMS").split(",")[::3])
    np.testing.assert_equal(by_name(read_both(read_ribonanza, write_train(adjacent))), records)


def test_channels_in_another_order(write_train, read_both):
    path = write_train(ROWS)
    records = read_both(read_ribonanza, path)
    swapped = read_both(read_ribonanza, path, experiment_types=("DMS_MaP", "2A3_MaP"))
    for record, other in zip(records, swapped):
        np.testing.assert_equal(np.array(other["labels"])[:, ::-1], record["labels"])
        assert other["reads"] == record["reads"][::-1]
    with pytest.raises(ValueError, match="must order"):
        read_ribonanza(path, experiment_types=("2A3_MaP", "2A3_MaP"))


def test_repeated_experiments_are_paired_in_turn():
    keys = np.array([5, 5, 9, 5, 5, 5], dtype=np.uint64)
    channels = np.array([0, 1, 1, 1, 0, 0], dtype=np.uint8)
    assert _pair_rows(keys, channels).tolist() == [[0, 1], [-1, 2], [4, 3], [5, -1]]
    assert _pair_rows(keys[:0], channels[:0]).tolist() == []


def test_columns_may_stand_in_another_order_and_be_quoted(write_train, read_both):
    order = [3, 1, 0, 2, *range(18, 3, -1)]
    moved = [",".join(f'"{line.split(",")[i]}"' for i in order) for line in [HEADER, *ROWS]]
    header, *rows = moved
    moved_records = read_both(read_ribonanza, write_train(rows, header))
    np.testing.assert_equal(moved_records, read_both(read_ribonanza, write_train(ROWS)))


def test_packed_files_and_foreign_line_ends(tmp_path, write_train, read_both):
    path = write_train(ROWS)
    records = read_both(read_ribonanza, path)
    packed = tmp_path / "train_data.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    archive = tmp_path / "train_data.csv.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(path, "train_data.csv")
    foreign = tmp_path / "foreign.csv"
    foreign.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    for other in (packed, archive, foreign):
        np.testing.assert_equal(read_both(read_ribonanza, other), records)
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(ValueError, match="broken gzip"):
        read_ribonanza(packed)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("second.csv", "")
    with pytest.raises(ValueError, match="archive of 2 files"):
        read_ribonanza(archive)


def test_a_changed_file_is_read_anew(write_train):
    assert len(read_ribonanza(write_train(ROWS))) == 4
    assert len(read_ribonanza(write_train(ROWS[:1]))) == 1


def test_records_suit_the_collator(write_train, repository_root):
    tokenizer = AutoTokenizer.from_pretrained(repository_root / "src/rna_hf/checkpoints/ribonanzanet-mini")
    batch = DataCollatorForReactivity(tokenizer)(list(read_ribonanza(write_train(ROWS)))[:2])
    assert batch["labels"].shape[0] == 2
    measured = batch["labels"][batch["labels"] != -100].tolist()
    # a1's 2A3 profile has a signal to noise under 1; b2 has one value.
    assert measured == [0.75, 0.0, 1.5]


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        (",SN_filter", ",SNR", r"train_data.csv, line 1: no column SN_filter"),
        ("reactivity_0006", "reactivity_0007", "no column reactivity_0006"),
        (",reactivity_error_0006", "", r"5 columns reactivity_error_\* where 6 are needed"),
        ("b2,GAC,2A3_MaP", "b2,GAC,1M7", "line 3: experiment_type is '1M7'"),
        ("b2,GAC,", "b2,GAX,", "line 3: unknown letter 'X' at position 3"),
        ("b2,GAC,", "b2,,", "line 3: empty sequence"),
        (",150,", ",-150,", "line 3: reads is '-150'"),
        (",150,", ",many,", "line 3: reads is 'many', not a number"),
        (",7.5,1,,1.5,,", ",7.5,1,,1.5,", "line 3: 18 fields where 19 are needed"),
        (",7.5,1,,1.5,,", ",7.5,1,,1.5,,2.5", "line 3: labels go on to position 4"),
        (",7.5,1,,1.5,,", ",7.5,1,,high,,", "line 3: a reactivity or its error is .high., not a number"),
        ("a1,GACUA,DMS_MaP,15k", "a1,GACUU,DMS_MaP,15k", "line 5: the sequence differs"),
        ("b2,GAC,", "b2,GACUAGACUAG,", "line 3: the sequence has 11 nucleotides"),
        ("0.5,0.25", "0.5,inf", "line 2: a reactivity or its error is 'inf', which is infinite"),
        ("0.5,0.25", "0.5,1e39", "line 2: a reactivity or its error is '1e39', which is infinite in float32"),
        ("2343", "inf", "line 2: reads is 'inf', which is infinite"),
        ("2343", "1e30", "line 2: reads is '1e30'; a count of 0 or more is needed"),
        ("c3,GACUAG,2A3_MaP,15k_2A3,101,3.0,1,,4.0,,,,,,0.1,,,,", "c3,GAC", "line 7: only 2 fields"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(write_train, refuses, old, new, match):
    content = "\n".join([HEADER, *ROWS])
    assert old in content
    header, *rows = content.replace(old, new, 1).split("\n")
    refuses(match, read_ribonanza, write_train(rows, header))


def test_files_that_are_none(tmp_path, write_train, refuses):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_ribonanza(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match="is a folder"):
        read_ribonanza(tmp_path)
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ValueError, match="is empty"):
        read_ribonanza(tmp_path / "empty.csv")
    refuses("holds no record", read_ribonanza, write_train([]))


def test_memory_does_not_grow_with_the_file(tmp_path):
    # 20 MB: 8,000 sequences whose two rows are half a file apart.
    path = tmp_path / "train_data.csv"
    count, length = 8_000, 160
    names = [f"reactivity_{n:04d}" for n in range(1, 207)] + [f"reactivity_error_{n:04d}" for n in range(1, 207)]
    values = ",".join(["0.123"] * length + [""] * (206 - length) + ["0.01"] * length + [""] * (206 - length))
    with open(path, "w") as file:
        file.write(HEADER.split(",reactivity")[0] + "," + ",".join(names) + "\n")
        for kind in ("2A3", "DMS"):
            for number in range(count):
                file.write(f"id{number},{'ACGU' * (length // 4)},{kind}_MaP,big_{kind},500,5.0,1,{values}\n")
    assert path.stat().st_size > 20_000_000
    stream = read_ribonanza(path, streaming=True)
    next(iter(stream))  # imports and the like
    tracemalloc.start()
    try:
        records = itertools.islice(stream, 300)
        assert all(record["reads"] == [500, 500] for record in records)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000, f"{peak / 1e6:.1f} MB for a file of 20 MB"


def test_test_sequences(tmp_path, read_both, refuses):
    path = tmp_path / "test_sequences.csv"
    header = "id_min,id_max,sequence_id,sequence,future"
    path.write_text(f"{header}\n0,2,x1,GAC,0\n3,7,x2,GACUA,1\n")
    assert read_both(read_ribonanza_test, path) == [
        {"id": "x1", "sequence": "GAC", "id_min": 0, "id_max": 2},
        {"id": "x2", "sequence": "GACUA", "id_min": 3, "id_max": 7},
    ]
    for row, match in (
        ("0,3,x1,GAC,0", "line 2: 4 ids .* where 3 are needed"),
        ("0,a,x1,GAC,0", "must be whole numbers"),
        (f"{10**19},{10**19 + 2},x1,GAC,0", "id_min 10000000000000000000 or id_max .* is too large"),
        (f"1,{-(10**19)},x1,GAC,0", "id_max -10000000000000000000 is too large"),
        ("0,2,x1,GA-,0", "remove the gaps"),
        ("0,2,x1", "3 fields where 5 are needed"),
    ):
        path.write_text(f"{header}\n{row}\n")
        refuses(match, read_ribonanza_test, path)
    path.write_text("id,sequence\n0,GAC\n")
    with pytest.raises(ValueError, match="no column id_min, id_max, sequence_id"):
        read_ribonanza_test(path)
