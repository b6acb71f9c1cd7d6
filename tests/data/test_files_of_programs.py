"""Measurements and tables as other programs write them; `tests/data/corpus/README.md` says which made which."""

from pathlib import Path

import numpy as np
import pytest

from rna_hf.data.readers import READERS, read_fasta, read_localisation, read_rdat, read_shape
from rna_hf.training.training_data import load_table

CORPUS = Path(__file__).parent / "corpus"
NAN = float("nan")
SEQUENCE = "GGGGAAAACCCC"
VALUES = [0.1, 0.2, 0.3, 0.4, 1.5, 1.25, 1.5, 2]
FULL = [*VALUES, NAN, NAN, NAN, NAN]
SHAPES = {
    "rnastructure.shape": [("hp1", [0.1, NAN, NAN, *FULL[3:]])],
    "shapemapper.map": [("hp1", FULL)],
    "shapemapper.shape": [("hp1", FULL)],
    "vienna.shape": [("vienna", FULL)],
    "structurefold2.react": [
        ("hp1", [NAN, NAN, NAN, NAN, 1.5, 1.25, 1.5, 2, 0.1, 0, NAN, NAN]),
        ("hp2", [0.5] * 4 + [NAN] * 6),
    ],
}


@pytest.mark.parametrize("name", SHAPES)
def test_shape_files(name, read_both):
    found = read_both(read_shape, CORPUS / name)
    assert [record["id"] for record in found] == [identifier for identifier, _ in SHAPES[name]]
    for record, (_, values) in zip(found, SHAPES[name]):
        np.testing.assert_equal(record["reactivity"], np.float32(values))
        np.testing.assert_equal(np.array(record["labels"])[:, 0], np.float32(values))
        assert np.isnan(np.array(record["labels"])[:, 1]).all()
    assert found[0]["sequence"] == SEQUENCE
    errors = [0.25] * 8 + [NAN] * 4 if name.endswith(".map") else [NAN] * 12
    np.testing.assert_equal(found[0]["errors"], errors)


@pytest.mark.parametrize("version", ["rmdb_0.34", "tectools_0.4"])
def test_transcripts_of_all_lengths(version, read_both):
    short, long = read_both(read_rdat, CORPUS / f"{version}.rdat")
    assert (short["id"], short["sequence"], long["sequence"]) == (f"{version}:1", SEQUENCE[:8], SEQUENCE)
    np.testing.assert_equal(short["reactivity"], np.float32(VALUES))
    assert len(long["reactivity"]) == 12


def test_the_oldest_rdat(read_both, refuses):
    (record,) = read_both(read_rdat, CORPUS / "rmdb_0.24.rdat")
    np.testing.assert_equal(record["reactivity"], [NAN] * 4 + [1.5, 1.25, 1.5, 0.5] + [NAN] * 4)
    refuses(
        "line 1: RDAT version '0.22' is not known; versions 0.24 to 0.4 are read", read_rdat, CORPUS / "rmdb_0.22.rdat"
    )


@pytest.mark.parametrize("name", ["excel_semicolon", "excel_sep", "excel_unicode_text"])
def test_tables_of_excel(name, read_both):
    found = read_both(read_localisation, CORPUS / f"{name}.csv", compartments=("Cytosol", "Nuclear"))
    assert [(record["id"], record["labels"]) for record in found] == [("hp1", [0.25, 0.75]), ("hp2", [0.5, 0.5])]


@pytest.mark.parametrize("name", ["excel_semicolon", "excel_sep", "excel_unicode_text"])
def test_tables_of_excel_to_train_on(name):
    table = load_table(str(CORPUS / f"{name}.csv"), "table")
    assert table.column_names == ["id", "sequence", "Cytosol", "Nuclear"]
    assert table["Cytosol"][:] == [0.25, 0.5]


def test_decimal_commas(refuses):
    path = CORPUS / "excel_decimal_comma.csv"
    message = "line 2 .*'0,25', which has a comma; write numbers with a decimal point"
    refuses(message, read_localisation, path, compartments=("Cytosol", "Nuclear"))


def test_latin_1(read_both):
    assert [record["id"] for record in read_both(read_fasta, CORPUS / "latin1.fa")] == ["hp1", "hp2"]


@pytest.fixture
def write(tmp_path):
    def write_files(**contents):
        for name, text in contents.items():
            (tmp_path / name.replace("_", ".")).write_text(text)
        return tmp_path

    return write_files


def test_where_sequences_come_from(write, read_both, refuses):
    folder = write(
        a_shape="1 0.5\n3 -999\n", b_map="1 0.5 0 A\n2 1 0.5 C\n", b_shape="1 9\n", c_fa=">x\nACG\n>a\nACGU\n"
    )
    refuses(r"a.shape: the sequence of 'a' is not known, as the file has no nuc.* such as a\.fa$", read_shape, folder)
    (folder / "a.fasta").write_text(">other\nGGGG\n")
    first, second = read_both(read_shape, folder)
    assert (first["id"], first["sequence"], second["id"], second["sequence"]) == ("other", "GGGG", "b", "AC")
    np.testing.assert_equal(first["reactivity"], [0.5, NAN, NAN, NAN])
    np.testing.assert_equal(second["errors"], [0, 0.5])
    (given,) = read_both(read_shape, [str(folder / "a.shape")], folder / "c.fa", modifier="dms")
    assert (given["id"], given["sequence"], given["modifier"]) == ("a", "ACGU", "dms")
    assert np.array(given["labels"])[0, 1] == 0.5
    refuses("c.fa has no sequence of 'b', but x, a; rename", read_shape, folder / "b.map", folder / "c.fa")
    (folder / "a.fasta").unlink()
    (folder / "a.seq").write_text("; comment\ntitle of it\nGG GG\nAA1\n")
    assert [read_both(read_shape, folder / "a.shape")[0][name] for name in ("id", "sequence")] == ["title", "GGGGAA"]


@pytest.mark.parametrize("missing", ["-999", "-999.0", "-1000", "nan", "NaN", "NA", "-", ""])
def test_what_is_missing(write, read_both, missing):
    folder = write(a_shape=f"# position reactivity\n1 -0.25\n2 {missing}\n3\t1e-1\r\n", a_fa=">a\nACG\n")
    np.testing.assert_equal(read_both(read_shape, folder)[0]["reactivity"], np.float32([-0.25, NAN, 0.1]))
    folder = write(a_shape=f"Position Reactivity\n3 0.1\n2 {missing}\n1 -0.25\n")
    np.testing.assert_equal(read_both(read_shape, folder)[0]["reactivity"], np.float32([-0.25, NAN, 0.1]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0.5\n4 0.5\n", "reactivities go on to position 4 .1-based., but the sequence has 3 nucleotides"),
        ("1 0.5\n1 0.5\n", "line 2: position 1 is there twice"),
        ("0 0.5\n1 0.5\n", "line 1: '0 0.5' where a position .from 1. and a reactivity are due"),
        ("1 0.5\nx 0.5\n", "line 2: 'x 0.5' where a position"),
        ("1 0.5 0 A 7 8\n", "line 1: '1 0.5 0 A 7 8' where a position"),
        ("1 high\n", "line 1: the reactivity is 'high', not a number"),
        ("1 0,5\n", "line 1: the reactivity is '0,5', which has a comma; write numbers with a decimal point"),
        ("1 0.5 0.1 G\n", "position 1 is 'G' in the file and 'A' in the sequence"),
        ("a\n0.1 0.2\nb\n", "line 3: 'b' where the id of an RNA is due"),
        ("b\n0.1 0.2\n", "a.fa has no sequence of 'b', but a"),
        ("1 0.5\n99999999999 0.5\n", "line 2: position 99999999999 is beyond any RNA"),
        pytest.param("9" * 5000 + " 0.5\n", "line 1: position 9{40} is beyond any RNA", id="digits"),
        ("1 1e39\n", "line 1: the reactivity is '1e39', which is infinite in float32"),
        ("1 inf\n", "line 1: the reactivity is 'inf', which is infinite"),
        ("0.5\n0.4\n", "line 1: '0.5' begins no SHAPE file; write the position .from 1. before each reactivity"),
        ("1,0.5\n2,0.4\n", "part the columns by blanks or tabs"),
        ("Nucleotide\tSequence\tReactivity_profile\n1\tA\t0.5\n", "this is ShapeMapper's profile; give the .map"),
        ("<?xml version='1.0'?>\n<data/>\n", "this is XML, as RNA Framework writes it"),
        ("fixedStep chrom=a start=1 step=1\n0.5\n", "this is wiggle"),
        ("# nothing\n", "a.shape has no reactivities; is it the right file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(write, refuses, text, message):
    refuses(message, read_shape, write(a_shape=text, a_fa=">a\nACG\n") / "a.shape")


def test_arguments(write, refuses, tmp_path):
    folder = write(a_shape="1 0.5\n", a_fa=">a\nACG\n")
    refuses("modifier is 'CMCT', which no channel takes; choose one of 2A3, 1M7", read_shape, folder, modifier="CMCT")
    refuses("paths is empty", read_shape, [])
    (tmp_path / "empty").mkdir()
    refuses("holds no file that ends in .shape, .map, .react", read_shape, tmp_path / "empty")
    assert READERS["shape"] is read_shape


def test_ids_of_fasta_above_reactivities(write, read_both):
    found = read_both(read_shape, write(a_react=">a\n0.5 NA 1\n", a_fa=">a\nACG\n"))[0]
    np.testing.assert_equal(found["reactivity"], [0.5, NAN, 1])
