"""Measured training data of `ribonanzanet-mini`, and the test sets that are kept out of it.

Everything is rebuilt from the project's shared data folder, the same way in the training, in the benchmark (whose
baselines learn from the same profiles) and in the leakage test. Run it to print what is selected and what is dropped::

    python -m recipes.ribonanzanet_mini.measured_data --data ../shared/data
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from rna_hf.data.splits import ManifestSource, cluster_sequences, is_near_duplicate, normalise_sequence

from ..places import DEFAULT_DATA
from .known_structures import KnownStructure, load_known_structures, select_known_structures
from .natural import Piece, load_pieces, load_rfam
from .shared_data import (
    FILES,
    REACTIVITY_TESTS,
    RULES,
    TEST_FILES,
    find_near_tests,
    load_test_sequences,
    read_columns,
)

# The two SHAPE reagents of other laboratories and years have their own channels: same chemistry, other scale.
CHANNELS = ("2A3", "DMS", "1M7", "1M7_openvaccine")


@dataclass(frozen=True, slots=True)
class Profile:
    """One RNA with what was measured of it.

    Attributes:
        source: `lib15k`, `pk50`, `cloudlab`, `openvaccine`, or the name of a test set.
        id: the source's own id.
        sequence: L nucleotides, ACGU.
        reactivity: (L, 4) float32, columns as `channels`; each source's own normalisation (1 is about the 90th
            percentile), unclipped; NaN where not measured or where the profile failed its quality filter.
        error: (L, 4) float32, standard error of the above; NaN where the source states none.
        cluster: similarity cluster for validation, such as `lib15k:1` or `pk50:17`; empty where none is defined.
    """

    channels: ClassVar[tuple[str, ...]] = CHANNELS

    source: str
    id: str
    sequence: str
    reactivity: np.ndarray
    error: np.ndarray
    cluster: str = ""


@dataclass
class Selection:
    """What `select_measured` found.

    Attributes:
        profiles: training profiles.
        dropped: for each source, rows or RNAs dropped by reason.
    """

    profiles: list[Profile]
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)


def _empty(length: int) -> np.ndarray:
    return np.full((length, len(CHANNELS)), np.nan, dtype=np.float32)


def _load_lib15k(data_dir: str | Path) -> list[Profile]:
    kinds = ("2a3", "dms")
    columns = [f"{what}_{kind}" for kind in kinds for what in ("sn_filter", "reactivity", "reactivity_error")]
    rows = read_columns(data_dir, FILES["lib15k"][0], ["id", "sequence", "cluster", *columns])
    profiles = []
    for i, sequence in enumerate(rows["sequence"]):
        reactivity, error = _empty(len(sequence)), _empty(len(sequence))
        for c, kind in enumerate(kinds):
            if rows[f"sn_filter_{kind}"][i] == 1:
                reactivity[:, c] = rows[f"reactivity_{kind}"][i]
                error[:, c] = rows[f"reactivity_error_{kind}"][i]
        profiles.append(Profile("lib15k", rows["id"][i], sequence, reactivity, error, f"lib15k:{rows['cluster'][i]}"))
    return profiles


def average_replicates(values: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean of replicate profiles, each position over the replicates that measured it.

    Args:
        values: (R, L), NaN where not measured.
        errors: (R, L), standard errors; a replicate without one counts with the mean error of the others there.
        weights: (R,), signal to noise of each replicate, positive.

    Returns:
        (L,) mean and (L,) standard error; NaN where nothing is measured, or no replicate states an error.
    """
    measured = np.isfinite(values)
    weight = np.where(measured, weights[:, None], 0.0)
    total = weight.sum(axis=0)
    known = measured & np.isfinite(errors)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(measured, values * weight, 0.0).sum(axis=0) / total
        typical = np.where(known, errors, 0.0).sum(axis=0) / count
        filled = np.where(known, errors, typical)
        error = np.sqrt(np.where(measured, (filled * weight) ** 2, 0.0).sum(axis=0)) / total
    mean[total == 0], error[(total == 0) | (count == 0)] = np.nan, np.nan
    return mean, error


def _load_pk50(data_dir: str | Path, dropped: dict[str, int]) -> list[Profile]:
    kinds = ("2a3", "dms")
    measurements: dict[tuple[str, int], list[tuple[float, np.ndarray, np.ndarray]]] = {}
    sequences: dict[str, str] = {}
    near = set()
    for file in FILES["pk50"]:
        # pk50.parquet states no error of 2A3 (its README says why).
        with_error = kinds if "replicates" in file else ("dms",)
        columns = [f"{what}_{kind}" for kind in kinds for what in ("sn_filter", "signal_to_noise", "reactivity")]
        columns += [f"reactivity_error_{kind}" for kind in with_error]
        rows = read_columns(data_dir, file, ["id", "sequence", "near_pk90", *columns])
        for i, (name, sequence) in enumerate(zip(rows["id"], rows["sequence"])):
            if rows["near_pk90"][i]:
                near.add(name)
                continue
            sequences[name] = sequence
            for c, kind in enumerate(kinds):
                if rows[f"sn_filter_{kind}"][i] == 1:
                    values = rows[f"reactivity_{kind}"][i]
                    error = rows[f"reactivity_error_{kind}"][i] if kind in with_error else np.full_like(values, np.nan)
                    weight = float(rows[f"signal_to_noise_{kind}"][i])
                    measurements.setdefault((name, c), []).append((weight, values, error))
    dropped["marked near_pk90"] = len(near)
    profiles = []
    for name, sequence in sequences.items():
        if name in near:
            continue
        reactivity, error = _empty(len(sequence)), _empty(len(sequence))
        for c in range(len(kinds)):
            found = measurements.get((name, c))
            if found:
                weights, values, errors = (np.stack([f[j] for f in found]).astype(np.float64) for j in range(3))
                reactivity[:, c], error[:, c] = average_replicates(values, errors, weights)
        profiles.append(Profile("pk50", name, sequence, reactivity, error))
    clusters = cluster_sequences([p.sequence for p in profiles])
    return [Profile(p.source, p.id, p.sequence, p.reactivity, p.error, f"pk50:{c}") for p, c in zip(profiles, clusters)]


def _load_cloudlab(data_dir: str | Path, dropped: dict[str, int]) -> list[Profile]:
    marks = ("near_pk90", "near_test", "in_openvaccine_test")
    rows = read_columns(data_dir, FILES["cloudlab"][0], ["id", "sequence", "reactivity", "error", *marks])
    keep = np.ones(len(rows["id"]), dtype=bool)
    for mark in marks:
        marked = rows[mark].astype(bool)
        dropped[f"marked {mark}"] = int((marked & keep).sum())
        keep &= ~marked
    profiles = []
    for i in np.flatnonzero(keep):
        sequence = rows["sequence"][i]
        reactivity, error = _empty(len(sequence)), _empty(len(sequence))
        reactivity[:, 2], error[:, 2] = rows["reactivity"][i], rows["error"][i]
        profiles.append(Profile("cloudlab", rows["id"][i], sequence, reactivity, error))
    return profiles


def _load_openvaccine(data_dir: str | Path) -> list[Profile]:
    columns = ["id", "sequence", "SN_filter", "seq_scored", "reactivity", "reactivity_error"]
    rows = read_columns(data_dir, FILES["openvaccine"][0], columns)
    profiles = []
    for i, sequence in enumerate(rows["sequence"]):
        reactivity, error = _empty(len(sequence)), _empty(len(sequence))
        if rows["SN_filter"][i] == 1:
            scored = int(rows["seq_scored"][i])
            reactivity[:scored, 3], error[:scored, 3] = rows["reactivity"][i], rows["reactivity_error"][i]
        profiles.append(Profile("openvaccine", rows["id"][i], sequence, reactivity, error))
    return profiles


def select_measured(data_dir: str | Path = DEFAULT_DATA) -> Selection:
    """Load the training profiles and count what is left out.

    Args:
        data_dir: the shared data folder.

    Returns:
        The profiles, sorted by source, and the counts. No sequence is near-identical to one of the reactivity tests,
        barcode hairpins included: two RNAs with the same barcode count as near.
    """
    dropped: dict[str, dict[str, int]] = {name: {} for name in ("lib15k", "pk50", "cloudlab", "openvaccine")}
    sources = {
        "lib15k": _load_lib15k(data_dir),
        "pk50": _load_pk50(data_dir, dropped["pk50"]),
        "cloudlab": _load_cloudlab(data_dir, dropped["cloudlab"]),
        "openvaccine": _load_openvaccine(data_dir),
    }
    tests = load_test_sequences(data_dir, REACTIVITY_TESTS)
    profiles: list[Profile] = []
    for name, loaded in sources.items():
        measured = [p for p in loaded if np.isfinite(p.reactivity).any()]
        dropped[name]["no profile passes the filter"] = len(loaded) - len(measured)
        near = find_near_tests([p.sequence for p in measured], tests, dropped[name])
        profiles += [p for p, is_near in zip(measured, near) if not is_near]
    return Selection(profiles, dropped)


def load_measured(data_dir: str | Path = DEFAULT_DATA) -> list[Profile]:
    """Training profiles only; see `select_measured`."""
    return select_measured(data_dir).profiles


def split(
    profiles: Sequence[Profile], name: str, seed: int = 0, num_lib15k: int = 400, num_pk50: int = 200
) -> tuple[list[Profile], list[Profile]]:
    """Split the training profiles for tuning, or take all of them.

    Args:
        profiles: from `load_measured`.
        name: `development`: validation is `num_lib15k` RNAs of cluster 1 of lib15k (viral genomes; the rest of that
            cluster is left out) and at least `num_pk50` RNAs of whole similarity clusters of pk50; training is what
            is left and not near-identical to a validation RNA. `final`: everything trains, nothing validates.
        seed: chooses the validation RNAs.
        num_lib15k: validation RNAs of lib15k.
        num_pk50: validation RNAs of pk50; whole clusters are taken until this number is reached.

    Returns:
        Training and validation profiles.
    """
    if name == "final":
        return list(profiles), []
    if name != "development":
        raise ValueError(f"split {name!r} is unknown; use 'development' or 'final'")
    generator = np.random.default_rng(seed)
    held_out = [i for i, p in enumerate(profiles) if p.cluster == "lib15k:1"]
    chosen = {held_out[i] for i in generator.permutation(len(held_out))[:num_lib15k]}
    members: dict[str, list[int]] = {}
    for i, p in enumerate(profiles):
        if p.source == "pk50":
            members.setdefault(p.cluster, []).append(i)
    clusters, taken = sorted(members), 0
    for i in generator.permutation(len(clusters)):
        if taken >= num_pk50:
            break
        chosen.update(members[clusters[i]])
        taken += len(members[clusters[i]])
    validation = [profiles[i] for i in sorted(chosen)]
    rest = [p for i, p in enumerate(profiles) if i not in chosen and p.cluster != "lib15k:1"]
    near = is_near_duplicate([p.sequence for p in rest], [p.sequence for p in validation])
    return [p for p, is_near in zip(rest, near) if not is_near], validation


def manifest_sources(records: Sequence[Profile | KnownStructure | Piece]) -> list[ManifestSource]:
    """Describe records that a training used, one entry a source, for `rna_hf.data.splits.write_manifest`.

    Args:
        records: exactly the profiles, structures and pieces that were trained on.

    Returns:
        One entry for each source, in the order of `FILES`.
    """
    return [
        ManifestSource.from_sequences(
            name, FILES[name], RULES[name], [normalise_sequence(r.sequence) for r in records if r.source == name]
        )
        for name in FILES
        if any(r.source == name for r in records)
    ]


def rebuild_sequences(names: Sequence[str], data_dir: str | Path, max_length: int | None = 200) -> dict[str, list[str]]:
    """Rebuild the training sequences that a manifest names, for the leakage test.

    Args:
        names: sources, keys of `FILES`.
        data_dir: the shared data folder.
        max_length: of the secondary structures, as the training used it (the manifest's `structure_max_length`).

    Returns:
        The sequences of each source.
    """
    unknown = sorted(set(names) - set(FILES))
    if unknown:
        raise ValueError(f"sources {unknown} are unknown; this recipe has {sorted(FILES)}")
    result: dict[str, list[str]] = {name: [] for name in names}
    records: list[Profile | KnownStructure | Piece] = []
    if set(names) & {"lib15k", "pk50", "cloudlab", "openvaccine"}:
        records += load_measured(data_dir)
    if "rfam" in names:
        records += load_rfam(data_dir, max_length or 400)
    if "pieces" in names:
        records += load_pieces(data_dir)
    if set(names) & {"bprna", "rnastralign"}:
        records += load_known_structures(data_dir, max_length)
    for record in records:
        if record.source in result:
            result[record.source].append(record.sequence)
    return result


def load_pk90(data_dir: str | Path = DEFAULT_DATA) -> list[Profile]:
    """The headline test: PK90, 2A3 and DMS profiles with sn_filter 1."""
    columns = ["id", "sequence", "sn_filter_2a3", "sn_filter_dms", "reactivity_2a3", "reactivity_dms"]
    rows = read_columns(data_dir, TEST_FILES["pk90"], columns)
    profiles = []
    for i, sequence in enumerate(rows["sequence"]):
        reactivity = _empty(len(sequence))
        for c, kind in enumerate(("2a3", "dms")):
            if rows[f"sn_filter_{kind}"][i] == 1:
                reactivity[:, c] = rows[f"reactivity_{kind}"][i]
        if np.isfinite(reactivity).any():
            profiles.append(Profile("pk90", rows["id"][i], sequence, reactivity, _empty(len(sequence))))
    return profiles


def _scaled(values: np.ndarray) -> np.ndarray:
    """Clip a profile to 0 and its 95th percentile and divide by it: scales differ, and outliers reach -43."""
    top = float(np.nanpercentile(values, 95)) if np.isfinite(values).any() else float("nan")
    return values.clip(0.0, top) / top if top > 0 else np.full_like(values, np.nan)


def load_test60(data_dir: str | Path = DEFAULT_DATA) -> list[Profile]:
    """EternaBench-CM test60: 1M7 in the 2A3 column, each profile clipped to 0..95th percentile, scaled to 0..1."""
    rows = read_columns(data_dir, TEST_FILES["test60"], ["id", "sequence", "reactivity"])
    profiles = []
    for name, sequence, values in zip(rows["id"], rows["sequence"], rows["reactivity"]):
        reactivity = _empty(len(sequence))
        reactivity[:, 0] = _scaled(values)
        profiles.append(Profile("test60", name, sequence, reactivity, _empty(len(sequence))))
    return profiles


def load_natural(data_dir: str | Path = DEFAULT_DATA) -> list[Profile]:
    """Natural RNAs: SHAPE rows in the 2A3 column, DMS rows in the DMS column, scaled as in `load_test60`."""
    rows = read_columns(data_dir, TEST_FILES["natural"], ["name", "modifier", "sequence", "reactivity"])
    profiles = []
    for i, sequence in enumerate(rows["sequence"]):
        reactivity = _empty(len(sequence))
        reactivity[:, 1 if rows["modifier"][i] == "DMS" else 0] = _scaled(rows["reactivity"][i])
        profiles.append(Profile("natural", rows["name"][i], sequence, reactivity, _empty(len(sequence))))
    return profiles


def main(argv: Sequence[str] | None = None) -> int:
    """Print the selection."""
    parser = argparse.ArgumentParser(description="What ribonanzanet-mini is trained on, and what is left out.")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, metavar="DIR", help="the shared data folder")
    arguments = parser.parse_args(argv)
    selection = select_measured(arguments.data)
    structures, dropped = select_known_structures(arguments.data)
    counts = Counter(r.source for r in selection.profiles) + Counter(r.source for r in structures)
    for source, reasons in (selection.dropped | dropped).items():
        print(f"{source}: {counts[source]} kept")
        for reason, number in reasons.items():
            print(f"    {number:6d} {reason}")
    for name in ("development", "final"):
        train, validation = split(selection.profiles, name)
        print(
            f"{name}: {len(train)} train {dict(Counter(p.source for p in train))}, "
            f"{len(validation)} validation {dict(Counter(p.source for p in validation))}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
