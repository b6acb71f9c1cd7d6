"""PDB and mmCIF files as gemmi reads them, with what it would not understand put right."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..text_encoding import find_encoding
from .residue_letters import dictionary_letter, is_plain, program_component

if TYPE_CHECKING:
    import gemmi

_PACKED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ": lzma.decompress}
_OTHER_FORMATS = {b"PK\x03\x04": "a zip archive", b"\x28\xb5\x2f\xfd": "packed by zstd"}
# A column of the PDB format is a byte.
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
# The columns of atoms that gemmi needs, and what stands for those that a file leaves out.
_ATOM_COLUMNS = {"id": "0", "type_symbol": "?", "label_alt_id": ".", "label_asym_id": "."}


class StructureContent(NamedTuple):
    """What a file holds.

    Attributes:
        structure: its models.
        block: the data block of an mmCIF file; empty for a PDB file.
        lines: the lines of a PDB file; empty for an mmCIF file.
    """

    structure: gemmi.Structure
    block: gemmi.cif.Block
    lines: list[str]

    def strand_ends(self, model: int) -> set[tuple[str, str]]:
        """Chain, and number with insertion code, of the residues of a PDB file's model that a TER follows.

        Args:
            model: index of the model.
        """
        ends = set()
        last = ""
        finished = 0
        for line in self.lines:
            finished += line.startswith("ENDMDL")
            if finished != model:
                continue
            if line.startswith(("ATOM", "HETATM")):
                last = line
            elif line.startswith("TER") and last:
                ends.add((last[21:22].strip(), last[22:27].strip()))
        return ends

    @property
    def is_pdb(self) -> bool:
        """Whether the file is in the PDB format."""
        import gemmi

        return self.structure.input_format == gemmi.CoorFormat.Pdb


def read_content(path: Path) -> StructureContent:
    """Read a PDB or mmCIF file, which may be packed by gzip, bzip2 or xz; the content tells the format.

    Raises:
        ValueError: the file is in neither format, torn, or without atoms.
    """
    import gemmi

    document = gemmi.cif.Document()
    try:
        content = _decode(_unpack(path.read_bytes()))
        structure = _read_structure(content, document)
        if not any(len(chain) for model in structure for chain in model):
            raise ValueError("it holds no atoms; `rna_hf.data.readers.read_rna3d` reads Kaggle's tables of coordinates")
    except (ValueError, RuntimeError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = " ".join(str(error).split())[:300]  # gemmi quotes the line
        raise ValueError(f"{path.name} cannot be read as a PDB or mmCIF file: {reason}") from error
    block = document[0] if len(document) else gemmi.cif.Block("empty")
    is_pdb = structure.input_format == gemmi.CoorFormat.Pdb
    return StructureContent(
        structure, block, [line.decode("latin-1") for line in content.splitlines()] if is_pdb else []
    )


def _unpack(data: bytes) -> bytes:
    for start, unpack in _PACKED.items():
        if data.startswith(start):
            return unpack(data)
    for start, what in _OTHER_FORMATS.items():
        if data.startswith(start):
            raise ValueError(f"it is {what}; unpack it first")
    return data


def _decode(data: bytes) -> bytes:
    """Return the text in UTF-8 without a byte-order mark, with line ends that gemmi knows."""
    encoding = find_encoding(data[:64], "it")
    if encoding != "utf-8":
        data = data.decode(encoding).encode()
    elif b"\0" in data or data[:1] > b"\x7f":
        raise ValueError("it is binary, such as BinaryCIF or MMTF; give it as mmCIF")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        data = _NOT_ASCII.sub(b"?", data)  # gemmi's names are strings: those of an author in Latin-1 don't count
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")  # old Macintosh
    return data + b"\n"


def _read_structure(content: bytes, document: gemmi.cif.Document) -> gemmi.Structure:
    import gemmi

    structure = gemmi.read_structure_string(content, format=gemmi.CoorFormat.Detect, save_doc=document)
    if structure.input_format == gemmi.CoorFormat.Pdb:
        lines = content.splitlines(keepends=True)
        _check_coordinates(lines)
        repaired = _repair_columns([_shift_back(_NOT_ASCII.sub(b"?", line)) for line in lines])
        if repaired != lines:
            structure = gemmi.read_structure_string(b"".join(repaired), format=gemmi.CoorFormat.Pdb)
    elif len(structure) == 0 and len(document) and _complete_columns(document[0]):
        structure = gemmi.make_structure_from_block(document[0])
        structure.merge_chain_parts()
    return structure


def _complete_columns(block: gemmi.cif.Block) -> bool:
    """Add the columns that gemmi needs to a table of atoms, and tell whether there is one that lacked some."""
    atoms = block.find_loop("_atom_site.Cartn_x").get_loop()
    if atoms is None:
        return False
    missing = [column for column in _ATOM_COLUMNS if f"_atom_site.{column}" not in atoms.tags]
    for column in missing:
        atoms.add_columns([f"_atom_site.{column}"], _ATOM_COLUMNS[column])
    chains, names = (block.find_loop(f"_atom_site.{column}_asym_id") for column in ("label", "auth"))
    if "label_asym_id" in missing and len(names) == len(chains):
        for index, name in enumerate(names):
            chains[index] = name
    return bool(missing)


def _check_coordinates(lines: list[bytes]) -> None:
    """Refuse coordinates that are no numbers, which gemmi takes for 0; programs write stars for too large ones."""
    for number, line in enumerate(map(_shift_back, lines), start=1):
        if line.startswith((b"ATOM", b"HETATM")):
            for start in (30, 38, 46):
                try:
                    float(line[start : start + 8])
                except ValueError:
                    field = line[start : start + 8].decode("latin-1").strip()
                    raise ValueError(
                        f"line {number} has {field!r} for a coordinate in columns {start + 1} to {start + 8}"
                    ) from None


def _shift_back(line: bytes) -> bytes:
    """Take a digit from an atom's serial number of six, where it has moved the columns behind it by one."""
    if line.startswith((b"ATOM", b"HETATM")) and line[6:12].isdigit() and line[35:36] == line[43:44] == b".":
        return line[:6] + line[7:]
    return line


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
