# SPDX-License-Identifier: GPL-3.0-or-later
"""What is scored of notes: ends, velocities, those hard to hear, each folder for itself, and at several decisions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from bridge.cli.main import main
from bridge.evaluate import Counts, Score, pooled, score_notes
from bridge.evaluate.tables import show
from dsp.events import EVENT, NOTE_OFF, NOTE_ON
from dsp.units import RATE
from models.render import Tone, render

Row = tuple[float, float, int, float]


def heard(*rows: Row) -> np.ndarray:
    """Events of (start, end, note, velocity), each known 20 ms after it began."""
    events = np.zeros(2 * len(rows), EVENT)
    for k, (start, end, note, velocity) in enumerate(rows):
        on, off = events[2 * k : 2 * k + 2]
        on["id"], off["id"], off["ref"] = 2 * k + 1, 2 * k + 2, 2 * k + 1
        on["kind"], off["kind"], on["value"] = NOTE_ON, NOTE_OFF, velocity
        on["time"], off["time"] = round(start * RATE), round(end * RATE)
        events["number"][2 * k : 2 * k + 2] = note
    events["emitted"] = events["time"] + RATE // 50
    return events


def score(folder: Path, text: str, *rows: Row) -> Score:
    path = folder / "truth.txt"
    path.write_text(text)
    return score_notes(path, heard(*rows))


def test_velocities_are_compared_where_they_are_known(tmp_path: Path) -> None:
    starts = np.arange(8) * 0.5
    truth = "".join(f"{t} {t + 0.4} {60 + k} {40 + 10 * k}\n" for k, t in enumerate(starts))
    rows = [(float(t), float(t) + 0.4, 60 + k, (40 + 10 * k) / 254) for k, t in enumerate(starts)]
    exact = score(tmp_path, truth, *rows)
    assert exact.counts["notes with offset and velocity"] == Counts(8, 0, 0)  # a scale of its own is allowed
    assert exact.measures["velocity rank correlation"] == pytest.approx((1, 8))
    swapped = [(*row[:3], rows[7 - k][3]) for k, row in enumerate(rows)]
    wrong = score(tmp_path, truth, *swapped)
    assert wrong.measures["velocity rank correlation"] == pytest.approx((-1, 8))
    silent = score(tmp_path, "".join(f"{t} {t + 0.4} 60\n" for t in starts), *rows)
    assert "notes with offset and velocity" not in silent.counts
    assert not any("velocity" in name or "quiet" in name for name in silent.measures)


def test_what_is_hard_to_hear_has_a_recall_of_its_own(tmp_path: Path) -> None:
    truth = "0 .3 60 100\n.4 .7 60 50\n.8 1 60 59\n3 3.3 60 60\n3 3.3 64 20\n"
    found = score(tmp_path, truth, (0.0, 0.3, 60, 0.8), (0.81, 1.0, 60, 0.4), (3.0, 3.3, 64, 0.2))
    assert found.measures["recall of notes struck again"] == (0.5, 2)
    assert found.measures["recall of quiet notes"] == pytest.approx((2 / 3, 3))
    pool = pooled([found, score(tmp_path, "0 1 60 30\n")])
    assert pool["measures"]["recall of quiet notes"] == 0.5
    assert pool["scores"]["notes"]["missed"] == 3
    show({"task": "notes", "preset": "piano", "files": [{"name": "x", "seconds": 1.0, **pool}], **pool})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sets of short melodies."""
    for n, name in enumerate(("high/a", "high/b", "low/a", "low/b")):
        tones = [Tone(0.4 * k, 0.4 * k + 0.35, 57 + 5 * n + 2 * k, 0.8) for k in range(1, 5)]
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"{name}.wav", render(tones, 2.4), RATE)
        text = "".join(f"{t.time} {t.end} {t.note} {t.velocity}\n" for t in tones)
        (tmp_path / f"{name}.txt").write_text(text)
    return tmp_path


def test_each_folder_is_scored_for_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "notes", str(folder), "-p", "guitar", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["sets"]) == ["high", "low"]
    for key in ("hit", "extra", "missed"):
        every = sum(one["scores"]["notes"][key] for one in result["sets"].values())
        assert every == result["scores"]["notes"][key]
    assert result["scores"]["notes"]["hit"] > 8
    assert main(["evaluate", "notes", str(folder / "low"), "-p", "guitar"]) == 0
    assert "F by folder" not in capsys.readouterr().out


def test_notes_have_a_curve_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["evaluate", "notes", str(folder), "-p", "guitar", "--decisions", "30,60"]
    assert main([*argv, "--json"]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["curve"]
    assert [row["decision_ms"] for row in rows] == [30, 60]
    assert 0 < rows[0]["waited_ms"] <= 30 and 0 < rows[1]["waited_ms"] <= 60
    assert main(argv) == 0
    shown = capsys.readouterr().out
    assert "with offset" in shown and "high" in shown and "kick" not in shown
    assert main([*argv, "--picture", "x.svg"]) == 2
    assert "drums alone" in capsys.readouterr().err
