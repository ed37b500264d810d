# SPDX-License-Identifier: GPL-3.0-or-later
"""F against delay, its picture, and sound on a bad day."""

import itertools
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import soundfile

from bridge.cli.main import main
from bridge.evaluate.picture import FEW, curve
from bridge.evaluate.spoiling import Spoiling
from bridge.evaluate.tables import show_curve
from dsp.units import RATE, db
from models.render import Stroke, render

NAMES = ("3 ms", "6 ms", "12 ms", "25 ms", "56 ms", "58 ms", "60 ms")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two short recordings of kicks and snares, and what was struck."""
    for name, times in (("x", np.arange(0.5, 3, 0.5)), ("y", np.arange(0.4, 2, 0.4))):
        strokes = [Stroke(float(t), ("kick", "snare")[n % 2], 0.9) for n, t in enumerate(times)]
        soundfile.write(tmp_path / f"{name}.wav", render(strokes, 3.5), RATE)
        text = "".join(f"{s.time} {s.label} {s.velocity}\n" for s in strokes)
        (tmp_path / f"{name}.txt").write_text(text)
    return tmp_path


def row(decision: float, f: float, strokes: int = 100) -> dict[str, Any]:
    names = ("kick", "snare", "hat", "tom", "cymbal")
    scores = {name: {"f": f - 0.05 * n, "hit": strokes, "missed": 0} for n, name in enumerate(names)}
    scores["tom"] = {"f": 0.0, "hit": 0, "missed": FEW - 1}
    scores["micro of five"] = {"f": f, "hit": 4 * strokes, "missed": FEW - 1}
    delay = {"p10": decision / 4 - 3, "median": decision / 2 - 2, "p90": decision}
    return {"decision_ms": decision, "delay_ms": delay, "scores": scores}


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{SVG}text")]


def places(svg: str) -> list[tuple[str, float, float]]:
    nodes = ET.fromstring(svg).iter(f"{SVG}text")
    return [("".join(n.itertext()), float(n.attrib["x"]), float(n.attrib["y"])) for n in nodes]


def test_the_picture_shows_every_decision_and_family() -> None:
    svg = curve([row(25, 0.9), row(3, 0.8), row(6, 0.85), row(12, 0.88)], "six <files> & more")
    told = texts(svg)
    assert {"3 ms", "6 ms", "12 ms", "25 ms", "kick", "snare", "hat", "cymbal", "0.900"} <= set(told)
    assert "six <files> & more" in told and "too few strokes: tom 19" in told and "tom" not in told
    names = [(x, y) for text, x, y in places(svg) if text in NAMES]
    assert len(names) == 4 and all(b[0] - a[0] >= 40 for a, b in itertools.pairwise(names))
    crowd = curve([row(ms, 0.8) for ms in (3, 56, 58, 60)], "")
    names = [(x, y) for text, x, y in places(crowd) if text in NAMES]
    assert len(names) == 4 and all(b[0] - a[0] >= 40 for a, b in itertools.pairwise(names))
    assert names[-1][0] <= min(x for text, x, _ in places(crowd) if text == "strokes") - 100
    legend = sorted(y for text, _, y in places(svg) if text in ("all five", "kick", "snare", "hat", "cymbal"))
    assert np.diff(legend).min() >= 17
    root = ET.fromstring(svg)
    lines = [
        [tuple(map(float, point.split(","))) for point in node.attrib["points"].split()]
        for node in root.iter(f"{SVG}polyline")
    ]
    assert len(lines) == 5 and all(len(line) == 4 for line in lines)
    for line in lines:
        assert all(x0 < x1 and y0 > y1 for (x0, y0), (x1, y1) in itertools.pairwise(line))


@pytest.mark.parametrize("rows", ([], [row(12, 1.0)], [row(12, 0.0)], [{**row(12, 0.0), "delay_ms": None}]))
def test_a_picture_of_little_is_one_all_the_same(rows: list[dict[str, Any]]) -> None:
    svg = curve(rows, "")
    _, _, width, height = map(float, ET.fromstring(svg).attrib["viewBox"].split())
    assert all(0 <= x <= width and 0 <= y <= height for _, x, y in places(svg))


def test_the_command_draws_the_curve(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = folder / "curve.svg"
    line = ["evaluate", "drums", str(folder), "--decisions", "12,6", "--picture", str(picture)]
    assert main([*line, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["decision_ms"] for row in result["curve"]] == [6, 12]
    assert [f["name"] for f in result["files"]] == ["x", "y"]
    for row in result["curve"]:
        assert row["waited_ms"] <= row["decision_ms"] and len(row["files"]) == 2
        assert row["delay_ms"]["p10"] <= row["delay_ms"]["median"] <= row["delay_ms"]["p90"]
        assert set(row) >= {"scores", "labels", "macro", "velocity", "confusion", "refined"}
    assert {"6 ms", "12 ms"} <= set(texts(picture.read_text("utf-8")))
    assert main([*line[:3], "--decisions", "12", "--curve"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "decision" in shown[0] and "2 files" in shown[-1]
    whole = result["curve"][1]
    assert f"{whole['scores']['micro of five']['f']:.3f}" in shown[1].split()
    assert main([*line[:-1], str(folder / "none" / "x.svg")]) == 1
    assert "x.svg: cannot be written" in capsys.readouterr().err


def test_a_file_that_breaks_is_left_out_of_the_whole_curve(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "x.wav").write_text("no sound")
    assert main(["evaluate", "drums", str(folder), "--decisions", "6,12", "--json"]) == 1
    out, err = capsys.readouterr()
    assert err.count("x.wav") == 1 and [f["name"] for f in json.loads(out)["files"]] == ["y"]


@pytest.mark.parametrize(
    "options, said",
    [
        (["onsets", "--curve"], "a curve is drawn of drums, not of onsets"),
        (["drums", "--decisions", "3;6"], "are no times in ms"),
        (["drums", "--decisions", "3,900"], "drums.decision_ms"),
        (["drums", "--picture", "curve.png"], "curve.png: that is no name of an .svg file"),
        (["drums", "--map", "kazoo"], "no drum instrument is called 'kazoo'"),
        (["drums", "--gain", "nan"], "--gain nan is outside -120..60 dB"),
        (["drums", "--noise", "3"], "--noise 3 is outside -200..0 dBFS"),
        (["drums", "--lowpass", "0"], "--lowpass 0 is outside 20..384000 Hz"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", options[0], str(tmp_path), *options[1:]]) in (1, 2)
    assert said in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_a_bad_day_is_as_bad_as_asked_for() -> None:
    t = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * f * t).astype(np.float32) for f in (500, 12_000))

    def level(x: np.ndarray) -> float:
        return db(float(np.sqrt(np.mean(np.square(x[RATE // 2 :], dtype=float)))))

    softer = Spoiling(gain_db=-40).at(RATE)(low)
    assert softer.dtype == np.float32 and abs(level(softer) - level(low) + 40) < 0.01
    dull = Spoiling(lowpass_hz=6000)
    assert abs(level(dull.at(RATE)(low)) - level(low)) < 0.1
    assert level(dull.at(RATE)(high)) - level(high) < -24  # an octave above
    np.testing.assert_array_equal(dull.at(11_025)(low), low)  # there is nothing above already
    noise = Spoiling(noise_dbfs=-45).at(RATE)(np.zeros(RATE, np.float32))
    assert abs(level(noise) + 45) < 0.1
    np.testing.assert_array_equal(Spoiling().at(RATE)(low), low)


def test_spoiling_cannot_hear_the_blocks_and_forgets_what_is_no_number() -> None:
    x = np.random.default_rng(1).standard_normal(5000).astype(np.float32)
    how = Spoiling(-12, 3000, -30)
    whole, parts = how.at(44_100), how.at(44_100)
    cut = np.concatenate([parts(block) for block in np.split(x, [1, 7, 1000, 1000, 4097])])
    np.testing.assert_allclose(cut, whole(x), atol=1e-6)
    x[100] = np.nan
    assert np.isfinite(how.at(44_100)(x)).all()


def test_the_command_hears_what_was_spoilt(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["evaluate", "onsets", str(folder), "--json"]
    assert main([*line, "--gain", "-120"]) == 0
    silent = json.loads(capsys.readouterr().out)
    assert silent["scores"]["onsets"]["hit"] == 0
    assert silent["sound"] == {"gain_db": -120, "lowpass_hz": None, "noise_dbfs": None}
    assert main([*line, "--lowpass", "6000", "--noise", "-45"]) == 0
    noisy = json.loads(capsys.readouterr().out)
    assert noisy["scores"]["onsets"]["hit"] >= 7
    assert main([*line, "--lowpass", "6000", "--noise", "-45"]) == 0
    assert json.loads(capsys.readouterr().out) == noisy


@pytest.mark.parametrize(("columns", "whole"), [(None, True), ("30", False)])
def test_a_table_that_is_piped_is_not_cut(
    columns: str | None, whole: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    counts = {"hit": 1000, "extra": 1000, "missed": 1000, "f": 0.5, "precision": 0.5, "recall": 0.5}
    row = {
        "decision_ms": 40.0,
        "scores": {"notes with offset and velocity": counts, "notes": counts},
        "delay_ms": {"p10": 30.0, "median": 36.0, "p90": 51.5, "max": 90.0, "n": 1000},
        "sets": {f"a long name of a set {k}": {"scores": {"notes": counts}} for k in range(6)},
    }
    show_curve({"task": "notes", "preset": "piano", "curve": [row], "files": []})
    assert ("a long name of a set 5" in capsys.readouterr().out) == whole
