# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything a musician may choose: keys, defaults, ranges, units and meanings.

What an ear or a key means is said where it is used (`dsp.settings`); here they come together.
"""

import dataclasses
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from bridge.midi.clock import ClockSettings
from dsp.beat import BeatSettings
from dsp.events import LABELS
from dsp.hits import DrumSettings
from dsp.notes import NoteSettings
from dsp.onset import OnsetSettings
from dsp.settings import choice, number, switch
from models.chord import ChordSettings
from models.key import KeySettings

Channels = typing.Literal["mix"] | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SourceSettings:
    channels: Channels = field(
        default="mix",
        metadata={"doc": 'which inputs to hear: "mix" for all together, or a list such as [1, 3]'},
    )
    gain_db: float = number(0, -60, 60, "dB", "makes what comes in louder or softer before it is heard")


@dataclass(frozen=True, slots=True)
class PluginSettings:
    name: str = field(default="", metadata={"doc": 'a built-in effect, such as "NoiseGate"'})
    path: str = field(default="", metadata={"doc": "or the path of a VST3 (on macOS also Audio Unit) plugin"})
    parameters: Mapping[str, float | bool | str] = field(
        default_factory=dict, metadata={"doc": "what to set on it, by the names the plugin uses"}
    )


@dataclass(frozen=True, slots=True)
class VelocitySettings:
    curve: float = number(
        1, 0.25, 4, "", "1 plays as heard, above 1 makes soft strokes softer, below 1 louder"
    )
    low: float = number(0, 0, 1, "", "velocity of the softest stroke")
    high: float = number(1, 0, 1, "", "velocity of the hardest stroke; equal to low plays all alike")


ZONE_REACH = 48  # semitones of a full bend in an MPE zone, by its standard


@dataclass(frozen=True, slots=True)
class MidiSettings:
    drum_channel: int = number(10, 1, 16, "", "MIDI channel of drum hits")
    note_channel: int = number(1, 1, 16, "", "MIDI channel of notes and pitch bend")
    chord_channel: int = number(
        0, 0, 16, "", "MIDI channel that chords are played on, bass and all; 0 plays none"
    )
    split: int = number(0, 0, 127, "MIDI note", "notes below it leave on the low channel; 0 splits nothing")
    low_channel: int = number(2, 1, 16, "", "MIDI channel of notes below the split")
    mpe: bool = switch(
        False, "give each note a channel of its own, 2 to 16: an MPE zone, its bends 48 semitones wide"
    )
    bend_range: int = number(2, 1, 48, "semitones", "how far a full pitch bend reaches, up and down")
    tap_note: int = number(
        0,
        0,
        120,
        "MIDI note",
        "note of --midi-in that taps the tempo; those above it: half, double, back, on, lock",
    )
    gate_ms: float = number(80, 5, 2000, "ms", "how long a drum hit is held before its note-off")


@dataclass(frozen=True, slots=True)
class OscSettings:
    targets: tuple[str, ...] = field(
        default=(), metadata={"doc": 'where to send OSC, a list such as ["127.0.0.1:9000"]'}
    )
    bundle: bool = switch(False, "wrap each message in a bundle that carries the time it sounded")
    level: bool = switch(False, "send the input level, 20 times a second")


def _general_midi() -> dict[str, int]:
    return {label.name: label.note for label in LABELS}


def instruments() -> tuple[str, ...]:
    """Names of the drum instruments whose notes are known, General MIDI first."""
    folder = resources.files("presets") / "maps"
    found = (f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))
    return tuple(sorted(found, key=lambda name: (name != "gm", name)))


def notes_of(instrument: str) -> dict[str, int]:
    """MIDI note of each drum label on a drum instrument of `instruments`."""
    toml = (resources.files("presets") / "maps" / f"{instrument}.toml").read_text("utf-8")
    return dict(tomllib.loads(toml)["notes"])


@dataclass(frozen=True, slots=True)
class Preset:
    """Everything a musician may choose; `load` is the way to get one.

    `file` is where it was read from, None for a shipped preset.
    """

    name: str = field(default="", metadata={"doc": "what the preset is called"})
    description: str = field(default="", metadata={"doc": "what it is for, in one sentence"})
    mode: str = choice(
        "constant",
        ("constant", "fastest"),
        "send everything with one steady delay, or each thing as soon as known",
    )
    source: SourceSettings = field(default_factory=SourceSettings)
    plugins: tuple[PluginSettings, ...] = field(
        default=(), metadata={"doc": "effects that what comes in passes through before it is heard"}
    )
    onset: OnsetSettings = field(default_factory=OnsetSettings)
    drums: DrumSettings = field(default_factory=DrumSettings)
    kit: str = field(
        default="",
        metadata={"doc": "a kit of your own, by the name you taught it under", "key": "drums.kit"},
    )
    instrument: str = field(
        default="gm",
        metadata={
            "options": instruments(),
            "doc": "the drum instrument that plays the hits: its notes are sent",
            "key": "drums.instrument",
        },
    )
    drum_notes: Mapping[str, int] = field(
        default_factory=_general_midi,
        metadata={"doc": "MIDI note of each drum label and pad", "key": "drums.map"},
    )
    notes: NoteSettings = field(default_factory=NoteSettings)
    beat: BeatSettings = field(default_factory=BeatSettings)
    clock: ClockSettings = field(default_factory=ClockSettings)
    chord: ChordSettings = field(default_factory=ChordSettings)
    key: KeySettings = field(default_factory=KeySettings)
    velocity: VelocitySettings = field(default_factory=VelocitySettings)
    midi: MidiSettings = field(default_factory=MidiSettings)
    osc: OscSettings = field(default_factory=OscSettings)
    file: Path | None = field(default=None, compare=False, metadata={"key": None})

    @property
    def zone_size(self) -> int:
        """Member channels of the MPE zone, from channel 2 on: as many as drums and chords leave; 0 without one."""
        others = [self.midi.drum_channel] if self.drums.enabled else []
        others += [channel for channel in (self.midi.chord_channel,) if channel]
        above = min((channel for channel in others if channel > 1), default=17)
        return above - 2 if self.midi.mpe else 0

    @property
    def pedals(self) -> bool:
        """Whether it says when the sustain pedal is down."""
        return self.notes.enabled and self.notes.pedal and self.notes.lines == "many"

    @property
    def bend_reach(self) -> int:
        """How far a full pitch bend reaches [semitones]."""
        return ZONE_REACH if self.midi.mpe else self.midi.bend_range


class KeyInfo(NamedTuple):
    """One key a musician may set."""

    key: str  # dotted
    default: Any
    range: str  # what it takes, in words, with the unit
    doc: str


def keys() -> Iterator[KeyInfo]:
    """Every key of a preset, in order."""
    yield from _keys(Preset, "")


def _keys(kind: type[Any], prefix: str) -> Iterator[KeyInfo]:
    types = typing.get_type_hints(kind)
    for f in dataclasses.fields(kind):
        key = f.metadata.get("key", prefix + f.name)
        if key is None:
            continue
        if dataclasses.is_dataclass(types[f.name]):
            yield from _keys(typing.cast(type, types[f.name]), f"{key}.")
        elif types[f.name] == tuple[PluginSettings, ...]:
            yield KeyInfo(f"[[{key}]]", (), "a list of tables", f.metadata["doc"])
            yield from _keys(PluginSettings, f"{key}.")
        elif key == "drums.map":
            for label in LABELS:
                yield KeyInfo(f"{key}.{label.name}", label.note, "0..127 MIDI note", f"note of {label.name}")
        else:
            default = {} if f.default is dataclasses.MISSING else f.default
            yield KeyInfo(key, default, _range(f.metadata, types[f.name]), f.metadata["doc"])


def _range(meta: Mapping[str, Any], kind: Any) -> str:
    if "low" in meta:
        return f"{meta['low']:g}..{meta['high']:g} {meta['unit']}".strip()
    if "options" in meta:
        return " or ".join(meta["options"])
    if kind is bool:
        return "true or false"
    return {str: "text", Channels: '"mix" or a list', tuple[str, ...]: "a list"}.get(kind, "a table")


def as_table(preset: Preset) -> dict[str, Any]:
    """A preset as the nested table its TOML would hold, every key included."""
    table = dataclasses.asdict(preset)
    del table["file"]
    for key, name in (("map", "drum_notes"), ("kit", "kit"), ("instrument", "instrument")):
        table["drums"][key] = table.pop(name)
    table["plugins"] = [{k: v for k, v in plugin.items() if v} for plugin in table["plugins"]]
    for group in (table["source"], table["osc"]):
        group.update({k: list(v) for k, v in group.items() if isinstance(v, tuple)})
    return table
