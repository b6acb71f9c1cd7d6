"""PDB and mmCIF files as gemmi reads them, with what it would not understand put right."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .residue_letters import dictionary_letter, is_plain, program_component

if TYPE_CHECKING:
    import gemmi


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

    @property
    def is_pdb(self) -> bool:
        """Whether the file is in the PDB format."""
        import gemmi

        return self.structure.input_format == gemmi.CoorFormat.Pdb


def read_content(path: Path) -> StructureContent:
    """Read a PDB or mmCIF file, which may be gzipped; the content tells the format.

    Raises:
        ValueError: the file is in neither format, or torn.
    """
    import gemmi

    document = gemmi.cif.Document()
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        structure = _read_structure(content, document)
    except (ValueError, RuntimeError, OSError, EOFError) as error:
        raise ValueError(f"{path.name} cannot be read as a PDB or mmCIF file: {error}") from error
    block = document[0] if len(document) else gemmi.cif.Block("empty")
    is_pdb = structure.input_format == gemmi.CoorFormat.Pdb
    return StructureContent(structure, block, content.decode("latin-1").splitlines() if is_pdb else [])


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
