"""Traces written as PDB and mmCIF, opened by gemmi and read again; and made-up files with what real ones hold."""

from __future__ import annotations

import bz2
import gzip
import lzma
import warnings
from collections.abc import Callable
from pathlib import Path

import gemmi
import numpy as np
import pytest

from rna_hf.structure import lddt, rmsd, tm_score
from rna_hf.structure.trace_files import Trace, read_trace, write_trace
from rna_hf.version import __version__

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
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        trace = read_trace(path)
    assert [str(warning.message) for warning in told] == [
        f"{path.name}: of 2 models, model 1 is read; `model` chooses another",
        f"{path.name}: of the chains ['R', 'S'], 'R' is read; `chain` chooses another",
    ]
    assert read_trace(path, model=2).coordinates.tolist() == [[99, 0, 0]]
    with pytest.raises(ValueError, match=r"holds no model 3; its models: \[1, 2\]"):
        read_trace(path, model=3)
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


def trace_of(tmp_path: Path, text: str, **options: str | bool) -> Trace:
    """Read what a file with this text says."""
    path = tmp_path / ("some.cif" if text.startswith("data_") else "some.pdb")
    path.write_text(text, encoding="utf-8")
    return read_trace(path, **options)


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: bz2.compress(text.encode()),
        lambda text: lzma.compress(text.encode()),
        lambda text: gzip.compress(b"\xef\xbb\xbf" + text.encode()),
    ],
)
@pytest.mark.parametrize("suffix", [".ENT.GZ", ".mmcif"])
def test_encodings_and_packing(tmp_path: Path, encode: Callable[[str], bytes], suffix: str) -> None:
    text = cif_text([("G", 1, 1, 0.0), ("A", 2, 2, 5.0), ("C", 3, 3, 10.0)])
    if "ENT" in suffix:
        text = "".join(f"{line[:54]}\n" for line in pdb_chain("G A C").splitlines())
    path = tmp_path / f"some{suffix}"
    path.write_bytes(encode(text))
    trace = read_trace(path)
    assert (trace.sequence, trace.coordinates[:, 0].tolist()) == ("GAC", [0, 5, 10])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x83\xa7encoder\xa3abc", "it is binary, such as BinaryCIF"),
        (b"PK\x03\x04\x00\x00", "it is a zip archive; unpack it first"),
        (b"\x28\xb5\x2f\xfdabcd", "it is packed by zstd; unpack it first"),
        (b"ID,resname,resid,x_1,y_1,z_1\nR1_1,G,1,0,0,0\n", "it holds no atoms; .*read_rna3d"),
        (gzip.compress(b"ATOM" * 99, mtime=0)[:-9], "ended before"),
        (b"MODEL        1\n" + b"ATOM\n" * 2, "The line is too short to be correct: ATOM"),
        (
            f"HEADER\n{atom_line('C1*', 'G', 'A', 1, 0)[:38]}********   0.000\n".encode(),
            r"line 2 has '\*{8}' for .* 46",
        ),
        (b"data_x\nloop_\n_atom_site.id\n_atom_site.Cartn_x\n1 2\n3\n", "Wrong number of values in loop"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "some.bcif"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^some\.bcif cannot be read as a PDB or mmCIF file: .*" + message) as told:
        read_trace(path)
    assert "\n" not in str(told.value)


def test_atoms_in_few_columns(tmp_path: Path) -> None:
    for prefix in ("label", "auth"):
        columns = "group_PDB PREFIX_atom_id PREFIX_comp_id PREFIX_asym_id PREFIX_seq_id Cartn_x Cartn_y Cartn_z"
        rows = [f'ATOM "C1\'" {name} R {index + 7} {5 * index} 0 0' for index, name in enumerate(["G", "PSU", "C"])]
        trace = trace_of(
            tmp_path, "data_x\n" + cif_loop("atom_site", columns.replace("PREFIX", prefix), rows), chain="R"
        )
        assert (trace.sequence, trace.residue_ids) == ("GUC", ["7", "8", "9"])
        assert trace.coordinates[:, 0].tolist() == [0, 5, 10]


def test_unknown_positions(tmp_path: Path) -> None:
    line = atom_line(" C1'", "C", "A", 3, 0)
    text = pdb_chain("G A") + line[:30] + "9999.000" * 3 + line[54:]
    assert np.isnan(trace_of(tmp_path, text).coordinates).all(1).tolist() == [False, False, True]


def test_six_digits_of_a_serial_number(tmp_path: Path) -> None:
    text = "".join(f"{line[:6]}10000{line[10:]}" for line in pdb_chain("G A C").splitlines(keepends=True))
    assert trace_of(tmp_path, text).coordinates[:, 0].tolist() == [0, 5, 10]


def test_a_label_of_mmcif_is_no_chain(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no chain 'A'.*\['R'\]; label_asym_id 'A' is of the authors' chain 'R'"):
        trace_of(tmp_path, cif_text([("G", 1, 1, 0.0), ("A", 2, 2, 5.0)]), chain="A")


def test_chains_without_the_atom(tmp_path: Path) -> None:
    text = pdb_chain("G A C").replace(" C1'", " P  ")
    with pytest.raises(ValueError, match=r"chain 'A': no nucleotide has the atom C1'; .*`atom`.* are: P$"):
        trace_of(tmp_path, seqres("G A C U") + text)
    assert trace_of(tmp_path, text, atom="P").coordinates[:, 0].tolist() == [0, 5, 10]


def pdb_chain(names: str, chain: str = "A", is_wide: bool = False) -> str:
    """Residues 1, 2, ... at x = 0, 5, ...; wide names end in column 21."""
    lines = []
    for index, name in enumerate(names.split()):
        line = atom_line(" C1'", name[:3], chain, index + 1, 5.0 * index)
        lines.append(f"{line[:17]}{name:>4}{chain}{index + 1:>4}{line[26:]}" if is_wide or len(name) > 3 else line)
    return "".join(lines)


def seqres(names: str, width: int = 4) -> str:
    fields = names.split()
    return f"SEQRES   1 A {len(fields):>4} " + "".join(f"{name:>{width}}" for name in fields) + "\n"


# Columns of the atoms in mmCIF files of these tests.
ATOM_COLUMNS = """
group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id label_seq_id
pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_asym_id pdbx_PDB_model_num
"""


def cif_loop(category: str, columns: str, rows: list[str]) -> str:
    return "\n".join(["loop_", *(f"_{category}.{column}" for column in columns.split()), *rows, "#", ""])


def cif_text(atoms: list[tuple[str, int | str, int, float]], *parts: str) -> str:
    """Component, place, authors' number and x of each C1'; entity 1 is the polymer, residues at "." are ligands."""
    rows = []
    for name, place, number, x in atoms:
        asym, entity = ("B", 2) if place == "." else ("A", 1)
        rows.append(f'HETATM 1 C "C1\'" . {name} {asym} {entity} {place} ? {x} 0 0 1 10 {number} R 1')
    entities = cif_loop("entity", "id type", ["1 polymer", "2 non-polymer"])
    return "data_x\n" + entities + "".join(parts) + cif_loop("atom_site", ATOM_COLUMNS, rows)


POLY_SEQ = cif_loop("entity_poly_seq", "entity_id num mon_id", ["1 1 G", "1 2 A1X", "1 3 A", "1 4 B2Y", "1 5 C"])


def test_the_file_states_parents_in_pdb(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    names = "G 5MC PSU YYG U8N 6MZ C"
    record = "MODRES 1ABC U8N A    5  {}  MODIFIED\n"
    assert trace_of(tmp_path, record.format("  U") + pdb_chain(names)).sequence == "GCUGUAC"
    assert trace_of(tmp_path, record.format("   DT") + pdb_chain(names)).sequence == "GCUGUAC"  # columns moved
    assert trace_of(tmp_path, record.format("  U") + seqres(names, 5) + pdb_chain("G 5MC PSU")).sequence == "GCUGUAC"
    # The file wins over the dictionary.
    assert trace_of(tmp_path, "MODRES 1ABC PSU A    2    C\n" + pdb_chain("G PSU A")).sequence == "GCA"
    # Without a parent, the comment behind it is none.
    assert trace_of(tmp_path, "MODRES 1ABC PSU A    2       G\n" + pdb_chain("G PSU A")).sequence == "GUA"
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"some\.pdb, chain 'A': residues read as N: I \(1\), U8N \(2\)"):
        assert trace_of(tmp_path, pdb_chain("G U8N I U8N N C")).sequence == "GNNNNC"


@pytest.mark.parametrize(
    "statement",
    [
        cif_loop(
            "chem_comp",
            "id type mon_nstd_parent_comp_id",
            ["A1X 'RNA linking' U", "B2Y 'RNA linking' 'G,G'", "G 'RNA linking' ?"],
        ),
        cif_loop("chem_comp", "id type one_letter_code", ["A1X 'RNA linking' U", "B2Y 'RNA LINKING' G"]),
        cif_loop(
            "entity_poly",
            "entity_id type pdbx_seq_one_letter_code pdbx_seq_one_letter_code_can",
            ["1 polyribonucleotide\n;G(A1X)A\n(B2Y)C\n;\n;GUA\nGC\n;"],
        ),
        cif_loop(
            "pdbx_struct_mod_residue",
            "id label_asym_id label_comp_id label_seq_id auth_asym_id auth_comp_id auth_seq_id parent_comp_id",
            ["1 A A1X 2 R A1X 2 U", "2 A B2Y 4 R B2Y 4 DG"],
        ),
    ],
)
def test_the_file_states_parents_in_mmcif(tmp_path: Path, statement: str, recwarn: pytest.WarningsRecorder) -> None:
    atoms = [("G", 1, 1, 0.0), ("A1X", 2, 2, 5.0), ("B2Y", 4, 4, 15.0), ("C", 5, 5, 20.0)]
    trace = trace_of(tmp_path, cif_text(atoms, POLY_SEQ, statement))
    assert (trace.sequence, np.isnan(trace.coordinates[:, 0]).tolist()) == ("GUAGC", [False, False, True, False, False])
    assert trace_of(tmp_path, cif_text(atoms, POLY_SEQ, statement), whole_sequence=False).sequence == "GUGC"
    assert not recwarn.list


@pytest.mark.parametrize(
    ("names", "letters"),
    [
        ("RA5 RG RC RU3", "AGCU"),
        ("RAN", "A"),
        ("A5 G C U3", "AGCU"),
        ("ADE GUA CYT URA", "AGCU"),
        ("DADE DGUA DCYT DTHY", "AGCU"),
        ("DA5 DG DC DT3", "AGCU"),
        ("RAD RGU RCY URI", "AGCU"),
        ("A DG C DU DT", "AGCUU"),
    ],
)
@pytest.mark.parametrize("chain", ["A", " "])
@pytest.mark.parametrize("is_wide", [False, True])
def test_names_of_programs(tmp_path: Path, names: str, letters: str, chain: str, is_wide: bool) -> None:
    water = f"ATOM      1  OW  {' SOL' if is_wide else 'SOL '}{chain}  90       0.000   0.000   0.000  1.00  0.00\n"
    for end in ("TER\n" + water, water, ""):
        trace = trace_of(tmp_path, pdb_chain(names, chain, is_wide) + end, chain=chain)
        assert (trace.sequence, trace.coordinates[:, 0].tolist()) == (letters, [5.0 * i for i in range(len(letters))])


def test_bases_and_ions_are_no_nucleotides(tmp_path: Path) -> None:
    others = atom_line(" N9 ", "ADE", "A", 4, 50) + atom_line("RU  ", "RU", "A", 5, 50)
    others += atom_line(" C1'", "GTP", "A", 101, 50) + atom_line(" C1'", "SAM", "A", 102, 50)
    others += atom_line(" C1'", "GDP", "A", 103, 50) + atom_line(" O  ", "HOH", "A", 201, 60)
    for end in ("", "TER\n"):
        assert trace_of(tmp_path, pdb_chain("G A C") + end + others).sequence == "GAC"
    # Columns 21 and 22 as a chain's name of two characters.
    two = "".join(line[:20] + "5A" + line[22:] for line in pdb_chain("A G C").splitlines(keepends=True))
    assert trace_of(tmp_path, two, chain="5A").sequence == "AGC"


def test_the_first_model_with_nucleotides_counts(tmp_path: Path) -> None:
    models = [atom_line(" CA ", "ALA", "P", 1, 0), pdb_chain("RG5 RA3"), pdb_chain("C C C")]
    text = "".join(f"MODEL {number:>8}\n{model}ENDMDL\n" for number, model in enumerate(models, start=1))
    assert trace_of(tmp_path, text).sequence == "GA"


def test_hydrogens_only(tmp_path: Path) -> None:
    text = pdb_chain("RG5") + atom_line("H5'1", "RA", "A", 2, 5) + atom_line(" C1'", "RC3", "A", 3, 10)
    trace = trace_of(tmp_path, text)
    assert trace.sequence == "GAC"
    assert trace.coordinates[:, 0] == pytest.approx([0, np.nan, 10], nan_ok=True)
    text = atom_line(" H8 ", "RG", "A", 1, 0) + atom_line(" C1'", "RA", "A", 2, 5)
    assert trace_of(tmp_path, text).sequence == "GA"


def test_unknown_residues_without_the_atom(tmp_path: Path) -> None:
    text = atom_line(" C1'", "G", "A", 1, 0)
    for atom in (" P  ", " O5'", " C5'", " C4'", " C3'", " O3'"):
        text += atom_line(atom, "U8N", "A", 2, 5)
    text += atom_line(" C1'", "C", "A", 3, 10)
    for end in ("", "TER\n"):
        with pytest.warns(UserWarning, match=r"N: U8N \(1\)"):
            trace = trace_of(tmp_path, text + end)
        assert trace.sequence == "GNC"
        assert trace.coordinates[:, 0] == pytest.approx([0, np.nan, 10], nan_ok=True)


def test_unknown_residues_that_follow(tmp_path: Path) -> None:
    # So few known nucleotides are no polymer to gemmi.
    text = pdb_chain("G") + "".join(
        "ATOM  " + atom_line(" C1'", name, "A", place, 5.0 * place - 5)[6:] for place, name in ((2, "AP"), (3, "CP"))
    )
    with pytest.warns(UserWarning, match=r"read as N: AP \(1\), CP \(1\)"):
        trace = trace_of(tmp_path, text)
    assert (trace.sequence, trace.coordinates[:, 0].tolist()) == ("GNN", [0, 5, 10])


def test_the_stated_sequence_tells_ligands(tmp_path: Path) -> None:
    for ligand in (atom_line(" C1'", "G", "A", 102, 50), atom_line(" C1'", "SAM", "A", 102, 50)):
        assert trace_of(tmp_path, seqres("G A C") + pdb_chain("G A C") + ligand).sequence == "GAC"


def test_natives_score_against_whole_predictions(tmp_path: Path) -> None:
    model = np.cumsum(np.random.default_rng(0).normal(size=(6, 3)) * 4, axis=0).round(3)
    for width in (4, 5):  # also columns of another width
        text = seqres("G G A A C C", width)
        for index in (0, 1, 4, 5):
            x, y, z = model[index]
            line = atom_line(" C1'", "GGAACC"[index], "A", index + 1, x)
            text += f"{line[:38]}{y:8.3f}{z:8.3f}{line[54:]}"
        native = trace_of(tmp_path, text)
        assert (native.sequence, native.residue_ids) == ("GGAACC", list("123456"))
        assert np.isnan(native.coordinates).all(1).tolist() == [False, False, True, True, False, False]
        assert tm_score(model, native.coordinates) == pytest.approx(1)
        assert lddt(model, native.coordinates).score == 1
        assert rmsd(model, native.coordinates) == pytest.approx(0, abs=1e-6)
        listed = trace_of(tmp_path, text, whole_sequence=False)
        assert (listed.sequence, listed.residue_ids) == ("GGCC", ["1", "2", "5", "6"])


def numbered(residues: str) -> str:
    """Residues such as `G19 U20A`, at x = their number."""
    lines = []
    for residue in residues.split():
        code = residue[-1] if residue[-1].isalpha() else " "
        number = int(residue[1:].rstrip(code))
        lines.append(atom_line(" C1'", residue[0], "A", number, number, code=code))
    return "".join(lines)


@pytest.mark.parametrize(
    ("header", "residues", "letters", "ids"),
    [
        ("", "G19 G20 U20A A20B C21", "GGUAC", "19 20 20A 20B 21"),
        (seqres("G G U A C C"), "G19 G20 U20A C21 C22", "GGUACC", "19 20 20A 20B* 21 22"),
        ("REMARK 465       A A    20C\n" + seqres("G G U A C"), "G19 G20 U20A C21", "GGUAC", "19 20 20A 20C* 21"),
        (seqres("G G A C C"), "G-1 C2", "GGACC", "-1 0* 1* 2 3*"),
        (seqres("A A A A A A"), "A1 A2 A5 A6", "AAAAAA", "1 2 3* 4* 5 6"),
        ("REMARK 465       A A     0\n" + seqres("A A A A"), "A1 A2 A3", "AAAA", "0* 1 2 3"),
        # Without SEQRES; of another chain, and an amino acid.
        (
            "".join(
                f"REMARK 465     {name:>3} {chain} {number:>5}{code}\n"
                for name, chain, number, code in [
                    ("PSU", "A", -1, ""),
                    ("A", "A", 2, ""),
                    ("C", "A", 2, "A"),
                    ("G", "B", 3, ""),
                    ("GLY", "A", 9, ""),
                    ("RU3", "A", 7, ""),
                ]
            ),
            "G1 G4 C5",
            "UGACGCU",
            "-1* 1 2* 2A* 4 5 7*",
        ),
        (seqres("G G A A C C"), "G101 G102 C105 C106", "GGAACC", "101 102 103* 104* 105 106"),
        (seqres("RG5 PSU RA3"), "G1 A3", "GUA", "1 2* 3"),
        (seqres("G G A U C C"), "G1 G2 G3 U4 C5 C6", "GGGUCC", "1 2 3 4 5 6"),  # a mutation: the atoms count
        (seqres("G G A"), "G1 G2 A3 C4", "GGAC", "1 2 3 4"),
        (seqres("G G A C C"), "G1 G2 C3 C4", "GGACC", "1 2 2A* 3 4"),  # counted on over the gap
        (seqres("A A U U G G"), "A1 A2 U3 U4 C5", "AAUUCG", "1 2 3 4 5 6*"),  # a mutation before a gap
        (seqres("C A G U G U C"), "C1 A2 G5 C6 C7", "CAGUGCC", "1 2 3* 4* 5 6 7"),  # and behind one
        (seqres("C A G U C G C"), "C1 A2 U5 G6 C7", "CAGUUGC", "1 2 3* 4* 5 6 7"),  # which also fits before it
    ],
)
def test_numbers_and_unresolved_residues(tmp_path: Path, header: str, residues: str, letters: str, ids: str) -> None:
    trace = trace_of(tmp_path, header + numbered(residues) + "TER\n")
    assert trace.sequence == letters
    assert trace.residue_ids == ids.replace("*", "").split()
    assert np.isnan(trace.coordinates[:, 0]).tolist() == [name.endswith("*") for name in ids.split()]


def test_a_sequence_of_another_chain_is_left_out(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="does not fit the residues"):
        trace = trace_of(tmp_path, seqres("G G G G G G G") + pdb_chain("A C U A C U"))
    assert trace.sequence == "ACUACU"


@pytest.mark.parametrize(
    ("stated", "difference"),
    [
        ("G A U U", "1 residues .* first: C3 is stated U"),
        ("G A C", "1 residues .* first: U4 is not stated"),
        ("G C C U", "1 residues .* first: A2 is stated C"),
    ],
)
def test_another_sequence_is_told(tmp_path: Path, stated: str, difference: str) -> None:
    with pytest.warns(UserWarning, match=rf"chain 'A': {difference}; the atoms count"):
        assert trace_of(tmp_path, seqres(stated) + pdb_chain("G A C U") + "TER\n").sequence == "GACU"


def test_the_sequence_in_mmcif(tmp_path: Path) -> None:
    atoms: list[tuple[str, int | str, int, float]] = [("G", 1, 101, 0.0), ("G", 2, 102, 5.0), ("C", 5, 105, 20.0)]
    atoms += [("GTP", ".", 201, 9.0), ("G", ".", 202, 9.0)]
    scheme = cif_loop(
        "pdbx_poly_seq_scheme",
        "asym_id entity_id seq_id mon_id pdb_seq_num pdb_ins_code",
        ["A 1 1 G 101 .", "A 1 2 G 102 .", "A 1 3 A 102 A", "A 1 3 G 102 A", "A 1 4 PSU 104 .", "A 1 5 C 105 ."],
    )
    code = cif_loop("entity_poly", "entity_id pdbx_seq_one_letter_code", ["1 GGA(PSU)C"])
    for part, ids in [(scheme, "101 102 102A 104 105"), (code, "101 102 103 104 105")]:
        trace = trace_of(tmp_path, cif_text(atoms, part))
        assert (trace.sequence, trace.residue_ids) == ("GGAUC", ids.split())
        assert trace.coordinates[:, 0] == pytest.approx([0, 5, np.nan, np.nan, 20], nan_ok=True)
    assert trace_of(tmp_path, cif_text(atoms)).sequence == "GGC"


@pytest.mark.parametrize(
    ("second", "letters", "x"),
    [
        ([("A", "A", 5, 0.39), ("A", "B", 6, 0.61)], "GAC", 6),
        ([("A", "A", 5, 0.0), ("A", "B", 6, 1.0)], "GAC", 6),
        ([("A", "A", 5, 0.5), ("A", "B", 6, 0.5)], "GAC", 5),
        ([("A", " ", 5, 0.0)], "GAC", 5),  # programs write no occupancy
        ([("A", "A", 5, 0.3), ("G", "B", 6, 0.7)], "GGC", 6),
        ([("A", " ", 5, 0.3), ("G", " ", 6, 0.7)], "GGC", 6),
        ([("A", "A", None, 0.7), ("A", "B", 6, 0.3)], "GAC", 6),
        ([("A", "A", None, 0.7), ("G", "B", 6, 0.3)], "GGC", 6),
    ],
)
@pytest.mark.parametrize("header", ["", seqres("G A C")])
def test_the_most_occupied_location_counts(
    tmp_path: Path, second: list[tuple[str, str, float | None, float]], letters: str, x: float, header: str
) -> None:
    """Component, location, x (none if the location lacks the atom) and occupancy of the second residue."""
    text = header + atom_line(" C1'", "G", "A", 1, 0)
    for name, location, position, occupancy in second:
        for atom in [" P  "] + [" C1'"] * (position is not None):
            line = atom_line(atom, name, "A", 2, position or 0, location)
            text += f"{line[:54]}{occupancy:6.2f}{line[60:]}"
    trace = trace_of(tmp_path, text + atom_line(" C1'", "C", "A", 3, 10))
    assert (trace.sequence, trace.coordinates[:, 0].tolist()) == (letters, [0, x, 10])


def test_strands_of_one_name_are_told(tmp_path: Path) -> None:
    lines = pdb_chain("G5 A C3 G5 U3", " ").splitlines(keepends=True)
    with pytest.warns(UserWarning, match=r"some\.pdb, chain '': it ends \(TER\) after 3\(C\) and goes on"):
        trace = trace_of(tmp_path, "".join([*lines[:3], "TER\n", *lines[3:], "TER\n"]))
    assert trace.sequence == "GACGU"


def test_chains_of_one_name_are_told(tmp_path: Path) -> None:
    strand = pdb_chain("G A C", " ") + "TER\n"
    with pytest.warns(UserWarning, match="3 residues, the first 1.*several chains had one name"):
        trace_of(tmp_path, strand + strand)
    # CHARMM tells chains by segments (columns 73 to 76) alone.
    text = "".join(
        f"{line[:72]}{name:<4}{line[76:]}"
        for name in ("RNA1", "RNA2")
        for line in pdb_chain("G A C", " ").splitlines(True)
    )
    with pytest.warns(UserWarning, match="3 residues, the first 1.*several chains had one name"):
        assert trace_of(tmp_path, text).sequence == "GAC"


@pytest.mark.parametrize("suffix", [".pdb", ".cif"])
def test_titles_are_ascii(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / (f"ribosome-é-\U0001f9ec-{'long' * 30}" + suffix)
    write_trace(path, some_samples(), SEQUENCE)
    assert path.read_bytes().isascii()
    assert read_trace(path).sequence == SEQUENCE


def test_written_mmcif_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "my fold's.cif"
    samples = some_samples()
    samples[0, 4] = np.nan
    write_trace(path, samples, SEQUENCE)
    block = gemmi.cif.read(str(path)).sole_block()
    assert block.name == block.find_value("_entry.id").strip("'") == "my_fold_s"
    scheme = block.find("_pdbx_poly_seq_scheme.", ["asym_id", "seq_id", "mon_id", "auth_seq_num", "pdb_ins_code"])
    assert [tuple(row) for row in scheme] == [
        ("A", str(index + 1), letter, str(index + 1), ".") for index, letter in enumerate(SEQUENCE)
    ]
    assert block.find_value("_struct.title").strip("\"'") == "C1' trace of an RNA of 10 nucleotides: my fold's"
    assert [(row.str(0), row.str(1)) for row in block.find("_software.", ["name", "version"])] == [
        ("rna_hf", __version__)
    ]
    kinds = {row.str(0): row.str(1) for row in block.find("_chem_comp.", ["id", "type"])}
    assert kinds == dict.fromkeys("ACGNU", "RNA linking")
    columns = ["type", "pdbx_seq_one_letter_code", "pdbx_seq_one_letter_code_can"]
    assert [row.str(i) for row in block.find("_entity_poly.", columns) for i in range(3)] == [
        "polyribonucleotide",
        SEQUENCE,
        SEQUENCE,
    ]
    assert "".join(block.find_values("_entity_poly_seq.mon_id")) == SEQUENCE
    write_trace(path, samples[0], SEQUENCE)
    block = gemmi.cif.read(str(path)).sole_block()
    placed = [i for i, value in enumerate(block.find_values("_pdbx_poly_seq_scheme.auth_seq_num")) if value != "?"]
    assert placed == np.flatnonzero(~np.isnan(samples[0, :, 0])).tolist()
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    assert structure.entities[0].polymer_type == gemmi.PolymerType.Rna
    assert structure[0][0].get_polymer().check_polymer_type() == gemmi.PolymerType.Rna


@pytest.mark.parametrize("suffix", [".pdb", ".cif"])
@pytest.mark.parametrize("letter", [b"\xa7", "§".encode()])
def test_names_of_atoms_that_are_no_text(tmp_path: Path, suffix: str, letter: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    write_trace(path, some_samples()[0], SEQUENCE)
    lines = path.read_bytes().split(b"\n")
    first = next(index for index, line in enumerate(lines) if line.startswith(b"ATOM"))
    lines[first] = lines[first].replace(b"C1'", b"C1"[: 3 - len(letter)] + letter)
    path.write_bytes(b"\n".join(lines))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trace = read_trace(path)
    assert len(trace.coordinates) == len(SEQUENCE)
    assert np.isnan(trace.coordinates).any()


def test_infinite_coordinates(tmp_path: Path) -> None:
    path = tmp_path / "a.pdb"
    write_trace(path, some_samples()[:1], SEQUENCE)
    lines = path.read_text().split("\n")
    first = next(index for index, line in enumerate(lines) if line.startswith("ATOM"))
    lines[first] = lines[first][:30] + "     inf" + lines[first][38:]
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"a\.pdb, chain 'A', residue .*: a coordinate is infinite"):
        read_trace(path)
