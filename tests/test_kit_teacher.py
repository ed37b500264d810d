# SPDX-License-Identifier: GPL-3.0-or-later
"""Hits put right while it listens."""

import socket
from dataclasses import replace
from queue import SimpleQueue
from types import SimpleNamespace

import numpy as np
import pytest
from pythonosc.osc_message import OscMessage

from bridge.errors import KitError
from bridge.kit import pages
from bridge.kit.teacher import Ear, Teacher
from bridge.preset import load
from bridge.sinks.osc import OscSink
from bridge.view import LiveView
from dsp.events import DRUM, EVENT, LABEL_ROW, LABELS
from dsp.pads import pads_keep, pads_kit, pads_name, pads_rename, pads_state
from tests.kits import EAR, SIZE, axis, home, made

__all__ = ["home"]  # a fixture


def hit(id, label, ref=1):
    event = np.zeros(1, EVENT)
    event["id"], event["ref"], event["kind"], event["label"] = id, ref, DRUM, label
    return event[0]


def test_a_hit_put_right_is_learned_kept_and_undone():
    pages.save(made())
    pads = pads_state(SIZE)
    teacher = Teacher(pads, load("drums", ["drums.kit=mine"]), EAR)
    kick, table = LABEL_ROW["kick"], len(LABELS)
    odd = axis(0, 3) + axis(1, 2)
    assert pads_kit(pads) and pads_name(pads, odd)[0] == kick
    pads_keep(pads, 7, kick, odd)
    put = teacher.correct(hit(7, kick), "table")
    assert put == (table, "the last hit was a table; learned, and kept with kit mine")
    assert pads_name(pads, odd)[0] == table and pads_name(pads, axis(0))[0] == kick
    assert pages.load("mine").counts() == [4, 5]
    event, told = teacher.undo()
    assert event["id"] == 7 and event["label"] == kick and "undone" in told
    assert pads_name(pads, odd)[0] == kick and pages.load("mine").counts() == [4, 4]
    assert teacher.undo() == (None, "nothing to undo")


def test_the_second_word_on_a_hit_replaces_the_first():
    pages.save(made(pads=("kick", "table", "clap")))
    pads = pads_state(SIZE)
    teacher = Teacher(pads, load("drums", ["drums.kit=mine"]), EAR)
    pads_keep(pads, 7, 0, axis(3))
    teacher.correct(hit(7, 0), "table")
    teacher.correct(hit(7, 0), "clap")
    assert pages.load("mine").counts() == [4, 4, 5]
    teacher.undo()
    assert pages.load("mine").counts() == [4, 4, 4]


def test_a_drum_the_kit_does_not_have_is_refused_by_name():
    pages.save(made())
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
    assert len(pages.load("corrections").strokes) == 2


def test_an_ear_that_cannot_be_taught_still_puts_right():
    put = Teacher(None, load("drums"), EAR).correct(hit(3, 0), "snare")
    assert put == (LABEL_ROW["snare"], "the last hit was a snare; nothing could be learned from it")
    pads = pads_state(SIZE)
    pads_keep(pads, 3, 0, axis(1))
    told = Teacher(pads, load("drums"), Ear("", None, None)).correct(hit(3, 0), "snare").told
    assert "kept in kit corrections for training" in told


def test_a_kit_of_another_ear_is_refused():
    pages.save(replace(made(), ear="another"))
    with pytest.raises(KitError, match="learned by another ear"):
        Teacher(pads_state(SIZE), load("drums", ["drums.kit=mine"]), EAR)
    pages.save(made())
    with pytest.raises(KitError, match="learned by another ear"):
        Teacher(pads_state(SIZE + 1), load("drums", ["drums.kit=mine"]), EAR)
    with pytest.raises(KitError, match="cannot be taught"):
        Teacher(None, load("drums", ["drums.kit=mine"]), EAR)


def test_a_reload_changes_the_kit_and_keeps_what_was_put_right():
    pages.save(made())
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
