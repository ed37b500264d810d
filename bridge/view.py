# SPDX-License-Identifier: GPL-3.0-or-later
"""What a player sees while it runs: a live picture on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np

from bridge.keys import Keys
from bridge.messages import labels_of
from bridge.midi.departure import declared
from bridge.native import clock_ns
from bridge.run import Session
from dsp.events import BEND, DRUM, NOTE_OFF, NOTE_ON, ONSET
from dsp.units import RATE

FRAME = 0.1  # between two pictures [s]
FLASH = 0.25  # how long a hit stays lit [s]
FLOOR_DB = -60.0
PADS = ("kick", "snare", "hat", "tom", "cymbal", "other")
BEAT_KEYS = {"t": ("tap", ""), "h": ("half", ""), "d": ("double", ""), "l": ("lock", "")}
BEAT_KEYS |= {",": ("nudge", "-5"), ".": ("nudge", "5")}
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def note_name(number: float) -> str:
    """A4 for 69."""
    n = round(number)
    return f"{NAMES[n % 12]}{n // 12 - 1}"


def bar(part: float, width: int) -> str:
    """A horizontal bar, `part` of `width` characters long."""
    eighths = round(min(max(part, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(width)


def columns(words: Sequence[str], width: int) -> str:
    """Words in columns, lines at most `width` long."""
    wide = max(map(len, words), default=0) + 2
    each = max(1, width // wide)
    rows = (words[start : start + each] for start in range(0, len(words), each))
    return "\n".join(" " + "".join(f"{word:<{wide}}" for word in row).rstrip() for row in rows)


class PlainView:
    """A line for each hit and note, for a log or a pipe."""

    def __init__(self, stream: IO[str], notes: Mapping[str, int] | None = None) -> None:
        self._stream, self._labels = stream, labels_of(notes or {})

    def rename(self, notes: Mapping[str, int]) -> None:
        """Other pads from now on."""
        self._labels = labels_of(notes)

    def open(self, header: dict[str, Any]) -> None:
        ports = header["ports"]
        self._print(f"listening: {', '.join(ports['source'])} -> {ports.get('midi', 'no MIDI')}")

    def write(self, events: np.ndarray) -> None:
        for event in events:
            when = f"{event['time'] / RATE:10.3f}"
            if event["kind"] == DRUM:
                self._print(f"{when}  {self._labels[event['label']].name:<12} {event['value']:.2f}")
            elif event["kind"] == NOTE_ON:
                self._print(f"{when}  {note_name(event['number']):<12} {event['value']:.2f}")

    def close(self, end: dict[str, Any]) -> None:
        self._print("ended: " + ", ".join(f"{value} {key}" for key, value in end.items()))

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class LiveView:
    """Level, hits and notes as they come, load, xruns and latency, redrawn ten times a second.

    Parameters
    ----------
    session
        Whose meters are shown.
    lasts
        How long the source plays [s], where that is known.
    """

    def __init__(self, session: Session, lasts: float | None = None) -> None:
        self._session, self._lasts = session, lasts
        self._labels = labels_of(session.preset.drum_notes)
        self._lit: dict[str, tuple[float, float]] = {}  # family: when, velocity
        self._sounding: dict[int, tuple[float, float]] = {}  # id: note, velocity
        self._bend = 0.0
        self._recent: list[str] = []
        self._lines: list[str] = []
        self._asking = False  # what the last hit really was
        self._keys: Keys | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._redraw, name="view", daemon=True)

    def open(self, header: dict[str, Any]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._header = header
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=False)
        self._live.start()
        self._keys = Keys(self.press)
        self._thread.start()

    def press(self, key: str) -> None:
        """What a key asks for: c and a letter put the last hit right, u undoes that, the others lead the beat."""
        ask = self._session.commands.put
        if self._asking:
            self._asking = False
            if key in (names := self._answers()):
                ask(("correct", names[key]))
        elif key == "c" and self._session.preset.drums.enabled:
            self._asking = True
        elif key == "u":
            ask(("undo", ""))
        elif key in BEAT_KEYS and self._session.preset.beat.enabled:
            what, argument = BEAT_KEYS[key]
            ask((what, str(clock_ns()) if what == "tap" else argument))

    def _answers(self) -> dict[str, str]:
        """The letter of each drum that a hit may have been."""
        return dict(zip(LETTERS, self._session.teacher.names(), strict=False))

    def rename(self, notes: Mapping[str, int]) -> None:
        """Other pads from now on."""
        self._labels = labels_of(notes)

    def say(self, line: str) -> None:
        """A message that stays on the screen."""
        self._lines = [*self._lines, line][-3:]

    def write(self, events: np.ndarray) -> None:
        now = time.monotonic()
        for event in events:
            kind, value = event["kind"], float(event["value"])
            if kind == DRUM:
                label = self._labels[event["label"]]
                self._lit[label.family] = (now, value)
                self._recent.append(f"{label.name} {value:.2f}")
            elif kind == ONSET and not self._session.preset.drums.enabled:
                self._recent.append(f"onset {value:.2f}")
            elif kind == NOTE_ON:
                self._sounding[int(event["id"])] = (float(event["number"]), value)
                self._recent.append(f"{note_name(event['number'])} {value:.2f}")
                self._bend = 0.0
            elif kind == NOTE_OFF:
                self._sounding.pop(int(event["ref"]), None)
            elif kind == BEND:
                self._bend = float(event["number"])
        self._recent = self._recent[-5:]

    def close(self, end: dict[str, Any]) -> None:
        self._stop.set()
        self._thread.join(1.0)
        if self._keys:
            self._keys.close()
        self._live.update(self._picture(), refresh=True)
        self._live.stop()

    def _redraw(self) -> None:
        while not self._stop.wait(FRAME):
            self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Any:
        from rich.text import Text

        session, m, now = self._session, self._session.meters, time.monotonic()
        ports = self._header["ports"]
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append("earwire ", "bold")
        text.append(f"{session.preset.name}  ", "bold cyan")
        text.append(f"{', '.join(ports['source'])} -> {ports.get('midi', 'no MIDI')}", "dim")
        if self._lasts:
            text.append(
                f"  {min(session.engine.samples / RATE, self._lasts):.0f} of {self._lasts:.0f} s", "dim"
            )
        text.append("\n\n level  ")
        part = 1 - m.level_db / FLOOR_DB if m.level_db > FLOOR_DB else 0.0
        style = "red" if m.level_db > -3 else "yellow" if m.level_db > -9 else "green"
        text.append(bar(part, 40), style)
        text.append(f" {m.level_db:6.1f} dBFS\n" if m.level_db > -100 else "  silence\n")
        if session.preset.drums.enabled:
            text.append(" hits   ")
            for family in PADS:
                when, value = self._lit.get(family, (0.0, 0.0))
                lit = now - when < FLASH
                text.append(
                    f" {family} ",
                    f"bold black on {'bright_yellow' if value > 0.6 else 'yellow'}" if lit else "dim",
                )
                text.append(" ")
            text.append(f"  {m.hits}\n")
        if session.preset.notes.enabled:
            text.append(" notes  ")
            for number, value in list(self._sounding.values())[-6:]:
                text.append(
                    f" {note_name(number)} ", f"bold black on {'bright_cyan' if value > 0.6 else 'cyan'}"
                )
                text.append(" ")
            if self._sounding and abs(self._bend) >= 1:
                text.append(f"{self._bend:+.0f} cents ", "cyan")
            text.append(f"  {m.notes}\n")
        if session.preset.beat.enabled:
            self._show_beat(text, m.beat)
        text.append(" last    " + "  ".join(reversed(self._recent)) + "\n", "dim")
        text.append(f"\n load {m.load:5.1%}   answers in {m.reaction[1]:.1f} ms")
        text.append(f"   xruns {m.xruns}   late {m.late}   lost {m.overruns}")
        constant = declared(session.preset, session.path_ms, session.engine.beyond)  # another after a reload
        if (latency := constant.get("drum", constant.get("note_on"))) is not None:
            text.append(f"\n latency {1000 * latency:.1f} ms {session.preset.mode}")  # within 80 columns
        text.append("" if m.realtime else "   (no realtime priority: earwire doctor)", "yellow")
        text.append("\n" + "".join(f" {line}\n" for line in self._lines), "yellow")
        if self._asking:
            text.append(" What was the last hit?\n", "bold")
            text.append(columns([f"{key} {name}" for key, name in self._answers().items()], 76), "cyan")
            text.append("\n any other key: nothing", "dim")
        else:
            keys = ""
            if self._keys and self._keys.there:
                keys = " c: that was wrong   u: undo  " * session.preset.drums.enabled
                keys += " t: tap   h d: half, double   , .: nudge   l: lock  " * session.preset.beat.enabled
            text.append(f"{keys} Ctrl-C ends", "dim")
        return text

    def _show_beat(self, text: Any, beat: Any) -> None:
        """The tempo, and where in the bar the last beat was."""
        text.append(" beat   ")
        if beat is not None:
            for place in range(1, max(int(beat["label"]), 1) + 1):
                here = place == int(beat["value"])
                text.append(f" {place} ", "bold black on bright_green" if here else "dim")
            text.append(f"  {beat['number']:.1f} bpm   {beat['confidence']:.0%} sure")
        text.append("\n")


def view_for(session: Session, quiet: bool, lasts: float | None) -> Any:
    """The view that fits where stderr goes; None when quiet."""
    if quiet:
        return None
    if sys.stderr.isatty():
        return LiveView(session, lasts)
    return PlainView(sys.stderr, session.preset.drum_notes)
