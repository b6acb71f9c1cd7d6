"""Reading inputs: each kind, each way of being broken, and the checker's decisions."""

import gzip
import io
import itertools
import os
import threading
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rna_hf.data.checks import SequenceChecker, find_problem
from rna_hf.data.sources import SequenceList, is_path_like, open_sequences

FASTA = ">one first RNA\nGGGAAA\ncuc\n\n>two\r\nACGT\r\n"
PAIRS = [("one", "GGGAAAcuc"), ("two", "ACGT")]


def pairs(source):
    return [(record.id, record.sequence) for record in source.records()]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zipped(*contents):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, content in enumerate(contents):
            archive.writestr(zipfile.ZipInfo(f"{number}.fa"), content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.fasta", FASTA),
        ("a.fa.gz", gzip.compress(FASTA.encode(), mtime=0)),
        ("a.unknown", FASTA),
        ("a.csv", "id,other,sequence\none,1,GGGAAAcuc\ntwo,2,ACGT\n"),
        ("with_byte_order_mark.csv", b"\xef\xbb\xbfID,Sequence\r\none,GGGAAAcuc\r\n\r\ntwo,ACGT\r\n"),
        ("a.tsv", "sequence\tid\nGGGAAAcuc\tone\nACGT\ttwo\n"),
        ("a.csv.gz", gzip.compress(b"id,sequence\none,GGGAAAcuc\ntwo,ACGT\n", mtime=0)),
        ("table.txt", "id,sequence\none,GGGAAAcuc\ntwo,ACGT\n"),
        ("a.fa.zip", zipped(FASTA)),
        ("quoted", '"id","sequence"\n"one","GGGAAAcuc"\n"two","ACGT"\n'),
    ],
)
def test_files(tmp_path, name, content):
    assert pairs(open_sequences(write(tmp_path / name, content))) == PAIRS
    assert pairs(open_sequences(str(tmp_path / name))) == PAIRS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('id,sequence,note\na,ACG,"5 inch\nb,GGG,x\n', r"not a readable table: .* \(line 3\)"),
        ("id,seq\na,ACGU\n", "no column 'sequence'"),
        ("sequence,Sequence\nA,C\n", "2 columns 'sequence'"),
    ],
)
def test_tables_that_would_lose_rows(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        pairs(open_sequences(write(tmp_path / "table", content)))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet(tmp_path, kind):
    path = tmp_path / "a.parquet"
    table = {"sequence": pa.array(["GGGAAAcuc", "ACGT"]).cast(kind), "id": ["one", "two"], "other": [1.0, 2.0]}
    pq.write_table(pa.table(table), path)
    with open_sequences(path) as source:
        assert pairs(source) == PAIRS == pairs(source)
        assert [record.location for record in source.records()] == ["row 1", "row 2"]


def test_ids_without_a_column(tmp_path):
    assert pairs(open_sequences(write(tmp_path / "a.csv", "sequence\nACG\nGGG\n"))) == [
        ("seq1", "ACG"),
        ("seq2", "GGG"),
    ]
    assert pairs(open_sequences(write(tmp_path / "a.txt", "ACG\n\nGGG\n"))) == [("seq1", "ACG"), ("seq2", "GGG")]
    assert pairs(open_sequences(write(tmp_path / "a.fa", ">\nACG\n"))) == [("seq1", "ACG")]
    assert pairs(open_sequences("ACGU")) == [("sequence", "ACGU")]


def test_python_values():
    assert pairs(open_sequences(["ACG", ("b", "GGG"), {"id": 3, "sequence": "CCC"}])) == [
        ("seq1", "ACG"),
        ("b", "GGG"),
        ("3", "CCC"),
    ]
    with open_sequences(iter(PAIRS)) as source:
        path = source.path
        assert pairs(source) == PAIRS == pairs(source)
        assert not source.is_resumable
    assert not path.exists()
    for bad in (5, {"sequence": "ACG"}, [5], [("a", "b", "c")]):
        with pytest.raises(ValueError, match=r"inputs must be|item 1 must be"):
            pairs(open_sequences(bad))


@pytest.mark.parametrize(
    "content", [FASTA, gzip.compress(FASTA.encode(), mtime=0), "id,sequence\none,GGGAAAcuc\ntwo,ACGT\n"]
)
def test_standard_input(content):
    stdin = io.BytesIO(content if isinstance(content, bytes) else content.encode())
    with open_sequences("-", stdin=stdin) as source:
        assert pairs(source) == PAIRS == pairs(source)
        assert not source.is_resumable


def test_a_named_pipe_is_copied_first(tmp_path):
    path = tmp_path / "pipe.fa"
    os.mkfifo(path)
    thread = threading.Thread(target=path.write_text, args=(FASTA,))
    thread.start()
    with open_sequences(path) as source:
        assert pairs(source) == PAIRS == pairs(source)
    thread.join()


def test_a_path_and_a_sequence_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not is_path_like("ACGU")
    write(tmp_path / "ACGU", ">a\nGGG\n")
    assert is_path_like("ACGU")
    assert pairs(open_sequences("ACGU")) == [("a", "GGG")]
    for name in ("missing.fa", "./missing", "folder\\missing", "~missing"):
        with pytest.raises(FileNotFoundError, match="no such file"):
            open_sequences(name)


def broken_parquet(path):
    pq.write_table(pa.table({"sequence": ["ACG" * 100] * 1000}), path)
    path.write_bytes(path.read_bytes()[:500])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.fa", "", "is empty"),
        ("a.csv", "", "is empty"),
        ("a.fa", "\n\n", "holds no sequence"),
        ("a.txt", "\n\n", "blank lines only"),
        ("a.csv", "id,sequence\n", "holds no sequence"),
        ("a.fa", "ACGU\n>a\nACGU\n", "line 1 comes before the first header"),
        ("a.csv", "id,seq\na,ACG\n", r"no column 'sequence'; its columns are 'id', 'seq'"),
        ("a.fa.gz", gzip.compress(FASTA.encode() * 100, mtime=0)[:60], "broken gzip"),
        ("a.fa.gz", FASTA, "broken gzip: it does not begin"),
        ("a.fa.gz", gzip.compress(FASTA.encode(), mtime=0)[:-6] + b"xxxxxx", "broken gzip"),
        ("a.fa", b">a\n\xff\xfe\x00", "not a text file in UTF-8: invalid start byte in line 2"),
        (
            "a.fa.gz",
            gzip.compress(b">a\n" + b"ACGU\n" * 9000 + b"\xff\n", mtime=0),
            "not a text file in UTF-8: .* in line 9002",
        ),
        ("a.zip", zipped(FASTA, FASTA), "an archive of 2 files"),
        ("a.zip", zipped(FASTA)[:-30], "broken zip archive"),
        ("a.parquet", "id,sequence\n", "not a readable parquet"),
        ("a.parquet", broken_parquet, "not a readable parquet"),
        ("a.parquet", lambda path: pq.write_table(pa.table({"x": ["A"]}), path), "no column 'sequence'"),
        ("a.parquet", lambda path: pq.write_table(pa.table({"sequence": [1]}), path), "must hold text, not int64"),
    ],
)
def test_broken_files_are_explained(tmp_path, name, content, message):
    path = tmp_path / name
    if callable(content):
        content(path)
    else:
        write(path, content)
    with pytest.raises(ValueError, match=message) as caught:
        SequenceChecker(open_sequences(path)).check()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_empty_inputs_are_explained(tmp_path):
    for empty, message in [("", "the input is empty"), ([], "holds no sequence"), (iter([]), "holds no sequence")]:
        with pytest.raises(ValueError, match=message):
            SequenceChecker(open_sequences(empty)).check()
    with pytest.raises(ValueError, match="standard input is empty"):
        open_sequences("-", stdin=io.BytesIO())
    with pytest.raises(ValueError, match="is a folder"):
        open_sequences(tmp_path)


@pytest.mark.parametrize(
    ("sequence", "problem"),
    [
        ("ACGUTacgutRYSWKMBDHVNn", None),
        ("", "empty sequence"),
        ("ACG UAC", "blank at position 4"),
        ("ACGX", "unknown letter 'X' at position 4"),
        ("ACG-U", "remove the gaps"),
        ("ACGı", "unknown letter 'ı' at position 4"),
    ],
)
def test_problems_of_sequences(sequence, problem):
    found = find_problem(sequence)
    assert found is None if problem is None else problem in found


def test_checker_lists_what_is_unusable_and_gives_the_rest():
    items = [("a", "ACG"), ("b", ""), ("a", "GGG"), ("c", "A CG"), ("b", "CCC"), ("", "AAA"), ("d", "A" * 50)]
    checker = SequenceChecker(SequenceList(items), lambda length: "too long" if length > 40 else None)
    problems = []
    usable = []
    summary = checker.check(
        on_problem=lambda record, reason: problems.append(reason),
        find_cautions=lambda sequence: ["has no G"] if "G" not in sequence else [],
        on_usable=usable.append,
        max_shown=3,
    )
    assert problems[:3] == ["empty sequence", "duplicate id, first seen at item 1", "blank at position 2; remove it"]
    # An id is taken only by a usable record: the second "b" is the first that counts.
    assert [(record.id, record.sequence) for record in checker.usable()] == [
        ("a", "ACG"),
        ("b", "CCC"),
        ("seq6", "AAA"),
    ]
    assert problems[3:] == ["too long"]
    assert (summary.total, summary.usable, summary.longest) == (7, 3, (3, "a"))
    assert [record.id for record in usable] == ["a", "b", "seq6"]
    assert summary.cautions == {"has no G": (2, ["b", "seq6"])}
    assert len(summary.problems) == 3


def test_an_empty_id_in_a_table_is_a_problem(tmp_path):
    path = write(tmp_path / "a.csv", "id,sequence\na,ACG\n ,GGG\nb\n")
    summary = SequenceChecker(open_sequences(path)).check()
    assert summary.problems == ["line 3 (id ''): empty id", "line 4 (id 'b'): empty sequence"]


def test_files_are_streamed(tmp_path):
    """The first record of a file comes before the rest is read: the tail of this one could not be."""
    path = tmp_path / "a.fa"
    path.write_bytes(b">a\nACGU\n" * 100_000 + b">b\n\xff\xff")
    records = open_sequences(path).records()
    assert [record.id for record in itertools.islice(records, 1000)] == ["a"] * 1000
    records.close()


def test_digest_follows_the_content(tmp_path):
    one, two = write(tmp_path / "1.fa", FASTA), write(tmp_path / "2.fa", FASTA)
    other = write(tmp_path / "3.fa", FASTA + ">x\nA\n")
    digests = [open_sequences(path).digest() for path in (one, two, other)]
    assert digests[0] == digests[1] != digests[2]
    assert open_sequences(["A", "C"]).digest() != open_sequences(["A", "G"]).digest()
