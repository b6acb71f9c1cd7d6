"""Real rows, written back into the public formats and read again."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from rna_hf.data.cluster_split import report_leakage, split_by_similarity
from rna_hf.data.readers import (
    OPENVACCINE_TARGETS,
    read_openvaccine,
    read_ribonanza,
    read_rna3d,
    read_secondary_structures,
)

pytestmark = pytest.mark.shared


@pytest.fixture
def data(shared_dir):
    return shared_dir / "data"


def test_ribonanza(data, tmp_path, read_both):
    rows = pq.read_table(data / "ribonanza_15k" / "lib15k.parquet").slice(0, 40).to_pylist()
    names = [f"{name}_{n:04d}" for name in ("reactivity", "reactivity_error") for n in range(1, 207)]
    lines = [",".join(["sequence_id,sequence,experiment_type,dataset_name,reads,signal_to_noise,SN_filter", *names])]
    for kind in ("2a3", "dms"):
        for row in rows:
            profiles = [np.array(row[f"{name}_{kind}"], dtype=float) for name in ("reactivity", "reactivity_error")]
            cells = ["" if np.isnan(x) else str(x) for p in profiles for x in [*p, *[np.nan] * (206 - len(p))]]
            facts = [row["id"], row["sequence"], f"{kind.upper()}_MaP", f"15k_{kind.upper()}", row[f"reads_{kind}"]]
            lines.append(
                ",".join(map(str, [*facts, row[f"signal_to_noise_{kind}"], int(row[f"sn_filter_{kind}"]), *cells]))
            )
    path = tmp_path / "train_data.csv"
    path.write_text("\n".join(lines) + "\n")
    records = read_both(read_ribonanza, path)
    assert len(records) == len(rows)
    for record, row in zip(records, rows):
        assert (record["id"], record["sequence"]) == (row["id"], row["sequence"])
        assert record["reads"] == [row["reads_2a3"], row["reads_dms"]]
        expected = np.stack([row["reactivity_2a3"], row["reactivity_dms"]], axis=1)
        np.testing.assert_array_equal(np.float32(record["labels"]), np.float32(expected))


def test_openvaccine(data, tmp_path, read_both):
    rows = pq.read_table(data / "openvaccine" / "train.parquet").slice(0, 40).to_pylist()
    path = tmp_path / "train.json"
    path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
    records = read_both(read_openvaccine, path)
    for record, row in zip(records, rows):
        labels = np.float32(record["labels"])
        assert labels.shape == (107, 5)
        for channel, name in enumerate(OPENVACCINE_TARGETS):
            np.testing.assert_array_equal(labels[:68, channel], np.float32(row[name]))
        assert np.isnan(labels[68:]).all()


def test_rna3d(data, tmp_path, read_both):
    folder = data / "rna3d_kaggle"
    lines = (folder / "train_sequences.csv").read_text().splitlines()[:121]
    sequences = tmp_path / "train_sequences.csv"
    sequences.write_text("\n".join(lines) + "\n")
    chains = {line.split(",")[0] for line in lines}
    labels = pq.read_table(folder / "train_labels.parquet").to_pylist()
    labels = [row for row in labels if row["target_id"] in chains]
    path = tmp_path / "train_labels.csv"
    with open(path, "w") as file:
        file.write("ID,resname,resid,x_1,y_1,z_1\n")
        for row in labels:
            place = ",".join(str(row[axis]) for axis in "xyz")
            file.write(f"{row['target_id']}_{row['resid']},{row['resname']},{row['resid']},{place}\n")
    records = read_both(read_rna3d, sequences, path)
    assert len(records) == 120
    assert sum(len(record["sequence"]) for record in records) == len(labels)
    coordinates = {record["id"]: np.float32(record["coordinates"]) for record in records}
    assert all(not np.isnan(array).any() for array in coordinates.values())
    last = labels[-1]
    expected = np.float32([last[axis] for axis in "xyz"])
    np.testing.assert_array_equal(coordinates[last["target_id"]][last["resid"] - 1], expected)


def test_structures(data, tmp_path, read_both):
    rows = pq.read_table(data / "ss_archiveii" / "archiveii.parquet").slice(0, 300).to_pylist()
    path = tmp_path / "archiveii.dbn"
    path.write_text("".join(f">{row['id']}\n{row['sequence']}\n{row['structure']}\n" for row in rows))
    records = read_both(read_secondary_structures, path)
    assert [record["id"] for record in records] == [row["id"] for row in rows]
    assert [len(record["pairs"]) for record in records] == [
        sum(symbol in "([{<" for symbol in row["structure"]) for row in rows
    ]


def test_split_of_a_library_of_mutants_and_windows(data):
    table = pq.read_table(data / "ribonanza_15k" / "lib15k.parquet", columns=["sequence"])
    sequences = table["sequence"].to_pylist()[::4]
    shuffled = np.random.default_rng(0).permutation(len(sequences))
    cut = len(sequences) * 4 // 5
    # 20, because unrelated RNAs of this library share up to 12 of the 12-mers of their barcode hairpins.
    train, test = ([sequences[i] for i in rows] for rows in (shuffled[:cut], shuffled[cut:]))
    leaking = report_leakage(train, test, min_shared=20)
    assert len(leaking.near) > 0.8 * leaking.num_test, str(leaking)
    split = split_by_similarity(sequences, {"train": 0.8, "test": 0.2}, min_shared=20)
    train, test = ([sequences[i] for i in split[name]] for name in ("train", "test"))
    clean = report_leakage(train, test, min_shared=20)
    assert clean.is_clean, str(clean)
    assert 0.15 < clean.num_test / len(sequences) < 0.25
