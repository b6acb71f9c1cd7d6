"""Letters of residue names, of the Protein Data Bank's component dictionary and of molecular dynamics programs."""

from __future__ import annotations

import re

# Modified nucleotides by the nucleotide they are made from, after the Chemical Component Dictionary of the wwPDB (CC0),
# as of biotite 1.6: `_chem_comp.one_letter_code`, else `_chem_comp.mon_nstd_parent_comp_id`; T counts as U. First those
# of a type that links, RNA or DNA; then those that the dictionary takes for free molecules and a chain may begin with.
_LINKING = {
    "A": (
        "0AM 0AV 0DA 0SP 12A 1AP 1MA 2AR 2BU 2DA 2MA 31H 31M 3DA 45A 5AA 5FA 6HA 6HB 6IA 6MA 6MC 6MT 6MZ 6NW 7AT "
        "7DA 7RZ 8AH 8AN 8BA 9SI 9SY A1EFN A1H3G A1ID5 A1IEA A23 A2L A2M A34 A35 A38 A39 A3A A3P A40 A43 A44 A47 "
        "A5L A5O A6A A7E A9Z ABR ABS AD2 AET AF2 AP7 AS AVC DZM E E1X EDA F3N FA2 K2F L3X LCA M7A MA6 MA7 MAD MGQ "
        "MIA MTU O2Z P5P PPU PR5 PRN PU QSQ R RBD RIA RMP S4A SDE SMP SRA T6A TCY TFO V3L XAD XAL XUA Y ZAD"
    ),
    "C": (
        "0AP 0C 0DC 0R8 10C 16B 1CC 1FC 1SC 47C 4AC 4OC 4PC 4PD 4PE 4SC 4U3 5CM 5FC 5HC 5HM 5IC 5MC 5NC 5PC 6HC "
        "6OO 73W 7OK 8RO 8YN A1I59 A5M A6C B7C B8Q B8T B9H C25 C2L C2S C31 C32 C34 C36 C37 C38 C42 C43 C45 C46 "
        "C49 C4S C5L C7R C7S CAR CB2 CBR CBV CCC CDW CFL CFZ CH CMR CP1 CSF CSL CX2 D00 D4B DCT DFC DNR DOC E3C "
        "EIX EXC F7H GCK I5C IC IMC J0X JMH LC LHH LV2 M3X M4C M5M MCY ME6 MMX N5M N7X NCU OKN OKQ OMC PMT PVX "
        "RPC RSP RSQ S4C SC TC TC1 TCJ TPC U48 U7B UZL XCL XCR XCT XCY YCO Z ZBC ZCY"
    ),
    "G": (
        "0AD 0DG 0G 0UH 18M 1MG 23G 2EG 2JV 2MG 2PR 2SG 5CG 63G 63H 68Z 6FK 6HG 6OG 6PO 7BG 7GU 7MG 7S3 7S8 7SN "
        "8AA 8AG 8EB 8FG 8H2 8MG 8OG 8OS 8PY A1MA9 A6G AFG B8K B8W B9B BGH BGM C6G CG1 DCG DDG DFG DG8 DGI E6G "
        "E7G EHG EQ0 EQ4 F4Q F74 F7K FDG FMG FOX G25 G2L G2S G31 G32 G33 G36 G38 G42 G46 G47 G48 G49 G7M GAO GDO "
        "GDP GDR GF2 GFL GH3 GMS GN7 GOM GRB GS GSR GSS GX1 HN0 HN1 HYJ IG IGU IOO K39 KAG KAK LCG LG LGP M1G M2G "
        "MFO MG1 MGV MHG MRG N6G O2G OGX OMG P P7G PG7 PGN PGP PPW PZG QUO RDG RFJ S4G S6G SDG SDH SJO TG TGP TPG "
        "VC7 VSN X XGL XGR XGU XPB XTS XUG YG YYG ZGU"
    ),
    "U": (
        "05A 05H 05K 0AU 0DT 0U 125 126 127 18Q 1RN 2AT 2AU 2BT 2DT 2GT 2MU 2NT 2OM 2OT 2ST 3AU 3ME 3MU 3TD 4SU "
        "5AT 5BU 5FU 5HT 5HU 5IT 5IU 5MU 5PY 5SE 64T 6CT 6HT 70U 75B 77Y 84E 85Y 8DT 94O 9QV A1AAZ A1I9V A1IC1 "
        "A1LZ3 A6U ATD ATL ATM B8H BOE BRU BVP CNU CTG D3T D4M DDN DHU DPB DRM DRT DUZ EAN EIT F2T F3H F4H FHU "
        "FNU GMU H2U HDP HEU I4U IU JDT L5R LHU LSH LST MEP MMT MNU MTR NDN NDU NMS NMT NTT OHU OKT OMU ONE P2T "
        "P2U P4U PST PSU PYO QCK RT RUS S2M S4U SMT SPT SSU SUR T0N T0Q T2S T31 T32 T36 T37 T38 T39 T3P T41 T48 "
        "T49 T4S T5O T5S T64 TA3 TAF TCP TDY TED TFE TFF TFT TLC TLN TP1 TSP TTD TTI TTM U23 U25 U2L U2N U2P U31 "
        "U33 U34 U36 U37 U8U UAR UBD UBI UBR UCL UD5 UF2 UFR UFT UMS UMX UPE UPS UPV UR3 URD URX US1 US2 US3 US5 "
        "USM UVX XSX XTF XTH XTL XTR ZBU ZDU"
    ),
}
_FREE = {
    "A": ("00A 26A 6MP A1IC0 A1II9 ADI ADP AMD AMO MKX N79 TBN TXD TXP"),
    "C": ("AI5"),
    "G": ("102 DGP EFG G1G GNG GTP IMP L1J LDG MGT X6H"),
    "U": ("A1BBB UBB UMO UZR"),
}
_LETTERS = {name: letter for letter, names in _LINKING.items() for name in names.split()}
_FREE_LETTERS = {name: letter for letter, names in _FREE.items() for name in names.split()}
_PLAIN = frozenset(["A", "C", "G", "U", "N", "I", "DA", "DC", "DG", "DT", "DU", "DN", "DI"])
# AMBER before 2010 (RA, RA5, RA3, RAN; DA5 ...) and since, OpenMM and GROMACS with AMBER's fields (A5, A3, AN); CHARMM,
# CNS and GROMOS (ADE, with D or R before and 5 or 3 after); Rosetta (RAD, RCY, RGU); old PDB files (+A).
_PROGRAM_NAME = re.compile(
    r"\+?(?P<sugar>[RD]?)(?P<base>A|C|G|U|T)[53N]?|(?P<sugar3>[RD]?)(?P<base3>ADE|CYT|GUA|URA|URI|THY)[53]?"
    r"|(?P<rosetta>RAD|RCY|RGU)"
)


def is_plain(name: str) -> bool:
    """Tell whether the name is that of an unmodified nucleotide of RNA or DNA."""
    return name in _PLAIN


def dictionary_letter(name: str) -> str | None:
    """Return the letter of a nucleic acid's component: A, C, G or U, or N if it has none; None for others."""
    import gemmi

    if name in _LETTERS:
        return _LETTERS[name]
    component = gemmi.find_tabulated_residue(name)
    if not component.is_nucleic_acid():
        return None
    letter = component.one_letter_code.upper().replace("T", "U")
    return letter if letter in ("A", "C", "G", "U") else "N"


def program_component(name: str) -> str | None:
    """Return the component that a name of a program means: `A` for `RA5`, `DT` for `THY`; None for others."""
    match = _PROGRAM_NAME.fullmatch(name.upper())
    if match is None:
        return None
    if match["rosetta"]:
        return match["rosetta"][1]
    base = (match["base"] or match["base3"])[0]
    # A name without the sugar, such as GUA, is read as RNA: the letter is the same.
    is_dna = base == "T" or (match["sugar"] or match["sugar3"]) == "D"
    return f"D{base}" if is_dna else base


def name_letter(name: str) -> str:
    """Return the letter of a residue's name: A, C, G or U, or N if neither dictionary nor programs know one."""
    letter = dictionary_letter(name) or _FREE_LETTERS.get(name)
    if letter is None:
        letter = (program_component(name) or "N")[-1].replace("T", "U")
    return letter
