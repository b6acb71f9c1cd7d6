"""Files of secondary structures: texts as the tools write them, round trips, and what is said about broken ones."""

import time
from pathlib import Path

import numpy as np
import pytest

from rna_hf.structure import (
    SecondaryStructure,
    format_bpseq,
    format_ct,
    format_dbn,
    parse_bpseq,
    parse_ct,
    parse_dbn,
    parse_st,
    read_structures,
    write_structures,
)

HAIRPIN = SecondaryStructure("hairpin", "GGAAAACC", ((0, 7), (1, 6)))
COLD_HAIRPIN = SecondaryStructure("a cold hairpin", "GGAAAACC", ((0, 7), (1, 6)), energy=-1.2)

CT = """\
# made by hand
    8  ENERGY = -1.2  a cold hairpin
    1 G     0     2     8     1
    2 G     1     3     7     2
    3 A     2     4     0     3
    4 A     3     5     0     4
    5 A     4     6     0     5
    6 A     5     7     0     6
    7 C     6     8     2     7
    8 C     7     0     1     8
"""
BPSEQ = """\
#Name: hairpin
1 G 8
2 G 7
3 A 0
4 A 0
5 A 0
6 A 0
7 C 2
8 C 1
"""


def _random_structures(seed: int) -> list[SecondaryStructure]:
    rng = np.random.default_rng(seed)
    structures = []
    for number in range(20):
        length = int(rng.integers(1, 80))
        ends = rng.permutation(length)[: 2 * int(rng.integers(0, length // 4 + 1))].reshape(-1, 2)
        sequence = "".join(rng.choice(list("ACGUTNacgu"), length))
        energy = None if number % 3 else round(float(rng.normal(-20, 10)), 2)
        pairs = tuple((int(i), int(j)) for i, j in ends)
        structures.append(SecondaryStructure(f"RNA {number} > of # 20", sequence, pairs, energy))
    return structures


def test_structure_is_checked_and_sorted() -> None:
    structure = SecondaryStructure("x", "GGAAAACC", [(6, 1), (0, 7)])
    assert structure == SecondaryStructure("x", "GGAAAACC", ((0, 7), (1, 6)))
    assert structure.dotbracket == "((....))"
    for arguments, message in (
        (("x", "", ()), "'x' has an empty sequence"),
        (("", "ACGU", ()), "the id '' is empty"),
        (("x ", "ACGU", ()), "blanks at an end"),
        (("x\ny", "ACGU", ()), "not one line"),
        (("x", "AC-U", ()), "sequence of 'x' has '-' at position 3"),
        (("x", "ACGU", ((0, 4),)), r"pair \(0, 4\) does not fit an RNA of 4"),
        (("x", "ACGU", ((0, 3), (1, 3))), "nucleotide 3 .* both 0 and 1"),
    ):
        with pytest.raises(ValueError, match=message):
            SecondaryStructure(*arguments)


@pytest.mark.parametrize("suffix", [".ct", ".dbn", ".fasta"])
def test_round_trip_of_many(tmp_path: Path, suffix: str) -> None:
    structures = _random_structures(0)
    write_structures(tmp_path / f"many{suffix}", structures)
    assert read_structures(tmp_path / f"many{suffix}") == structures


def test_round_trip_of_one_bpseq_loses_the_energy_only(tmp_path: Path) -> None:
    for number, structure in enumerate(_random_structures(1)):
        path = tmp_path / f"{number}.bpseq"
        write_structures(str(path), [structure])
        without_energy = SecondaryStructure(structure.id, structure.sequence, structure.pairs)
        assert read_structures(str(path)) == [without_energy]


def test_texts_are_written_as_the_formats_say() -> None:
    assert format_ct([COLD_HAIRPIN]) == CT.partition("\n")[2]
    assert format_bpseq([HAIRPIN]) == BPSEQ
    assert format_dbn([HAIRPIN, COLD_HAIRPIN]) == (
        ">hairpin\nGGAAAACC\n((....))\n>a cold hairpin\nGGAAAACC\n((....)) (-1.2)\n"
    )


@pytest.mark.parametrize(
    ("header", "title", "energy"),
    [
        ("8", "seq1", None),
        ("8 tRNA-Phe of yeast", "tRNA-Phe of yeast", None),
        ("8\tdG = -3.4\tunafold", "unafold", -3.4),
        ("8 dG = -3.4 [initially -4.0] mfold", "mfold", -3.4),
        ("8 Energy =  -3.4  x", "x", -3.4),
        ("8 ENERGY = 0", "seq1", 0.0),
        ("8 dG = -3 kcal/mol x", "x", -3.0),
    ],
)
def test_headers_of_ct_files(header: str, title: str, energy: float | None) -> None:
    entries = CT.partition("cold hairpin\n")[2]
    assert parse_ct(f"{header}\n{entries}") == [SecondaryStructure(title, "GGAAAACC", HAIRPIN.pairs, energy)]


def test_ct_with_several_records_and_line_ends_of_windows() -> None:
    single = "2 short\r\n1 A 0 2 0 1\r\n\r\n2 C 1 0 0\r\n"  # the last column may be missing
    short = SecondaryStructure("short", "AC", ())
    assert parse_ct(single + CT.replace("\n", "\r\n") + single) == [short, COLD_HAIRPIN, short]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    1 G     0     2     8     1\n", "", r"line 3: nucleotide 1 is expected, got '2'"),
        ("    8  ENERGY = -1.2  a cold hairpin\n", "", r"line 2: a header .* is expected, got '1 G"),
        ("    8  ENERGY", "    7  ENERGY", r"line 10: a header .* is expected, got '8 C"),
        ("    8  ENERGY", "    9  ENERGY", r"line 2: the header announces 9 nucleotides, the text ends after 8"),
        ("    8  ENERGY", "    0  ENERGY", r"line 2: a header"),
        ("    8  ENERGY", "eight  ENERGY", r"line 2: a header"),
        ("-1.2", "low", r"line 2: the energy 'low'"),
        ("4 A     3     5     0     4", "4 A     3     5", r"line 6: nucleotide 4 of 8 needs 5 columns"),
        ("4 A", "4 7", r"line 6: nucleotide 4 is '7'"),
        ("4 A", "4 AA", r"line 6: nucleotide 4 is 'AA'"),
        ("5     0     4", "5     x     4", r"line 6: the partner of nucleotide 4 is 'x'"),
        ("5     0     4", "5    -1     4", r"line 6: the partner of nucleotide 4 is '-1'"),
        ("5     0     4", "5     9     4", r"line 6: nucleotide 4 pairs with 9"),
        ("5     0     4", "5     4     4", r"line 6: nucleotide 4 pairs with 4"),
        ("5     0     4", "5     7     4", r"line 6: nucleotide 4 pairs with 7, but 7 with 2"),
        ("8     2     7", "8     0     7", r"line 4: nucleotide 2 pairs with 7, but 7 with nothing"),
    ],
)
def test_errors_in_ct_name_file_and_line(old: str, new: str, message: str) -> None:
    assert CT.count(old) == 1
    with pytest.raises(ValueError, match=f"^broken.ct, {message}"):
        parse_ct(CT.replace(old, new), "broken.ct")


def test_bpseq_comments_and_names() -> None:
    entries = BPSEQ.partition("\n")[2]
    head = "Filename: a.16.e.bpseq\nOrganism: Homo sapiens\nCitation at http://example.org\n"
    assert parse_bpseq(BPSEQ) == [HAIRPIN]
    assert [s.id for s in parse_bpseq(head + entries)] == ["a.16.e"]
    assert [s.id for s in parse_bpseq("Filename: a.16.e \t.bpseq\n" + entries)] == ["a.16.e"]
    assert [s.id for s in parse_bpseq("# Name: one\n# Name: two\n" + entries + "# end\n")] == ["one"]
    assert [s.id for s in parse_bpseq(entries)] == ["seq1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 G 0\n3 A 0\n", "line 2: nucleotide 2 is expected, got '3'"),
        ("1 G 0\n1 A 0\n", "line 2: nucleotide 2 is expected, got '1'"),
        ("1 G 0\nnonsense\n", "line 2: '<number> <letter> <partner>' is expected, got 'nonsense'"),
        ("1 G\n", "line 1: '<number> <letter> <partner>' is expected"),
        ("1 G 2\n2 C 0\n", "line 1: nucleotide 1 pairs with 2, but 2 with nothing"),
        ("# nothing\n", "holds no structure"),
        ("", "holds no structure"),
    ],
)
def test_errors_in_bpseq_name_file_and_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^broken.bpseq,? {message}"):
        parse_bpseq(text, "broken.bpseq")


def test_bpseq_holds_one_rna() -> None:
    for structures in ([], [HAIRPIN, HAIRPIN]):
        with pytest.raises(ValueError, match=f"one RNA, got {len(structures)}"):
            format_bpseq(structures)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">hairpin\nGGAAAACC\n((....))\n", HAIRPIN),
        ("> hairpin \n\nGGAAAACC\n((....))", HAIRPIN),
        ("#Name: hairpin\n#Length: 8\n#PageNumber: 1\nGGAAAACC\n((....))\n", HAIRPIN),
        (">hairpin\nGGAA\nAACC\n((..\n..))\n", HAIRPIN),
        (">hairpin\nGGAAAACC\n<<....\n>>\n", HAIRPIN),  # a wrapped structure that goes on with ">"
        (">hairpin\nGGAAAACC\n.AA..aa.\n", SecondaryStructure("hairpin", "GGAAAACC", ((1, 6), (2, 5)))),
        (">a cold hairpin\nGGAAAACC\n((....)) (-1.20)\n", COLD_HAIRPIN),
        (">a cold hairpin\nGGAAAACC\n((....)) ( -1.20)\n", COLD_HAIRPIN),
        (">a cold hairpin\nGGAAAACC\n((....))\t-1.2\n", COLD_HAIRPIN),
        (">ENERGY = -1.2  a cold hairpin\nGGAAAACC\n((....))\n", COLD_HAIRPIN),
        ("GGAAAACC\n((....))\n", SecondaryStructure("seq1", "GGAAAACC", HAIRPIN.pairs)),
    ],
)
def test_dotbracket_records(text: str, expected: SecondaryStructure) -> None:
    assert parse_dbn(text) == [expected]


def test_dotbracket_records_without_titles() -> None:
    structures = parse_dbn("GGAAAACC\n((....)) (-1.2)\n>named\nACGU\n....\nAC\n..\n")
    assert [(s.id, s.dotbracket, s.energy) for s in structures] == [
        ("seq1", "((....))", -1.2),
        ("named", "....", None),
        ("seq3", "..", None),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">x\nGGAAAACC\n((...))\n", "line 3: a sequence of 8 nucleotides has a structure of 7 symbols"),
        (">x\nGGAAAACC\n((.....))\n", "line 3: a sequence of 8 nucleotides has a structure of 9 symbols"),
        (">x\nGGAAAACC\n>y\nAC\n..\n", "line 3: a sequence of 8 nucleotides has a structure of 0 symbols"),
        (">x\nGGAAAACC\n((..\n>y\nAC\n..\n", "line 4: a sequence of 8 nucleotides has a structure of 4 symbols"),
        (">x\nGGAAAACC\n", "line 2: a sequence of 8 nucleotides has a structure of 0 symbols"),
        (">x\n((....))\n", r"line 2: a sequence is expected, got '\(\(\.\.\.\.\)\)'"),
        (">x\nGGAAAACC\n((....))\n((.....))\n", "line 4: a sequence of 8 nucleotides has a structure of 9 symbols"),
        (">x\nGGAAAACC\n((....))\n((...\n", "line 4: a sequence of 8 nucleotides has a structure of 5 symbols"),
        (">x\nGGAAAACC\n((....).\n", r"line 3: '\(' at position 1 .*never closed"),
        (">x\nGG&ACC\n((.)).\n", "line 2: this is a complex of 2 strands .'&' between"),
        (">x\nGGAAAACC\n((....)) low\n", "line 3: the energy 'low'"),
        (">x\n", "holds no structure"),
        ("", "holds no structure"),
    ],
)
def test_errors_in_dotbracket_files_name_file_and_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^broken.dbn,? {message}"):
        parse_dbn(text, "broken.dbn")


def test_structure_types_of_bprna(tmp_path: Path) -> None:
    record = '#Name: {}\n#Length: 8\nGGAAAACC\n((....))\nSSHHHHSS\nNNNNNNNN\nS1 1..2 "GG" 7..8 "CC"\nH1 3..6 "AAAA"\n'
    text = record.format("one") + record.format("two")
    expected = [SecondaryStructure(name, "GGAAAACC", HAIRPIN.pairs) for name in ("one", "two")]
    assert parse_st(text) == expected
    (tmp_path / "two.st").write_text(text)
    assert read_structures(tmp_path / "two.st") == expected
    with pytest.raises(ValueError, match=r"st, line 12: .* 8 nucleotides has a structure of 7 symbols"):
        parse_st(record.format("one") + record.format("two").replace("((....))", "((...))"), "broken.st")
    with pytest.raises(ValueError, match="can be read only"):
        write_structures(tmp_path / "new.st", expected)


def test_format_follows_from_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "A.CT").write_text("\ufeff" + CT, encoding="utf-8")  # with the mark that some editors put first
    assert read_structures(tmp_path / "A.CT") == [COLD_HAIRPIN]
    for function in (read_structures, lambda path: write_structures(path, [HAIRPIN])):
        with pytest.raises(ValueError, match=r"a\.xyz has an unknown suffix; structures are in \.ct, \.bpseq"):
            function(tmp_path / "a.xyz")
    assert not (tmp_path / "a.xyz").exists()


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.ct").write_bytes(b"8 x\n\xff\xfe")
    with pytest.raises(ValueError, match=r"binary\.ct is not a text file in UTF-8"):
        read_structures(tmp_path / "binary.ct")
    (tmp_path / "broken.ct").write_text(CT + "1 A\n")
    with pytest.raises(ValueError, match=r"broken\.ct, line 11: the header announces 1 nucleotides"):
        read_structures(tmp_path / "broken.ct")


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        (".ct", "1 t\n1 A 0 0 {digits} 1\n", "the partner of nucleotide 1 is '9+'"),
        (".ct", "1 t\n{digits} A 0 0 0 1\n", "nucleotide 1 is expected, got '9+'"),
        (".ct", "{digits} t\n1 A 0 0 0 1\n", "a header such as '76 title' is expected"),
        (".bpseq", "1 A {digits}\n", "the partner of nucleotide 1 is '9+'"),
        (".bpseq", "1 A 0\n2 {letters} 0\n", "nucleotide 2 is 'A+'"),
        (".bpseq", "1 A 0 {letters}\n", "'<number> <letter> <partner>' is expected"),
        (".dbn", ">t\nA\n. {letters}\n", "the energy 'A+' is not a number"),
    ],
)
def test_long_fields_are_refused_in_a_short_line(tmp_path, suffix, text, message):
    path = tmp_path / f"a{suffix}"
    path.write_text(text.format(digits="9" * 5000, letters="A" * 5000))
    with pytest.raises(ValueError, match=rf"a{suffix}, line \d: {message}") as caught:
        read_structures(path)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_a_long_row_of_digits_is_read_at_once(tmp_path):
    path = tmp_path / "a.dbn"
    path.write_text(">t\nA\n. " + "9" * 30_000 + "x\n")
    began = time.process_time()
    with pytest.raises(ValueError, match=r"the energy '9+' is not a number"):
        read_structures(path)
    assert time.process_time() - began < 2
