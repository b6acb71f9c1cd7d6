"""The viewer page: what it holds, that it needs nothing else, and that its script runs on a stand-in for a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rna_hf.structure.trace_viewer import write_viewer

SEQUENCE = "GGCAUNACGU"
SAMPLES = np.random.default_rng(0).normal(size=(2, len(SEQUENCE), 3)) * 20

# Enough of a page for the script: elements that take any attribute, and a canvas that counts what is drawn.
STAND_IN = """
const listeners = {};
const counts = {};
const numbers = [];
const pen = new Proxy({}, {
  get: (target, key) => key in target ? target[key] : (...values) => {
    numbers.push(...values);
    counts[key] = (counts[key] ?? 0) + 1;
  },
  set: (target, key, value) => { target[key] = value; return true; },
});
class Element {
  constructor(id) { Object.assign(this, { id, style: {}, children: [], checked: true, textContent: "" }); }
  addEventListener(type, listener) { listeners[this.id + " " + type] = listener; }
  append(...parts) { this.children.push(...parts); }
  replaceChildren() { this.children = []; }
  getContext() { return pen; }
  setPointerCapture() {}
  get clientWidth() { return 400; }
  get clientHeight() { return 300; }
}
const elements = {};
const document = {
  getElementById: (id) => (elements[id] ??= new Element(id)),
  createElement: (name) => new Element(name),
  documentElement: null,
};
document.getElementById("data").textContent = DATA;
document.getElementById("colour").value = "letter";
const getComputedStyle = () => ({ getPropertyValue: (name) => name });
const window = new Element("window");
window.matchMedia = () => new Element("media");
"""
CHECKS = """
const report = { atStart: { ...counts }, hidden: [elements["samples-label"].hidden, elements["pairs-label"].hidden] };
const key = (name) => listeners["view keydown"]({ key: name, preventDefault() {} });
const event = (name, values) => listeners["view " + name]({ preventDefault() {}, ...values });
report.projected = projected;
report.hints = projected.map((point) => {
  if (!point) return null;
  event("pointermove", { offsetX: point.x, offsetY: point.y });
  return elements.hint.textContent;
});
const before = JSON.stringify(projected);
event("pointerdown", { clientX: 0, clientY: 0, pointerId: 1 });
event("pointermove", { clientX: 30, clientY: 0, offsetX: 30, offsetY: 0 });
report.toTheRight = rotation;
event("pointermove", { clientX: 30, clientY: 20, offsetX: 30, offsetY: 20 });
event("pointerup", {});
report.turned = JSON.stringify(projected) !== before;
report.toTheRightAndDown = rotation;
event("wheel", { deltaY: -200 });
report.zoom = zoom;
for (const name of ["ArrowLeft", "ArrowDown", "+", "-", "x"]) key(name);
elements.colour.value = "position";
listeners["colour change"]();
listeners["samples change"]({ target: { value: String(data.samples.length - 1) } });
elements.pairs.checked = false;
listeners["pairs change"]();
listeners["reset click"]();
const finite = numbers.every((value) => typeof value === "string" || Number.isFinite(value));
console.log(JSON.stringify({ ...report, finite, size: elements.size.textContent, sample }));
"""


def page_data(page: str) -> Any:
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def run_script(page: str, folder: Path) -> dict[str, Any]:
    """Run the page's script in node on the stand-in, use its controls, and return what happened."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    stand_in = STAND_IN.replace("DATA", json.dumps(json.dumps(page_data(page))), 1)
    file = folder / "script.js"
    file.write_text('"use strict";' + stand_in + script + CHECKS, encoding="utf-8")
    result = subprocess.run([node, str(file)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_page_holds_the_coordinates(tmp_path: Path) -> None:
    samples = SAMPLES.copy()
    samples[1, 3, 2] = np.nan
    samples[0, 0, 0] = -0.001
    path = tmp_path / "view.html"
    write_viewer(path, samples, SEQUENCE, "Two samples", pairs=[(9, 0), (1, 8)])
    page = path.read_text(encoding="utf-8")
    data = page_data(page)
    assert data["sequence"] == SEQUENCE
    assert data["pairs"] == [[0, 9], [1, 8]]
    assert data["samples"][1][3] is None
    assert "-0.0," not in page
    shown = np.array([[row or [np.nan] * 3 for row in sample] for sample in data["samples"]])
    samples[1, 3] = np.nan
    assert np.array_equal(shown, samples.round(2), equal_nan=True)
    assert [file.name for file in tmp_path.iterdir()] == ["view.html"]


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    write_viewer(tmp_path / "view.html", SAMPLES, SEQUENCE, "A title")
    page = (tmp_path / "view.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]+\.[a-z]|@import|url\(|src=|href=", page.lower())
    assert "default-src 'none'" in page
    assert "{{" not in page
    assert "<title>A title</title>" in page
    assert 'aria-label="3D trace of the C1&#39; atoms of A title"' in page
    assert "prefers-color-scheme: dark" in page


def test_texts_cannot_become_markup(tmp_path: Path) -> None:
    title = '</title><script>alert("x")</script> {{data}} & \\1'
    sequence = "</script>\\"[: len(SEQUENCE)]
    write_viewer(tmp_path / "view.html", SAMPLES, sequence, title)
    page = (tmp_path / "view.html").read_text(encoding="utf-8")
    assert page.count("<script") == page.count("</script>") == 2
    assert page.count("&lt;/title&gt;&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; {{data}} &amp; \\1") == 3
    assert page_data(page)["sequence"] == sequence


def test_the_script_draws_and_answers(tmp_path: Path) -> None:
    samples = SAMPLES.copy()
    samples[1, 3] = np.nan
    path = tmp_path / "view.html"
    write_viewer(path, samples, SEQUENCE, "Two samples", pairs=[(0, 9)])
    result = run_script(path.read_text(encoding="utf-8"), tmp_path)
    # Ten nucleotides, nine bonds of two halves, one pair, the scale bar.
    assert result["atStart"]["arc"] == 10
    assert result["atStart"]["lineTo"] == 9 * 2 + 1 + 1
    assert result["hidden"] == [False, False]
    assert all(re.fullmatch(r"[GCAUN] \d+( – [GCAUN] \d+)?", hint) for hint in result["hints"])
    named = {hint.split(" – ")[0] for hint in result["hints"]}
    assert named <= {f"{letter} {index}" for index, letter in enumerate(SEQUENCE, start=1)}
    assert len(named) >= 8  # some may lie behind others
    assert result["turned"]
    assert result["finite"]
    # At the start x points right, y up and z to the reader: the hand of the molecule is kept.
    projected = np.array([[point["x"], -point["y"], point["z"]] for point in result["projected"]])
    shown = samples[0].round(2)
    for axis in range(3):
        assert np.corrcoef(projected[:, axis], shown[:, axis])[0, 1] == pytest.approx(1)
    # What is in front follows the pointer to the right, then down.
    right, down = np.array(result["toTheRight"]), np.array(result["toTheRightAndDown"])
    angle = 30 * 0.008
    assert np.allclose(right, [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    angle = 20 * 0.008
    turn = [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    assert np.allclose(down, turn @ right)
    assert result["zoom"] > 1
    assert result["sample"] == 1
    assert result["size"] == "10 nucleotides, 1 without a position"


@pytest.mark.parametrize("sample", [np.zeros((1, 3)), np.full((1, 3), np.nan)])
def test_the_script_draws_the_smallest_pages(tmp_path: Path, sample: np.ndarray) -> None:
    write_viewer(tmp_path / "view.html", sample, "A", "One")
    result = run_script((tmp_path / "view.html").read_text(encoding="utf-8"), tmp_path)
    assert result["finite"]
    assert result["hidden"] == [True, True]


def test_wrong_arguments(tmp_path: Path) -> None:
    path = tmp_path / "view.html"
    for samples, sequence, pairs, message in [
        (SAMPLES, SEQUENCE[1:], None, r"\(2, 10, 3\); \(9, 3\)"),
        (SAMPLES[:0], SEQUENCE, None, r"\(0, 10, 3\)"),
        (np.full((1, 2, 3), -1e18), "AC", None, "mark_missing"),
        (SAMPLES, SEQUENCE, [(0, 10)], "10 nucleotides"),
        (SAMPLES, SEQUENCE, [(3, 3)], r"\(3, 3\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            write_viewer(path, samples, sequence, "title", pairs)
    assert not path.exists()
