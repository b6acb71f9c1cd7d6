"""Whose work each architecture is: the original that it was written after, and the paper to cite."""

from __future__ import annotations

from typing import Any

ORIGINALS: dict[str, dict[str, Any]] = {
    "ribonanzanet": {
        "original": {
            "name": "RibonanzaNet",
            "repository": "https://github.com/Shujun-He/RibonanzaNet",
            "commit": "efebd44e79615fb23f685971875e8903b04cbdce",
            "licence": "MIT",
        },
        "paper": {
            "title": "Ribonanza: deep learning of RNA structure through dual crowdsourcing",
            "authors": "He, S. et al.",
            "year": 2024,
            "journal": "bioRxiv",
            "doi": "10.1101/2024.02.24.581671",
        },
    },
    "rnatracker": {
        "original": {
            "name": "RNATracker",
            "repository": "https://github.com/brianchiu123/RNATracker",
            "commit": "1bc891f84436aee59b9b431a0b12675b2fe8a3c0",
            "licence": "none stated",
        },
        "paper": {
            "title": "Prediction of mRNA subcellular localization using deep recurrent neural networks",
            "authors": "Yan, Z., Lécuyer, E. & Blanchette, M.",
            "year": 2019,
            "journal": "Bioinformatics 35, i333-i342",
            "doi": "10.1093/bioinformatics/btz337",
        },
    },
    "plantrna_fm": {
        "original": {
            "name": "PlantRNA-FM",
            "repository": "https://huggingface.co/yangheng/PlantRNA-FM",
            "commit": "554116a",
            "licence": "not stated there",
        },
        "paper": {
            "title": "An interpretable RNA foundation model for exploring functional RNA motifs in plants",
            "authors": "Yu, H. et al.",
            "year": 2024,
            "journal": "Nature Machine Intelligence 6, 1616-1625",
            "doi": "10.1038/s42256-024-00946-z",
        },
    },
}
"""By `model_type`: `original` and `paper` as in `CardFacts`. An architecture that is not here is nobody else's."""

WEIGHT_LICENCES: dict[str, str | None] = {
    # Beside the code, for the released weights none was found.
    "RibonanzaNet": None,
    "RNATracker": None,
    "PlantRNA-FM": None,
    "OmniGenome": None,
    "multimolecule": "agpl-3.0",
}
"""Whose weights a checkpoint began with, as `RnaConfig.converted_from` names it -> the licence under which they may be
published; None: none was found."""
