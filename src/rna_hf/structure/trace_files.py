"""C1' traces in PDB and mmCIF files, read and written through gemmi."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..atomic_files import replace_text
from .coordinates import check_trace

if TYPE_CHECKING:
    import gemmi

_CHAIN = "A"
# Limits of the PDB format: four columns for a residue number, eight with three decimals for a coordinate (angstrom).
PDB_MAX_RESIDUES = 9999
_PDB_COORDINATES = (-999.9995, 9999.9995)
# IUPAC codes for "one of several nucleotides": they are written as N, the unknown nucleotide.
_AMBIGUOUS = "NRYSWKMBDHV"


class Trace(NamedTuple):
    """One chain of a structure file.

    Attributes:
        sequence: its nucleotides in A, C, G, U and N.
        coordinates: (L, 3), angstrom; NaN where the file lists the nucleotide without the atom.
        residue_numbers: (L,), the authors' numbers; gaps show nucleotides that the file does not list.
    """

    sequence: str
    coordinates: np.ndarray
    residue_numbers: np.ndarray


def write_trace(path: str | Path, coordinates: ArrayLike, sequence: str, confidence: ArrayLike | None = None) -> None:
    """Write C1' traces of one RNA as a PDB or mmCIF file.

    Args:
        path: file that ends in `.cif` or `.pdb`; replaced atomically. Coordinates keep three decimals.
        coordinates: (L, 3) or, for several samples, (S, L, 3), angstrom. Each sample becomes a model of the file. Rows
            with NaN are left out; the others keep their numbers, which are 1-based positions in the sequence.
        sequence: L letters; T becomes U, and codes such as R or Y become N.
        confidence: (L,) or (S, L), 0 to 100 and higher is surer, written to the B-factor column as other predictors do.

    Raises:
        ValueError: shapes or letters do not fit, or the PDB format cannot hold the numbers.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".cif", ".pdb"):
        raise ValueError(f"{path.name!r} ends in {suffix!r}; write a .cif or a .pdb file")
    letters = _residue_names(sequence)
    samples = _check_samples(coordinates, len(letters))
    scores = _check_confidence(confidence, samples)
    if suffix == ".pdb":
        _check_pdb_limits(samples)
        text = _build_structure(path.stem, samples, letters, scores).make_pdb_string()
    else:
        text = _build_structure(path.stem, samples, letters, scores).make_mmcif_document().as_string()
    replace_text(path, text)


def read_trace(path: str | Path, chain: str | None = None, atom: str = "C1'") -> Trace:
    """Read one nucleic acid chain of a PDB or mmCIF file, which may be gzipped.

    The first model and, where an atom has several locations, the first of them count. Ligands and water are no part of
    the chain.

    Args:
        path: the file.
        chain: the authors' name of the chain; the first with nucleotides if omitted.
        atom: the atom that stands for a nucleotide. `C1*`, as in old files, is the same as `C1'`.

    Returns:
        The trace. A modified nucleotide has its parent's letter, one that gemmi does not know is N, and T is U.
    """
    import gemmi

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        structure = gemmi.read_structure(str(path), format=gemmi.CoorFormat.Detect)
    except (ValueError, RuntimeError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read as a PDB or mmCIF file: {error}") from error
    structure.setup_entities()
    names = {atom, atom.replace("'", "*"), atom.replace("*", "'")}
    first_model = structure[0] if len(structure) else ()
    chains = {found.name: _nucleotides(found, names) for found in first_model}
    chains = {name: residues for name, residues in chains.items() if residues}
    if chain is None and chains:
        chain = next(iter(chains))
    if chain is None or chain not in chains:
        wanted = "chain" if chain is None else f"chain {chain!r}"
        raise ValueError(f"{path.name} holds no {wanted} with nucleotides; chains that have some: {list(chains)}")
    residues = chains[chain]
    coordinates = np.full((len(residues), 3), np.nan)
    for index, residue in enumerate(residues):
        position = _find_position(residue, names)
        if position is not None:
            coordinates[index] = position
    return Trace(
        "".join(_letter(residue.name) for residue in residues),
        coordinates,
        np.array([residue.seqid.num for residue in residues], dtype=np.int64),
    )


def _residue_names(sequence: str) -> str:
    letters = sequence.upper().replace("T", "U")
    unknown = sorted(set(letters) - set("ACGU" + _AMBIGUOUS))
    if unknown:
        raise ValueError(f"sequence holds {unknown}; it must be of A, C, G, U or T, and IUPAC codes such as N")
    return "".join("N" if letter in _AMBIGUOUS else letter for letter in letters)


def _check_samples(coordinates: ArrayLike, length: int) -> np.ndarray:
    """Return (S, L, 3) traces that each resolve something."""
    values = np.asarray(coordinates, dtype=np.float64)
    values = values[None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[1:] != (length, 3) or not len(values):
        raise ValueError(
            f"coordinates have shape {np.shape(coordinates)}; ({length}, 3) or (samples, {length}, 3) is needed for a "
            f"sequence of {length} nucleotides"
        )
    samples = np.stack([check_trace(trace, f"sample {index}") for index, trace in enumerate(values)])
    empty = np.isnan(samples).all((1, 2))
    if empty.any():
        raise ValueError(f"sample {int(empty.argmax())} has no nucleotide with a position: there is nothing to write")
    return samples


def _check_confidence(confidence: ArrayLike | None, samples: np.ndarray) -> np.ndarray:
    """Return (S, L) values for the B-factor column, 0 if none are given."""
    if confidence is None:
        return np.zeros(samples.shape[:2])
    values = np.asarray(confidence, dtype=np.float64)
    if values.shape not in (samples.shape[:2], samples.shape[1:2]):
        raise ValueError(
            f"confidence has shape {values.shape}; {samples.shape[1:2]} or {samples.shape[:2]} is needed: one value "
            "for each nucleotide"
        )
    values = np.broadcast_to(values, samples.shape[:2])
    outside = ~((values >= 0) & (values <= 100)) & ~np.isnan(samples[:, :, 0])
    if outside.any():
        raise ValueError(f"confidence holds {values[outside][0]}; it must lie in 0..100")
    return values


def _check_pdb_limits(samples: np.ndarray) -> None:
    if samples.shape[1] > PDB_MAX_RESIDUES:
        raise ValueError(
            f"the RNA has {samples.shape[1]} nucleotides and a PDB file holds at most {PDB_MAX_RESIDUES} in a chain: "
            "write a .cif file"
        )
    low, high = _PDB_COORDINATES
    outside = (samples <= low) | (samples >= high)
    if outside.any():
        raise ValueError(
            f"a coordinate is {samples[outside][0]:.3f} angstrom and a PDB file holds -999.999 to 9999.999: centre the "
            "coordinates or write a .cif file"
        )


def _build_structure(name: str, samples: np.ndarray, letters: str, confidence: np.ndarray) -> gemmi.Structure:
    """Make a structure with one RNA chain in each of the models."""
    import gemmi

    entity = gemmi.Entity("1")
    entity.entity_type = gemmi.EntityType.Polymer
    entity.polymer_type = gemmi.PolymerType.Rna
    entity.subchains = [_CHAIN]
    entity.full_sequence = list(letters)
    structure = gemmi.Structure()
    structure.name = name
    structure.entities.append(entity)
    for number, (trace, scores) in enumerate(zip(samples.round(3), confidence.round(2)), start=1):
        chain = gemmi.Chain(_CHAIN)
        for index in np.flatnonzero(~np.isnan(trace[:, 0])).tolist():
            atom = gemmi.Atom()
            atom.name = "C1'"
            atom.element = gemmi.Element("C")
            atom.pos = gemmi.Position(*trace[index].tolist())
            atom.b_iso = float(scores[index])
            residue = gemmi.Residue()
            residue.name = letters[index]
            residue.seqid = gemmi.SeqId(index + 1, " ")
            residue.label_seq = index + 1
            residue.subchain = _CHAIN
            residue.entity_id = entity.name
            residue.entity_type = gemmi.EntityType.Polymer
            residue.het_flag = "A"
            residue.add_atom(atom)
            chain.add_residue(residue)
        model = gemmi.Model(number)
        model.add_chain(chain)
        structure.add_model(model)
    return structure


def _nucleotides(chain: gemmi.Chain, names: set[str]) -> list[gemmi.Residue]:
    """List a chain's nucleotides: known ones, and unknown residues of the polymer that have the atom."""
    import gemmi

    outside = (gemmi.EntityType.NonPolymer, gemmi.EntityType.Branched, gemmi.EntityType.Water)
    return [
        residue
        for residue in chain.first_conformer()
        if residue.entity_type not in outside
        and (gemmi.find_tabulated_residue(residue.name).is_nucleic_acid() or _find_position(residue, names) is not None)
    ]


def _find_position(residue: gemmi.Residue, names: set[str]) -> list[float] | None:
    """Return the first location of the atom, in angstrom, if the residue has it."""
    for atom in residue:
        if atom.name in names:
            return atom.pos.tolist()
    return None


def _letter(name: str) -> str:
    """Return the letter of a residue: A, C, G or U, also of modified ones and of DNA, or else N."""
    import gemmi

    letter = gemmi.find_tabulated_residue(name).one_letter_code.upper().replace("T", "U")
    return letter if letter in ("A", "C", "G", "U") else "N"
