"""Nothing but RNA is predicted: tables and columns in memory, missing values, FASTQ, and what only looks like RNA."""

import gzip
import io
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import tiny_models
from datasets import Dataset, DatasetDict
from torch.utils.data import Dataset as TorchDataset
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

import rna_hf  # noqa: F401 - registers the pipelines
from rna_hf.cli.main import run
from rna_hf.data.checks import SequenceChecker, check_sequence, find_problem
from rna_hf.data.sources import open_sequences
from rna_hf.prediction import predict

IDS = ["hairpin", "gap", "tail"]
SEQUENCES = ["GGCAUUCGUGCC", None, "ACCAUGAA"]
TABLE = {"id": IDS, "Sequence": SEQUENCES, "other": [1.5, 2.5, 3.5]}
USABLE = [("hairpin", "GGCAUUCGUGCC"), ("tail", "ACCAUGAA")]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_models.save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def predictor(tiny):
    return pipeline("rna-reactivity", model=str(tiny), device="cpu")


def polars_table(table):
    return pytest.importorskip("polars").DataFrame(table)


def structured(table):
    rows = list(zip(table["id"], [text or "" for text in table["Sequence"]]))
    return np.array(rows, dtype=[("id", "U20"), ("Sequence", "U20")])


TABLES = {
    "pandas": pd.DataFrame,
    "pandas, text of Arrow": lambda table: pd.DataFrame(table).astype({"Sequence": "string[pyarrow]"}),
    "pandas, ids as index": lambda table: pd.DataFrame(table).set_index("id"),
    "pandas, values that Arrow has not": lambda table: pd.DataFrame(table | {"other": [object(), "x", 3]}),
    "polars": polars_table,
    "arrow": pa.table,
    "arrow batch": lambda table: pa.table(table).to_batches()[0],
    "arrow stream": lambda table: pa.table(table).to_reader(),
    "datasets": Dataset.from_dict,
    "datasets, chosen rows": lambda table: Dataset.from_dict({k: v[::-1] for k, v in table.items()}).select([2, 1, 0]),
    "datasets, row by row": lambda table: Dataset.from_dict(table).to_iterable_dataset(),
    "dict": dict,
    "dict of arrays": lambda table: {name: np.array(column, dtype=object) for name, column in table.items()},
    "list of rows": lambda table: pd.DataFrame(table).to_dict("records"),
    "named tuples": lambda table: list(pd.DataFrame(table)[["Sequence", "id"]].itertuples(index=False)),
}
COLUMNS = {
    "tuple": tuple,
    "generator": lambda values: (value for value in values),
    "map": lambda values: map(lambda value: value, values),
    "numpy": lambda values: np.array(values, dtype=object),
    "numpy text": lambda values: np.array(values) if all(values) else np.array(values, dtype=object),
    "pandas": pd.Series,
    "pandas text": lambda values: pd.Series(values, dtype="string"),
    "polars": lambda values: polars_table({"sequence": values})["sequence"],
    "arrow": pa.array,
    "arrow chunks": lambda values: pa.chunked_array([values[:1], values[1:]]),
    "datasets": lambda values: Dataset.from_dict({"sequence": values})["sequence"],
    "datasets, row by row": lambda values: Dataset.from_dict({"sequence": values}).to_iterable_dataset()["sequence"],
}


def check(inputs):
    """Return what is usable, and why the rest is not."""
    with open_sequences(inputs) as source:
        checker = SequenceChecker(source)
        summary = checker.check()
        return [(record.id, record.sequence) for record in checker.usable()], summary.problems


@pytest.mark.parametrize("kind", TABLES)
def test_tables_in_memory_are_read_as_on_disk(kind):
    usable, problems = check(TABLES[kind](TABLE))
    assert usable == USABLE
    assert len(problems) == 1
    assert problems[0].startswith(("row 2 (id 'gap')", "item 2 (id 'gap')"))
    assert "missing value" in problems[0]


def test_a_structured_array_is_a_table():
    assert check(structured(TABLE)) == (USABLE, ["row 2 (id 'gap'): empty sequence"])


def test_an_id_that_cannot_be_written():
    usable, problems = check([("a", "GACU"), ("\ud800", "GACU")])
    assert usable == [("a", "GACU")]
    assert "id holds half a character (a surrogate), which cannot be written" in problems[0]


@pytest.mark.parametrize("name", ["RNA", "seq", "NA", "CAT"])
@pytest.mark.parametrize("kind", [kind for kind in TABLES if kind not in ("named tuples", "pandas, text of Arrow")])
def test_names_of_columns_are_no_sequences(kind, name):
    build = TABLES[kind]
    made = build({"id": IDS, name: SEQUENCES, "other": [1, 2, 3]})
    with pytest.raises(ValueError, match=f"has no column 'sequence'; its columns are .*'{name}'"):
        check(made)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sequence": [np.zeros((2, 2))]}, r"column 'sequence' must hold text; row 1 is array\(\[\[0., 0.\], \[0., 0."),
        ({"sequence": np.array("GACU"), "id": ["a"]}, "inputs must be a path, a sequence, a table"),
        (pd.DataFrame({"sequence": [12, 7]}), "column 'sequence' must hold text; row 1 is 12"),
        (pd.DataFrame(), "its columns are none at all"),
        (pd.DataFrame([["x", "GGCAUUCG"]]), "its columns are '0', '1'"),
        (pd.DataFrame({"GGCAUUCG": ["GGCA"]}), "is the line with the names of the columns missing"),
        (pd.DataFrame({"sequence": []}), "the DataFrame holds no sequence"),
        (DatasetDict(test=Dataset.from_dict({"sequence": ["ACG"]})), "its columns are 'test'"),
        ({"id": ["a", "b"], "sequence": ["ACG"]}, "have 1 and 2 values"),
        (np.array("ACG"), "got ndarray"),
        (b"ACG", r"got bytes; decode it, inputs.decode\(\)"),
        ({"a": "ACG"}, r"got dict; give its pairs of id and sequence, inputs.items\(\)"),
        ({"id": "a", "sequence": "ACG"}, r"got dict; it is a single row; give a list, \[inputs\]"),
        (np.array([["a", "ACG"], ["b", "ACC"]]), r"got ndarray; it has several dimensions; give .*inputs\[:, 1\]"),
        (np.array([list("ACG")]), "it has several dimensions"),
        (np.array([b"ACG"]), "item 1 .*; decode it"),
        (io.StringIO(">a\nACG\n"), "got StringIO; give the path of the file"),
        ([Path("a.fa")], "item 1 .*; give one path at a time"),
        ([pd.DataFrame({"sequence": ["ACG"]})], "item 1 .*; give one table at a time$"),
        (pd.DataFrame({"id": ["a"], "sequence": ["ACG"]}).iterrows(), "; give the table itself, not its rows$"),
        (pa.table({"sequence": ["ACG"]}).to_batches(), "; give one table at a time$"),
        (
            pyarrow.dataset.dataset(pa.table({"sequence": ["ACG"]})),
            r"got .*Dataset; give the table, inputs.to_table\(\)",
        ),
        (
            DatasetDict(train=Dataset.from_dict({"sequence": ["ACG"]})),
            r"several tables; give .*\['train'\]",
        ),
        ({"id": ["a"], "seq": ["ACG"]}, "its columns are 'id', 'seq'; rename the one with the RNAs"),
    ],
)
def test_tables_that_cannot_be_read(table, message):
    with pytest.raises(ValueError, match=message) as caught:
        check(table)
    assert "\n" not in str(caught.value)


class Seq:
    """What a sequence of Biopython has in common with one."""

    __module__ = "Bio.Seq"

    def __init__(self, letters, identifier=None):
        self.letters = letters
        if identifier:
            self.id, self.seq = identifier, Seq(letters)

    def translate(self):
        raise NotImplementedError

    def __len__(self):
        return len(self.letters)

    def __getitem__(self, index):
        return self.letters[index]

    def __str__(self):
        return self.letters


def test_sequences_of_biopython_are_whole_and_not_letter_by_letter():
    assert check(Seq("GGCAUUCG"))[0] == [("seq1", "GGCAUUCG")]
    assert check(Seq("GGCAUUCG", "x"))[0] == [("x", "GGCAUUCG")]
    assert check(iter([Seq("GGCAUUCG", "x"), Seq("ACG", "<unknown id>")]))[0] == [("x", "GGCAUUCG"), ("seq2", "ACG")]
    with pytest.raises(ValueError, match=r"inputs.values\(\)"):
        check({"x": Seq("GGCAUUCG", "x")})


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("rArCrGrU", "'rArCrGrU' names the sugar before each letter; write the letters alone"),
        ("mArCdGT", "names the sugar"),
        ("GGAA((..))", "leave out the structure in dot-bracket"),
        ("1 GGCAUUCG", "remove the numbers"),
        ("GGC*", "remove it"),
        ("GG~AA", "remove the gaps"),
        ("GG\u03a8AA", "write pseudouridine as U"),
        ("GGAA&CC", "give each strand by itself"),
    ],
)
def test_what_to_do_about_a_character_is_said(text, advice):
    usable, problems = check([text])
    assert usable == []
    assert advice in problems[0]


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_and_their_gaps(kind):
    usable, problems = check(COLUMNS[kind](SEQUENCES))
    assert [sequence for _, sequence in usable] == ["GGCAUUCGUGCC", "ACCAUGAA"]
    assert problems == ["item 2 (id 'seq2'): missing value"]


@pytest.mark.parametrize("gap", [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.ma.masked, pa.scalar(None)])
def test_missing_values_of_libraries(gap):
    assert check(["ACG", gap, ("x", gap), {"id": "y", "sequence": gap}])[1] == [
        "item 2 (id 'seq2'): missing value",
        "item 3 (id 'x'): missing value",
        "item 4 (id 'y'): missing value",
    ]


@pytest.mark.parametrize(
    "text", ["NA", "na", "nan", "NaN", "NaT", "NULL", "null", "None", "N/A", "n/a", "#N/A", "#NAME?", "-", "\\N"]
)
def test_missing_values_as_text(text, tmp_path):
    path = tmp_path / "gaps.csv"
    path.write_text(f"id,sequence\na,GCGCAA\nb,{text}\nc, \nd,UUUGCG\n")
    usable, problems = check(path)
    assert usable == [("a", "GCGCAA"), ("d", "UUUGCG")]
    assert problems[0].startswith("line 3 (id 'b'): ")
    assert problems[0].endswith("reads as a missing value")
    assert "empty sequence" in problems[1]
    with pytest.raises(ValueError, match=r"missing value; correct or drop the record$"):
        check_sequence(text, "here", "n")


def test_gaps_do_not_forbid_to_leave_them_out(tiny, tmp_path, capsys):
    path = tmp_path / "gaps.csv"
    path.write_text("id,sequence\na,GCGCAA\nb,NA\nc,nan\nd,UUUGCG\n")
    arguments = ["predict", "reactivity", str(path), "-o", str(tmp_path / "o"), "--model", str(tiny), "--plot", "0"]
    assert run(arguments) == 2
    assert "2 of 4 sequences are unusable: line 3 (id 'b'): 'NA' reads as a missing" in (err := capsys.readouterr().err)
    assert "--skip-invalid predicts the others" in err
    assert run([*arguments, "--skip-invalid", "--format", "jsonl"]) == 0
    rows = (tmp_path / "o" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(row)["id"] for row in rows] == ["a", "d"]


@pytest.mark.parametrize(
    "text", ["RNA", "DNA", "tRNA", "cDNA", "mRNAs", "strand", "N", "NNNNNNNNN", "RYKM", "MKTVHGADSNR"]
)
def test_what_only_has_the_letters(text, tiny, predictor):
    with pytest.raises(ValueError, match=r"reads as a word|of the letters are N or another code"):
        predict(["GGCAUUCG", text], model=tiny)
    with pytest.raises(ValueError, match=r"item 2 cannot be predicted: .*(reads as a word|of the letters are N)"):
        predictor(["GGCAUUCG", text])
    with pytest.raises(ValueError, match="the sequence cannot be predicted"):
        predictor(text)


def test_unknown_letters_bring_a_warning_for_every_model(tiny, predictor):
    rnas = [("fine", "GGCAUUCGUGCCN"), ("half", "GGCANNNN"), ("some", "GGCAUNNGCA")]
    message = r"^2 RNAs to take with care .more than 10% unknown nucleotides .*: "
    with pytest.warns(UserWarning, match=message + "'half', 'some'$"):
        assert len(predict(rnas, model=tiny)) == 3
    with pytest.warns(UserWarning, match=message + "item 2, item 3$") as caught:
        assert len(predictor(rnas)) == 3
    assert len(caught) == 1
    with pytest.warns(UserWarning, match=r"^1 RNA to take with care .*: the sequence$"):
        predictor("GGCANNNN")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor("GGCAUUCGUGCCN")


FASTQ = "@r1 lane 1\nGGCA\nUUCG\n+\n@GGG\n+CCA\n\n@r2\nACCAUG\n+r2\nGGGGGG\n@\nGGA\n+\n!!!\n"
READS = [("r1", "GGCAUUCG"), ("r2", "ACCAUG"), ("seq3", "GGA")]


@pytest.mark.parametrize("name", ["a.fastq", "a.fq.gz", "a.txt", "a", "windows.fq"])
def test_fastq_keeps_ids_and_drops_qualities(name, tmp_path):
    content = FASTQ.replace("\n", "\r\n") if name == "windows.fq" else FASTQ
    packed = gzip.compress(content.encode()) if name.endswith(".gz") else content.encode()
    (tmp_path / name).write_bytes(packed)
    assert check(tmp_path / name) == (READS, [])
    with open_sequences("-", stdin=io.BytesIO(packed)) as source:
        assert [(record.id, record.sequence) for record in source.records()] == READS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.fa", FASTQ, "FASTQ is to be named .fastq"),
        ("a.csv", FASTQ, "begins as FASTQ does; name it .fastq"),
        ("a.fq", FASTQ[:-3], "it ends within the quality of the read of line 12"),
        ("a.fq", "@r\nGGCA\n", "the read of line 1 has no line '\\+'"),
        ("a.fq", "@r\nGGCA\n+\nGGGGG\n", "4 letters and 5 qualities"),
        ("a.fq", ">r\nGGCA\n", "line 1 should be a header"),
        ("a.txt", FASTQ[FASTQ.index("\n") + 1 :], "line 3 begins with '\\+'"),
        ("a.txt", "# made by hand\n>a\nGGCA\n", "line 2 begins with '>'"),
        ("a.sam", "@HD\tVN:1.6\nr\t4\t*\n", "is SAM; convert it"),
        ("a.txt", "RNA\nGGCA\nACCA\n", "no column 'sequence'; its columns are 'RNA'"),
        ("a.txt", "seq\nGGCA\nACCA\n", "no column 'sequence'; its columns are 'seq'"),
        ("a.csv", "x,GGCAUUCG\ny,ACCAUGAA\n", "is the line with the names of the columns missing"),
    ],
)
def test_files_that_are_no_lists_of_sequences(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        check(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "is_advised"),
    [
        (">a\nMEEPQSDPSV\n>b\nGATC\n>c\nMKTAYIAKQR\n", False),
        ("tRNA1\nGGCAUUCG\nprobe\nACCAUGAA\n", False),
        (">a\nGGCA\n>b\nGGX\n>c\nACCA\n", True),
    ],
)
def test_leaving_out_is_advised_only_for_a_few(content, is_advised, tiny, tmp_path):
    (tmp_path / "a").write_text(content)
    with pytest.raises(ValueError, match="unusable") as caught:
        predict(tmp_path / "a", model=tiny)
    assert ("--skip-invalid" in str(caught.value)) == is_advised
    assert ("is it RNA?" in str(caught.value)) != is_advised
    with pytest.warns(UserWarning, match="skipped") as caught:
        predict(tmp_path / "a", model=tiny, skip_invalid=True)
    assert any("is it RNA?" in str(warning.message) for warning in caught) != is_advised


def test_proteins_are_told():
    assert "proteins have P" in find_problem("GGPA")


@pytest.mark.parametrize("kind", COLUMNS)
def test_pipelines_take_columns(kind, predictor):
    given = COLUMNS[kind](["GGCAUUCG", "ACCAU", "GGA"])
    outputs = list(predictor(given, batch_size=2))
    assert [len(output["reactivity"]["DMS"]) for output in outputs] == [8, 5, 3]
    assert all(type(output["sequence"]) is str for output in outputs)
    with pytest.raises(ValueError, match="item 2 cannot be predicted: missing value"):
        list(predictor(COLUMNS[kind](SEQUENCES)))


@pytest.mark.parametrize("kind", TABLES)
def test_pipelines_take_tables(kind, predictor):
    table = {"id": ["a", "b"], "Sequence": ["GGCAUUCG", "ACCAU"], "other": [1, 2]}
    if "Arrow has not" in kind:
        kind = "pandas"
    if kind == "datasets, chosen rows":
        kind = "datasets"
    assert [output["sequence"] for output in predictor(TABLES[kind](table))] == ["GGCAUUCG", "ACCAU"]
    with pytest.raises(ValueError, match=r"(row|item) 2 cannot be predicted: missing value"):
        list(predictor(TABLES[kind](TABLE)))


def test_pipelines_say_what_they_take(predictor):
    with pytest.raises(ValueError, match=r"no column 'sequence'; its columns are 'RNA'.*KeyDataset"):
        predictor(pd.DataFrame({"RNA": ["GGCA"]}))
    with pytest.raises(ValueError, match=r"takes a sequence.*got int.*list\(table\[column\]\)"):
        predictor(5)
    with pytest.raises(ValueError, match="holds no sequence"):
        predictor([])


def test_pipelines_take_data_sets_of_torch(predictor):
    data = KeyDataset(Dataset.from_dict({"rna": ["GGCAUUCG", "NA"]}), "rna")
    assert isinstance(data, TorchDataset)
    outputs = iter(predictor(data))
    assert next(outputs)["sequence"] == "GGCAUUCG"
    with pytest.raises(ValueError, match="item 2 cannot be predicted: 'NA' reads as a missing value"):
        next(outputs)


def test_no_library_of_frames_is_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", None)
    assert check({"sequence": ["GGCA"]}) == ([("seq1", "GGCA")], [])


def test_parquet_with_texts_in_another_encoding(tmp_path):
    latin = pa.array([b"GACU", b"GA\xb1"]).cast(pa.binary()).view(pa.string())
    pyarrow.parquet.write_table(pa.table({"sequence": latin}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet is not a readable parquet file: 'utf-8' codec") as caught:
        check(tmp_path / "a.parquet")
    assert type(caught.value) is ValueError
