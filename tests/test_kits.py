# SPDX-License-Identifier: GPL-3.0-or-later
"""Kits: learned from sound, kept, read again, put right while it listens."""

import json
import os
import socket
import sys
import tomllib
from dataclasses import replace
from queue import SimpleQueue
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from pythonosc.osc_message import OscMessage

from bridge import kits, lessons, strokes, teaching
from bridge.cli import main as cli
from bridge.errors import KitError, PresetError
from bridge.keys import Keys
from bridge.lesson import Lesson, LessonSink, LessonView
from bridge.messages import family_of, labels_of
from bridge.preset import instruments, load, notes_of
from bridge.run import Meters
from bridge.sinks.osc import OscSink
from bridge.teaching import Ear, Teacher
from bridge.view import LiveView
from dsp.events import DRUM, EVENT, LABEL_ROW, LABELS, ONSET
from dsp.pads import pads_keep, pads_kit, pads_name, pads_rename, pads_state
from dsp.timbre import TIMBRE
from dsp.units import RATE
from models.kit import Kit, Prior

SIZE = 16  # of an embedding
ALL = SIZE + TIMBRE
PRIOR = Prior(np.eye(SIZE), np.zeros((len(LABELS), SIZE)))
EAR = Ear("this-ear", PRIOR, (np.eye(2, SIZE), np.array([0.5, 0.25])))


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """A configuration folder of the test's own."""
    monkeypatch.setattr(kits, "user_config_path", lambda name: tmp_path / "config" / name)
    return tmp_path / "config" / "earwire" / "kits"


@pytest.fixture
def one_ear(monkeypatch):
    monkeypatch.setattr(teaching, "ear", lambda: EAR)
    monkeypatch.setattr(lessons, "ear", lambda: EAR)


def made(name="mine", pads=("kick", "table"), each=4):
    """A kit whose pads lie along the axes."""
    kit = Kit(name, ear="this-ear")
    for k, pad in enumerate(pads):
        e = np.zeros((each, ALL), np.float32)
        e[:, k] = 5
        kit = kit.with_pad(kits.new_pad(kit, pad)).with_strokes(k, e)
    return kit


# Instruments.


def test_every_instrument_has_a_note_for_every_label():
    assert instruments()[0] == "gm" and len(instruments()) > 6
    for name in instruments():
        notes = notes_of(name)
        assert list(notes) == [label.name for label in LABELS], name
        assert all(0 <= note <= 127 for note in notes.values()), name
        # What a drummer must not find swapped.
        assert notes["kick"] == 36 and notes["snare"] == 38, name
        assert (
            len({notes[label] for label in ("kick", "snare", "hat-closed", "hat-open", "crash", "ride")}) == 6
        )
        assert len({notes[f"tom-{height}"] for height in ("low", "mid", "high")}) == 3, name
    assert notes_of("gm") == {label.name: label.note for label in LABELS}


def test_an_instrument_gives_the_notes_and_the_map_has_the_last_word():
    preset = load("drums", ["drums.instrument=addictive-drums", "drums.map.crash=79"])
    assert (preset.drum_notes["hat-closed"], preset.drum_notes["crash"]) == (49, 79)
    assert load("drums").drum_notes == notes_of("gm")
    with pytest.raises(PresetError, match="gm or "):
        load("drums", ["drums.instrument=nonsense"])


# On disk.


def test_a_kit_is_kept_as_a_page_and_its_numbers(home):
    kit = made().with_strokes(1, np.ones((1, ALL)), taken_for=0)
    path = kits.save(kit)
    assert path == home / "mine.toml" and sorted(p.name for p in home.iterdir()) == ["mine.npz", "mine.toml"]
    page = tomllib.loads(path.read_text("utf-8"))
    assert [(pad["name"], pad.get("note"), pad["strokes"]) for pad in page["pads"]] == [
        ("kick", None, 4),
        ("table", kits.NOTES[0], 5),
    ]
    again = kits.load("mine")
    assert replace(again, strokes=0, pad_of=0, taken_for=0) == replace(kit, strokes=0, pad_of=0, taken_for=0)
    for field in ("strokes", "pad_of", "taken_for"):
        assert np.array_equal(getattr(again, field), getattr(kit, field)), field
    assert kits.names() == ["mine"]
    kits.remove("mine")
    assert kits.names() == [] and list(home.iterdir()) == []


PAGES = [
    ("pads = 3", "pads is no list"),
    ('[[pads]]\nname = "a b"', "a pad has no name"),
    ("[[pads]]\nnote = 3", "a pad has no name"),
    ('[[pads]]\nname = "a"\nnote = 128', "note of a is not within"),
    ('[[pads]]\nname = "a"\nnote = true', "note of a is not within"),
    ('[[pads]]\nname = "a"\n[[pads]]\nname = "a"', "two pads have one name"),
    ("decision_ms = -1", "decision_ms is no time"),
    ('corrections = true\n[[pads]]\nname = "table"', "no label"),
    ("pads = ", "is not TOML"),
    ("x = " + "1" * 70_000, "too long"),
    ("pads = [" + ",".join(f"{{name='p{k}'}}" for k in range(40)) + "]", "at most 32"),
    ("a = " + "[" * 5000, "is not TOML"),
]


@pytest.mark.parametrize("page, why", PAGES, ids=[why for _, why in PAGES])
def test_a_page_that_makes_no_sense_is_refused(home, page, why):
    kits.save(made())
    (home / "mine.toml").write_text(page)
    with pytest.raises(KitError, match=why) as refused:
        kits.load("mine")
    assert "mine.toml" in str(refused.value) and refused.value.hint


def arrays(**changed):
    good = {
        "strokes": np.zeros((3, SIZE), np.float32),
        "pad_of": np.zeros(3, np.int16),
        "taken_for": np.full(3, -1, np.int16),
    }
    return {name: array for name, array in (good | changed).items() if array is not None}


ARRAYS = [
    {"strokes": None},
    {"strokes": np.zeros((3, SIZE))},
    {"strokes": np.zeros((2, SIZE), np.float32)},
    {"strokes": np.full((3, SIZE), np.nan, np.float32)},
    {"strokes": np.zeros(3, np.float32)},
    {"pad_of": np.full(3, 2, np.int16)},
    {"pad_of": np.full(3, -1, np.int16)},
    {"pad_of": np.zeros(3, np.float32)},
    {"taken_for": np.full(3, -2, np.int16)},
    {"strokes": np.array([{}, {}, {}], object)},
    {"extra": np.zeros(10_000_000, np.float32)},
]


@pytest.mark.parametrize("changed", ARRAYS, ids=str)
def test_strokes_that_make_no_sense_are_refused(home, changed):
    kits.save(made())
    np.savez_compressed(home / "mine.npz", **arrays(**changed))
    with pytest.raises(KitError, match=r"mine\.npz"):
        kits.load("mine")


def test_what_is_no_archive_is_refused(home):
    kits.save(made())
    for data in (b"", b"PK\x03\x04", os.urandom(500)):
        (home / "mine.npz").write_bytes(data)
        with pytest.raises(KitError, match=r"mine\.npz"):
            kits.load("mine")
    (home / "mine.npz").unlink()
    with pytest.raises(KitError, match=r"mine\.npz"):
        kits.load("mine")


def test_names_stay_in_their_folder():
    for name in ("../mine", "a/b", "", ".", "a b", "x" * 41, "-o", "é"):
        with pytest.raises(KitError, match="cannot be the name"):
            kits.load(name)
    kits.save(made())
    with pytest.raises(KitError, match="did you mean mine"):
        kits.load("Mina")


def test_a_preset_knows_the_pads_of_its_kit(home):
    kits.save(made(pads=("table", "kick", "clap-2")))
    preset = load("drums", ["drums.kit=mine", "drums.map.table=99"])
    assert preset.drum_notes["table"] == 99 and preset.drum_notes["kick"] == 36
    labels = labels_of(preset.drum_notes)
    assert [label.name for label in labels[len(LABELS) :]] == ["table", "clap-2"]
    assert [label.family for label in labels[len(LABELS) :]] == ["other", "other"]
    with pytest.raises(PresetError, match="no kit is called 'other'"):
        load("drums", ["drums.kit=other"])
    with pytest.raises(PresetError, match="no such drum label"):
        load("drums", ["drums.map.table=99"])


def test_a_pad_is_of_the_family_it_is_named_after():
    said = {"snare-2": "snare", "tom-floor": "tom", "hat-closed-edge": "hat", "crash-left": "cymbal"}
    said |= {"table": "other", "clap-2": "other", "kick": "kick", "ride-bell": "cymbal", "cymbal": "cymbal"}
    assert {name: family_of(name) for name in said} == said


# While it listens.


def hit(id, label, ref=1):
    event = np.zeros(1, EVENT)
    event["id"], event["ref"], event["kind"], event["label"] = id, ref, DRUM, label
    return event[0]


def axis(k, size=5.0):
    e = np.zeros(SIZE, np.float32)
    e[k] = size
    return e


def test_a_hit_put_right_is_learned_kept_and_undone():
    kits.save(made())
    pads = pads_state(SIZE)
    teacher = Teacher(pads, load("drums", ["drums.kit=mine"]), EAR)
    kick, table = LABEL_ROW["kick"], len(LABELS)
    odd = axis(0, 3) + axis(1, 2)
    assert pads_kit(pads) and pads_name(pads, odd)[0] == kick
    pads_keep(pads, 7, kick, odd)
    put = teacher.correct(hit(7, kick), "table")
    assert put == (table, "the last hit was a table; learned, and kept with kit mine")
    assert pads_name(pads, odd)[0] == table and pads_name(pads, axis(0))[0] == kick
    assert kits.load("mine").counts() == [4, 5]
    event, told = teacher.undo()
    assert event["id"] == 7 and event["label"] == kick and "undone" in told
    assert pads_name(pads, odd)[0] == kick and kits.load("mine").counts() == [4, 4]
    assert teacher.undo() == (None, "nothing to undo")


def test_the_second_word_on_a_hit_replaces_the_first():
    kits.save(made(pads=("kick", "table", "clap")))
    pads = pads_state(SIZE)
    teacher = Teacher(pads, load("drums", ["drums.kit=mine"]), EAR)
    pads_keep(pads, 7, 0, axis(3))
    teacher.correct(hit(7, 0), "table")
    teacher.correct(hit(7, 0), "clap")
    assert kits.load("mine").counts() == [4, 4, 5]
    teacher.undo()
    assert kits.load("mine").counts() == [4, 4, 4]


def test_a_drum_the_kit_does_not_have_is_refused_by_name():
    kits.save(made())
    teacher = Teacher(pads_state(SIZE), load("drums", ["drums.kit=mine"]), EAR)
    assert teacher.names() == ["kick", "table"]
    put = teacher.correct(hit(7, 0), "snare")
    assert put.label == -1 and "no drum called 'snare' in kit mine; there are kick, table" in put.told


def test_without_a_kit_corrections_make_one():
    pads = pads_state(SIZE)
    teacher = Teacher(pads, load("drums"), EAR)
    snare, kick = LABEL_ROW["snare"], LABEL_ROW["kick"]
    pads_keep(pads, 9, snare, axis(2))
    put = teacher.correct(hit(9, snare), "kick")
    assert put.label == kick and "drums.kit = corrections keeps it" in put.told
    assert not pads_kit(pads)
    assert pads_rename(pads, axis(2), snare) == kick and pads_rename(pads, axis(3), snare) == snare
    # The next time, where the preset names it.
    later = pads_state(SIZE)
    preset = load("drums", ["drums.kit=corrections"])
    assert preset.drum_notes == load("drums").drum_notes
    again = Teacher(later, preset, EAR)
    assert pads_rename(later, axis(2), snare) == kick and len(again.names()) == len(LABELS)
    # And where it does not: they are added to, not lost.
    third = Teacher(pads_state(SIZE), load("drums"), EAR)
    assert third.kit is None
    pads_keep(third._pads, 3, snare, axis(4))
    third.correct(hit(3, snare), "kick")
    assert len(kits.load("corrections").strokes) == 2


def test_an_ear_that_cannot_be_taught_still_puts_right():
    put = Teacher(None, load("drums"), EAR).correct(hit(3, 0), "snare")
    assert put == (LABEL_ROW["snare"], "the last hit was a snare; nothing could be learned from it")
    pads = pads_state(SIZE)
    pads_keep(pads, 3, 0, axis(1))
    told = Teacher(pads, load("drums"), Ear("", None, None)).correct(hit(3, 0), "snare").told
    assert "kept in kit corrections for training" in told


def test_a_kit_of_another_ear_is_refused():
    kits.save(replace(made(), ear="another"))
    with pytest.raises(KitError, match="learned by another ear"):
        Teacher(pads_state(SIZE), load("drums", ["drums.kit=mine"]), EAR)
    kits.save(made())
    with pytest.raises(KitError, match="learned by another ear"):
        Teacher(pads_state(SIZE + 1), load("drums", ["drums.kit=mine"]), EAR)
    with pytest.raises(KitError, match="cannot be taught"):
        Teacher(None, load("drums", ["drums.kit=mine"]), EAR)


def test_a_reload_changes_the_kit_and_keeps_what_was_put_right():
    kits.save(made())
    pads = pads_state(SIZE)
    teacher = Teacher(pads, load("drums"), EAR)
    pads_keep(pads, 9, 1, axis(2))
    teacher.correct(hit(9, 1), "kick")
    teacher.use(load("drums", ["drums.sensitivity=0.6"]))
    assert pads_rename(pads, axis(2), 1) == 0
    told = teacher.use(load("drums", ["drums.kit=mine", "drums.decision_ms=25"]))
    assert pads_kit(pads) and "learned at 12 ms and is used at 25 ms" in told
    assert teacher.use(load("drums")) == "" and not pads_kit(pads)


def test_the_place_of_a_sound_is_within_the_square():
    pads = pads_state(SIZE)
    teacher = Teacher(pads, load("drums"), EAR)
    pads_keep(pads, 1, 0, axis(0, 0.25))
    pads_keep(pads, 2, 0, axis(1, -9))
    assert teacher.place(1) == (0.75, 0.25) and teacher.place(2) == (0.5, 0.0)
    assert teacher.place(3) is None
    assert Teacher(pads, load("drums"), Ear("", None, None)).place(1) is None


# Lessons.


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


# Strokes.


def onsets(*rows):
    events = np.zeros(len(rows), EVENT)
    events["kind"] = ONSET
    for event, (time, velocity) in zip(events, rows, strict=True):
        event["time"], event["value"] = time, velocity
    return events


def test_echoes_and_whispers_are_no_strokes():
    rows = [(0, 0.9), (2000, 0.5), (48_000, 0.3), (49_000, 0.8), (90_000, 0.1), (96_000, 0.2)]
    assert strokes.distinct(onsets(*rows)) == [0, 49_000, 96_000]
    assert strokes.distinct(onsets()) == []


def test_practice_says_when_each_pad_is_struck():
    def one(level):
        sound = np.zeros(6000, np.float32)
        sound[240:] = level
        return strokes.Stroke(sound, 240)

    sound, struck = strokes.practice({"a": [one(0.5)] * 3, "b": [one(0.1)] * 2}, rounds=3)
    assert len(struck) == 15 and {pad for _, pad in struck} == {"a", "b"}
    assert [pad for _, pad in struck[:5]] == ["a", "a", "a", "b", "b"]
    assert np.all(np.diff([time for time, _ in struck]) > 0.1 * RATE)
    for time, _ in struck:
        assert abs(sound[time] - sound[time - 1]) > 0.03  # it begins exactly there
    again, _ = strokes.practice({"a": [one(0.5)] * 3, "b": [one(0.1)] * 2}, rounds=3)
    assert np.array_equal(sound, again) and np.abs(sound).max() <= 1


def test_a_folder_holds_a_file_or_a_folder_for_each_pad(tmp_path):
    for name in ("kick.wav", "my table/1.flac", "my table/deep/2.wav", "notes.txt", ".hidden/x.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = strokes.pads_in(tmp_path)
    assert {pad: len(files) for pad, files in found.items()} == {"kick": 1, "my-table": 2}
    with pytest.raises(KitError, match="holds no sound"):
        strokes.pads_in(empty(tmp_path))
    with pytest.raises(KitError, match="no such folder"):
        strokes.pads_in(tmp_path / "nowhere")


def empty(tmp_path):
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_hits_are_compared_with_strokes():
    kits.save(made())
    preset = load("drums", ["drums.kit=mine"])
    events = np.zeros(4, EVENT)
    events["kind"] = DRUM
    events["time"], events["label"] = [0, 10_010, 20_000, 90_000], [0, 0, len(LABELS), len(LABELS)]
    struck = [(5, "kick"), (10_000, "table"), (20_000, "table"), (30_000, "kick")]
    told = lessons.compared(struck, strokes.Heard(np.zeros(0), events, {}), preset)
    assert told["confusion"] == {"kick": {"kick": 1, "nothing": 1}, "table": {"kick": 1, "table": 1}}
    assert (told["strokes"], told["heard"], told["extra"], told["right"]) == (4, 3, 1, 2)
    assert told["pads"]["kick"] == {"f": 0.5, "precision": 0.5, "recall": 0.5}
    assert told["pads"]["table"] == {"f": 0.5, "precision": 0.5, "recall": 0.5}


def test_strokes_are_added_and_learned_anew(one_ear):
    kit = lessons.add_strokes(
        lessons.begun("mine", load("drums")), {"kick": np.ones((2, SIZE)), "table": np.zeros((3, SIZE))}
    )
    kits.save(kit)
    kit = lessons.add_strokes(
        lessons.begun("mine", load("drums")), {"kick": np.ones((4, SIZE)), "clap": np.ones((1, SIZE))}
    )
    assert [pad.name for pad in kit.pads] == ["kick", "table", "clap"] and kit.counts() == [4, 3, 1]
    assert lessons.begun("mine", load("drums", ["drums.decision_ms=25"])).pads == ()
    with pytest.raises(KitError, match="could not be made out"):
        lessons.add_strokes(kit, {"kick": np.zeros((0, SIZE))})


def test_a_kit_is_reported_and_exported(tmp_path):
    kit = made(pads=("kick", "table", "snare"), each=5).with_strokes(
        1, np.pad(axis(1), (0, TIMBRE))[None], taken_for=LABEL_ROW["snare"]
    )
    told = json.loads(json.dumps(lessons.report(kit)))
    assert told["right"] == told["macro_f"] == 1
    assert told["pads"][1] == {"name": "table", "note": 71, "strokes": 6, "corrected": 1, "right": 1.0}
    assert told["confusion"] == {"kick": {"kick": 5}, "table": {"table": 6}, "snare": {"snare": 5}}
    assert lessons.report(Kit("new"))["right"] is None
    assert lessons.export(kit, tmp_path / "x.npz") == 16
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert file["strokes"].shape == (16, ALL) and list(file["labels"][4:7]) == [
            "kick",
            "table",
            "table",
        ]
        assert list(file["taken_for"][-2:]) == ["", "snare"] and str(file["ear"]) == "this-ear"
    with pytest.raises(KitError, match="cannot be written"):
        lessons.export(kit, tmp_path / "none" / "x.npz")


# Keys.


@pytest.mark.linux
def test_keys_are_read_one_by_one_and_the_terminal_is_given_back(monkeypatch):
    import pty
    import termios
    import threading

    master, slave = pty.openpty()
    pressed, came = [], threading.Event()

    def take(key):
        pressed.append(key)
        if len(pressed) == 2:
            came.set()

    with os.fdopen(slave, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr("bridge.keys._foreground", lambda: True)
        before = termios.tcgetattr(terminal)
        keys = Keys(take)
        assert keys.there and termios.tcgetattr(terminal) != before
        os.write(master, b"c")
        while not pressed:
            came.wait(0.01)
        os.write(master, b"\x1b[A")  # an arrow is no key of ours
        os.write(master, b"")
        came.wait(0.3)
        os.write(master, b"u")
        assert came.wait(10) and pressed == ["c", "u"]
        keys.close()
        keys.close()
        assert termios.tcgetattr(terminal) == before
    os.close(master)


def test_where_nobody_types_no_keys_are_read(monkeypatch):
    with open(os.devnull) as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        assert not Keys(lambda key: None).there
    monkeypatch.setattr(sys, "stdin", None)
    assert not Keys(lambda key: None).there


def test_sound_files_are_cut_into_strokes(tmp_path):
    from models.render import Stroke, render

    sound = render([Stroke(0.3 + 0.6 * k, "snare", 0.4 + 0.1 * k) for k in range(5)], 3.6)
    soundfile.write(tmp_path / "snare.wav", sound, RATE)
    cut = strokes.strokes_in(tmp_path / "snare.wav", load("drums"))
    assert len(cut) == 5
    peaks = [np.abs(stroke.sound).max() for stroke in cut]
    assert peaks == sorted(peaks)
    for stroke in cut:
        assert (
            np.abs(stroke.sound[: max(0, stroke.at - 60)]).max(initial=0) < 0.02 * np.abs(stroke.sound).max()
        )
    soundfile.write(tmp_path / "still.wav", np.zeros(RATE), RATE)
    assert strokes.strokes_in(tmp_path / "still.wav", load("drums")) == []


# The command.


def earwire(capsys, *argv):
    """Exit code, stdout and stderr of a command line."""
    code = cli.main(["kit", *argv])
    return code, *capsys.readouterr()


def test_kits_are_listed_shown_exported_and_removed(capsys, tmp_path):
    code, out, err = earwire(capsys, "list")
    assert (code, out) == (0, "") and "earwire kit learn" in err
    kits.save(made(pads=("kick", "table", "snare")))
    code, out, _ = earwire(capsys, "list", "--json")
    assert json.loads(out) == [
        {
            "name": "mine",
            "pads": ["kick", "table", "snare"],
            "strokes": 12,
            "decision_ms": 12.0,
            "corrections": False,
        }
    ]
    code, out, _ = earwire(capsys, "show", "mine")
    assert code == 0 and "table" in out and "100% right" in out and "12 strokes" in out
    code, out, _ = earwire(capsys, "show", "mine", "--json")
    assert json.loads(out)["macro_f"] == 1
    assert earwire(capsys, "export", "mine", "-o", str(tmp_path / "out.npz"))[0] == 0
    assert (tmp_path / "out.npz").is_file()
    assert earwire(capsys, "remove", "mine")[0] == 0 and kits.names() == []


WRONG = [
    (["learn"], 2, "needs the name of a kit"),
    (["learn", "a b", "--pads", "kick"], 1, "cannot be the name"),
    (["learn", "mine", "--strokes", "0"], 2, "between 1 and 200"),
    (["learn", "mine", "--from", "nowhere"], 1, "no such folder"),
    (["learn", "mine"], 2, "which pads"),
    (["learn", "mine", "--pads", "kick,kick"], 2, "each pad once"),
    (["learn", "mine", "--pads", "ki/ck"], 1, "cannot be the name of a pad"),
    (["test", "mine"], 1, "no kit is called 'mine'"),
    (["show", "mine"], 1, "no kit is called 'mine'"),
    (["dance", "mine"], 2, "invalid choice"),
]


@pytest.mark.parametrize("argv, code, why", WRONG, ids=[why for *_, why in WRONG])
def test_what_makes_no_sense_is_said(capsys, argv, code, why):
    got, out, err = earwire(capsys, *argv)
    assert (got, out) == (code, "") and why in err


def test_a_key_puts_the_last_hit_right():
    commands = SimpleQueue()
    session = SimpleNamespace(
        preset=load("drums"), commands=commands, teacher=SimpleNamespace(names=lambda: ["kick", "table"])
    )
    view = LiveView(session)
    for key in "xbcbcqu":  # b alone is nothing, c b is a table, c q is a change of mind
        view.press(key)
    assert [commands.get_nowait(), commands.get_nowait()] == [("correct", "table"), ("undo", "")]
    assert commands.empty()


def test_a_named_hit_is_placed_for_visuals():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        sink = OscSink([f"127.0.0.1:{listener.getsockname()[1]}"], place={7: (0.25, 1.0)}.get)
        sink.write(np.array([hit(7, 0), hit(8, 0)]))
        sink.close({})
        got = [OscMessage(listener.recv(4096)) for _ in range(6)]
    assert [message.address for message in got] == [
        "/earwire/drum",
        "/earwire/drum/kick",
        "/earwire/drum/xy",
        "/earwire/drum",
        "/earwire/drum/kick",
        "/earwire/status",
    ]
    assert got[2].params == [0.25, 1.0]
