"""RDAT: numbering, libraries, mutants, annotations."""

import gzip

import numpy as np
import pytest

from rna_hf.data.readers import read_rdat

NAN = float("nan")
# Numbering from -1: nucleotide 1 of the sequence has the number OFFSET + 1.
CONSTRUCT = """RDAT_VERSION\t0.33
NAME\tsmall hairpin, wild type
SEQUENCE\tggACGUcc
STRUCTURE\t((....))

COMMENT\tsequence:CCCC is a comment
ANNOTATION\tchemical:MgCl2:10mM\tmodifier:1M7\ttemperature:24C

ANNOTATION_DATA:1     \tmodifier:DMS
ANNOTATION_DATA:2    \tsignal_to_noise:good:7.5

OFFSET\t-2

SEQPOS\t\tA1\tC2\tG3\tU4
REACTIVITY:1     \t0.5\t  -0.25\tNaN\t   1.5
REACTIVITY:2     \t1.0\t   2.0\t  3.0\t   4.0

REACTIVITY_ERROR:2 \t0.125\t0.25\t0.5\t1.0
"""
# Blanks as separators, a library of two lengths, positions from the 3' end on.
LIBRARY = """RDAT_VERSION 0.34
NAME library
SEQUENCE XXXXXXX
OFFSET 0
SEQPOS 7 6 5 2
ANNOTATION modifier:2A3
ANNOTATION_DATA:1 name:a design with blanks sequence:GGACGUA signal_to_noise:2.5
ANNOTATION_DATA:2 sequence:GGACG
REACTIVITY:1 7 6 5 2
REACTIVITY:2 0 0 5 2
"""
# Transcripts of three lengths, as TECtools writes them; the first two nucleotides were not measured.
SHORT_ROWS = """RDAT_VERSION 0.4
NAME transcripts
SEQUENCE GGACGUACG
OFFSET 0
SEQPOS A3 C4 G5 U6 A7 C8 G9
ANNOTATION modifier:BzCN
DATA_ANNOTATION:1 sequence:GGACG signal_to_noise:strong:3.5
DATA:1 0.1 0.2 0.3 0.4
DATA:2 1 2 3 4 5 6 7
DATA:3 1 2 3 4 5
DATA_ERROR:3 0.1 0.1 0.1 0.1 0.1
DATA_ANNOTATION:2 sequence:GGACGUACG
DATA_ANNOTATION:3 sequence:GGACG
"""
MUTANTS = """RDAT_VERSION 0.34
NAME mutants
SEQUENCE GGACGU
OFFSET 10
ANNOTATION_DATA:1 mutation:WT
ANNOTATION_DATA:2 mutation:G11C
ANNOTATION_DATA:3 mutation:a13X,C14U
ANNOTATION_DATA:5 mutation:deletion
SEQPOS G11 G12
SEQUENCE:5 GACGU
REACTIVITY:1 1 2
REACTIVITY:2 1 2
REACTIVITY:3 1 2
REACTIVITY:5 1 2
"""


@pytest.fixture
def write_rdat(tmp_path):
    def write(content, name="HAIRPN_1M7_0001.rdat"):
        path = tmp_path / name
        path.write_text(content)
        return path

    return write


def test_a_construct_with_two_modifiers(write_rdat, read_both):
    first, second = read_both(read_rdat, write_rdat(CONSTRUCT))
    assert first["id"] == "HAIRPN_1M7_0001:1"
    assert (first["sequence"], first["modifier"], second["modifier"]) == ("ggACGUcc", "DMS", "1M7")
    # 0-based 2..5: number 1 is nucleotide 1 - OFFSET.
    np.testing.assert_equal(first["reactivity"], [NAN, NAN, 0.5, -0.25, NAN, 1.5, NAN, NAN])
    np.testing.assert_equal(first["errors"], [NAN] * 8)
    np.testing.assert_equal(second["errors"], [NAN, NAN, 0.125, 0.25, 0.5, 1.0, NAN, NAN])
    np.testing.assert_equal([first["signal_to_noise"], second["signal_to_noise"]], [NAN, 7.5])


def test_a_library(write_rdat, read_both):
    first, second = read_both(read_rdat, write_rdat(LIBRARY))
    assert (first["sequence"], second["sequence"]) == ("GGACGUA", "GGACG")
    np.testing.assert_equal(first["reactivity"], [NAN, 2, NAN, NAN, 5, 6, 7])
    np.testing.assert_equal(second["reactivity"], [NAN, 2, NAN, NAN, 5])
    assert first["signal_to_noise"] == 2.5
    assert second["modifier"] == "2A3"


@pytest.mark.parametrize("names", ["0.4", "0.34"])
def test_rows_shorter_than_the_header(write_rdat, read_both, names):
    content = SHORT_ROWS.replace("0.1 0.2 0.3 0.4", "0.1 0.2 0.3")
    if names == "0.34":
        content = content.replace("DATA_ANN", "ANN").replace("ATION:", "ATION_DATA:").replace("0.4", "0.34")
        content = content.replace("DATA_ERROR", "REACTIVITY_ERROR").replace("\nDATA:", "\nREACTIVITY:")
    first, second, third = read_both(read_rdat, write_rdat(content))
    np.testing.assert_equal(first["reactivity"], [NAN, NAN, *np.float32([0.1, 0.2, 0.3])])  # those in SEQPOS
    np.testing.assert_equal(second["reactivity"], [NAN, NAN, 1, 2, 3, 4, 5, 6, 7])
    np.testing.assert_equal(third["reactivity"], [1, 2, 3, 4, 5])  # one for each nucleotide
    np.testing.assert_equal(third["errors"], np.float32([0.1] * 5))
    assert [record["modifier"] for record in (first, second, third)] == ["BzCN"] * 3
    np.testing.assert_equal(first["signal_to_noise"], 3.5)


@pytest.mark.parametrize("version", ["0.24", "0.3", "0.34", "0.35", "0.4", "0.40"])
@pytest.mark.parametrize("start", ["RDAT_VERSION\t", "VERSION: ", "\n\nRDAT_VERSION ", "\ufeffRDAT_VERSION "])
def test_versions(write_rdat, read_both, version, start):
    assert len(read_both(read_rdat, write_rdat(CONSTRUCT.replace("RDAT_VERSION\t0.33", start + version)))) == 2


def test_labels_of_the_two_channels(write_rdat, read_both):
    dms, shape = read_both(read_rdat, write_rdat(CONSTRUCT))
    assert np.shape(dms["labels"]) == (8, 2)
    np.testing.assert_equal(np.array(dms["labels"])[:, 1], dms["reactivity"])
    np.testing.assert_equal(np.array(shape["labels"])[:, 0], shape["reactivity"])
    assert np.isnan(np.array(dms["labels"])[:, 0]).all()
    assert np.isnan(np.array(shape["labels"])[:, 1]).all()
    other = read_both(read_rdat, write_rdat(CONSTRUCT.replace("modifier:DMS", "modifier:CMCT")))[0]
    assert np.isnan(other["labels"]).all()
    (alone, _) = read_both(read_rdat, write_rdat(CONSTRUCT), channels=[["dms"]])
    np.testing.assert_equal(np.array(alone["labels"])[:, 0], dms["reactivity"])


def test_ratios_are_left_out_where_the_file_has_none(write_rdat, read_both):
    assert "signal_to_noise" in read_both(read_rdat, write_rdat(LIBRARY))[1]
    assert "signal_to_noise" not in read_both(read_rdat, write_rdat(MUTANTS))[0]


def test_mutants_have_their_own_sequences(write_rdat, read_both):
    records = read_both(read_rdat, write_rdat(MUTANTS))
    assert [record["sequence"] for record in records] == ["GGACGU", "CGACGU", "GGNUGU", "GACGU"]
    assert [record["id"].rpartition(":")[2] for record in records] == ["1", "2", "3", "5"]


@pytest.mark.parametrize("name", ["a_0.34.rdat", "a_0.34.RDAT.txt", "a_0.34.txt"])
def test_ids_keep_the_points_of_a_name(write_rdat, read_both, name):
    assert read_both(read_rdat, write_rdat(MUTANTS, name))[0]["id"] == "a_0.34:1"


def test_gzip(tmp_path, write_rdat, read_both):
    packed = tmp_path / "HAIRPN_1M7_0001.rdat.gz"
    packed.write_bytes(gzip.compress(CONSTRUCT.encode()))
    np.testing.assert_equal(read_both(read_rdat, packed), read_both(read_rdat, write_rdat(CONSTRUCT)))


@pytest.mark.parametrize(
    ("content", "old", "new", "match"),
    [
        (CONSTRUCT, "RDAT_VERSION", "PDB", "line 1: not RDAT"),
        (CONSTRUCT, "REACTIVITY:", "AREA_PEAK:", r"\(RDAT 0.33\): raw peak areas .*older than version 0.24"),
        (CONSTRUCT, "REACTIVITY:", "TRACE:", r"\(RDAT 0.33\): no line REACTIVITY:<number>, or DATA:<number>"),
        (CONSTRUCT, "0.33", "0.22", "line 1: RDAT version '0.22' is not known; versions 0.24 to 0.4 .*raw peak areas"),
        (CONSTRUCT, "0.33", "0.5", "line 1: RDAT version '0.5' is not known; versions 0.24 to 0.4 are read: write"),
        (CONSTRUCT, "0.33", "next", "line 1: RDAT version 'next' is not known"),
        (CONSTRUCT, "0.33", "", "line 1: RDAT version '' is not known"),
        (CONSTRUCT, "0.33", "0.3" + "9" * 3000, "line 1: RDAT version '0.399999999999999999' is not known"),
        (
            SHORT_ROWS,
            "0.1 0.2 0.3",
            "0.1",
            r"\(RDAT 0.4\), line 8 \(DATA:1\): 2 values where 7 are needed.*or 3 for those",
        ),
        (CONSTRUCT, "SEQPOS", "MUTPOS", "no line SEQPOS"),
        (CONSTRUCT, "OFFSET\t-2", "OFFSET\t-1", "position A1 of SEQPOS falls on 'g' in SEQUENCE"),
        (CONSTRUCT, "OFFSET\t-2", "OFFSET\t9", "position A1 of SEQPOS lies outside the 8 nucleotides"),
        (CONSTRUCT, "OFFSET\t-2", "OFFSET\tnone", "OFFSET is 'none'"),
        (CONSTRUCT, "\tU4", "\tU", "SEQPOS holds 'U'"),
        pytest.param(CONSTRUCT, "\tU4", "\tU" + "4" * 5000, "SEQPOS holds 'U4{39}'", id="digits"),
        (CONSTRUCT, "\tU4", "\tA1", "position A1 is in SEQPOS twice"),
        (CONSTRUCT, "   1.5", "inf", r"RDAT 0.33.*line 15 .*a value is 'inf', which is infinite; write nan"),
        (CONSTRUCT, "\t   1.5", "", r"line 15 \(REACTIVITY:1\): 3 values where 4 are needed"),
        (CONSTRUCT, "   1.5", "high", "a value is 'high', not a number"),
        (CONSTRUCT, "REACTIVITY:2 ", "REACTIVITY:1 ", "line 16: REACTIVITY:1 is there twice"),
        (CONSTRUCT, "STRUCTURE", "NAME", "line 4: a second construct begins"),
        (LIBRARY, "sequence:GGACG\n", "name:no_sequence\n", "unknown letter 'X'"),
        (MUTANTS, "mutation:G11C", "mutation:A11C", "mutation 'A11C' is no substitution that fits"),
        (MUTANTS, "SEQUENCE:5 GACGU\n", "", "mutation 'deletion' is no substitution"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(write_rdat, refuses, content, old, new, match):
    assert old in content
    refuses(match, read_rdat, write_rdat(content.replace(old, new, 1 if old == "REACTIVITY:2 " else -1)))


@pytest.mark.parametrize("positions", ["1-4", "G1-A4", "1,2,3,4", "1 2-3 4", "1:4"])
def test_ranges_of_positions(write_rdat, read_both, positions):
    content = f"RDAT_VERSION:0.34\nNAME x\nSEQUENCE GGCA\nSEQPOS {positions}\nREACTIVITY:1 1 2 3 4\n"
    assert read_both(read_rdat, write_rdat(content))[0]["reactivity"] == [1, 2, 3, 4]
    reverse = content.replace(positions, "4-1")
    assert read_both(read_rdat, write_rdat(reverse, "b.rdat"))[0]["reactivity"] == [4, 3, 2, 1]


def test_the_line_of_a_wrong_error_is_named(write_rdat, refuses):
    content = "RDAT_VERSION 0.34\nNAME x\nSEQUENCE GA\nSEQPOS 1 2\nREACTIVITY:1 1 2\nREACTIVITY_ERROR:1 1\n"
    refuses(r"line 6 \(REACTIVITY_ERROR:1\): 1 values where 2 are needed", read_rdat, write_rdat(content))
