# SPDX-License-Identifier: GPL-3.0-or-later
"""Kits on disk, and the notes of the drum instruments."""

import os
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from bridge.errors import KitError, PresetError
from bridge.kit import pages
from bridge.messages import family_of, labels_of
from bridge.preset import instruments, load, notes_of
from dsp.events import LABELS
from tests.kits import ALL, SIZE, home, made

__all__ = ["home"]  # a fixture


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


def test_a_kit_is_kept_as_a_page_and_its_numbers(home):
    kit = made().with_strokes(1, np.ones((1, ALL)), taken_for=0)
    path = pages.save(kit)
    assert path == home / "mine.toml" and sorted(p.name for p in home.iterdir()) == ["mine.npz", "mine.toml"]
    page = tomllib.loads(path.read_text("utf-8"))
    assert [(pad["name"], pad.get("note"), pad["strokes"]) for pad in page["pads"]] == [
        ("kick", None, 4),
        ("table", pages.NOTES[0], 5),
    ]
    again = pages.load("mine")
    assert replace(again, strokes=0, pad_of=0, taken_for=0) == replace(kit, strokes=0, pad_of=0, taken_for=0)
    for field in ("strokes", "pad_of", "taken_for"):
        assert np.array_equal(getattr(again, field), getattr(kit, field)), field
    assert pages.names() == ["mine"]
    pages.remove("mine")
    assert pages.names() == [] and list(home.iterdir()) == []


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
    pages.save(made())
    (home / "mine.toml").write_text(page)
    with pytest.raises(KitError, match=why) as refused:
        pages.load("mine")
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
    pages.save(made())
    np.savez_compressed(home / "mine.npz", **arrays(**changed))
    with pytest.raises(KitError, match=r"mine\.npz"):
        pages.load("mine")


def test_what_is_no_archive_is_refused(home):
    pages.save(made())
    for data in (b"", b"PK\x03\x04", os.urandom(500)):
        (home / "mine.npz").write_bytes(data)
        with pytest.raises(KitError, match=r"mine\.npz"):
            pages.load("mine")
    (home / "mine.npz").unlink()
    with pytest.raises(KitError, match=r"mine\.npz"):
        pages.load("mine")


def test_names_stay_in_their_folder():
    for name in ("../mine", "a/b", "", ".", "a b", "x" * 41, "-o", "é"):
        with pytest.raises(KitError, match="cannot be the name"):
            pages.load(name)
    pages.save(made())
    with pytest.raises(KitError, match="did you mean mine"):
        pages.load("Mina")


def test_a_preset_knows_the_pads_of_its_kit(home):
    pages.save(made(pads=("table", "kick", "clap-2")))
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
