# SPDX-License-Identifier: GPL-3.0-or-later
"""Lessons: strokes heard, cut, learned, and what is said of the kit they make."""

import json

import numpy as np
import pytest
import soundfile

from bridge.errors import KitError
from bridge.kit import cutting, learning, pages, report
from bridge.kit.lesson import Lesson, LessonSink, LessonView
from bridge.preset import load
from bridge.run import Meters
from dsp.events import DRUM, EVENT, LABEL_ROW, LABELS, ONSET
from dsp.timbre import TIMBRE
from dsp.units import RATE
from models.kit import Kit
from tests.kits import ALL, SIZE, axis, home, made, one_ear

__all__ = ["home", "one_ear"]  # fixtures


def test_a_lesson_asks_for_pad_after_pad():
    lesson = Lesson(["kick", "snare"], wanted=3, breath=1000)
    for time in (0, 10_000, 20_000):
        assert lesson.asked == "kick" and lesson.stroke(time, 0.5)
    assert lesson.asked == "snare" and not lesson.stroke(20_500, 0.9)  # still the kick, ringing
    assert lesson.stroke(30_000, 0.3) and not lesson.stroke(30_500, 0.8) and not lesson.stroke(31_000, 0.1)
    assert lesson.struck["snare"] == [(30_500, 0.8)]  # a scrape and an echo are no strokes
    lesson.redo()
    assert lesson.struck["snare"] == [] and lesson.asked == "snare"
    lesson.redo()
    assert lesson.asked == "kick" and lesson.struck["kick"] == []
    lesson.skip()
    assert lesson.asked == "snare"
    lesson.finish()
    assert lesson.asked is None and not lesson.stroke(90_000, 1)
    lesson.redo()
    assert lesson.asked == "snare"


def test_a_lesson_cuts_its_strokes_out_of_what_it_heard():
    lesson, ended = Lesson(["kick", "table"], wanted=3, breath=0), []
    sink = LessonSink(lesson, lambda: ended.append(True))
    sound = np.zeros(8 * RATE, np.float32)
    times = [RATE // 2 + k * RATE for k in range(6)]
    sound[times] = 1
    for k, time in enumerate(times):
        event = np.zeros(1, EVENT)
        event["kind"], event["time"], event["value"] = ONSET, time, 0.5
        sink.sound(sound[k * RATE : (k + 1) * RATE])
        sink.write(event)
    assert not ended
    sink.sound(sound[6 * RATE :])
    assert ended
    cut = lesson.strokes()
    assert {pad: len(taken) for pad, taken in cut.items()} == {"kick": 3, "table": 3}
    for taken in cut.values():
        for stroke in taken:
            assert stroke.sound[stroke.at] == 1 and np.abs(stroke.sound).sum() == 1


def test_too_few_strokes_are_no_pad():
    lesson = Lesson(["kick"], wanted=5)
    lesson.sound(np.zeros(RATE, np.float32))
    lesson.stroke(100, 0.5)
    assert lesson.strokes() == {}


def test_the_lesson_is_shown(monkeypatch):
    monkeypatch.setattr(LessonView, "__init__", lambda self, *_: None)
    view = LessonView(None, None)
    view._lesson, view._meters = Lesson(["kick", "snare"], wanted=4), Meters(level_db=-20)
    view._keys = type("NoKeys", (), {"there": True})
    for time in range(3):
        view._lesson.stroke(time * RATE, (time + 1) / 3)
    lines = view.picture().plain.splitlines()
    assert "► kick" in lines[0] and "▃▆█" in lines[0] and "heard 3 of 4" in lines[0]
    assert any("strike kick" in line for line in lines) and any("-20.0 dBFS" in line for line in lines)
    view._press("s")
    assert "► snare" in view.picture().plain


def onsets(*rows):
    events = np.zeros(len(rows), EVENT)
    events["kind"] = ONSET
    for event, (time, velocity) in zip(events, rows, strict=True):
        event["time"], event["value"] = time, velocity
    return events


def test_echoes_and_whispers_are_no_strokes():
    rows = [(0, 0.9), (2000, 0.5), (48_000, 0.3), (49_000, 0.8), (90_000, 0.1), (96_000, 0.2)]
    assert cutting.distinct(onsets(*rows)) == [0, 49_000, 96_000]
    assert cutting.distinct(onsets()) == []


def test_practice_says_when_each_pad_is_struck():
    def one(level):
        sound = np.zeros(6000, np.float32)
        sound[240:] = level
        return cutting.Stroke(sound, 240)

    sound, struck = learning.practice({"a": [one(0.5)] * 3, "b": [one(0.1)] * 2}, rounds=3)
    assert len(struck) == 15 and {pad for _, pad in struck} == {"a", "b"}
    assert [pad for _, pad in struck[:5]] == ["a", "a", "a", "b", "b"]
    assert np.all(np.diff([time for time, _ in struck]) > 0.1 * RATE)
    for time, _ in struck:
        assert abs(sound[time] - sound[time - 1]) > 0.03  # it begins exactly there
    again, _ = learning.practice({"a": [one(0.5)] * 3, "b": [one(0.1)] * 2}, rounds=3)
    assert np.array_equal(sound, again) and np.abs(sound).max() <= 1


def test_a_folder_holds_a_file_or_a_folder_for_each_pad(tmp_path):
    for name in ("kick.wav", "my table/1.flac", "my table/deep/2.wav", "notes.txt", ".hidden/x.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = cutting.pads_in(tmp_path)
    assert {pad: len(files) for pad, files in found.items()} == {"kick": 1, "my-table": 2}
    with pytest.raises(KitError, match="holds no sound"):
        cutting.pads_in(empty(tmp_path))
    with pytest.raises(KitError, match="no such folder"):
        cutting.pads_in(tmp_path / "nowhere")


def empty(tmp_path):
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_hits_are_compared_with_strokes():
    pages.save(made())
    preset = load("drums", ["drums.kit=mine"])
    events = np.zeros(4, EVENT)
    events["kind"] = DRUM
    events["time"], events["label"] = [0, 10_010, 20_000, 90_000], [0, 0, len(LABELS), len(LABELS)]
    struck = [(5, "kick"), (10_000, "table"), (20_000, "table"), (30_000, "kick")]
    told = report.compared(struck, cutting.Heard(np.zeros(0), events, {}), preset)
    assert told["confusion"] == {"kick": {"kick": 1, "nothing": 1}, "table": {"kick": 1, "table": 1}}
    assert (told["strokes"], told["heard"], told["extra"], told["right"]) == (4, 3, 1, 2)
    assert told["pads"]["kick"] == {"f": 0.5, "precision": 0.5, "recall": 0.5}
    assert told["pads"]["table"] == {"f": 0.5, "precision": 0.5, "recall": 0.5}


def test_strokes_are_added_and_learned_anew(one_ear):
    kit = learning.add_strokes(
        learning.begun("mine", load("drums")), {"kick": np.ones((2, SIZE)), "table": np.zeros((3, SIZE))}
    )
    pages.save(kit)
    kit = learning.add_strokes(
        learning.begun("mine", load("drums")), {"kick": np.ones((4, SIZE)), "clap": np.ones((1, SIZE))}
    )
    assert [pad.name for pad in kit.pads] == ["kick", "table", "clap"] and kit.counts() == [4, 3, 1]
    assert learning.begun("mine", load("drums", ["drums.decision_ms=25"])).pads == ()
    with pytest.raises(KitError, match="could not be made out"):
        learning.add_strokes(kit, {"kick": np.zeros((0, SIZE))})


def test_a_kit_is_reported_and_exported(tmp_path):
    kit = made(pads=("kick", "table", "snare"), each=5).with_strokes(
        1, np.pad(axis(1), (0, TIMBRE))[None], taken_for=LABEL_ROW["snare"]
    )
    told = json.loads(json.dumps(report.report(kit)))
    assert told["right"] == told["macro_f"] == 1
    assert told["pads"][1] == {"name": "table", "note": 71, "strokes": 6, "corrected": 1, "right": 1.0}
    assert told["confusion"] == {"kick": {"kick": 5}, "table": {"table": 6}, "snare": {"snare": 5}}
    assert report.report(Kit("new"))["right"] is None
    assert report.export(kit, tmp_path / "x.npz") == 16
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert file["strokes"].shape == (16, ALL) and list(file["labels"][4:7]) == [
            "kick",
            "table",
            "table",
        ]
        assert list(file["taken_for"][-2:]) == ["", "snare"] and str(file["ear"]) == "this-ear"
    with pytest.raises(KitError, match="cannot be written"):
        report.export(kit, tmp_path / "none" / "x.npz")


def test_sound_files_are_cut_into_strokes(tmp_path):
    from models.render import Stroke, render

    sound = render([Stroke(0.3 + 0.6 * k, "snare", 0.4 + 0.1 * k) for k in range(5)], 3.6)
    soundfile.write(tmp_path / "snare.wav", sound, RATE)
    cut = cutting.strokes_in(tmp_path / "snare.wav", load("drums"))
    assert len(cut) == 5
    peaks = [np.abs(stroke.sound).max() for stroke in cut]
    assert peaks == sorted(peaks)
    for stroke in cut:
        assert (
            np.abs(stroke.sound[: max(0, stroke.at - 60)]).max(initial=0) < 0.02 * np.abs(stroke.sound).max()
        )
    soundfile.write(tmp_path / "still.wav", np.zeros(RATE), RATE)
    assert cutting.strokes_in(tmp_path / "still.wav", load("drums")) == []
