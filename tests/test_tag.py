# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole recording gets its tempo, its key and its chords."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from bridge.cli import main as cli
from bridge.cli.tag import clock, table
from bridge.evaluate.truth import known_chords
from bridge.tags import lab, tags
from dsp.events import BEAT, CHORD, CHORDS, EVENT, KEY, KEYS, TONICS
from dsp.units import RATE
from tests.test_beat import beats_at, rock
from tests.test_chord import strummed


def events(*rows: tuple[int, float, float, int, float]) -> np.ndarray:
    """(kind, time [s], number, label, confidence) each."""
    out = np.zeros(len(rows), EVENT)
    for event, (kind, time, number, label, confidence) in zip(out, rows, strict=True):
        event["kind"], event["number"], event["label"], event["confidence"] = kind, number, label, confidence
        event["time"] = event["emitted"] = round(time * RATE)
    return out


def chord(time: float, name: str, bass: str, confidence: float = 0.5) -> tuple[int, float, float, int, float]:
    return CHORD, time, CHORDS.index(name), TONICS.index(bass) if bass in TONICS else -1, confidence


@pytest.fixture
def song() -> dict[str, Any]:
    beats = [(BEAT, 0.5 * n, 120.0 if n > 20 else 118.0, 3, 0.8) for n in range(60)]
    keys = [(KEY, 9.0, KEYS.index("A minor"), -1, 0.4), (KEY, 12.0, KEYS.index("A minor"), -1, 0.9)]
    keys.append((KEY, 27.0, KEYS.index("C major"), -1, 0.5))
    said = [chord(0.2, "A:min", "A"), chord(4.0, "D:min7", "C", 0.6), chord(8.0, "N", "N")]
    return tags(events(*beats, *keys, *said), 30.0)


def test_tempo_keys_and_chords_with_their_times(song: dict[str, Any]) -> None:
    assert song["tempo"] == {"bpm": 120.0, "low": 118.0, "high": 120.0, "beats": 3, "confidence": 0.8}
    assert song["key"] == "A minor"
    assert song["keys"] == [
        {"start": 9.0, "end": 27.0, "key": "A minor", "confidence": 0.9},
        {"start": 27.0, "end": 30.0, "key": "C major", "confidence": 0.5},
    ]
    assert [(s["start"], s["end"], s["chord"], s["bass"]) for s in song["chords"]] == [
        (0.2, 4.0, "A:min", "A"),
        (4.0, 8.0, "D:min7", "C"),
        (8.0, 30.0, "N", "N"),
    ]


def test_a_lab_file_is_read_as_annotations_are(song: dict[str, Any], tmp_path: Path) -> None:
    text = lab(song)
    assert text.splitlines() == [
        "0.000\t0.200\tN",
        "0.200\t4.000\tA:min",
        "4.000\t8.000\tD:min7/b7",
        "8.000\t30.000\tN",
    ]
    (tmp_path / "x.lab").write_text(text)
    assert [name for *_, name in known_chords(tmp_path / "x.lab")] == ["N", "A:min", "D:min7/b7", "N"]


def test_a_person_reads_a_table(song: dict[str, Any]) -> None:
    shown = table({"file": "song.wav", **song}).splitlines()
    assert shown[0] == "song.wav  (0:30.0)"
    assert shown[1] == "  tempo   120.0 bpm, 3 beats in a bar"
    assert shown[2] == "  key     A minor" and "    0:27.0  C major" in shown
    assert "    0:04.0  D:min7 over C" in shown and shown[-1] == "    0:08.0  N"
    assert clock(59.99) == "1:00.0" and clock(3723.45) == "62:03.4"


def test_nothing_is_nothing() -> None:
    found = tags(np.zeros(0, EVENT), 2.0)
    assert found["tempo"] is None and found["key"] is None and found["keys"] == found["chords"] == []
    assert lab(found) == "0.000\t2.000\tN\n"
    assert table({"file": "x", **found}) == "x  (0:02.0)\n  nothing heard"


def test_what_was_said_late_ends_no_later_than_the_song() -> None:
    found = tags(events(chord(0.0, "C:maj", "C"), chord(1.5, "G:maj", "G"), chord(1.5, "F:maj", "F")), 1.4)
    assert [(s["chord"], s["start"], s["end"]) for s in found["chords"]] == [("C:maj", 0.0, 1.4)]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds of C, A minor, F and G, at 120 bpm."""
    x = np.concatenate([strummed(name, 1.0) for name in ("C:maj", "A:min", "F:maj", "G:maj") * 3])
    drums = rock(beats_at(120, 12, 0.0))[: len(x)]
    x[: len(drums)] += 0.15 * drums
    path = tmp_path_factory.mktemp("tag") / "song.wav"
    sf.write(path, x, RATE)
    return path


def test_a_file_is_tagged(recording: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["tag", str(recording), "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(recording) and found["seconds"] == pytest.approx(12, abs=0.01)
    assert found["tempo"]["bpm"] == pytest.approx(120, rel=0.02)
    assert found["key"] == "C major"
    names = [span["chord"] for span in found["chords"] if span["end"] - span["start"] > 0.5]
    assert sum(name in ("C:maj", "A:min", "F:maj", "G:maj") for name in names) >= 9
    assert cli.main(["tag", str(recording), "--lab", "-o", f"{tmp_path}/labs/", "-q"]) == 0
    written = known_chords(tmp_path / "labs" / "song.lab")
    assert len(written) >= len(found["chords"]) and written[-1][1] == pytest.approx(12, abs=0.01)


@pytest.mark.parametrize(
    "argv, told",
    [
        (["nowhere.wav"], "nowhere.wav"),
        (["x.wav", "-o", "y.lab"], "-o says where .lab files go"),
        (["x.wav", "-p", "voice"], "hears neither beat nor key nor chords"),
        (["x.wav", "y.wav", "--lab", "-o", "one.lab"], "is one file, and 2 are to be written"),
    ],
)
def test_mistakes_are_told(argv: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tag", *argv]) in (1, 2)
    assert told in capsys.readouterr().err
