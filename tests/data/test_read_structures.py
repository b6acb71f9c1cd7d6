"""Structure files of each kind, folders of them, and FASTA."""

import gzip

import pytest

from rna_hf.data.readers import read_fasta, read_secondary_structures

CT = "6  ENERGY = -1.2  first RNA\n1 G 0 2 6 1\n2 A 1 3 0 2\n3 A 2 4 0 3\n4 a 3 5 0 4\n5 A 4 6 0 5\n6 C 5 0 1 6\n"
BPSEQ = "1 G 6\n2 A 0\n3 A 0\n4 A 0\n5 A 0\n6 C 1\n"
DBN = ">one\nGGGAAACCC\n(([..)).]\n>two\nACGU\n....\n"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "structures"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.ct").write_text(CT)
    (folder / "deep" / "c.bpseq").write_text(BPSEQ)
    (folder / "a.dbn").write_text(DBN)
    (folder / "notes.txt").write_text("no structure")
    return folder


def test_a_folder(folder, read_both):
    assert read_both(read_secondary_structures, folder) == [
        {"id": "one", "sequence": "GGGAAACCC", "pairs": [[0, 6], [1, 5], [2, 8]]},
        {"id": "two", "sequence": "ACGU", "pairs": []},
        {"id": "first RNA", "sequence": "GAAaAC", "pairs": [[0, 5]]},
        {"id": "c", "sequence": "GAAAAC", "pairs": [[0, 5]]},
    ]


def test_named_files_keep_their_order(folder, read_both):
    paths = [folder / "b.ct", str(folder / "a.dbn")]
    records = read_both(read_secondary_structures, paths)
    assert [record["id"] for record in records] == ["first RNA", "one", "two"]
    assert read_both(read_secondary_structures, str(folder / "b.ct")) == records[:1]


def test_what_is_wrong_is_said_in_one_line(folder, tmp_path, refuses, read_both):
    path = folder / "a.dbn"
    path.write_text(">one\nGGGAAACCC\n(((...)).\n")
    refuses("a.dbn, line 3: .*never closed", read_secondary_structures, folder)
    path.write_text(">one\nGGXA\n....\n")
    refuses(r"a.dbn \(id 'one'\): unknown letter 'X' at position 3", read_secondary_structures, path)
    assert read_both(read_secondary_structures, path, on_unknown="n")[0]["sequence"] == "GGNA"
    refuses("unknown suffix", read_secondary_structures, folder / "notes.txt")
    (tmp_path / "nothing").mkdir()
    refuses("holds no file that ends in .ct", read_secondary_structures, tmp_path / "nothing")
    refuses("paths is empty", read_secondary_structures, [])


def test_fasta(tmp_path, read_both, refuses):
    content = ">one first RNA\nGGGAAA\ncuc\n\n>two\r\nACGT\r\n"
    path = tmp_path / "rna.fa"
    path.write_text(content)
    packed = tmp_path / "rna.fasta.gz"
    packed.write_bytes(gzip.compress(content.encode()))
    expected = [{"id": "one", "sequence": "GGGAAAcuc"}, {"id": "two", "sequence": "ACGT"}]
    assert read_both(read_fasta, path) == expected
    assert read_both(read_fasta, packed) == expected
    path.write_text(">one\nGG.AA\n")
    refuses("rna.fa, line 1 .*unknown letter '.' at position 3", read_fasta, path)
    assert read_both(read_fasta, path, on_unknown="n") == [{"id": "one", "sequence": "GGNAA"}]
    path.write_text(">one\n>two\nACG\n")
    refuses("empty sequence; correct or drop the record$", read_fasta, path)
    path.write_text("GGGAAA\n")
    refuses("is not FASTA", read_fasta, path)
