"""OpenVaccine's JSON lines: order of the five targets, and NaN past the scored part."""

import json

import numpy as np
import pytest

from rna_hf.data.readers import OPENVACCINE_TARGETS, read_openvaccine

NAN = float("nan")
TEST_FIELDS = {
    "index": 400,
    "id": "id_2a7a4496f",
    "sequence": "GGAAAUCC",
    "structure": "((....))",
    "predicted_loop_type": "SSHHHHSS",
    "seq_length": 8,
    "seq_scored": 3,
}
ERROR_NAMES = ["reactivity_error", "deg_error_Mg_pH10", "deg_error_pH10", "deg_error_Mg_50C", "deg_error_50C"]
# The fields of the real file come in this order, which is not that of the submission.
TRAIN_FIELDS = {
    **{name: TEST_FIELDS[name] for name in ("index", "id", "sequence", "structure", "predicted_loop_type")},
    "signal_to_noise": 6.893,
    "SN_filter": 1.0,
    "seq_length": 8,
    "seq_scored": 3,
    **{name: [0.125, 0.25, 0.5 + channel] for channel, name in enumerate(ERROR_NAMES)},
    "reactivity": [1.0, 2.0, 3.0],
    "deg_Mg_pH10": [11.0, 12.0, 13.0],
    "deg_pH10": [21.0, 22.0, 23.0],
    "deg_Mg_50C": [31.0, 32.0, 33.0],
    "deg_50C": [41.0, 42.0, -43.0],
}


@pytest.fixture
def write_json(tmp_path):
    def write(*records, name="train.json"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path

    return write


def test_labels(write_json, read_both):
    failed = TRAIN_FIELDS | {"id": "id_low", "SN_filter": 0.0, "signal_to_noise": -0.5}
    first, second = read_both(read_openvaccine, write_json(TRAIN_FIELDS, failed))
    assert OPENVACCINE_TARGETS == ("reactivity", "deg_Mg_pH10", "deg_pH10", "deg_Mg_50C", "deg_50C")
    labels = np.array(first["labels"])
    assert labels.shape == (8, 5)
    assert labels[:3].tolist() == [[1, 11, 21, 31, 41], [2, 12, 22, 32, 42], [3, 13, 23, 33, -43]]
    assert np.isnan(labels[3:]).all()
    assert first["errors"][2] == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert first["seq_scored"] == 3
    assert first["structure"] == "((....))"
    assert first["predicted_loop_type"] == "SSHHHHSS"
    assert (first["sn_filter"], second["sn_filter"]) == (True, False)
    assert second["signal_to_noise"] == -0.5


def test_without_labels(write_json, read_both):
    long = TEST_FIELDS | {"id": "id_long", "sequence": "GGAAAUCCAA", "seq_length": 10, "seq_scored": 10}
    long |= {"structure": "((....))..", "predicted_loop_type": "SSHHHHSSEE"}
    records = read_both(read_openvaccine, write_json(TEST_FIELDS, long, name="test.json"))
    assert [record["id"] for record in records] == ["id_2a7a4496f", "id_long"]
    assert set(records[0]) == {"id", "sequence", "structure", "predicted_loop_type", "seq_scored"}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"deg_pH10": [1.0, 2.0]}, r"line 2 \(id 'id_2a7a4496f'\): 2 values of deg_pH10 where 3 are needed"),
        ({"deg_pH10": None}, "no deg_pH10"),
        ({"structure": "((....)."}, "never closed"),
        ({"structure": "((...))"}, "7 symbols of structure where 8 are needed"),
        ({"predicted_loop_type": "SS"}, "2 symbols of predicted_loop_type"),
        ({"sequence": "GGAAAUC"}, "7 nucleotides where 8 are needed"),
        ({"sequence": "GGAAAUC!"}, "unknown letter '!' at position 8"),
        ({"seq_scored": 9}, "seq_scored is 9"),
        ({"seq_scored": [3]}, r"line 2 \(id 'id_2a7a4496f'\): seq_scored is '\[3\]'; a whole number is needed"),
        ({"seq_length": float("inf")}, "seq_length is 'inf'; a whole number is needed"),
        ({"id": "\ud800"}, r"id is '.ud800'; a text is needed"),
        ({"sequence": 7}, "sequence is '7'; a text is needed"),
        ({"structure": ["("] * 8}, "structure is .* a text is needed"),
        ({"deg_50C": 0.5}, "deg_50C is '0.5'; a list of numbers is needed"),
        ({"deg_50C": [1, 2, {}]}, "deg_50C holds '{}', which is no finite number"),
        ({"deg_50C": [1, 2, float("inf")]}, "deg_50C holds 'inf', which is no finite number"),
        ({"signal_to_noise": "high"}, "signal_to_noise holds 'high', which is no finite number"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(write_json, refuses, changes, match):
    refuses(match, read_openvaccine, write_json(TRAIN_FIELDS, TRAIN_FIELDS | changes))


def test_lines_that_are_no_records(write_json, tmp_path, refuses):
    refuses("line 2 .*no signal_to_noise, SN_filter", read_openvaccine, write_json(TRAIN_FIELDS, TEST_FIELDS))
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(TRAIN_FIELDS) + "\n" + json.dumps(TRAIN_FIELDS)[:50] + "\n")
    refuses("broken.json, line 2: not a JSON object", read_openvaccine, path)
    path.write_text('{"seq_length": ' + "9" * 5000 + "}\n")
    refuses("line 1: not a JSON object .*Exceeds the limit", read_openvaccine, path)
    path.write_text("[" * 100_000 + "\n")
    refuses("line 1: not a JSON object", read_openvaccine, path)
    path.write_text("[1, 2]\n")
    refuses(r"line 1: a JSON object is needed, not '\[1, 2\]'", read_openvaccine, path)
