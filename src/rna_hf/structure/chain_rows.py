"""Chains of PDB and mmCIF files as rows, one for each nucleotide: what the file states, and what it places."""

from __future__ import annotations

import gzip
import re
import warnings
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .residue_letters import dictionary_letter, is_plain, name_letter, program_component

if TYPE_CHECKING:
    import gemmi

_LETTERS = ("A", "C", "G", "U")
_SUGAR = frozenset(["C1'", "C2'", "C3'", "C4'", "C5'", "O3'", "O4'", "O5'"])
_LEAST_SUGAR = 4
_PHOSPHATE = ("P", "OP1", "OP2", "O1P", "O2P")
# Records of PDB files, whose columns many programs move: a missing residue, as model (seldom given), name, chain,
# number and insertion code; and a modified residue, as name, chain, number, insertion code and parent.
_REMARK_465 = re.compile(r"REMARK 465 +(?:\d+ +)?(\S{1,4}) (\S?) *(-?\d+)([A-Za-z]?)\s*")
_MODRES = re.compile(r"MODRES .{4} +(\S+) +(\S?) *(-?\d+)([A-Za-z]?) +(\S+)")


class ChainRow(NamedTuple):
    """A nucleotide of a chain.

    Attributes:
        name: the residue's name, as the file has it or, for names of programs, that of the component.
        letter: A, C, G, U or N.
        number: the authors' number.
        code: the insertion code, or nothing.
        position: (3,), angstrom, of the atom, if the file places it.
        is_listed: whether the file has the residue among its atoms.
    """

    name: str
    letter: str
    number: int
    code: str
    position: list[float] | None
    is_listed: bool


class _Sequence(NamedTuple):
    """The sequence that the file states for a polymer.

    Attributes:
        names: residue names.
        canonical: letters of the parents, or nothing.
        numbers: the authors' number and insertion code of each residue, or nothing.
    """

    names: list[str]
    canonical: str = ""
    numbers: tuple[tuple[int, str], ...] = ()


class _Site(NamedTuple):
    """A residue of the chain and the atom that stands for it."""

    residue: gemmi.Residue
    atom: gemmi.Atom | None


class ChainFile:
    """A PDB or mmCIF file, which may be gzipped.

    Args:
        path: the file.
        atoms: names of the atom that stands for a nucleotide.
    """

    def __init__(self, path: Path, atoms: set[str]) -> None:
        import gemmi

        self.name, self._atoms = path.name, atoms
        document = gemmi.cif.Document()
        try:
            content = path.read_bytes()
            if content.startswith(b"\x1f\x8b"):
                content = gzip.decompress(content)
            structure = _read_structure(content, document)
        except (ValueError, RuntimeError, OSError, EOFError) as error:
            raise ValueError(f"{path.name} cannot be read as a PDB or mmCIF file: {error}") from error
        self._is_pdb = structure.input_format == gemmi.CoorFormat.Pdb
        self._structure = structure
        block = document[0] if len(document) else gemmi.cif.Block("empty")
        self._lines = content.decode("latin-1").splitlines() if self._is_pdb else []
        self._parents, self._parents_by_name = _read_parents(structure, block, self._lines)
        self._rename_components()
        self._sequences = self._read_sequences(block)
        # PDB files state with TER, mmCIF files with entities, what is polymer; otherwise gemmi has to infer it.
        unknown = gemmi.EntityType.Unknown
        stated = [
            {chain.name: any(res.entity_type != unknown for res in chain) for chain in model} for model in structure
        ]
        structure.setup_entities()
        self._members: dict[str, list[gemmi.Residue]] = {}
        for model, self._stated in zip(structure, stated):
            members = {chain.name: self._list_members(chain) for chain in model}
            self._members = {name: residues for name, residues in members.items() if residues}
            if self._members:
                break

    @property
    def chains(self) -> list[str]:
        """Names of the chains with nucleotides, in the order of the file."""
        return list(self._members)

    def rows(self, chain: str, whole_sequence: bool) -> list[ChainRow]:
        """List a chain's nucleotides.

        Args:
            chain: one of `chains`.
            whole_sequence: with those that the file's sequence has and its atoms have not.
        """
        groups: dict[str, list[_Site]] = {}
        for site in self._choose_sites(self._members[chain]):
            groups.setdefault(self._sequence_key(chain, site.residue), []).append(site)
        doubled = [site.residue for members in groups.values() for site in members if self._is_doubled(site.residue)]
        if doubled:
            warnings.warn(
                f"{self.name}, chain {chain!r}: {len(doubled)} residues, the first {doubled[0]}, have the atom more "
                "than once without alternative locations, as if several chains had one name; the first is read",
                stacklevel=3,
            )
        rows = []
        for key, sites in groups.items():
            sequence = self._sequences.get(key, _Sequence([]))
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

    def _read_sequences(self, block: gemmi.cif.Block) -> dict[str, _Sequence]:
        """Return the sequences by chain (PDB) or by label_asym_id or entity (mmCIF)."""
        if self._is_pdb:
            return {
                chain: _Sequence([self._component(name) for name in names])
                for chain, names in _read_seqres(self._lines).items()
            }
        canonical = _read_one_letter_codes(block, "pdbx_seq_one_letter_code_can")
        sequences = {}
        kinds = {row.str(0): row.str(1) for row in block.find("_entity_poly.", ["entity_id", "type"])}
        for key, code in _read_one_letter_codes(block, "pdbx_seq_one_letter_code").items():
            prefix = "D" if kinds.get(key) == "polydeoxyribonucleotide" else ""
            names = re.findall(r"\(([^)]*)\)|(\S)", code)
            sequences[key] = [long or prefix + short for long, short in names]
        for entity in self._structure.entities:
            if entity.full_sequence:
                sequences[entity.name] = [_first_name(name) for name in entity.full_sequence]
        stated = {
            entity: _Sequence([self._component(name) for name in names], _fitting(canonical.get(entity, ""), names))
            for entity, names in sequences.items()
        }
        return stated | self._read_schemes(block, stated)

    def _read_schemes(self, block: gemmi.cif.Block, stated: dict[str, _Sequence]) -> dict[str, _Sequence]:
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
            names = [self._component(name) for name, _, _ in rows.values()]
            numbers = tuple(
                (int(number), code.strip(".? ")) for _, number, code in rows.values() if re.fullmatch(r"-?\d+", number)
            )
            canonical = stated[entity].canonical if entity in stated else ""
            schemes[asym] = _Sequence(names, _fitting(canonical, names), numbers if len(numbers) == len(names) else ())
        return schemes

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
            if is_certain or (known[index] and follows):
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
        if name in _LETTERS:
            return name
        stated = self._parent_letter(name, chain, seqid)
        return stated or (canonical if canonical in _LETTERS else name_letter(name))

    def _row(self, chain: str, site: _Site, canonical: str = "") -> ChainRow:
        residue = site.residue
        letter = self._letter(residue.name, chain, str(residue.seqid), canonical)
        position = site.atom.pos.tolist() if site.atom else None
        number = residue.seqid.num
        return ChainRow(
            residue.name, letter, 0 if number is None else number, residue.seqid.icode.strip(), position, True
        )

    def _place(self, chain: str, sites: list[_Site], sequence: _Sequence, whole_sequence: bool) -> list[ChainRow]:
        """Put the residues into the sequence, if there is one that they fit."""
        letters = [
            self._letter(name, canonical=canonical)
            for name, canonical in zip(sequence.names, sequence.canonical or " " * len(sequence.names))
        ]
        rows = [self._row(chain, site) for site in sites]
        if not letters:
            return rows
        label_numbers = [site.residue.label_seq for site in sites]
        missing = self._missing_numbers(chain)
        places: list[int | None] | None
        if not self._is_pdb and _are_places(label_numbers, len(letters)):
            places = [number - 1 for number in label_numbers if number is not None]
        else:
            places = _places_by_number(rows, letters, missing) or _places_by_alignment(rows, letters)
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
            if place is not None
            or self._stated[chain]
            or (site.residue.het_flag != "H" and _has_neighbour(rows, index))
        ]
        canonical = sequence.canonical or " " * len(letters)
        listed = [(place, self._row(chain, site, "" if place is None else canonical[place])) for place, site in kept]
        if not whole_sequence:
            return [row for _, row in listed]
        return _fill_gaps(listed, sequence, letters, missing)

    def _missing_numbers(self, chain: str) -> list[tuple[int, str]]:
        """Return the numbers of the chain's residues that REMARK 465 lists as missing."""
        found = (_REMARK_465.fullmatch(line) for line in self._structure.raw_remarks)
        return [(int(match[3]), match[4]) for match in found if match and match[2] == chain]


def _read_structure(content: bytes, document: gemmi.cif.Document) -> gemmi.Structure:
    import gemmi

    structure = gemmi.read_structure_string(content, format=gemmi.CoorFormat.Detect, save_doc=document)
    if structure.input_format == gemmi.CoorFormat.Pdb:
        lines = content.splitlines(keepends=True)
        repaired = _repair_columns(lines)
        if repaired != lines:
            structure = gemmi.read_structure_string(b"".join(repaired), format=gemmi.CoorFormat.Pdb)
    return structure


def _repair_columns(lines: list[bytes]) -> list[bytes]:
    """Move residue names of columns 18 to 21, as GROMACS writes them, into columns 18 to 20.

    Columns 21 and 22 may also be a chain's name of two characters, as gemmi reads them: then columns 18 to 20 are names
    of their own.
    """
    names = {
        index: tuple(line[17:end].decode("latin-1").strip() for end in (20, 21))
        for index, line in enumerate(lines)
        if line[20:21].strip() and line.startswith((b"ATOM", b"HETATM", b"TER", b"ANISOU"))
    }
    pairs = set(names.values())
    known_wide = sum(dictionary_letter(wide) is not None or program_component(wide) is not None for _, wide in pairs)
    # One letter or two are a component's name by chance: R, of RC, is one.
    known_narrow = sum(is_plain(name) or (len(name) == 3 and dictionary_letter(name) is not None) for name, _ in pairs)
    if all(narrow for narrow, _ in pairs) and known_wide <= known_narrow:
        return lines
    repaired = list(lines)
    for index, (_, wide) in names.items():
        name = wide if dictionary_letter(wide) is not None else program_component(wide) or wide
        if len(name) <= 3:
            repaired[index] = lines[index][:17] + name.rjust(3).encode("latin-1") + b" " + lines[index][21:]
    return repaired


def _read_parents(
    structure: gemmi.Structure, block: gemmi.cif.Block, lines: list[str]
) -> tuple[dict[tuple[str, str, str], str], dict[str, str]]:
    """Return the letters of the parents that the file states, by residue and, where all agree, by name."""
    records = [
        (item.chain_name, str(item.res_id.seqid), item.res_id.name, item.parent_comp_id)
        for item in structure.mod_residues
    ]
    for match in filter(None, map(_MODRES.match, lines)):
        name, chain, number, code, parent = match.groups()
        records.append((chain, number + code, name, parent))
    residues: dict[tuple[str, str, str], str] = {}
    names: dict[str, set[str]] = {}
    for chain, seqid, name, parent in records:
        letter = _letter_of_parents(parent)
        if letter:
            names.setdefault(name, set()).add(residues.setdefault((chain, seqid, name), letter))
    components: dict[str, str] = {}
    for row in block.find("_chem_comp.", ["id", "?mon_nstd_parent_comp_id", "?one_letter_code", "?type"]):
        values = [row.str(index).strip() if row.has(index) else "" for index in (1, 2)]
        kind = row.str(3).upper() if row.has(3) else ""
        # Amino acids have one-letter codes, too.
        code = values[1] if "NA" in kind else ""
        letter = _letter_of_parents(values[0]) or _letter_of_parents(code)
        if letter:
            components[row.str(0)] = letter
    return residues, components | {name: letters.pop() for name, letters in names.items() if len(letters) == 1}


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
    return letter if letter in _LETTERS else None


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


def _follows(first: gemmi.Residue, second: gemmi.Residue) -> bool:
    """Tell whether the second residue has the number after the first's."""
    return first.seqid.num is not None and second.seqid.num == first.seqid.num + 1


def _has_neighbour(rows: list[ChainRow], index: int) -> bool:
    """Tell whether the row before or behind has the next number or the same."""
    return any(
        abs(rows[index].number - rows[other].number) <= 1 for other in (index - 1, index + 1) if 0 <= other < len(rows)
    )


def _share_place(first: gemmi.Residue, second: gemmi.Residue) -> bool:
    """Tell whether two neighbours are alternative components of one place."""
    return first.seqid == second.seqid and all(any(atom.has_altloc() for atom in res) for res in (first, second))


def _are_places(numbers: list[int | None], length: int) -> bool:
    """Tell whether label_seq_id gives each residue a place of its own, in order."""
    given = [number for number in numbers if number is not None and 1 <= number <= length]
    return len(given) == len(numbers) and all(a < b for a, b in pairwise(given))


def _places_by_number(
    rows: list[ChainRow], letters: list[str], missing: list[tuple[int, str]]
) -> list[int | None] | None:
    """Place residues by their numbers, less one offset for all, if an offset makes all letters fit."""
    numbers = [row.number for row in rows]
    if any(row.code for row in rows) or any(a >= b for a, b in pairwise(numbers)):
        return None

    def fits(offset: int) -> bool:
        return all(
            0 <= row.number - offset < len(letters)
            and (row.letter == letters[row.number - offset] or "N" in (row.letter, letters[row.number - offset]))
            for row in rows
        )

    lowest = min([*numbers, *(number for number, _ in missing)])
    offsets = [offset for offset in range(numbers[-1] - len(letters) + 1, numbers[0] + 1) if fits(offset)]
    for preferred in ([lowest] if missing else []) + [1]:
        if preferred in offsets:
            return [number - preferred for number in numbers]
    return [number - offsets[0] for number in numbers] if len(offsets) == 1 else None


def _places_by_alignment(rows: list[ChainRow], letters: list[str]) -> list[int | None] | None:
    """Place residues by aligning them to the sequence, with gaps where the numbers jump; None if they do not fit."""
    import gemmi

    scoring = gemmi.AlignmentScoring()
    scoring.mismatch = -3  # a nucleotide without atoms is far more frequent than a wrong one
    steps = [b.number == a.number + 1 and not b.code for a, b in pairwise(rows)]
    gap_scores = [scoring.bad_gapo if step else scoring.good_gapo for step in steps]
    found = [row.letter for row in rows]
    alignment = gemmi.align_string_sequences(
        letters, found, [scoring.good_gapo, *gap_scores, scoring.good_gapo], scoring
    )
    places: list[int | None] = []
    place = 0
    # As many nucleotides without a residue as residues without a nucleotide stand for each other.
    cigar = re.sub(r"(?<!\d)(\d+)(I\1D|D\1I)", r"\1M", alignment.cigar_str())
    for count, kind in re.findall(r"(\d+)([MID])", cigar):
        if kind == "D":
            places += [None] * int(count)
            continue
        if kind == "M":
            places += range(place, place + int(count))
        place += int(count)
    equal = sum(place is not None and letters[place] == letter for place, letter in zip(places, found))
    return places if 2 * equal > len(found) else None


def _fill_gaps(
    listed: list[tuple[int | None, ChainRow]],
    sequence: _Sequence,
    letters: list[str],
    missing: list[tuple[int, str]],
) -> list[ChainRow]:
    """Return the rows of the whole sequence, and of residues beyond it where they stand."""
    rows: list[ChainRow] = []
    filled: list[tuple[int, int]] = []  # row and place of the nucleotides without coordinates
    place = 0

    def fill(end: int) -> None:
        for index in range(place, end):
            filled.append((len(rows), index))
            rows.append(ChainRow(sequence.names[index], letters[index], 0, "", None, False))

    for where, row in listed:
        if where is not None:
            fill(where)
            place = where + 1
        rows.append(row)
    fill(len(letters))
    numbers = {index: sequence.numbers[where] for index, where in filled} if sequence.numbers else {}
    if not numbers and len(missing) == len(filled):
        numbers = {index: number for (index, _), number in zip(filled, missing)}
    if not numbers:
        first = next((index for index, row in enumerate(rows) if row.is_listed), 0)
        for index in range(first - 1, -1, -1):  # backwards from the first, then onwards from each
            numbers[index] = (rows[first].number - (first - index), "")
        taken = {row.number for row in rows if row.is_listed}
        for index, _ in filled:
            if index > first:
                number, code = numbers.get(index - 1) or (rows[index - 1].number, rows[index - 1].code)
                # Where no number is free, an insertion code follows.
                numbers[index] = (number, chr(ord(code or "@") + 1)) if number + 1 in taken else (number + 1, "")
    for index, (number, code) in numbers.items():
        rows[index] = rows[index]._replace(number=number, code=code)
    return rows
