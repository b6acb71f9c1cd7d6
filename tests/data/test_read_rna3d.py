"""Stanford RNA 3D Folding's files: conformations, missing atoms, order."""

import numpy as np
import pytest
from transformers import AutoTokenizer

from rna_hf.data.collators import DataCollatorForCoordinates
from rna_hf.data.readers import read_rna3d

NAN = float("nan")
# `all_sequences` is FASTA with line breaks within the field, as in the real file.
SEQUENCES = """target_id,sequence,temporal_cutoff,description,all_sequences
1SCL_A,GAC,1995-01-26,"SARCIN, LOOP",">1SCL_1|Chain A
GAC
"
R1107,UA,2022-05-28,CASP15,">R1107
UA"
"""
TRAIN_LABELS = """ID,resname,resid,x_1,y_1,z_1
R1107_1,U,1,1.5,2.5,3.5
R1107_2,A,2,-1e+18,-1e+18,-1e+18
1SCL_A_1,G,1,10.0,20.0,30.0
1SCL_A_2,A,2,11.0,21.0,31.0
1SCL_A_3,C,3,,,
9XYZ_B_1,G,1,0.0,0.0,0.0
"""


@pytest.fixture
def write_files(tmp_path):
    def write(sequences=SEQUENCES, labels=TRAIN_LABELS):
        (tmp_path / "train_sequences.csv").write_text(sequences)
        (tmp_path / "train_labels.csv").write_text(labels)
        return tmp_path / "train_sequences.csv", tmp_path / "train_labels.csv"

    return write


def test_one_conformation(write_files, read_both):
    first, second = read_both(read_rna3d, *write_files())
    assert (first["id"], first["sequence"], first["temporal_cutoff"]) == ("1SCL_A", "GAC", "1995-01-26")
    np.testing.assert_equal(first["coordinates"], [[10, 20, 30], [11, 21, 31], [NAN, NAN, NAN]])
    np.testing.assert_equal(second["coordinates"], [[1.5, 2.5, 3.5], [NAN, NAN, NAN]])


def test_other_delimiters(write_files, read_both):
    expected = read_both(read_rna3d, *write_files())
    sequences = SEQUENCES.replace(",", ";").replace("SARCIN;", "SARCIN,")
    labels = "sep=;\n" + TRAIN_LABELS.replace(",", ";")
    np.testing.assert_equal(read_both(read_rna3d, *write_files(sequences, labels)), expected)


def test_several_conformations_without_the_empty_ones(write_files, read_both):
    missing = ",".join(["-1e+18"] * 3)
    labels = "\n".join(
        [
            "ID,resname,resid,x_1,y_1,z_1,x_2,y_2,z_2,x_3,y_3,z_3",
            f"1SCL_A_1,G,1,1,2,3,{missing},7,8,9",
            f"1SCL_A_2,A,2,{missing},{missing},4,5,6",
            f"1SCL_A_3,C,3,0,0,0,{missing},1,1,1",
            f"R1107_1,U,1,{missing},{missing},{missing}",
            f"R1107_2,A,2,{missing},{missing},{missing}",
        ]
    )
    first, second = read_both(read_rna3d, *write_files(labels=labels), all_conformations=True)
    expected = [[[1, 2, 3], [NAN] * 3, [0, 0, 0]], [[7, 8, 9], [4, 5, 6], [1, 1, 1]]]
    np.testing.assert_equal(first["conformations"], expected)
    np.testing.assert_equal(first["coordinates"], expected[0])
    np.testing.assert_equal(second["conformations"], [[[NAN] * 3] * 2])
    assert "conformations" not in read_both(read_rna3d, *write_files(labels=labels))[0]


def test_records_suit_the_collator(write_files, repository_root):
    tokenizer = AutoTokenizer.from_pretrained(repository_root / "src/rna_hf/checkpoints/ribonanzanet-mini")
    batch = DataCollatorForCoordinates(tokenizer)(list(read_rna3d(*write_files())))
    assert batch["labels"].shape[2] == 3
    assert batch["labels"][batch["labels"] != -100].tolist() == [10, 20, 30, 11, 21, 31, 1.5, 2.5, 3.5]


def test_sequences_alone(write_files, read_both):
    records = read_both(read_rna3d, write_files()[0])
    assert [set(record) for record in records] == [{"id", "sequence", "temporal_cutoff"}] * 2


def test_other_letters(write_files, read_both, refuses):
    files = write_files(SEQUENCES.replace("R1107,UA", "R1107,X-"), TRAIN_LABELS.replace("R1107_1,U", "R1107_1,X"))
    refuses("target_id 'R1107'.*unknown letter 'X'.*on_unknown='n'", read_rna3d, *files)
    assert read_both(read_rna3d, *files, on_unknown="n")[1]["sequence"] == "NN"
    refuses("on_unknown='skip' is not a choice", read_rna3d, *files, on_unknown="skip")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("R1107_2,A,2,-1e+18,-1e+18,-1e+18\n", "", "target 'R1107': 1 rows where 2 are needed"),
        ("1SCL_A_", "1SCL_B_", r"line 4 \(target_id '1SCL_A'\): .* has no rows of '1SCL_A'"),
        ("1SCL_A_2,A,2", "1SCL_A_2,A,3", "line 5: resid is '3' where 2"),
        ("1SCL_A_2,A,2", "1SCL_A_2,C,2", "line 5: resname is 'C', but the sequence has 'A' there"),
        ("11.0", "eleven", "line 5: a coordinate is 'eleven'"),
        ("11.0,", "", "line 5: 5 fields where 6 are needed"),
        ("y_1", "y_2", "line 1: no column y_1"),
        ("9XYZ_B_1", "R1107_3", "line 7: the rows of 'R1107' began at line 2; put them together"),
        ("10.0", "inf", "line 4: a coordinate is 'inf', which is infinite"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(write_files, refuses, old, new, match):
    assert old in TRAIN_LABELS
    refuses(match, read_rna3d, *write_files(labels=TRAIN_LABELS.replace(old, new)))
