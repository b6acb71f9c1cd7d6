"""Chains of PDB and mmCIF files as rows, one for each nucleotide: what the file states, and what it places."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .residue_letters import dictionary_letter, name_letter, program_component
from .sequence_places import (
    ChainRow,
    are_places,
    fill_gaps,
    has_neighbour,
    insert_rows,
    place_rows,
)
from .stated_sequences import LETTERS, StatedSequence, read_parents, read_sequences
from .structure_content import read_content

if TYPE_CHECKING:
    import gemmi

_SUGAR = frozenset(["C1'", "C2'", "C3'", "C4'", "C5'", "O3'", "O4'", "O5'"])
_LEAST_SUGAR = 4
# X-PLOR and CNS write 9999.000 three times for an atom whose place is not known.
_UNKNOWN_POSITION = 9999.0
_PHOSPHATE = ("P", "OP1", "OP2", "O1P", "O2P")
# A missing residue in PDB files, whose columns many programs move: model (seldom given), name, chain, number and
# insertion code.
_REMARK_465 = re.compile(r"REMARK 465 +(?:\d+ +)?(\S{1,4}) (\S?) *(-?\d+)([A-Za-z]?)\s*")


class _Site(NamedTuple):
    """A residue of the chain and the atom that stands for it."""

    residue: gemmi.Residue
    atom: gemmi.Atom | None


class ChainFile:
    """A PDB or mmCIF file, which may be gzipped.

    Args:
        path: the file.
        atoms: names of the atom that stands for a nucleotide.
        number: that of the model; the first with nucleotides if omitted, and a warning if there are several.

    Raises:
        ValueError: the file cannot be read, or has no such model.
    """

    def __init__(self, path: Path, atoms: set[str], number: int | None = None) -> None:
        import gemmi

        self.name, self._atoms = path.name, atoms
        content = read_content(path)
        self._is_pdb, self._structure = content.is_pdb, content.structure
        structure = content.structure
        self._parents, self._parents_by_name = read_parents(content)
        self._rename_components()
        self._sequences = read_sequences(content, self._component)
        # PDB files state with TER, mmCIF files with entities, what is polymer; otherwise gemmi has to infer it.
        unknown = gemmi.EntityType.Unknown
        stated = [
            {chain.name: any(res.entity_type != unknown for res in chain) for chain in model} for model in structure
        ]
        structure.setup_entities()
        self._members: dict[str, list[gemmi.Residue]] = {}
        numbers = [model.num for model in structure]
        if number is not None and number not in numbers:
            raise ValueError(f"{path.name} holds no model {number}; its models: {numbers}")
        for index, (model, self._stated) in enumerate(zip(structure, stated)):
            if number is None or model.num == number:
                members = {chain.name: self._list_members(chain) for chain in model}
                self._members = {name: residues for name, residues in members.items() if residues}
                if self._members:
                    self._strand_ends = content.strand_ends(index)
                    break
        if number is None and len(numbers) > 1 and self._members:
            warnings.warn(
                f"{path.name}: of {len(numbers)} models, model {model.num} is read; `model` chooses another",
                stacklevel=3,
            )

    @property
    def chains(self) -> list[str]:
        """Names of the chains with nucleotides, in the order of the file."""
        return list(self._members)

    def chain_of_label(self, label: str) -> str | None:
        """Return the authors' name of the chain that has this label_asym_id, if there is one."""
        return next((name for name in self._members for res in self._members[name] if res.subchain == label), None)

    def atoms_of(self, chain: str) -> list[str]:
        """Names of the atoms of a chain's nucleotides, sorted."""
        return sorted({atom.name for residue in self._members[chain] for atom in residue})

    def rows(self, chain: str, whole_sequence: bool) -> list[ChainRow]:
        """List a chain's nucleotides.

        Args:
            chain: one of `chains`.
            whole_sequence: with those that the file's sequence has and its atoms have not.
        """
        groups: dict[str, list[_Site]] = {}
        numbers: set[str] = set()
        doubled = []
        sites = self._choose_sites(self._members[chain])
        ends = [site.residue for site in sites[:-1] if (chain, str(site.residue.seqid)) in self._strand_ends]
        if ends:
            warnings.warn(
                f"{self.name}, chain {chain!r}: it ends (TER) after {', '.join(map(str, ends[:3]))} and goes on; if "
                "these are several strands, give each a name of its own",
                stacklevel=3,
            )
        for site in sites:
            number = str(site.residue.seqid)
            is_repeated = self._is_pdb and number in numbers
            numbers.add(number)
            if is_repeated or self._is_doubled(site.residue):
                doubled.append(site.residue)
            if not is_repeated:
                groups.setdefault(self._sequence_key(chain, site.residue), []).append(site)
        if doubled:
            warnings.warn(
                f"{self.name}, chain {chain!r}: {len(doubled)} residues, the first {doubled[0]}, are there more than "
                "once without alternative locations, as if several chains had one name; the first is read",
                stacklevel=3,
            )
        rows = []
        for key, sites in groups.items():
            sequence = self._sequences.get(key, StatedSequence([]))
            rows += self._place(chain, sites, sequence, whole_sequence)
        unknown = sorted({row.name for row in rows if row.letter == "N" and row.name not in ("N", "DN")})
        if unknown:
            counts = ", ".join(f"{name} ({sum(row.name == name for row in rows)})" for name in unknown)
            warnings.warn(
                f"{self.name}, chain {chain!r}: residues read as N: {counts}; the file states no parent (MODRES, "
                "_chem_comp.mon_nstd_parent_comp_id) and the name is in no table",
                stacklevel=3,
            )
        return rows

    def _rename_components(self) -> None:
        """Give residues with names of programs the name of the component, so that gemmi knows them."""
        for model in self._structure:
            for chain in model:
                for residue in chain:
                    component = self._component(residue.name)
                    if component != residue.name and self._is_nucleotide_like(residue):
                        residue.name = component

    def _component(self, name: str) -> str:
        """Return the component's name where a program's is given that neither file nor dictionary know."""
        if name in self._parents_by_name or dictionary_letter(name) is not None:
            return name
        return program_component(name) or name

    def _is_nucleotide_like(self, residue: gemmi.Residue) -> bool:
        """Tell a nucleotide from a base (adenine is ADE) or an ion (ruthenium is RU) by its sugar or phosphate.

        Residues of hydrogens alone count, too.
        """
        return all(atom.is_hydrogen() for atom in residue) or any(
            "'" in atom.name or "*" in atom.name or atom.name in _PHOSPHATE or atom.name in self._atoms
            for atom in residue
        )

    def _sequence_key(self, chain: str, residue: gemmi.Residue) -> str:
        """Return the key of the residue's sequence."""
        if self._is_pdb:
            return chain
        if residue.subchain in self._sequences:
            return residue.subchain
        for entity in self._structure.entities:
            if residue.entity_id == entity.name or residue.subchain in entity.subchains:
                return entity.name
        return residue.subchain

    def _list_members(self, chain: gemmi.Chain) -> list[gemmi.Residue]:
        """List a chain's nucleotides: known ones, and unknown residues of the polymer that have the atom."""
        import gemmi

        polymer, water = gemmi.EntityType.Polymer, gemmi.EntityType.Water
        outside = (gemmi.EntityType.NonPolymer, gemmi.EntityType.Branched, water)
        residues = list(chain)
        known = [self._is_known(chain.name, residue) for residue in residues]
        candidates = [
            index
            for index, residue in enumerate(residues)
            if (known[index] or self._find_atom(residue) is not None or self._lacks_atom(residue))
            and residue.entity_type != water
        ]
        if not any(known[index] or self._find_atom(residues[index]) is not None for index in candidates):
            return []
        if self._stated[chain.name]:
            return [
                residues[index]
                for index in candidates
                # A nucleotide as ATOM is also one after a TER in the middle of a chain.
                if residues[index].entity_type not in outside
                or (self._is_pdb and known[index] and residues[index].het_flag == "A")
            ]
        # Nucleotides as HETATM may be ligands: they count up to the last that is certain, and if they go on from it.
        has_polymer = any(residue.entity_type == polymer for residue in residues)
        last = -1
        for index in candidates:
            residue = residues[index]
            is_certain = residue.entity_type == polymer or (
                known[index] and (residue.het_flag == "A" or not has_polymer)
            )
            follows = 0 <= last == index - 1 and _follows(residues[last], residue)
            if is_certain or (follows and (known[index] or not has_polymer)):
                last = index
        return [residues[index] for index in candidates if index <= last]

    def _is_known(self, chain: str, residue: gemmi.Residue) -> bool:
        """Tell whether the name is a nucleotide's, after the file or the dictionary."""
        return dictionary_letter(residue.name) is not None or (
            self._parent_letter(residue.name, chain, str(residue.seqid)) is not None
            and self._is_nucleotide_like(residue)
        )

    def _lacks_atom(self, residue: gemmi.Residue) -> bool:
        """Tell whether an unknown residue is a nucleotide without the atom: it has more of a sugar."""
        sugar = {atom.name.replace("*", "'") for atom in residue} & _SUGAR
        return len(sugar) >= _LEAST_SUGAR and "CA" not in residue

    def _find_atom(self, residue: gemmi.Residue) -> gemmi.Atom | None:
        """Return the most occupied location of the atom, the first of equals."""
        atoms = [atom for atom in residue if atom.name in self._atoms]
        return max(atoms, key=lambda atom: atom.occ, default=None)

    def _is_doubled(self, residue: gemmi.Residue) -> bool:
        """Tell whether a location of the atom is there twice."""
        locations = [atom.altloc for atom in residue if atom.name in self._atoms]
        return len(set(locations)) < len(locations)

    def _choose_sites(self, residues: Iterable[gemmi.Residue]) -> list[_Site]:
        """Choose where several components share a place: those with the atom first, then the most occupied."""
        sites: list[_Site] = []
        ranks: list[tuple[bool, float]] = []
        for residue in residues:
            atom = self._find_atom(residue)
            occupancy = max((found.occ for found in ([atom] if atom else residue)), default=0.0)
            rank = (atom is not None, occupancy)
            if sites and _share_place(sites[-1].residue, residue):
                if rank > ranks[-1]:
                    sites[-1], ranks[-1] = _Site(residue, atom), rank
            else:
                sites.append(_Site(residue, atom))
                ranks.append(rank)
        return sites

    def _parent_letter(self, name: str, chain: str, seqid: str) -> str | None:
        """Return the letter of the parent that the file states for the residue."""
        return self._parents.get((chain, seqid, name)) or self._parents_by_name.get(name)

    def _letter(self, name: str, chain: str = "", seqid: str = "", canonical: str = "") -> str:
        """Return a residue's letter: what the file says, then the dictionary, then programs' names."""
        if name in LETTERS:
            return name
        stated = self._parent_letter(name, chain, seqid)
        return stated or (canonical if canonical in LETTERS else name_letter(name))

    def _row(self, chain: str, site: _Site, canonical: str = "") -> ChainRow:
        residue = site.residue
        letter = self._letter(residue.name, chain, str(residue.seqid), canonical)
        position = site.atom.pos.tolist() if site.atom else None
        if position and any(map(math.isinf, position)):
            raise ValueError(
                f"{self.name}, chain {chain!r}, residue {residue}: a coordinate is infinite; correct it, or leave the "
                "atom out"
            )
        if position and min(position) >= _UNKNOWN_POSITION:
            position = None
        number = residue.seqid.num
        return ChainRow(
            residue.name, letter, 0 if number is None else number, residue.seqid.icode.strip(), position, True
        )

    def _place(self, chain: str, sites: list[_Site], sequence: StatedSequence, whole_sequence: bool) -> list[ChainRow]:
        """Put the residues into the sequence, if there is one that they fit."""
        letters = [
            self._letter(name, canonical=canonical)
            for name, canonical in zip(sequence.names, sequence.canonical or " " * len(sequence.names))
        ]
        rows = [self._row(chain, site) for site in sites]
        missing = self._missing_residues(chain)
        if not letters:
            return insert_rows(rows, missing) if whole_sequence else rows
        label_numbers = [site.residue.label_seq for site in sites]
        numbers = [(row.number, row.code) for row in missing]
        places: list[int | None] | None
        if not self._is_pdb and are_places(label_numbers, len(letters)):
            places = [number - 1 for number in label_numbers if number is not None]
        else:
            places = place_rows(rows, letters, numbers)
        if places is None:
            if whole_sequence:
                warnings.warn(
                    f"{self.name}, chain {chain!r}: the sequence that the file states does not fit the residues; it is "
                    "left out, and nucleotides without coordinates are not given",
                    stacklevel=4,
                )
            return rows
        # Free molecules beyond the stated sequence are no part of it; what else lies outside stays.
        kept = [
            (place, site)
            for index, (place, site) in enumerate(zip(places, sites))
            if place is not None or self._stated[chain] or (site.residue.het_flag != "H" and has_neighbour(rows, index))
        ]
        canonical = sequence.canonical or " " * len(letters)
        listed = [(place, self._row(chain, site, "" if place is None else canonical[place])) for place, site in kept]
        self._tell_differences(chain, listed, letters)
        if not whole_sequence:
            return [row for _, row in listed]
        return fill_gaps(listed, sequence, letters, numbers)

    def _tell_differences(self, chain: str, listed: list[tuple[int | None, ChainRow]], letters: list[str]) -> None:
        """Warn of residues that are not as the sequence states them."""
        differences = [
            f"{row.letter}{row.number}{row.code} "
            + ("is not stated" if place is None else f"is stated {letters[place]}")
            for place, row in listed
            if place is None or (row.letter != letters[place] and "N" not in (row.letter, letters[place]))
        ]
        if differences:
            warnings.warn(
                f"{self.name}, chain {chain!r}: {len(differences)} residues differ from the sequence that the file "
                f"states, the first: {differences[0]}; the atoms count",
                stacklevel=5,
            )

    def _missing_residues(self, chain: str) -> list[ChainRow]:
        """Return rows of the chain's nucleotides that REMARK 465 lists as missing."""
        found = (_REMARK_465.fullmatch(line) for line in self._structure.raw_remarks)
        rows = []
        for match in found:
            name = self._component(match[1]) if match and match[2] == chain else ""
            seqid = f"{match[3]}{match[4]}" if match else ""
            if match and name and (self._parent_letter(name, chain, seqid) or dictionary_letter(name)):
                letter = self._letter(name, chain, seqid)
                rows.append(ChainRow(name, letter, int(match[3]), match[4], None, False))
        return rows


def _follows(first: gemmi.Residue, second: gemmi.Residue) -> bool:
    """Tell whether the second residue has the number after the first's."""
    return first.seqid.num is not None and second.seqid.num == first.seqid.num + 1


def _share_place(first: gemmi.Residue, second: gemmi.Residue) -> bool:
    """Tell whether two neighbours are alternative components of one place, with or without marks of locations."""
    if first.seqid != second.seqid or first.segment != second.segment:
        return False
    return first.label_seq == second.label_seq or all(
        any(atom.has_altloc() for atom in residue) for residue in (first, second)
    )
