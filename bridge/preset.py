# SPDX-License-Identifier: GPL-3.0-or-later
"""The TOML a musician edits, checked at the door.

Which keys there are, their ranges, units and meanings is said once, where each
setting is used (`dsp.settings`); this module only reads it from there. Nothing
in a preset is ever executed.
"""

import dataclasses
import re
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from bridge import toml_lines
from bridge.clock import ClockSettings
from bridge.errors import KitError, PresetError
from bridge.kit import pages
from dsp.beat import BeatSettings
from dsp.events import LABELS
from dsp.hits import DrumSettings
from dsp.line import NoteSettings
from dsp.onset import OnsetSettings
from dsp.settings import choice, number, switch
from models.chord import ChordSettings
from models.key import KeySettings

MAX_BYTES = 64 * 1024  # a preset is a page of text; what is longer is something else
MAX_TEXT = 400  # longest name, description or path [characters]
MAX_ITEMS = 64  # longest list or table of a preset

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


@dataclass(frozen=True, slots=True)
class MidiSettings:
    drum_channel: int = number(10, 1, 16, "", "MIDI channel of drum hits")
    note_channel: int = number(1, 1, 16, "", "MIDI channel of notes and pitch bend")
    chord_channel: int = number(
        0, 0, 16, "", "MIDI channel that chords are played on, bass and all; 0 plays none"
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


Key = toml_lines.Path


@dataclass(frozen=True, slots=True)
class _Text:
    """Where the values came from, so that an error can say so."""

    path: str | None = None  # as shown to the user
    folder: Path = Path()  # what a relative path in the preset starts from
    lines: Mapping[Key, int] = field(default_factory=dict)
    overridden: tuple[Key, ...] = ()

    def refuse(self, key: Key, message: str, hint: str = "") -> NoReturn:
        shown = _dotted(key)
        inside = any(key[: len(given)] == given for given in self.overridden)
        around = any(given[: len(key)] == key for given in self.overridden) and key not in self.lines
        if inside or around:
            raise PresetError(message, hint, path="--set", key=shown)
        line = next((self.lines[key[:n]] for n in range(len(key), 0, -1) if key[:n] in self.lines), None)
        raise PresetError(message, hint, path=self.path, line=line, key=shown)


def _show(value: Any) -> str:
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


def _dotted(key: Key) -> str:
    parts = (
        part if isinstance(part, int) or re.fullmatch(r"[\w-]{1,60}", part) else _show(part) for part in key
    )
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def _nearest(word: str, words: Iterable[str]) -> str:
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
        raise ValueError(f"{_show(text)} is not HOST:PORT, such as 127.0.0.1:9000")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"{_show(text)} has no port within 1..65535")
    return host, int(port)


class _Reader:
    """Turns a table of TOML values into settings, or says what is wrong with it."""

    def __init__(self, text: _Text) -> None:
        self.text = text
        self.refuse = text.refuse

    def table(self, value: Any, at: Key) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.refuse(at, f"{_show(value)} stands where a table of keys belongs")
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
            key, "no such key" + _nearest(str(key[-1]), known), "earwire presets --keys lists every key"
        )

    def field(self, field: dataclasses.Field[Any], kind: Any, value: Any, at: Key) -> Any:
        if "low" in field.metadata:
            return self.number(field.metadata, kind is int, value, at)
        if "options" in field.metadata:
            if not isinstance(value, str) or value not in field.metadata["options"]:
                options = " or ".join(field.metadata["options"])
                self.refuse(at, f"{_show(value)} is not known here; it is {options}")
            return value
        if kind is bool:
            if not isinstance(value, bool):
                self.refuse(at, f"{_show(value)} is neither true nor false")
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
            self.refuse(at, f"{_show(value)} is not a number; it takes {span}{names}")
        if not low <= value <= high:
            self.refuse(
                at, f"{_show(given)} is outside {span}; the nearest is {high if value > high else low:g}"
            )
        if whole and value != int(value):
            self.refuse(at, f"{_show(value)} is not a whole number; the nearest is {round(value)}")
        return int(value) if whole else float(value)

    def string(self, value: Any, at: Key) -> str:
        if not isinstance(value, str):
            self.refuse(at, f"{_show(value)} is not text; put it in quotes")
        if len(value) > MAX_TEXT or not value.isprintable():
            self.refuse(at, f"{_show(value)} is not one line of at most {MAX_TEXT} printable characters")
        return value

    def channels(self, value: Any, at: Key) -> Channels:
        if value == "mix":
            return "mix"
        rows = self.items(value, at)
        for row, item in enumerate(rows):
            if isinstance(item, bool) or not isinstance(item, int) or not 1 <= item <= 256:
                self.refuse(
                    (*at, row) if isinstance(value, list) else at,
                    f'{_show(item)} is no channel; it is "mix" or a list of channels counted from 1, such as [1, 2]',
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
                self.refuse(at, f"{_show(value)} is no value for a plugin")
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
                self.refuse((*at, label), "no such drum label" + _nearest(label, notes))
            notes[label] = int(self.number(meta, True, item, (*at, label)))
        return notes

    def plugins(self, value: Any, at: Key) -> tuple[PluginSettings, ...]:
        if not isinstance(value, list):
            self.refuse(
                at, f"{_show(value)} stands where a list belongs; each plugin begins with [[plugins]]"
            )
        chain = []
        for row, item in enumerate(self.items(value, at)):
            plugin = self.settings(PluginSettings, item, (*at, row))
            if bool(plugin.name) == bool(plugin.path):
                self.refuse((*at, row), "a plugin has either a name or a path")
            if plugin.path:
                path = self.text.folder / Path(plugin.path).expanduser()
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
        return high if high in self.text.overridden else (table, "low")

    def settle(self, preset: Preset) -> Preset:
        """Check the rules between keys, and carry out the one that needs no complaint."""
        if preset.notes.low >= preset.notes.high:
            self.refuse(
                self.blamed("notes"),
                f"notes.low, {preset.notes.low:g}, is not below notes.high, which is {preset.notes.high:g}",
            )
        if (preset.clock.enabled or preset.chord.on_beat) and not preset.beat.enabled:
            preset = dataclasses.replace(preset, beat=dataclasses.replace(preset.beat, enabled=True))
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


def _shipped_files() -> dict[str, Any]:
    folder = resources.files("presets")
    return {f.name.removesuffix(".toml"): f for f in folder.iterdir() if f.name.endswith(".toml")}


def shipped() -> list[str]:
    """Names of the presets that come with the product, the default first."""
    return sorted(_shipped_files(), key=lambda name: (name != "drums", name))


def text(name_or_path: str | Path) -> str:
    """The TOML of a preset as its author wrote it, comments and all."""
    return _read(name_or_path)[0]


def _read(name_or_path: str | Path) -> tuple[str, str, Path | None]:
    """Text, how to call it in an error, and its file if it is the user's own."""
    name = str(name_or_path)
    files = _shipped_files()
    if isinstance(name_or_path, str) and name in files:
        return files[name].read_text("utf-8"), f"preset {name}", None
    hint = "earwire presets lists those that come with it; a preset of your own is given as the path of its .toml file"
    try:
        path = Path(name).expanduser()
        if not path.is_file():
            if path.suffix == ".toml" or len(path.parts) > 1:
                raise PresetError(f"{_show(name)} is not a file", hint)
            raise PresetError(f"no preset is called {_show(name)}" + _nearest(name, files), hint)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:  # unreadable, a zero byte in the name, no home for ~
        reason = error.strerror if isinstance(error, OSError) else None
        raise PresetError(f"{_show(name)} cannot be read: {reason or error}", hint) from None
    if len(data) > MAX_BYTES:
        raise PresetError(f"is longer than {MAX_BYTES // 1024} kB, so it is no preset", hint, path=path)
    try:
        return data.decode("utf-8-sig"), name, path
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PresetError(
            "is not UTF-8 text", "save it as UTF-8 in your editor", path=path, line=line
        ) from None


def _parse(toml: str, shown: str) -> dict[str, Any]:
    hint = 'a line reads  key = value  ; text stands in "quotes", a table begins with [its name]'
    try:
        return tomllib.loads(toml)
    except RecursionError:
        raise PresetError("is nested too deeply", path=shown) from None
    except ValueError as error:  # also what int() and dates refuse
        match = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error), re.DOTALL)
        if match is None:
            raise PresetError("holds a value that TOML cannot read", hint, path=shown) from None
        line = int(match[2]) if match[2] else toml.count("\n") + 1
        raise PresetError(f"not TOML: {match[1][:100]}", hint, path=shown, line=line) from None


class _Override(NamedTuple):
    key: tuple[str, ...]
    value: Any


def _override(assignment: str) -> _Override:
    """A ``KEY=VALUE`` of the command line; a value that is not TOML is a number like .5, or text."""
    dotted, equals, toml = assignment.partition("=")
    key = tuple(part.strip() for part in dotted.split("."))
    if not equals or not all(key):
        raise PresetError(f"{_show(assignment)} is not KEY=VALUE, such as drums.decision_ms=20", path="--set")
    toml = toml.strip()
    if len(toml) > MAX_BYTES:
        raise PresetError("the value is too long", path="--set", key=_dotted(key))
    try:
        table = tomllib.loads(f"value = {toml}")
    except (ValueError, RecursionError):
        short = re.fullmatch(r"[+-]?(\d+\.|\.\d+)", toml)
        return _Override(key, float(toml) if short else toml)
    return _Override(key, table["value"] if len(table) == 1 else toml)


def _put(table: dict[str, Any], override: _Override) -> None:
    *parents, last = override.key
    for depth, name in enumerate(parents, 1):
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            place = _dotted(override.key[:depth])
            raise PresetError(f"{place} holds no keys of its own", path="--set", key=_dotted(override.key))
    table[last] = override.value


def load(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Preset:
    """A preset, checked.

    Parameters
    ----------
    name_or_path
        Name of a shipped preset, or path of a TOML file.
    overrides
        ``KEY=VALUE`` texts, applied in order. KEY is dotted; VALUE is TOML, or a
        bare word or note name.

    Raises
    ------
    PresetError
        Names the file, the line, the key and the nearest thing that would do.
    """
    toml, shown, file = _read(name_or_path)
    table = _parse(toml, shown)
    given = [_override(assignment) for assignment in overrides]
    for override in given:
        _put(table, override)
    try:
        lines = toml_lines.key_lines(toml)
        origin = _Text(
            shown,
            folder=file.parent if file else Path(),
            lines=lines,
            overridden=tuple(override.key for override in given),
        )
        preset = _Reader(origin).preset(table)
    except RecursionError:
        raise PresetError("is nested too deeply", path=shown) from None
    name = preset.name or (file.stem if file else str(name_or_path))
    return dataclasses.replace(preset, name=name, file=file)


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
