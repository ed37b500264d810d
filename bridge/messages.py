# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire formats as one table: what each kind of event says as a line and as OSC."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dsp.events import (
    BEAT,
    BEND,
    CHORD,
    CHORDS,
    CHROMA,
    DRUM,
    EVENT,
    KEY,
    KEYS,
    KINDS,
    LABEL_ROW,
    LABELS,
    LEVEL,
    NOTE_OFF,
    NOTE_ON,
    ONSET,
    PEDAL,
    PITCH,
    PRESSURE,
    REFINE,
    TEMPO,
    TONICS,
    Label,
    packed,
    unpacked,
)
from dsp.units import RATE

Osc = tuple[str, list[str | int | float]]  # address without prefix, arguments


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One key of a line: which column of EVENT it shows, and how."""

    key: str
    column: str
    digits: int | None = None  # decimals of a number; None for a whole one
    spare: bool = False  # left out where it is 0

    def encode(self, event: np.void, rate: int, labels: Sequence[Label]) -> Any:
        value = event[self.column]
        if self.column in _SECONDS:
            return round(int(value) / rate, 6)
        if self.column == "label" and self.key in LABEL_KEYS:
            return getattr(labels[int(value)], LABEL_KEYS[self.key])
        if self.key == "chord":
            return CHORDS[int(number(value)) % len(CHORDS)]
        if self.key == "bass":
            return TONICS[int(value)] if 0 <= value < len(TONICS) else "N"
        if self.key == "key":
            return KEYS[int(number(value)) % len(KEYS)]
        if self.key == "chroma":
            return unpacked(int(value))
        if self.digits is None:
            return round(number(value))
        return round(number(value), self.digits) + 0.0  # no -0.0

    def decode(self, said: Any, event: np.void, rate: int, labels: Sequence[Label]) -> None:
        if self.column in _SECONDS:
            event[self.column] = round(said * rate)
        elif self.key == "chord":
            event[self.column] = CHORDS.index(said)
        elif self.key == "bass":
            event[self.column] = TONICS.index(said) if said in TONICS else -1
        elif self.key == "key":
            event[self.column] = KEYS.index(said)
        elif self.key == "chroma":
            event[self.column] = packed(said)
        elif self.column != "label" or self.key not in LABEL_KEYS:
            event[self.column] = said
        elif self.key == "label":
            event["label"] = [label.name for label in labels].index(said)


LABEL_KEYS = {"label": "name", "family": "family", "note": "note"}

_NAME = (Field("label", "label"),)
_VELOCITY = Field("velocity", "value", 3)
_CONFIDENCE = Field("confidence", "confidence", 3)
_NOTE, _CHANNEL, _REF = Field("note", "number"), Field("channel", "channel"), Field("ref", "ref")
_BPM = Field("bpm", "number", 2)
_TIME = (Field("time", "time"), Field("emitted", "emitted"))


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """How one kind of event is said."""

    fields: tuple[Field, ...]  # of a line, after kind and id
    osc: tuple[tuple[str, str, tuple[str, ...]], ...]  # address, types, what each argument is


TABLE: dict[int, Row] = {
    ONSET: Row((*_TIME, _VELOCITY, _CONFIDENCE), (("/onset", "f", ("velocity",)),)),
    DRUM: Row(
        (
            Field("onset", "ref"),
            *_TIME,
            *_NAME,
            Field("family", "label"),
            Field("note", "label"),
            _VELOCITY,
            _CONFIDENCE,
        ),
        (
            ("/drum", "siff", ("label", "note", "velocity", "confidence")),
            ("/drum/{label}", "f", ("velocity",)),
        ),
    ),
    REFINE: Row(
        (_REF, *_TIME, *_NAME, _VELOCITY, _CONFIDENCE),
        (("/drum/refine", "isff", ("ref", "label", "velocity", "confidence")),),
    ),
    NOTE_ON: Row(
        (*_TIME, _NOTE, _VELOCITY, _CHANNEL, _CONFIDENCE, Field("corrects", "ref", spare=True)),
        (("/note_on", "iiff", ("id", "note", "velocity", "confidence")),),
    ),
    NOTE_OFF: Row((_REF, *_TIME, _NOTE, _CHANNEL), (("/note_off", "ii", ("ref", "note")),)),
    BEND: Row((_REF, *_TIME, Field("cents", "number", 2)), (("/bend", "if", ("ref", "cents")),)),
    PRESSURE: Row((_REF, *_TIME, Field("pressure", "value", 3)), (("/pressure", "if", ("ref", "pressure")),)),
    PEDAL: Row((*_TIME, Field("pedal", "value", 3), _CONFIDENCE), (("/pedal", "f", ("pedal",)),)),
    PITCH: Row((*_TIME, Field("f0", "number", 3), _CONFIDENCE), (("/pitch", "ff", ("f0", "confidence")),)),
    KEY: Row((*_TIME, Field("key", "number"), _CONFIDENCE), (("/key", "sf", ("key", "confidence")),)),
    CHORD: Row(
        (*_TIME, Field("chord", "number"), Field("bass", "label"), _CONFIDENCE),
        (("/chord", "ssf", ("chord", "bass", "confidence")),),
    ),
    BEAT: Row(
        (*_TIME, _BPM, Field("position", "value"), Field("beats", "label"), _CONFIDENCE),
        (("/beat", "iiff", ("position", "beats", "bpm", "confidence")),),
    ),
    TEMPO: Row((*_TIME, _BPM, _CONFIDENCE), (("/tempo", "ff", ("bpm", "confidence")),)),
    CHROMA: Row((*_TIME, Field("chroma", "ref")), (("/chroma", 12 * "f", ("chroma",)),)),
    LEVEL: Row((*_TIME, Field("level", "number", 2)), (("/level", "f", ("level",)),)),
}

_SECONDS = ("time", "emitted")
_TYPES: dict[str, Callable[[Any], Any]] = {"s": str, "i": lambda x: int(x) & 0x7FFFFFFF, "f": float}


def number(value: Any) -> float:
    """A finite number, whatever it was: a line must never say NaN."""
    value = float(value)
    return value if math.isfinite(value) else 0.0


FAMILY = {label.name: label.family for label in LABELS} | {label.family: label.family for label in LABELS}


def family_of(name: str) -> str:
    """Family of a label or pad: a pad called snare-2 is a snare, one called table is an other."""
    while name not in FAMILY and "-" in name:
        name = name.rpartition("-")[0]
    return FAMILY.get(name, "other")


def labels_of(notes: Mapping[str, int]) -> tuple[Label, ...]:
    """The drum labels with the MIDI notes a preset gives them, then the pads of its kit."""
    known = tuple(label._replace(note=notes.get(label.name, label.note)) for label in LABELS)
    pads = [name for name in notes if name not in LABEL_ROW]
    return known + tuple(Label(name, notes[name], family_of(name)) for name in pads)


def said(event: np.void, rate: int = RATE, labels: Sequence[Label] = LABELS) -> dict[str, Any]:
    """An event as a dictionary that JSON can hold, times in seconds."""
    row = TABLE[int(event["kind"])]
    return {
        "kind": KINDS[int(event["kind"])],
        "id": int(event["id"]),
        **{
            field.key: field.encode(event, rate, labels)
            for field in row.fields
            if event[field.column] or not field.spare
        },
    }


def line(event: np.void, rate: int = RATE, labels: Sequence[Label] = LABELS) -> str:
    """An event as one line of JSON, without its end.

    Parameters
    ----------
    event : () EVENT
    rate
        Of its times [Hz].
    labels
        Drum labels by row, with the notes to show.
    """
    parts = (
        f'"{key}":{value:.6f}' if key in _SECONDS else f'"{key}":{json.dumps(value, allow_nan=False)}'
        for key, value in said(event, rate, labels).items()
    )
    return "{" + ",".join(parts) + "}"


def read(text: str, rate: int = RATE, labels: Sequence[Label] = LABELS) -> np.void | None:
    """The event a line speaks of, () EVENT; None for the start and end lines."""
    told = json.loads(text)
    if told["kind"] not in KINDS:
        return None
    event = np.zeros(1, EVENT)
    event["label"] = -1
    event["kind"], event["id"] = KINDS.index(told["kind"]), told["id"]
    for field in TABLE[int(event["kind"][0])].fields:
        if field.key in told or not field.spare:
            field.decode(told[field.key], event[0], rate, labels)
    return event[0]


def osc(event: np.void, prefix: str = "/earwire", labels: Sequence[Label] = LABELS) -> list[Osc]:
    """An event as OSC messages: (address, arguments), an argument an int, a float or text."""
    told = said(event, RATE, labels)
    messages: list[Osc] = []
    for address, types, keys in TABLE[int(event["kind"])].osc:
        values = [v for key in keys for v in (told[key] if isinstance(told[key], list) else (told[key],))]
        arguments = [_TYPES[kind](value) for kind, value in zip(types, values, strict=True)]
        messages.append((prefix + address.format(label=told.get("label", "")), arguments))
    return messages


def start_line(header: Mapping[str, Any]) -> str:
    """The first line: rate, preset, constant of each kind [s], ports."""
    return _json({"kind": "start", "rate": RATE, **header})


def end_line(end: Mapping[str, Any]) -> str:
    """The last line: what went wrong, in counts."""
    return _json({"kind": "end", "xruns": 0, "overruns": 0, "late": 0, **end})


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def velocity_byte(velocity: float, curve: float = 1.0, low: float = 0.0, high: float = 1.0) -> int:
    """1..127 from 0..1, by a preset's curve."""
    shaped = low + (high - low) * min(max(number(velocity), 0.0), 1.0) ** curve
    return min(127, max(1, round(127 * shaped)))
