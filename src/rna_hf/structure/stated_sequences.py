"""What PDB and mmCIF files state: the sequences of polymers, and parents of modified residues."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .residue_letters import name_letter
from .structure_content import StructureContent

if TYPE_CHECKING:
    import gemmi

LETTERS = ("A", "C", "G", "U")
# MODRES in PDB files, whose columns many programs move: name, chain, number, insertion code and parent.
_MODRES = re.compile(r"MODRES .{4} +(\S+) +(\S?) *(-?\d+)([A-Za-z]?) +(\S+)")
_MODRES_COMMENT = 29  # the column, from 0, at which the comment behind the parent begins


class StatedSequence(NamedTuple):
    """The sequence that the file states for a polymer.

    Attributes:
        names: residue names.
        canonical: letters of the parents, or nothing.
        numbers: the authors' number and insertion code of each residue, or nothing.
    """

    names: list[str]
    canonical: str = ""
    numbers: tuple[tuple[int, str], ...] = ()


def read_parents(
    content: StructureContent,
) -> tuple[dict[tuple[str, str, str], str], dict[str, str]]:
    """Return the letters of the parents that the file states, by residue and, where all agree, by name."""
    records = [
        (item.chain_name, str(item.res_id.seqid), item.res_id.name, item.parent_comp_id)
        for item in content.structure.mod_residues
    ]
    for match in filter(None, map(_MODRES.match, content.lines)):
        name, chain, number, code, parent = match.groups()
        if match.start(5) >= _MODRES_COMMENT:
            continue  # no parent is given
        records.append((chain, number + code, name, parent))
    residues: dict[tuple[str, str, str], str] = {}
    names: dict[str, set[str]] = {}
    for chain, seqid, name, parent in records:
        letter = _letter_of_parents(parent)
        if letter:
            names.setdefault(name, set()).add(residues.setdefault((chain, seqid, name), letter))
    components: dict[str, str] = {}
    for row in content.block.find("_chem_comp.", ["id", "?mon_nstd_parent_comp_id", "?one_letter_code", "?type"]):
        values = [row.str(index).strip() if row.has(index) else "" for index in (1, 2)]
        kind = row.str(3).upper() if row.has(3) else ""
        # Amino acids have one-letter codes, too.
        code = values[1] if "NA" in kind else ""
        letter = _letter_of_parents(values[0]) or _letter_of_parents(code)
        if letter:
            components[row.str(0)] = letter
    return residues, components | {name: letters.pop() for name, letters in names.items() if len(letters) == 1}


def read_sequences(content: StructureContent, component: Callable[[str], str]) -> dict[str, StatedSequence]:
    """Return the sequences by chain (PDB) or by label_asym_id or entity (mmCIF).

    Args:
        content: the file.
        component: returns the component that a residue name means.
    """
    if content.is_pdb:
        return {
            chain: StatedSequence([component(name) for name in names])
            for chain, names in _read_seqres(content.lines).items()
        }
    block = content.block
    canonical = _read_one_letter_codes(block, "pdbx_seq_one_letter_code_can")
    sequences = {}
    kinds = {row.str(0): row.str(1) for row in block.find("_entity_poly.", ["entity_id", "type"])}
    for key, code in _read_one_letter_codes(block, "pdbx_seq_one_letter_code").items():
        prefix = "D" if kinds.get(key) == "polydeoxyribonucleotide" else ""
        names = re.findall(r"\(([^)]*)\)|(\S)", code)
        sequences[key] = [long or prefix + short for long, short in names]
    for entity in content.structure.entities:
        if entity.full_sequence:
            sequences[entity.name] = [_first_name(name) for name in entity.full_sequence]
    stated = {
        entity: StatedSequence([component(name) for name in names], _fitting(canonical.get(entity, ""), names))
        for entity, names in sequences.items()
    }
    return stated | _read_schemes(block, stated, component)


def _read_schemes(
    block: gemmi.cif.Block, stated: dict[str, StatedSequence], component: Callable[[str], str]
) -> dict[str, StatedSequence]:
    """Return the sequences with the authors' numbers by label_asym_id."""
    table = block.find(
        "_pdbx_poly_seq_scheme.", ["asym_id", "entity_id", "seq_id", "mon_id", "?pdb_seq_num", "?pdb_ins_code"]
    )
    chains: dict[tuple[str, str], dict[str, tuple[str, str, str]]] = {}
    for row in table:
        number = row.str(4) if row.has(4) else ""
        code = row.str(5) if row.has(5) else ""
        # Of several components in one place, the first names the row.
        chains.setdefault((row.str(0), row.str(1)), {}).setdefault(row.str(2), (row.str(3), number, code))
    schemes = {}
    for (asym, entity), rows in chains.items():
        names = [component(name) for name, _, _ in rows.values()]
        numbers = tuple(
            (int(number), code.strip(".? ")) for _, number, code in rows.values() if re.fullmatch(r"-?\d+", number)
        )
        canonical = stated[entity].canonical if entity in stated else ""
        schemes[asym] = StatedSequence(names, _fitting(canonical, names), numbers if len(numbers) == len(names) else ())
    return schemes


def _read_seqres(lines: list[str]) -> dict[str, list[str]]:
    """Return the residue names of SEQRES by chain, also where they stand in columns of another width."""
    sequences: dict[str, list[str]] = {}
    wide: dict[str, list[str]] = {}
    lengths: dict[str, str] = {}
    for line in lines:
        if line.startswith("SEQRES"):
            chain = line[10:12].strip()
            lengths[chain] = line[12:17].strip()
            sequences.setdefault(chain, []).extend(line[18:70].split())
            wide.setdefault(chain, []).extend(line[18:].split())
    # Beyond column 70 old files have the entry's name, and others the last residues.
    return {
        chain: wide[chain] if lengths[chain] == str(len(wide[chain])) else names for chain, names in sequences.items()
    }


def _letter_of_parents(parents: str) -> str | None:
    """Return the one letter of `U`, of `DT` or of `A,A`; None if there is no or more than one."""
    letters = {name_letter(name) for name in re.split(r"[,\s]+", parents.strip(".? ")) if name}
    letter = letters.pop() if len(letters) == 1 else "N"
    return letter if letter in LETTERS else None


def _read_one_letter_codes(block: gemmi.cif.Block, column: str) -> dict[str, str]:
    """Return the sequences of nucleic acids in `_entity_poly`."""
    table = block.find("_entity_poly.", ["entity_id", column, "?type"])
    return {
        row.str(0): "".join(row.str(1).split())
        for row in table
        if row.str(1) and not (row.has(2) and "peptide" in row.str(2).lower())
    }


def _fitting(canonical: str, names: list[str]) -> str:
    """Return the parents' letters if there is one for each residue."""
    return canonical.upper().replace("T", "U") if len(canonical) == len(names) else ""


def _first_name(names: str) -> str:
    """Return the first of several components in one place of a sequence."""
    return names.split(",")[0]
