"""C1' traces in PDB and mmCIF files, read and written through gemmi."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..atomic_files import replace_text
from ..version import __version__
from .chain_rows import ChainFile
from .coordinates import check_trace

if TYPE_CHECKING:
    import gemmi

_CHAIN = "A"
# Limits of the PDB format: four columns for a residue number, eight with three decimals for a coordinate (angstrom).
PDB_MAX_RESIDUES = 9999
_PDB_COORDINATES = (-999.9995, 9999.9995)
# IUPAC codes for "one of several nucleotides": they are written as N, the unknown nucleotide.
_AMBIGUOUS = "NRYSWKMBDHV"
_SCHEME_COLUMNS = [
    "asym_id",
    "entity_id",
    "seq_id",
    "mon_id",
    "ndb_seq_num",
    "pdb_seq_num",
    "auth_seq_num",
    "auth_mon_id",
    "pdb_mon_id",
    "pdb_strand_id",
    "pdb_ins_code",
    "hetero",
]


class Trace(NamedTuple):
    """One chain of a structure file.

    Attributes:
        sequence: its nucleotides in A, C, G, U and N.
        coordinates: (L, 3), angstrom; NaN where the file has the nucleotide in its sequence or among its atoms, but not
            the atom.
        residue_numbers: (L,), the authors' numbers. Where the file has no number for a nucleotide without atoms, it is
            counted on from its neighbour's. With insertion codes a number comes more than once: see `residue_ids`.
        insertion_codes: the letter behind each number, or an empty string.
    """

    sequence: str
    coordinates: np.ndarray
    residue_numbers: np.ndarray
    insertion_codes: tuple[str, ...] = ()

    @property
    def residue_ids(self) -> list[str]:
        """The authors' numbers with their insertion codes, such as `20` and `20A`."""
        codes = self.insertion_codes or ("",) * len(self.residue_numbers)
        return [f"{number}{code}" for number, code in zip(self.residue_numbers.tolist(), codes, strict=True)]


def write_trace(path: str | Path, coordinates: ArrayLike, sequence: str, confidence: ArrayLike | None = None) -> None:
    """Write C1' traces of one RNA as a PDB or mmCIF file.

    Args:
        path: file that ends in `.cif` or `.pdb`; replaced atomically. Coordinates keep three decimals.
            The file says that it is RNA, with the whole sequence, types of the components, a title and the software.
        coordinates: (L, 3) or, for several samples, (S, L, 3), angstrom. Each sample becomes a model of the file. Rows
            with NaN have no atom, but their place in the sequence; the others keep their numbers, 1-based positions.
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
        text = _format_mmcif(_build_structure(path.stem, samples, letters, scores))
    replace_text(path, text)


def read_trace(
    path: str | Path, chain: str | None = None, atom: str = "C1'", whole_sequence: bool = True, model: int | None = None
) -> Trace:
    """Read one nucleic acid chain of a PDB or mmCIF file, which may be packed by gzip, bzip2 or xz.

    Where an atom has several locations or a place several residues, the most occupied of them counts (the first of
    equals). Ligands and water are no part of the chain.

    The letter of a residue is that of the parent that the file states (MODRES, `_pdbx_struct_mod_residue`,
    `_chem_comp`, `_entity_poly.pdbx_seq_one_letter_code_can`), else that of the Chemical Component Dictionary, else
    what the name means in AMBER, CHARMM, GROMACS or OpenMM, such as `RA5`, `G3` or `CYT`; T is U. A residue without any
    is N, and a warning names it.

    Args:
        path: the file.
        chain: the authors' name of the chain; the first with nucleotides if omitted, and a warning if there are more.
        atom: the atom that stands for a nucleotide. `C1*`, as in old files, is the same as `C1'`.
        whole_sequence: with the nucleotides that the file's sequence (SEQRES, `_pdbx_poly_seq_scheme`,
            `_entity_poly_seq`) has and its atoms have not, as rows of NaN: so the trace of a native has one row for
            each nucleotide of a prediction. In a PDB file without a sequence, those that REMARK 465 lists as missing.
            Otherwise those with atoms alone.
        model: number of the model; the first with nucleotides if omitted, and a warning if there are more.

    Returns:
        The trace.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, or has no such model, chain or atom.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    file = ChainFile(path, {atom, atom.replace("'", "*"), atom.replace("*", "'")}, model)
    if chain is None and file.chains:
        chain = file.chains[0]
        if len(file.chains) > 1:
            warnings.warn(
                f"{path.name}: of the chains {file.chains}, {chain!r} is read; `chain` chooses another", stacklevel=2
            )
    elif chain is not None:
        chain = chain.strip()  # a blank name is empty
    if chain is None or chain not in file.chains:
        wanted = "chain" if chain is None else f"chain {chain!r}"
        name = file.chain_of_label(chain) if chain else None
        hint = f"; label_asym_id {chain!r} is of the authors' chain {name!r}" if name else ""
        raise ValueError(f"{path.name} holds no {wanted} with nucleotides; chains that have some: {file.chains}{hint}")
    rows = file.rows(chain, whole_sequence)
    if not any(row.position for row in rows):
        raise ValueError(
            f"{path.name}, chain {chain!r}: no nucleotide has the atom {atom}; name another by `atom`. "
            f"Atoms that there are: {', '.join(file.atoms_of(chain))}"
        )
    return Trace(
        "".join(row.letter for row in rows),
        np.array([row.position or [np.nan] * 3 for row in rows]),
        np.array([row.number for row in rows], dtype=np.int64),
        tuple(row.code for row in rows),
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
    name = re.sub(r"[^ -~]", "_", name)  # both formats are ASCII
    # The data block's name has no blanks; what else would need quotes goes, too.
    structure.name = re.sub(r"[^\w.+-]+", "_", name, flags=re.ASCII).strip("_") or "trace"
    structure.info["_entry.id"] = structure.name
    structure.info["_struct_keywords.pdbx_keywords"] = "RNA"
    structure.info["_struct.title"] = f"C1' trace of an RNA of {len(letters)} nucleotides: {name}"
    software = gemmi.SoftwareItem()
    software.name, software.version = "rna_hf", __version__
    software.classification = gemmi.SoftwareItem.Classification.ModelBuilding
    structure.meta.software = [software]
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


def _format_mmcif(structure: gemmi.Structure) -> str:
    """Return the file's text, with what gemmi leaves out: types of components, and the sequence and its numbers."""
    import gemmi

    groups = gemmi.MmcifOutputGroups(True)
    groups.cell = groups.symmetry = False  # no crystal
    groups.auth_all = True
    document = structure.make_mmcif_document(groups)
    block = document.sole_block()
    [entity] = structure.entities
    sequence = "".join(entity.full_sequence)
    names = {"A": "ADENOSINE", "C": "CYTIDINE", "G": "GUANOSINE", "U": "URIDINE", "N": "ANY"}
    components = block.init_loop("_chem_comp.", ["id", "type", "mon_nstd_flag", "name"])
    for letter in sorted(set(sequence)):
        values = [letter, "RNA linking", "y", f"{names[letter]} 5'-MONOPHOSPHATE" + " NUCLEOTIDE" * (letter == "N")]
        components.add_row([gemmi.cif.quote(value) for value in values])
    polymers = block.init_loop(
        "_entity_poly.",
        [
            "entity_id",
            "type",
            "nstd_linkage",
            "nstd_monomer",
            "pdbx_strand_id",
            "pdbx_seq_one_letter_code",
            "pdbx_seq_one_letter_code_can",
        ],
    )
    code = gemmi.cif.quote("\n".join(sequence[start : start + 80] for start in range(0, len(sequence), 80)))
    polymers.add_row([entity.name, "polyribonucleotide", "no", "no", _CHAIN, code, code])
    places = block.init_loop("_entity_poly_seq.", ["entity_id", "num", "mon_id", "hetero"])
    scheme = block.init_loop("_pdbx_poly_seq_scheme.", _SCHEME_COLUMNS)
    placed = {residue.label_seq for model in structure for residue in model[_CHAIN]}
    for number, letter in enumerate(sequence, start=1):
        row = [entity.name, str(number), letter]
        places.add_row([*row, "n"])
        # In a sample or more the nucleotide has an atom, or in none.
        authors = [str(number), letter] if number in placed else ["?", "?"]
        scheme.add_row([_CHAIN, *row, str(number), str(number), *authors, letter, _CHAIN, ".", "n"])
    entities = block.init_loop("_entity.", ["id", "type", "pdbx_description", "pdbx_number_of_molecules"])
    entities.add_row([entity.name, "polymer", "RNA", "1"])
    return document.as_string()
