"""Traces written as PDB and mmCIF, opened by gemmi and read again; and made-up files with what real ones hold."""

from __future__ import annotations

import gzip
from pathlib import Path

import gemmi
import numpy as np
import pytest

from rna_hf.structure.trace_files import read_trace, write_trace

SEQUENCE = "GGCAUNACGU"


def some_samples(number: int = 2, length: int = len(SEQUENCE)) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(number, length, 3)) * 40


@pytest.mark.parametrize("suffix", [".cif", ".pdb", ".CIF"])
def test_gemmi_opens_what_is_written(tmp_path: Path, suffix: str) -> None:
    samples = some_samples(3)
    samples[1, 4, 0] = np.nan
    confidence = np.linspace(0, 100, 30).reshape(3, 10)
    path = tmp_path / f"fold{suffix}"
    write_trace(path, samples, SEQUENCE, confidence)
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    [entity] = structure.entities
    assert entity.entity_type == gemmi.EntityType.Polymer
    assert entity.polymer_type == gemmi.PolymerType.Rna
    assert entity.full_sequence == list(SEQUENCE)
    assert [model.num for model in structure] == [1, 2, 3]
    for model, trace, scores in zip(structure, samples, confidence):
        [chain] = model
        assert chain.name == "A"
        assert len(chain.get_polymer()) == len(chain)
        resolved = np.flatnonzero(~np.isnan(trace).any(1))
        assert [residue.seqid.num - 1 for residue in chain] == resolved.tolist()
        assert [residue.name for residue in chain] == [SEQUENCE[i] for i in resolved]
        atoms = [atom for residue in chain for atom in residue]
        assert {(atom.name, atom.element.name, atom.occ) for atom in atoms} == {("C1'", "C", 1.0)}
        assert np.allclose([atom.pos.tolist() for atom in atoms], trace[resolved], atol=0.00051, rtol=0)
        assert np.allclose([atom.b_iso for atom in atoms], scores[resolved], atol=0.0051, rtol=0)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".cif", ".pdb"])
@pytest.mark.parametrize("gzipped", [False, True])
def test_round_trip(tmp_path: Path, suffix: str, gzipped: bool) -> None:
    samples = some_samples()
    samples[0, [0, 3, 4]] = np.nan
    path = tmp_path / f"fold{suffix}"
    write_trace(path, samples, "ggcaTRacgu")
    if gzipped:
        packed = tmp_path / f"fold{suffix}.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path = packed
    trace = read_trace(path)
    assert trace.sequence == "GGCAUNACGU"
    assert trace.residue_numbers.tolist() == list(range(1, 11))
    assert np.array_equal(trace.coordinates, samples[0].round(3), equal_nan=True)
    trace = read_trace(path, whole_sequence=False)
    kept = [1, 2, 5, 6, 7, 8, 9]
    assert trace.sequence == "GCNACGU"
    assert trace.residue_numbers.tolist() == [i + 1 for i in kept]
    assert np.array_equal(trace.coordinates, samples[0, kept].round(3))
    # One trace and no confidence: a file with one model.
    write_trace(tmp_path / f"one{suffix}", samples[1], SEQUENCE)
    assert np.array_equal(read_trace(tmp_path / f"one{suffix}", chain="A").coordinates, samples[1].round(3))


def test_pdb_limits_are_refused(tmp_path: Path) -> None:
    long = np.zeros((10_000, 3))
    long[:, 0] = np.arange(10_000) * 0.5
    with pytest.raises(ValueError, match=r"10000 nucleotides.*\.cif"):
        write_trace(tmp_path / "long.pdb", long, "A" * 10_000)
    write_trace(tmp_path / "long.cif", long, "A" * 10_000)
    assert read_trace(tmp_path / "long.cif").residue_numbers[-1] == 10_000
    for value in (9999.9995, -999.9995, -1234.5):
        far = some_samples(1)
        far[0, 2, 1] = value
        with pytest.raises(ValueError, match=r"a coordinate is .*\.cif"):
            write_trace(tmp_path / "far.pdb", far, SEQUENCE)
        write_trace(tmp_path / "far.cif", far, SEQUENCE)
        assert read_trace(tmp_path / "far.cif").coordinates[2, 1] == pytest.approx(value, abs=0.0006)
    for value in (9999.999, -999.999):
        far = some_samples(1)
        far[0, 2, 1] = value
        write_trace(tmp_path / "far.pdb", far, SEQUENCE)
        assert read_trace(tmp_path / "far.pdb").coordinates[2, 1] == value


def test_wrong_arguments_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "fold.pdb"
    write_trace(path, some_samples(), SEQUENCE)
    old = path.read_bytes()
    samples = some_samples()
    missing = samples.copy()
    missing[1] = np.nan
    absurd = samples.copy()
    absurd[1, 3] = -1e18
    for arguments, message in [
        ((samples[:, :9], SEQUENCE), r"\(2, 9, 3\); \(10, 3\)"),
        ((samples[:0], SEQUENCE), r"\(0, 10, 3\)"),
        ((missing, SEQUENCE), "sample 1 has no nucleotide"),
        ((absurd, SEQUENCE), r"sample 1 .*index 3.*mark_missing"),
        ((samples, "GGCAUNAC-U"), r"\['-'\]"),
        ((samples, SEQUENCE, np.ones(9)), r"confidence has shape \(9,\)"),
        ((samples, SEQUENCE, np.full(10, 100.5)), r"100\.5.*0\.\.100"),
        ((samples, SEQUENCE, np.full(10, np.nan)), r"nan.*0\.\.100"),
    ]:
        with pytest.raises(ValueError, match=message):
            write_trace(path, *arguments)
    with pytest.raises(ValueError, match=r"'fold\.xyz' ends in '\.xyz'"):
        write_trace(tmp_path / "fold.xyz", samples, SEQUENCE)
    assert path.read_bytes() == old
    assert [file.name for file in tmp_path.iterdir()] == ["fold.pdb"]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "taken.cif"
    folder.mkdir()
    with pytest.raises(OSError, match="taken"):
        write_trace(folder, some_samples(), SEQUENCE)
    assert list(tmp_path.iterdir()) == [folder]


def atom_line(
    name: str, residue: str, chain: str, number: int, x: float, alternative: str = " ", code: str = " "
) -> str:
    """A line of a PDB file; the other coordinates are 0."""
    record = "ATOM" if residue in ("A", "C", "G", "U", "ALA", "DT") else "HETATM"
    return (
        f"{record:<6}{1:>5} {name:<4}{alternative}{residue:>3} {chain}{number:>4}{code}   {x:8.3f}{0:8.3f}{0:8.3f}"
        f"  1.00 10.00          {name.strip()[0]:>2}\n"
    )


@pytest.fixture
def crowded_file(tmp_path: Path) -> Path:
    """A protein, an RNA with all that makes trouble, its ligand and water, and a second RNA; two models."""
    protein = atom_line(" CA ", "ALA", "P", 1, 0) + atom_line(" CA ", "ALA", "P", 2, 3.8) + "TER\n"
    rna = "".join(
        [
            atom_line(" C1'", "GTP", "R", 1, 1),  # a free molecule to gemmi and to the dictionary
            atom_line(" P  ", "G", "R", 2, 90) + atom_line(" C1*", "G", "R", 2, 2),  # old name of the atom
            atom_line(" C1'", "PSU", "R", 3, 3, "A") + atom_line(" C1'", "PSU", "R", 3, 93, "B"),
            atom_line(" P  ", "A", "R", 4, 94),  # without the atom
            atom_line(" C1'", "5MU", "R", 4, 5, code="A"),  # an insertion
            atom_line(" C1'", "2MG", "R", 8, 6),  # after a gap
            atom_line(" C1'", "DT", "R", 9, 7),
            "TER\n",
        ]
    )
    second = atom_line(" C1'", "C", "S", 1, 30) + atom_line(" C1'", "U", "S", 2, 35) + "TER\n"
    others = atom_line(" C1'", "ATP", "R", 101, 50) + atom_line(" O  ", "HOH", "R", 201, 60)
    first_model = "MODEL        1\n" + protein + rna + second + others + "ENDMDL\n"
    second_model = "MODEL        2\n" + atom_line(" C1'", "A", "R", 1, 99) + "TER\nENDMDL\n"
    path = tmp_path / "crowded.pdb"
    path.write_text(first_model + second_model + "END\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", [".pdb", ".cif", ".txt"])
def test_a_crowded_file(crowded_file: Path, suffix: str) -> None:
    path = crowded_file
    if suffix == ".cif":
        structure = gemmi.read_structure(str(path))
        structure.setup_entities()
        path = path.with_suffix(".cif")
        path.write_text(structure.make_mmcif_document().as_string(), encoding="utf-8")
    elif suffix == ".txt":  # the format is told by the content
        path = path.rename(path.with_suffix(".txt"))
    trace = read_trace(path)
    assert trace.sequence == "GGUAUGU"
    assert trace.residue_numbers.tolist() == [1, 2, 3, 4, 4, 8, 9]
    assert trace.coordinates[:, 0] == pytest.approx([1, 2, 3, np.nan, 5, 6, 7], nan_ok=True)
    second = read_trace(path, chain="S")
    assert (second.sequence, second.coordinates[:, 0].tolist()) == ("CU", [30, 35])
    phosphorus = read_trace(path, chain="R", atom="P")
    assert phosphorus.coordinates[:, 0] == pytest.approx(
        [90 if c == "G" else 94 if c == "A" else np.nan for c in "GUAU"] + [np.nan] * 2, nan_ok=True
    )
    for chain in ("P", "Q"):
        with pytest.raises(ValueError, match=rf"no chain '{chain}' with nucleotides; .*\['R', 'S'\]"):
            read_trace(path, chain=chain)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.cif"):
        read_trace(tmp_path / "no.cif")
    for name, content in [("empty.pdb", ""), ("text.cif", "hello\n"), ("torn.cif", "data_x\nloop_\n_a.b\n_a.c\n1\n")]:
        (tmp_path / name).write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            read_trace(tmp_path / name)
    (tmp_path / "protein.pdb").write_text(atom_line(" CA ", "ALA", "P", 1, 0), encoding="utf-8")
    with pytest.raises(ValueError, match="no chain with nucleotides"):
        read_trace(tmp_path / "protein.pdb")
