# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels, refinements, mistakes and velocities of drums, on answers worked out by hand."""

import json
import math
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest

from bridge.errors import EarwireError
from bridge.evaluate import known_drums, notes_read, pooled, score_drums
from bridge.evaluate.tables import show
from bridge.evaluate.truth import BESIDES, WORDS
from bridge.messages import labels_of, line
from bridge.preset import instruments
from dsp.events import DRUM, EVENT, LABEL_ROW, LABELS, REFINE
from dsp.units import RATE


def hits(
    *rows: tuple[float, str] | tuple[float, str, float], row_of: dict[str, int] = LABEL_ROW
) -> np.ndarray:
    """Drum events, known 10 ms later."""
    out = np.zeros(len(rows), EVENT)
    for n, (time, name, *velocity) in enumerate(rows):
        out[n]["id"], out[n]["kind"], out[n]["label"] = n + 1, DRUM, row_of[name]
        out[n]["time"], out[n]["value"] = round(time * RATE), velocity[0] if velocity else 0.5
    out["emitted"] = out["time"] + RATE // 100
    return out


def refines(heard: np.ndarray, **names: tuple[str, float]) -> np.ndarray:
    """The same, and refine events 50 ms after each hit named ``hN``."""
    out = np.zeros(len(names), EVENT)
    for n, (key, (name, velocity)) in enumerate(names.items()):
        of = heard[int(key[1:]) - 1]
        out[n]["id"], out[n]["ref"], out[n]["kind"] = 100 + n, of["id"], REFINE
        out[n]["time"], out[n]["emitted"] = of["time"], of["time"] + RATE // 20
        out[n]["label"], out[n]["value"] = LABEL_ROW[name], velocity
    return np.concatenate([heard, out])


def scored(tmp_path: Path, truth: str, said: np.ndarray) -> dict[str, Any]:
    path = tmp_path / "truth.txt"
    path.write_text(truth)
    return pooled([score_drums(path, said)])


def f_of(table: dict[str, Any]) -> dict[str, float]:
    return {name: one["f"] for name, one in table.items()}


def test_labels_are_scored_each_for_itself(tmp_path: Path) -> None:
    truth = "0.5 kick\n0.5 hat-closed\n1.0 hat-open\n1.5 hat-closed\n2.0 snare\n"
    said = hits((0.51, "kick"), (0.5, "hat-open"), (1.0, "hat-open"), (1.53, "hat-closed"), (3.0, "ride"))
    result = scored(tmp_path, truth, said)
    assert f_of(result["labels"]) == {
        "kick": 1.0,
        "snare": 0.0,
        "hat-closed": round(2 / 3, 4),
        "hat-open": round(2 / 3, 4),
        "ride": 0.0,
    }
    assert result["macro"] == round((1 + 0 + 2 / 3 + 2 / 3) / 4, 4)  # no ride was struck
    assert result["scores"]["hat"]["f"] == 1.0  # all are hats
    assert result["refined"] is None


def test_an_annotation_of_families_says_nothing_of_labels(tmp_path: Path) -> None:
    result = scored(tmp_path, "0.5 KD\n1.0 HH\n", hits((0.5, "kick"), (1.0, "hat-open")))
    assert result["labels"] is None and result["macro"] is None and result["confusion"]["labels"] is None
    assert result["confusion"]["families"] == {"kick": {"kick": 1}, "hat": {"hat": 1}}
    assert result["velocity"] is None


def test_macro_pools_only_the_files_that_name_labels(tmp_path: Path) -> None:
    told, family = tmp_path / "a.txt", tmp_path / "b.txt"
    told.write_text("0.5 ride\n")
    family.write_text("0.5 CY\n")
    said = hits((0.5, "crash"))
    result = pooled([score_drums(told, said), score_drums(family, said)])
    assert result["scores"]["cymbal"]["hit"] == 2
    assert f_of(result["labels"]) == {"crash": 0.0, "ride": 0.0} and result["macro"] == 0
    assert result["confusion"] == {
        "families": {"cymbal": {"cymbal": 2}},
        "labels": {"ride": {"crash": 1}},
    }


def test_refinements_change_names_and_velocities_but_no_time(tmp_path: Path) -> None:
    truth = "0.5 hat-open 0.8\n1.0 crash 0.6\n1.5 snare-side 0.3\n"
    heard = hits((0.5, "hat-closed", 0.4), (1.0, "crash", 0.6), (1.5, "hat-closed", 0.3))
    said = refines(heard, h1=("hat-open", 0.7), h3=("snare-side", 0.35))
    result = scored(tmp_path, truth, said)
    assert result["macro"] == round(1 / 3, 4) and result["scores"]["micro of five"]["hit"] == 2
    refined = result["refined"]
    assert refined["macro"] == 1 and refined["scores"]["micro of five"]["f"] == 1
    assert result["velocity"]["error"] == 0.2 and refined["velocity"]["error"] == 0.05
    assert result["waited_ms"] == 10 and refined["waited_ms"] == 50
    assert result["delay_ms"] == {"p10": 10.0, "median": 10.0, "p90": 10.0, "max": 10.0, "n": 2}
    assert refined["confusion"]["labels"] == {name: {name: 1} for name in refined["confusion"]["labels"]}
    # One that speaks of no hit, or names none, changes nothing.
    stray = refines(heard, h1=("ride", 0.9), h2=("ride", 0.9))
    stray["ref"][-2], stray["label"][-1] = 77, -1
    assert scored(tmp_path, truth, stray)["refined"]["labels"] == result["labels"]


def test_the_confusion_pairs_what_agrees_before_what_does_not(tmp_path: Path) -> None:
    truth = "0.5 kick\n0.51 hat-closed\n1.0 hat-open\n1.5 tom-low\n2.0 crash\n2.5 snare\n"
    said = hits((0.505, "hat-closed"), (0.515, "snare"), (1.0, "ride"), (1.01, "hat-pedal"), (1.5, "tom-low"))
    confusion = scored(tmp_path, truth, said)["confusion"]
    assert confusion["labels"] == {
        "kick": {"snare": 1},
        "snare": {"missed": 1},
        "hat-closed": {"hat-closed": 1},
        "hat-open": {"hat-pedal": 1},  # a hat, however near the ride is
        "tom-low": {"tom-low": 1},
        "crash": {"missed": 1},
        "extra": {"ride": 1},
    }
    assert confusion["families"]["hat"] == {"hat": 2} and confusion["families"]["cymbal"] == {"missed": 1}
    struck = sum(n for name, row in confusion["labels"].items() if name != "extra" for n in row.values())
    assert struck == 6


def test_a_side_stick_is_no_snare_but_has_a_label(tmp_path: Path) -> None:
    result = scored(tmp_path, "0.5 SST\n1.0 SD\n", hits((0.5, "snare-side"), (1.0, "snare")))
    assert (result["scores"]["snare"]["hit"], result["scores"]["snare"]["extra"]) == (1, 0)
    assert f_of(result["labels"]) == {"snare": 1.0, "snare-side": 1.0}
    wrong = scored(tmp_path, "0.5 SST\n1.0 SD\n", hits((0.5, "snare"), (0.51, "kick"), (1.0, "snare")))
    assert wrong["confusion"]["labels"]["snare-side"] == {"snare": 1}


def test_velocity_is_ranked_over_all_and_within_each_drum(tmp_path: Path) -> None:
    played = np.linspace(0.1, 1, 10)
    rows = [(n + 0.5, "kick", v) for n, v in enumerate(played)]
    rows += [(n + 20.5, "snare", v) for n, v in enumerate(played)]
    truth = "time,label,velocity\n" + "".join(f"{t},{name},{round(127 * v)}\n" for t, name, v in rows)
    said = hits(*((t, name, v**2 if name == "kick" else 1 - v) for t, name, v in rows))
    velocity = scored(tmp_path, truth, said)["velocity"]
    assert velocity["labels"]["kick"]["spearman"] == 1 and velocity["labels"]["snare"]["spearman"] == -1
    assert velocity["within"] == 0 and abs(velocity["spearman"]) < 0.5 and velocity["n"] == 20
    expected = [abs(v**2 - v) for v in played] + [abs(1 - 2 * v) for v in played]
    assert abs(velocity["error"] - np.median(expected)) < 0.005
    alike = scored(tmp_path, truth, hits(*((t, name, 0.5) for t, name, _ in rows)))["velocity"]
    assert alike["spearman"] is None and alike["within"] is None
    json.dumps(alike, allow_nan=False)


def test_a_third_column_is_a_velocity_only_if_it_can_be(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    for text, expected in (
        ("0.5 kick 0.25\n1 snare\n", [0.25, math.nan]),
        ("0.5 kick 127\n1 snare 1\n", [1, 1 / 127]),
        ("0.5 kick 300\n1 snare 1\n", [math.nan, math.nan]),
        ("0.5 kick loud\n1 snare 0.5\n", [math.nan, 0.5]),
    ):
        path.write_text(text)
        np.testing.assert_array_equal([hit.velocity for hit in known_drums(path)], expected)


def midi(path: Path, *notes: tuple[float, int, int, int]) -> Path:
    """A file of (time, note, velocity, channel), struck and let go 50 ms later."""
    events = [(t, mido.Message("note_on", note=n, velocity=v, channel=c)) for t, n, v, c in notes]
    events += [(t + 0.05, mido.Message("note_off", note=n, channel=c)) for t, n, _, c in notes]
    file, track, now = mido.MidiFile(ticks_per_beat=500), mido.MidiTrack(), 0
    for time, message in sorted(events, key=lambda event: event[0]):
        ticks = round(time * 1000)  # 120 bpm
        track.append(message.copy(time=ticks - now))
        now = ticks
    file.tracks.append(track)
    file.save(path)
    return path


def test_midi_files_say_which_drum_and_how_hard(tmp_path: Path) -> None:
    path = midi(tmp_path / "x.mid", (0.5, 35, 127, 9), (1.0, 46, 64, 9), (1.2, 3, 9, 9), (1.5, 60, 90, 0))
    known = known_drums(path)
    assert [(hit.time, hit.label) for hit in known] == [(0.5, "kick"), (1.0, "hat-open"), (1.2, "other")]
    assert known[0].velocity == 1 and abs(known[1].velocity - 0.5) < 0.01
    alone = midi(tmp_path / "y.mid", (0.5, 36, 100, 0), (1.0, 22, 100, 0), (1.5, 55, 100, 0))
    assert [hit.label for hit in known_drums(alone)] == ["kick", "other", "splash"]
    read = known_drums(alone, notes=notes_read("v-drums"))
    assert [hit.label for hit in read] == ["kick", "hat-closed", "crash"]


def test_a_note_that_never_ends_was_struck(tmp_path: Path) -> None:
    file = mido.MidiFile()
    file.tracks.append(mido.MidiTrack([mido.Message("note_on", note=38, velocity=80, channel=9)]))
    file.save(tmp_path / "x.mid")
    assert [hit.label for hit in known_drums(tmp_path / "x.mid")] == ["snare"]


def test_every_word_and_note_means_a_drum() -> None:
    names = {label.name: label.family for label in LABELS} | {"other": "other", "": ""}
    assert all(label in names for _, label in WORDS.values())
    assert all(family == names[label] for family, label in WORDS.values() if label not in ("", "snare-side"))
    assert set(BESIDES) <= set(instruments())
    for instrument in instruments():
        assert set(notes_read(instrument).values()) <= set(names)
        assert set(notes_read(instrument)) <= set(range(128))


def test_a_corrected_take_is_an_annotation(tmp_path: Path) -> None:
    take = refines(hits((0.5, "kick"), (1.0, "ride")), h2=("crash", 0.9))
    path = tmp_path / "x.jsonl"
    path.write_text("".join(line(event) + "\n" for event in take))
    assert [(hit.time, hit.label) for hit in known_drums(path)] == [(0.5, "kick"), (1.0, "crash")]


def test_pads_of_a_kit_are_labels(tmp_path: Path) -> None:
    labels = labels_of({"table": 71, "snare-2": 72})
    rows = {label.name: row for row, label in enumerate(labels)}
    path = tmp_path / "x.txt"
    path.write_text("0.5 table\n1.0 snare-2\n1.5 cup\n")
    said = hits((0.5, "table"), (1.0, "snare-2"), row_of=rows)
    result = pooled([score_drums(path, said, labels)])
    assert f_of(result["labels"]) == {"snare-2": 1.0, "table": 1.0} and result["macro"] == 1
    assert result["scores"]["snare"]["hit"] == 1
    assert result["confusion"]["labels"]["other"] == {"missed": 1}


@pytest.mark.parametrize("time", ("inf", "-inf", "1e999"))
def test_a_time_must_be_one(tmp_path: Path, time: str) -> None:
    with pytest.raises(EarwireError, match=r"truth\.txt: line 1"):
        scored(tmp_path, f"{time} kick\n", hits())


def test_tables_tell_a_person_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = "".join(f"{n + 0.5} {('ride', 'hat-open')[n % 2]} {0.1 + 0.08 * n:.2f}\n" for n in range(10))
    heard = hits(*((n + 0.5, "hat-open" if n < 9 else "ride", 0.1 * n) for n in range(10)))
    result = scored(tmp_path, truth, refines(heard, h1=("ride", 0.1)))
    files = [{"name": "x", "seconds": 11.0, **result}]
    sound = {"gain_db": -40.0, "lowpass_hz": 6000.0, "noise_dbfs": -45.0}
    whole = {"task": "drums", "preset": "drums", "sound": sound, "files": files, **result}
    show(whole)
    shown = capsys.readouterr().out
    assert "refined F" in shown and "ride as hat-open 5" in shown and "hat-open as ride 1" in shown
    assert f"macro F of 2 labels: {result['macro']:.3f}, refined {result['refined']['macro']:.3f}" in shown
    assert "velocity of 4 hits: median error" in shown and "no refinement longer than 50.0 ms" in shown
    assert "1 file, 11 s, preset drums, -40 dB, below 6000 Hz, noise at -45 dBFS" in shown
    show(whole, confusion=True)
    lines = [row.split() for row in capsys.readouterr().out.splitlines()]
    assert ["struck", "\\", "said", "hat-open", "ride", "missed"] in lines
    assert ["hat-open", "4", "1"] in lines and ["ride", "5"] in lines
