"""Files of secondary structures as other programs write them; `tests/data/corpus/README.md` says which made which."""

from pathlib import Path

import pytest

from rna_hf.structure import parse_bpseq, parse_ct, parse_dbn, read_structures

CORPUS = Path(__file__).resolve().parents[1] / "data" / "corpus"
BEST = ("hp1", "((((....))))", -5.4)
SECOND = ("hp1", "(((.....))).", -4.2)
OTHER = ("hp2", "(((....)))......", -4.6)
TRNA = ("trna", "(.(((.((((((.....))))))))).).......", -8.3)
PLAIN = [(*BEST[:2], None)]
TWO_STRANDS = "this is a complex of 2 strands .*; fold each strand by itself and write a record for each$"
EXPECTED = {
    "rnafold.dbn": [("hp1 made for a test", *BEST[1:]), OTHER],
    "rnafold_p.dbn": [BEST, TRNA],
    "rnafold_mea.dbn": [BEST, TRNA],
    "rnafold_p0.dbn": [("seq1", *BEST[1:]), ("seq2", *OTHER[1:])],
    "rnafold_terminal.dbn": [BEST],
    "rnafold_g.dbn": "line 3: the structure has '\\+', RNAfold's sign of a G-quadruplex",
    "rnasubopt.dbn": [BEST, SECOND, ("hp1", ".(((....))).", -3.1), OTHER],
    "rnasubopt_p.dbn": [*PLAIN, (*SECOND[:2], None), *PLAIN],
    "rnasubopt_z.dbn": [BEST, SECOND],
    "rnacofold.dbn": f"line 2: {TWO_STRANDS}",
    "rnacofold_p.dbn": f"line 2: {TWO_STRANDS}",
    "rnaduplex.dbn": f"line 3: {TWO_STRANDS}",
    "nupack.dbn": f"line 2: {TWO_STRANDS}",
    "rnastructure_multi.dbn": [BEST, SECOND],
    "rnastructure_side.dbn": [BEST, SECOND],
    "rnastructure_full.dbn": [BEST, SECOND],
    "eternafold.dbn": PLAIN,
    "centroidfold.dbn": [BEST],
    "linearfold.dbn": [("seq1", *BEST[1:])],
    "linearpartition_mea.dbn": [("seq1", BEST[1], None)],
    "linearpartition_threshknot.bpseq": [("seq1", BEST[1], None)],
    "rnalfold.dbn": "line 2: a sequence is expected, .*; a structure without its sequence above it, as RNALfold writes",
    "nupack_mfe.dbn": "line 1: a sequence is expected, .*; of NUPACK's files give a sequence and",
    "hotknots.dbn": "line 1: a sequence is expected, .*; write the letters alone, without the word before them",
    "alternatives.dbn": [*PLAIN, (*SECOND[:2], None), (*OTHER[:2], None)],
    "rnastructure_fold.ct": [BEST, SECOND],
    "rnastructure_efn2.ct": [BEST],
    "rnastructure_bifold.ct": f"line 2: {TWO_STRANDS}",
    "mfold.ct": [BEST, SECOND],
    "mfold_2.ct": [BEST],
    "unafold.ct": [BEST],
    "unafold_hybrid.ct": f"line 7: {TWO_STRANDS}",
    "sfold.ct": [BEST],
    "crw.nopct": [("d.5.b.Test", BEST[1], None)],
    "crw.ct": [("d.5.b.Test", BEST[1], 0.0)],
    "crw.bpseq": [("d.5.b.Test", BEST[1], None)],
    "crw_comments.bpseq": [("d.5.b.Test", BEST[1], None)],
    "mfold.bpseq": [BEST],
    "rnastructure.bpseq": [BEST],
    "rnastructure_bifold.bpseq": f"line 1: {TWO_STRANDS}",
    "latin1.dbn": [("hp1 d'après José", BEST[1], None)],
    "latin1.ct": [("hp1 d'après José", BEST[1], None)],
    "utf16.bpseq": PLAIN,
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_of_the_corpus(name: str) -> None:
    expected = EXPECTED[name]
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=f"{name}, {expected}"):
            read_structures(CORPUS / name)
    else:
        assert [(s.id, s.dotbracket, s.energy) for s in read_structures(CORPUS / name)] == expected


def test_the_corpus_is_described_and_tried() -> None:
    described = (CORPUS / "README.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in CORPUS.iterdir() if path.name != "README.md")
    assert [name for name in files if f"`{name}`" not in described] == []
    structures = {name for name in files if Path(name).suffix in (".dbn", ".ct", ".nopct", ".bpseq")}
    assert structures == {*EXPECTED, "rfam.dbn", "forna.dbn"}


def test_a_structure_without_its_sequence_is_not_given_another() -> None:
    with pytest.raises(ValueError, match="line 5: a sequence is expected"):
        parse_dbn(">a\nGGAAACC\n((...))\n>b\n((...))\n")
    with pytest.raises(ValueError, match="line 5: a sequence is expected"):
        parse_dbn(">ENERGY = -1  a\nGGAAACC\n((...))\n>ENERGY = -1  b\n((...))\n")


def test_titles_hold_for_all_structures_of_a_sequence_only() -> None:
    found = parse_dbn("GGAAACC\n((...))\n(.....)\n# a comment\n.(...).\nACGU\n....\n>c\nAC\n..\nGU\n..\n")
    assert [s.id for s in found] == ["seq1", "seq1", "seq1", "seq2", "c", "seq4"]
    wrapped = parse_dbn(">a\nGGA\nAACC\n((.\n..))\n(..\n...)\n")
    assert [s.dotbracket for s in wrapped] == ["((...))", "(.....)"]


@pytest.mark.parametrize(
    ("text", "mark", "count"),
    [
        ("GG&AA\n((&))\n", "'&'", 2),
        ("GG+AA+CC\n", "'\\+'", 3),
        ("GGAA\n((&))\n", "'&'", 2),
        (">x\nGGIIICC\n((...))\n", "RNAstructure's linker III", 2),
    ],
)
def test_complexes_are_refused_with_their_number_of_strands(text: str, mark: str, count: int) -> None:
    with pytest.raises(ValueError, match=f"this is a complex of {count} strands \\({mark} between them"):
        parse_dbn(text)


def test_sequences_that_are_nearly_right_are_told_what_to_drop() -> None:
    for line, wrong in (("GG-AAACC", "-"), ("GGAAA CC", " "), ("GGAA10CC", "1")):
        with pytest.raises(ValueError, match=f"line 2: a sequence is expected, got '{line}'; remove '{wrong}' and"):
            parse_dbn(f">x\n{line}\n((...)).\n")


def test_files_of_the_option_o(tmp_path: Path) -> None:
    for suffix in (".fold", ".sub"):
        (tmp_path / f"a{suffix}").write_text(">a\nGGAAACC\n((...)) (-1.20)\n@\n")
        assert [(s.id, s.energy) for s in read_structures(tmp_path / f"a{suffix}")] == [("a", -1.2)]


def test_columns_that_say_nothing_of_strands() -> None:
    for columns in ("0 0", "1 1", "9 9"):
        assert parse_ct(f"2 x\n1 A {columns} 0 1\n2 C {columns} 0 2\n")[0].sequence == "AC"
    circular = "3 x\n1 A 3 2 0 1\n2 C 1 3 0 2\n3 G 2 1 0 3\n"
    assert parse_ct(circular)[0].sequence == "ACG"
    assert parse_dbn("AIIA\n....\n")[0].sequence == "AIIA"  # inosines


def test_tables_under_the_wrong_suffix_are_told() -> None:
    with pytest.raises(ValueError, match=r"line 1: .*if this is BPSEQ, name the file \.bpseq"):
        parse_ct("1 A 0\n2 C 0\n")
    with pytest.raises(ValueError, match=r"line 2: .*if this is a connectivity table, name the file \.ct"):
        parse_bpseq("2 x\n1 A 0 2 0 1\n2 C 1 0 0 2\n")
    with pytest.raises(ValueError, match=r"line 2: .*if a second RNA begins here, put it into a file of its own"):
        parse_bpseq("1 A 0\nFilename: b.bpseq\n1 C 0\n")
    with pytest.raises(ValueError, match="line 1: the header announces 3 nucleotides, but there are 2"):
        parse_bpseq("3 x\n1 A 0\n2 C 0\n")


def test_latin_1_is_let_pass_in_titles_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.dbn"
    for text in (">é\nAC\n..\n", ">a\nACé\n...\n"):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(ValueError, match=r"a\.dbn is not a text file in UTF-8: .*; save it as UTF-8"):
            read_structures(path)
    path.write_bytes(">a\nAC\n..\n".encode("utf-16-le"))
    with pytest.raises(ValueError, match="seems to be in UTF-16 without a byte-order mark"):
        read_structures(path)


def test_files_of_other_kinds_are_named() -> None:
    for name, kind in (("rfam.dbn", "a Stockholm alignment"), ("forna.dbn", "JSON")):
        with pytest.raises(ValueError, match=f"{name} is {kind}; write the structures as dot-bracket, CT or BPSEQ$"):
            read_structures(CORPUS / name)


def test_lines_of_another_layout_are_told_what_to_change() -> None:
    for line, advice in (
        ("hp1 GGGGAAAACCCC ((((....))))", "write title, sequence and structure in a line each"),
        ('Predicting using "a.fa"', "remove what a program says above the sequence"),
        ("GGGG__AACCCC", "remove '_' and the like"),
    ):
        with pytest.raises(ValueError, match=f"line 1: a sequence is expected, .*; {advice}$"):
            parse_dbn(f"{line}\nGGAAACC\n((...))\n")


def test_remarks_between_sequence_and_structure() -> None:
    found = parse_dbn("beam size: 100\nGGAAACC\nFree Energy of Ensemble: -1.50 kcal/mol\n((...))\n")
    assert [(s.dotbracket, s.energy) for s in found] == [("((...))", None)]
