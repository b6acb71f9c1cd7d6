"""Localisation: three lines a record, CSV, FASTA with CSV; distributions, and what is none."""

import csv
import gzip

import numpy as np
import pytest

from rna_hf.data.readers import CEFRA_COMPARTMENTS, read_cefra, read_localisation

CEFRA = """>0 ENSG01 ENST01
GGATTACA
1 2 3 4
>ENST02

ACGUN
0.0  0.5\t1.5 0
"""
TABLE = """id,sequence,Nuclear,Membrane,note,Cytosol,Insoluble
a,GGATTACA,4,3,"x, y",1,2
b,ACGUN,0,1.5,,0,0.5
"""
EXPECTED = np.float32([[0.1, 0.2, 0.3, 0.4], [0, 0.25, 0.75, 0]])


@pytest.fixture
def write(tmp_path):
    def write_text(text, name="rnas.txt"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write_text


def test_three_lines_a_record(write, read_both):
    first, second = read_both(read_cefra, write(CEFRA))
    assert CEFRA_COMPARTMENTS == ("Cytosol", "Insoluble", "Membrane", "Nuclear")
    assert (first["id"], first["sequence"]) == ("ENST01", "GGATTACA")
    assert (second["id"], second["sequence"]) == ("ENST02", "ACGUN")
    np.testing.assert_array_equal([first["labels"], second["labels"]], EXPECTED)


def test_columns_are_found_by_the_names_of_compartments(write, read_both):
    records = read_both(read_localisation, write(TABLE, "rnas.csv"))
    assert [record["id"] for record in records] == ["a", "b"]
    np.testing.assert_array_equal([record["labels"] for record in records], EXPECTED)
    turned = read_both(read_localisation, write(TABLE, "rnas.csv"), compartments=["Nuclear", "Membrane"])
    np.testing.assert_array_equal([record["labels"] for record in turned], np.float32([[4 / 7, 3 / 7], [0, 1]]))


def test_a_table_without_ids(write, read_both):
    path = write("sequence,a,b\nGA,1,1\nGC,1,3\n", "rnas.csv")
    records = read_both(read_localisation, path, compartments=("a", "b"))
    assert [(record["id"], record["labels"]) for record in records] == [("seq1", [0.5, 0.5]), ("seq2", [0.25, 0.75])]


def test_fasta_and_a_table_of_values(write, read_both):
    fasta = write(">b second\nACG\nUN\n>a\nGGATTACA\n", "rnas.fasta")
    values = write("id,Cytosol,Insoluble,Membrane,Nuclear\na,1,2,3,4\nother,1,1,1,1\nb,0,0.5,1.5,0\n", "values.csv")
    records = read_both(read_localisation, fasta, values)
    assert [(record["id"], record["sequence"]) for record in records] == [("b", "ACGUN"), ("a", "GGATTACA")]
    np.testing.assert_array_equal([record["labels"] for record in records], EXPECTED[::-1])


@pytest.mark.parametrize("reader", [read_cefra, read_localisation])
def test_gzipped_files(reader, write, read_both):
    text = CEFRA if reader is read_cefra else TABLE
    plain = write(text, "rnas.csv")
    packed = plain.with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(text.encode()))
    np.testing.assert_equal(read_both(reader, packed), read_both(reader, plain))


def test_labels_add_up_to_1_or_are_rounded_like_the_original(write, read_both):
    path = write(">r\nGA\n1 1 1 0\n")
    (exact,), (rounded,) = read_both(read_cefra, path), read_both(read_cefra, path, round_labels=True)
    assert sum(exact["labels"]) == pytest.approx(1, abs=1e-7)
    # A third is 0.3333, so the original's parts add up to 0.9999.
    np.testing.assert_array_equal(np.float32(rounded["labels"]), np.float32([0.3333, 0.3333, 0.3333, 0]))


def test_what_was_not_measured_is_nan(write, read_both):
    (record,) = read_both(read_cefra, write(">r\nGA\n1 nan 1 0\n"))
    assert np.isnan(record["labels"]).all()
    (record,) = read_both(read_localisation, write("sequence,a,b\nGA,1,\n", "t.csv"), compartments=("a", "b"))
    assert np.isnan(record["labels"]).all()


@pytest.mark.parametrize(
    ("record", "match"),
    [
        ("GA\n1 2 3\n", r"line 4 \(id 'r'\): 3 numbers where 4 are needed, one for each of Cytosol, Insoluble"),
        ("GA\n1 2 3 4 5\n", "5 numbers where 4 are needed"),
        ("GA\n1 2 -3 4\n", "a compartment has the value -3; 0 or more is needed"),
        ("GA\n1 2 inf 4\n", "a compartment has the value inf"),
        ("GA\n0 0 0 0\n", "all 4 compartments are 0, which is no distribution; drop the record"),
        ("GA\n1 2 x 4\n", "Membrane is 'x', not a number"),
        ("GA!\n1 2 3 4\n", "unknown letter '!' at position 3"),
        ("GA\n", "the record is cut off; a record has three lines"),
        ("GA\n1 2 3 4\nGC\n", "line 7: 'GC' where '>' and an id are due"),
        ("GA\n1 2 3 4\n>\nGC\n1 2 3 4\n", "line 7: '>' where '>' and an id are due"),
    ],
)
def test_bad_records_are_named(record, match, write, refuses):
    refuses(match, read_cefra, write(">first\nGA\n1 2 3 4\n>r\n" + record))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("id,sequence,Cytosol,Insoluble,Membrane\na,GA,1,1,1\n", "no column Nuclear; the columns are id, sequence"),
        (TABLE + "c,GA,0,0,,0,0\n", r"line 4 \(id 'c'\): all 4 compartments are 0"),
        (TABLE + "c,GA,1,-2,,0,0\n", "the value -2"),
        (TABLE + "c,,1,2,,0,0\n", r"line 4 \(id 'c'\): empty sequence"),
        (TABLE + "c,GA,1\n", "line 4: 3 fields where 7 are needed"),
    ],
)
def test_bad_rows_of_a_table_are_named(text, match, write, refuses):
    refuses(match, read_localisation, write(text, "rnas.csv"))


def test_values_that_do_not_fit_the_fasta(write, refuses):
    header = "id,Cytosol,Insoluble,Membrane,Nuclear\n"
    fasta = write(">a\nGA\n", "rnas.fasta")
    refuses(
        "rnas.fasta, line 1 .id 'a'.: .*values.csv has no row", read_localisation, fasta, write(header, "values.csv")
    )
    twice = write(header + "a,1,1,1,1\na,1,1,1,2\n", "values.csv")
    refuses("line 3 .id 'a'.: the id has a row already", read_localisation, fasta, twice)
    refuses("name two at least, each once", read_cefra, write(CEFRA), compartments=["a", "a"])


def test_unknown_letters_as_n(write, read_both):
    (record,) = read_both(read_cefra, write(">r\nGA!\n1 2 3 4\n"), on_unknown="n")
    assert record["sequence"] == "GAN"


@pytest.mark.shared
def test_real_transcripts_written_as_three_lines(shared_dir, tmp_path, read_both):
    with gzip.open(shared_dir / "data" / "loc_lncrna_multilabel" / "lncrna.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))[:40]
    names = ("Nucleus", "Chromatin", "Cytoplasm", "Insoluble cytoplasm")
    found = [[int(name in row["locations"].split(";")) for name in names] for row in rows]
    path = tmp_path / "lncrna.fa"
    lines = (f">{r['gene_id']}\n{r['sequence']}\n{' '.join(map(str, f))}\n" for r, f in zip(rows, found))
    path.write_text("".join(lines))
    records = read_both(read_cefra, path, compartments=names)
    assert [record["sequence"] for record in records] == [row["sequence"] for row in rows]
    parts = np.array([record["labels"] for record in records])
    np.testing.assert_allclose(parts * np.sum(found, 1)[:, None], found, atol=1e-6)
    assert len(np.unique(parts)) > 2
