# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of a preset turned into settings, or what is wrong with them: where, and what would do."""

import dataclasses
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from bridge.errors import KitError, PresetError
from bridge.kit import pages
from bridge.preset import toml_lines
from bridge.preset.settings import Channels, PluginSettings, Preset, notes_of

MAX_TEXT = 400  # longest name, description or path [characters]
MAX_ITEMS = 64  # longest list or table of a preset

Key = toml_lines.Path


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the values came from, so that an error can say so."""

    path: str | None = None  # as shown to the user
    folder: Path = Path()  # what a relative path in the preset starts from
    lines: Mapping[Key, int] = field(default_factory=dict)
    overridden: tuple[Key, ...] = ()

    def refuse(self, key: Key, message: str, hint: str = "") -> NoReturn:
        shown = dotted(key)
        inside = any(key[: len(given)] == given for given in self.overridden)
        around = any(given[: len(key)] == key for given in self.overridden) and key not in self.lines
        if inside or around:
            raise PresetError(message, hint, path="--set", key=shown)
        line = next((self.lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self.lines), None)
        raise PresetError(message, hint, path=self.path, line=line, key=shown)


def show(value: Any) -> str:
    """A value as an error may quote it: short, printable, whatever it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 10**15:
        return "a number this large"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    text = (
        ascii(value) if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    )
    return text if len(text) <= 60 else text[:57] + "..."


def dotted(key: Key) -> str:
    parts = (
        part if isinstance(part, int) or re.fullmatch(r"[\w-]{1,60}", part) else show(part) for part in key
    )
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def nearest(word: str, words: Iterable[str]) -> str:
    """A friendly end of a sentence that names the word perhaps meant."""
    words = sorted(words)
    by_lower = {w.lower(): w for w in words}
    if close := get_close_matches(word[:60].lower(), by_lower, n=1, cutoff=0.5):
        return f"; did you mean {by_lower[close[0]]}?"
    return f"; there are {', '.join(words)}" if words else ""


_NOTE_NAME = re.compile(r"([A-Ga-g])([#b♯♭]?)(-?\d)")
_SEMITONE = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def note_number(name: str) -> int | None:
    """MIDI note of a name such as ``E1`` or ``F#3`` (C4 = 60), or None if it is none."""
    if match := _NOTE_NAME.fullmatch(name.strip()):
        letter, accidental, octave = match.groups()
        shift = {"": 0, "#": 1, "♯": 1, "b": -1, "♭": -1}[accidental]
        return _SEMITONE[letter.upper()] + shift + 12 * (int(octave) + 1)
    return None


def osc_target(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``; ValueError says what is wrong with it."""
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")  # [::1]:9000
    if not colon or not re.fullmatch(r"[\w.:%-]{1,255}", host, re.ASCII):
        raise ValueError(f"{show(text)} is not HOST:PORT, such as 127.0.0.1:9000")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{show(text)} has no port within 1..65535")
    return host, int(port)


class Reader:
    """Turns a table of TOML values into settings, or says what is wrong with it."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.refuse = origin.refuse

    def table(self, value: Any, at: Key) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.refuse(at, f"{show(value)} stands where a table of keys belongs")
        if len(value) > MAX_ITEMS:
            self.refuse(at, f"{len(value)} keys are too many; {MAX_ITEMS} are the most")
        return value

    def items(self, value: Any, at: Key) -> list[Any]:
        """A list; a lone value counts as a list of one."""
        items = value if isinstance(value, list) else [value]
        if len(items) > MAX_ITEMS:
            self.refuse(at, f"{len(items)} items are too many; {MAX_ITEMS} are the most")
        return items

    def settings(self, kind: type[Any], value: Any, at: Key = ()) -> Any:
        """A settings dataclass from a table; what the table leaves out keeps its default."""
        known = {f.name: f for f in dataclasses.fields(kind)}
        types = typing.get_type_hints(kind)
        given = {}
        for name, item in self.table(value, at).items():
            if name not in known:
                self.unknown((*at, name), known)
            given[name] = self.field(known[name], types[name], item, (*at, name))
        try:
            return kind(**given)
        except ValueError as error:  # a rule between its fields
            self.refuse(at, str(error))

    def unknown(self, key: Key, known: Iterable[str]) -> NoReturn:
        self.refuse(
            key, "no such key" + nearest(str(key[-1]), known), "earwire presets --keys lists every key"
        )

    def field(self, field: dataclasses.Field[Any], kind: Any, value: Any, at: Key) -> Any:
        if "low" in field.metadata:
            return self.number(field.metadata, kind is int, value, at)
        if "options" in field.metadata:
            if not isinstance(value, str) or value not in field.metadata["options"]:
                options = " or ".join(field.metadata["options"])
                self.refuse(at, f"{show(value)} is not known here; it is {options}")
            return value
        if kind is bool:
            if not isinstance(value, bool):
                self.refuse(at, f"{show(value)} is neither true nor false")
            return value
        if kind is str:
            return self.string(value, at)
        if kind == Channels:
            return self.channels(value, at)
        if kind == tuple[str, ...]:
            return tuple(self.target(item, (*at, row)) for row, item in enumerate(self.items(value, at)))
        return {self.string(k, at): self.parameter(v, (*at, k)) for k, v in self.table(value, at).items()}

    def number(self, meta: Mapping[str, Any], whole: bool, value: Any, at: Key) -> float:
        low, high, unit = meta["low"], meta["high"], meta["unit"]
        span = f"{low:g}..{high:g}{' ' * bool(unit)}{unit}"
        given = value
        if unit == "MIDI note" and isinstance(value, str):
            named = note_number(value)
            value = value if named is None else named
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            names = ', or a note name such as "E1"' if unit == "MIDI note" else ""
            self.refuse(at, f"{show(value)} is not a number; it takes {span}{names}")
        if not low <= value <= high:
            self.refuse(
                at, f"{show(given)} is outside {span}; the nearest is {high if value > high else low:g}"
            )
        if whole and value != int(value):
            self.refuse(at, f"{show(value)} is not a whole number; the nearest is {round(value)}")
        return int(value) if whole else float(value)

    def string(self, value: Any, at: Key) -> str:
        if not isinstance(value, str):
            self.refuse(at, f"{show(value)} is not text; put it in quotes")
        if len(value) > MAX_TEXT or not value.isprintable():
            self.refuse(at, f"{show(value)} is not one line of at most {MAX_TEXT} printable characters")
        return value

    def channels(self, value: Any, at: Key) -> Channels:
        if value == "mix":
            return "mix"
        rows = self.items(value, at)
        for row, item in enumerate(rows):
            if isinstance(item, bool) or not isinstance(item, int) or not 1 <= item <= 256:
                self.refuse(
                    (*at, row) if isinstance(value, list) else at,
                    f'{show(item)} is no channel; it is "mix" or a list of channels counted from 1, such as [1, 2]',
                )
        if not rows or len(set(rows)) < len(rows):
            self.refuse(at, 'give each channel once, such as [1, 2], or "mix" for all of them')
        return tuple(rows)

    def target(self, value: Any, at: Key) -> str:
        try:
            host, port = osc_target(self.string(value, at))
        except ValueError as error:
            self.refuse(at, str(error))
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def parameter(self, value: Any, at: Key) -> float | bool | str:
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            if not -1e9 <= value <= 1e9:
                self.refuse(at, f"{show(value)} is no value for a plugin")
            return float(value)
        return self.string(value, at)

    def kit(self, name: str, at: Key) -> dict[str, int | None]:
        """Pads of a kit, and the notes it gives them."""
        try:
            return pages.notes(name) if name else {}
        except KitError as error:
            self.refuse(at, str(error), error.hint)

    def drum_notes(self, value: Any, notes: dict[str, int], at: Key) -> dict[str, int]:
        """`notes` as far as the table says nothing else."""
        meta = {"low": 0, "high": 127, "unit": "MIDI note"}
        for label, item in self.table(value, at).items():
            if label not in notes:
                self.refuse((*at, label), "no such drum label" + nearest(label, notes))
            notes[label] = int(self.number(meta, True, item, (*at, label)))
        return notes

    def plugins(self, value: Any, at: Key) -> tuple[PluginSettings, ...]:
        if not isinstance(value, list):
            self.refuse(at, f"{show(value)} stands where a list belongs; each plugin begins with [[plugins]]")
        chain = []
        for row, item in enumerate(self.items(value, at)):
            plugin = self.settings(PluginSettings, item, (*at, row))
            if bool(plugin.name) == bool(plugin.path):
                self.refuse((*at, row), "a plugin has either a name or a path")
            if plugin.path:
                path = self.origin.folder / Path(plugin.path).expanduser()
                plugin = dataclasses.replace(plugin, path=str(path))
            chain.append(plugin)
        return tuple(chain)

    def naming(self, drums: dict[str, Any]) -> dict[str, Any]:
        """What the table of drums says of pads and notes: kit, instrument and map."""
        known = {f.name: f for f in dataclasses.fields(Preset)}
        given: dict[str, Any] = {
            name: self.field(known[name], str, drums[name], ("drums", name))
            for name in ("kit", "instrument")
            if name in drums
        }
        notes = notes_of(given.get("instrument", "gm"))
        for pad, note in self.kit(given.get("kit", ""), ("drums", "kit")).items():
            notes[pad] = note if note is not None else notes.get(pad, pages.FREE_NOTE)
        given["drum_notes"] = self.drum_notes(drums.get("map", {}), notes, ("drums", "map"))
        return given

    def preset(self, value: dict[str, Any]) -> Preset:
        types = typing.get_type_hints(Preset)
        known = {f.name: f for f in dataclasses.fields(Preset) if "key" not in f.metadata}
        given: dict[str, Any] = {}
        for name, item in self.table(value, ()).items():
            if name not in known:
                self.unknown((name,), known)
            if name == "drums" and isinstance(item, dict):
                given |= self.naming(item)
                item = {key: item[key] for key in item if key not in ("kit", "instrument", "map")}
            if name == "plugins":
                given[name] = self.plugins(item, (name,))
            elif dataclasses.is_dataclass(types[name]):
                given[name] = self.settings(typing.cast(type, types[name]), item, (name,))
            else:
                given[name] = self.field(known[name], types[name], item, (name,))
        return self.settle(Preset(**given))

    def blamed(self, table: str) -> Key:
        """Which of low and high is wrong where they do not fit: the one that was set last."""
        high = (table, "high")
        return high if high in self.origin.overridden else (table, "low")

    def settle(self, preset: Preset) -> Preset:
        """Check the rules between keys, and carry out the one that needs no complaint."""
        if preset.notes.low >= preset.notes.high:
            self.refuse(
                self.blamed("notes"),
                f"notes.low, {preset.notes.low:g}, is not below notes.high, which is {preset.notes.high:g}",
            )
        wants = preset.clock.enabled or preset.clock.link or preset.chord.on_beat
        if wants and not preset.beat.enabled:
            preset = dataclasses.replace(preset, beat=dataclasses.replace(preset.beat, enabled=True))
        if preset.midi.mpe:
            preset = dataclasses.replace(preset, notes=dataclasses.replace(preset.notes, expression=True))
            if preset.zone_size < 1:
                key = "chord_channel" if preset.midi.chord_channel == 2 else "drum_channel"
                self.refuse(("midi", key), f"midi.mpe wants channel 2 for notes, and midi.{key} is 2")
        if preset.velocity.low > preset.velocity.high:
            self.refuse(
                self.blamed("velocity"),
                f"velocity.low, {preset.velocity.low:g}, is above velocity.high, which is {preset.velocity.high:g}",
            )
        # A hit is named after its stroke is decided, so a stroke may not wait longer than its name.
        if preset.drums.enabled and preset.onset.decision_ms > preset.drums.decision_ms:
            onset = dataclasses.replace(preset.onset, decision_ms=preset.drums.decision_ms)
            return dataclasses.replace(preset, onset=onset)
        return preset
