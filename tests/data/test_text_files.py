"""Texts as spreadsheets, editors and old archives write them: encodings, delimiters and decimal commas."""

import gzip
import io
import zipfile

import numpy as np
import pytest

from rna_hf.data.readers import read_fasta, read_localisation, read_rdat, read_ribonanza_test
from rna_hf.data.sources import open_sequences
from rna_hf.data.text_files import read_header, read_rows

UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-32")
TABLE = 'id,sequence,Cytosol,Nuclear\na,ACGU,1,3\n"b ö",GGCC,0.5,0.5\n'
COMPARTMENTS = ("Cytosol", "Nuclear")
ASKED = {"compartments": COMPARTMENTS}


def records(path):
    with open_sequences(path) as source:
        return [(record.id, record.sequence) for record in source.records()]


@pytest.mark.parametrize("encoding", UNICODE)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_tables_in_each_unicode(tmp_path, encoding, pack):
    path = tmp_path / ("a.csv.gz" if pack is gzip.compress else "a.csv")
    path.write_bytes(pack(TABLE.encode(encoding)))
    assert records(path) == [("a", "ACGU"), ("b ö", "GGCC")]


@pytest.mark.parametrize("encoding", UNICODE)
def test_readers_in_each_unicode(tmp_path, encoding, read_both):
    path = tmp_path / "a.csv"
    path.write_bytes(TABLE.encode(encoding))
    found = read_both(read_localisation, path, compartments=COMPARTMENTS)
    np.testing.assert_allclose([record["labels"] for record in found], [[0.25, 0.75], [0.5, 0.5]])
    path = tmp_path / "a.rdat"
    path.write_bytes("RDAT_VERSION\t0.34\nNAME ö\nSEQUENCE GA\nSEQPOS 1 2\nREACTIVITY:1 0.5 2\n".encode(encoding))
    assert read_both(read_rdat, path)[0]["reactivity"] == [0.5, 2]


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_refused(tmp_path, mark, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes((mark + TABLE).encode(encoding))
    if mark:
        assert [identifier for identifier, _ in records(path)] == ["a", "b ö"]
    else:
        with pytest.raises(ValueError, match=r"a\.csv seems to be in UTF-16 without a byte-order mark; save it as UTF"):
            records(path)


def test_broken_utf_16_is_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(TABLE.encode("utf-16") + b"\x00\xd8")
    with pytest.raises(ValueError, match=r"a\.csv is not a text file in UTF-16: .*; save it as UTF-8$"):
        records(path)


def test_latin_1_in_a_description(tmp_path, read_both):
    path = tmp_path / "a.fa"
    path.write_bytes(">one rétro, \x93quoted\x94 – José\nACGU\n>two é\nGG\n".encode("latin-1", "replace"))
    assert records(path) == [("one", "ACGU"), ("two", "GG")]
    assert [record["id"] for record in read_both(read_fasta, path)] == ["one", "two"]
    assert records(path.rename(tmp_path / "no_suffix")) == [("one", "ACGU"), ("two", "GG")]


@pytest.mark.parametrize(
    ("text", "line"),
    [(">un é\nACGU\n>é two\nGG\n", 3), (">one\nACGU\nGé\n", 3), (">one\nAC é\n", 2), (">one \x00é\nAC\n", 1)],
)
def test_latin_1_in_ids_and_sequences_is_refused(tmp_path, text, line):
    path = tmp_path / "a.fa"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=rf"a\.fa is not a text file in UTF-8: .* in line {line}; save it as UTF-8$"):
        records(path)


def test_latin_1_in_a_table_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(TABLE.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.csv is not a text file in UTF-8: .* in line 3; save it as UTF-8$"):
        records(path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("hint", ["", "sep={}\n", '"sep={}"\r\n', "SEP={}\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a"])
def test_delimiters(tmp_path, read_both, delimiter, hint, name):
    path = tmp_path / name
    path.write_text(hint.format(delimiter) + TABLE.replace(",", delimiter), newline="")
    assert records(path) == [("a", "ACGU"), ("b ö", "GGCC")]
    assert len(read_both(read_localisation, path, compartments=COMPARTMENTS)) == 2


def test_decimal_commas_between_commas(tmp_path, refuses):
    path = tmp_path / "a.csv"
    path.write_text("id,sequence,Cytosol,Nuclear\na,ACGU,0,5,0,5\n")
    message = "a.csv, line 2: 6 fields where 4 .*a comma in a number is taken for one between fields: write decimal"
    refuses(message, read_localisation, path, compartments=COMPARTMENTS)


def test_blank_lines_above_a_header(tmp_path, read_both):
    path = tmp_path / "a.csv"
    for start in ("\n\r\n", "\ufeff\n", "\nsep=;\n\n"):
        path.write_text(start + TABLE.replace(",", ";"), encoding="utf-8", newline="")
        assert records(path) == [("a", "ACGU"), ("b ö", "GGCC")]
        assert len(read_both(read_localisation, path, compartments=COMPARTMENTS)) == 2


def test_what_stands_in_quotes_parts_nothing():
    text = '"a;b;c;d",sequence\n"x;y",ACGU\n'
    assert [row for _, row in read_rows(text.splitlines(keepends=True))][1] == ["x;y", "ACGU"]
    assert [row for _, row in read_rows(["sequence\n", "ACGU\n"])] == [["sequence"], ["ACGU"]]
    assert list(read_rows(["sep=|\n", "a|b\n", "1|2\n"])) == [(2, ["a", "b"]), (3, ["1", "2"])]
    assert list(read_rows([])) == []


def test_headers_know_their_lines(tmp_path):
    path = tmp_path / "a.csv"
    for text, lines in (("a;b\n1;2\n", 1), ("sep=;\na;b\n1;2\n", 2), ("\ufeffsep=;\r\na;b\r\n", 2)):
        path.write_text(text, encoding="utf-8", newline="")
        with open(path, "rb") as file:
            header = read_header(file)
        assert (header, header.delimiter, header.num_lines) == (["a", "b"], ";", lines)


def test_lines_in_messages_count_the_hint(tmp_path, refuses):
    path = tmp_path / "a.csv"
    path.write_text("sep=;\nid_min;id_max;sequence_id;sequence\n0;3;a;ACGU\n4;9;b;ACGU\n")
    refuses("a.csv, line 4: 6 ids", read_ribonanza_test, path)
    path.write_text("sep=;\nid_min;id_max;name;sequence\n")
    refuses("a.csv, line 2: no column sequence_id", read_ribonanza_test, path)


@pytest.mark.parametrize("value", ["0,5", "-1,25", ",5", "1,5e-3", "1.000,5", "1,000", "1,000.5"])
def test_decimal_commas_are_refused_with_a_remedy(tmp_path, refuses, value):
    path = tmp_path / "a.csv"
    path.write_text(f"id;sequence;Cytosol;Nuclear\na;ACGU;1.5;2\nb;ACGU;{value};3\n")
    message = rf"a.csv, line 3 .*'{value}', which has a comma; write numbers with a decimal point, such as 0\.5$"
    refuses(message, read_localisation, path, compartments=COMPARTMENTS)


FOREIGN = {
    "a.fa": (b"LOCUS       X1  9 bp\nORIGIN\n        1 ggggaaaac\n//\n", "GenBank; convert it to FASTA"),
    "a.txt": (b"ID   X1; SV 1; linear; RNA;\nXX\n", "EMBL; convert it to FASTA"),
    "b.txt": (b"##gff-version 3\nchr1\t.\tgene\t1\t9\n", "GFF; convert it to FASTA .bedtools"),
    "a.bed": (b"chr1\t1\t9\n", "a list of regions; convert it to FASTA"),
    "c.txt": (b"CLUSTAL W (1.83)\n\na  GG--CC\n", "a Clustal alignment; .* without gaps"),
    "d.txt": (b"# STOCKHOLM 1.0\na GG--CC\n//\n", "a Stockholm alignment; .* without gaps"),
    "e.txt": (b" 2 12\nhp1       GGGG--AACCCC\n", "a PHYLIP alignment; .* without gaps"),
    "a.sam": (b"r1\t4\t*\t0\t0\t*\t*\t0\t0\tACGU\tIIII\n", "SAM; convert it to FASTA .samtools"),
    "f.txt": (gzip.compress(b"BAM\x01\x00\x00"), "BAM; convert it to FASTA .samtools"),
    "g.txt": (b"##fileformat=VCFv4.2\n#CHROM\tPOS\n", "VCF; convert it to FASTA"),
    "h.txt": (b"\x43\x27\x41\x1a\x00\x00", "2bit; convert it to FASTA"),
    "a.xlsx": (b"PK\x03\x04 ", "a spreadsheet; save the table as CSV or parquet"),
    "a.xls": (b"\xd0\xcf\x11\xe0\xa1", "an old Excel or Word file; save"),
    "a.jsonl": (b'{"id": "a", "sequence": "ACGU"}\n', "JSON; save the table as CSV or parquet"),
    "a.json": (b'[\n {"id": "a", "sequence": "ACGU"}]', "JSON; save"),
    "a.feather": (b"ARROW1\x00\x00", "an Arrow or Feather file; save"),
    "a.npz": (b"PK\x03\x04 ", "an archive of arrays; load it"),
    "a.pkl": (b"\x80\x04\x95\x00", "a pickle; load it where you trust it"),
    "a.fa.bz2": (b"BZh91AY", "packed with bzip2; unpack it"),
    "a.fa.xz": (b"\xfd7zXZ\x00", "packed with xz; unpack it"),
    "i.txt": (b"<?xml version='1.0'?>\n<a/>", "XML or HTML; export the sequences"),
    "j.txt": (b"  12 hp1\n 1 G 0 2 12 1\n", "a connectivity table .CT.; .*read_structures"),
    "k.txt": (b"# hp1\n1 G 12\n2 G 11\n", "BPSEQ; .*read_structures"),
    "l.txt": (b"HEADER    RNA\nATOM      1  P     G A   1\n", "PDB; write its sequence as FASTA"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_other_kinds_are_named_with_the_way_to_convert_them(tmp_path, name):
    content, message = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is {message}"):
        records(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.bed", ">a\nACGU\n"),
        ("a.txt", "ACGU\n"),
        ("b.txt", ";id;sequence\n0;a;ACGU\n"),
        ("c.txt", "id,sequence\na,ACGU"),
    ],
)
def test_what_is_read_is_not_taken_for_another_kind(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert [sequence for _, sequence in records(tmp_path / name)] == ["ACGU"]


def test_names_of_columns_with_line_breaks_are_shown_in_one_line(tmp_path, refuses):
    path = tmp_path / "a.csv"
    path.write_text('"id\rGACU",sequence\na,GACU\n', newline="")
    refuses("line 1: no column Cytosol, Nuclear; the columns are id GACU, sequence", read_localisation, path, **ASKED)


@pytest.mark.parametrize("cut", [8, 9, 12])
def test_a_cut_gzip_that_is_no_text_is_broken(tmp_path, cut):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"id,sequence\na,GA\xff", mtime=0)[:-cut])
    with pytest.raises(ValueError, match=r"a\.csv\.gz is a broken gzip: Compressed file ended"):
        records(path)


def zipped(method=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("a.csv", TABLE)
    return bytearray(stream.getvalue())


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (6, 99, "zip file version 9.9"),  # that is needed to unpack it
        (8, 1, ".*is encrypted, password required"),
        (8, 32, "compressed patched data"),
        (45, 255, ".*"),  # where the file lies
    ],
)
def test_a_damaged_directory_of_a_zip(tmp_path, offset, value, reason):
    data = zipped()
    directory = data.index(b"PK\x01\x02")
    data[directory + offset] = value
    data[data.index(b"PK\x03\x04") + offset - 2] = value if offset == 8 else data[offset - 2]
    path = tmp_path / "a.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"a.csv is a broken zip archive: {reason}") as caught:
        records(path)
    assert "\n" not in str(caught.value)


def test_a_zip_packed_in_another_way(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(zipped(zipfile.ZIP_BZIP2))
    with pytest.raises(ValueError, match=r"a\.csv is packed by method 12 of zip; unpack it first"):
        records(path)
