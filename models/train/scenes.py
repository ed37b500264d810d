# SPDX-License-Identifier: GPL-3.0-or-later
"""Twenty seconds of music whose every note is known: who plays, what, how loud, with whom, in which room."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from dsp.units import RATE
from models.train import backing, scores
from models.train.instruments import Fading, Instrument, Players
from models.train.kits import Shelf, shelf
from models.train.scores import Manner, Note, Pedal, Rng, held, manner, pedalling, tidy
from models.train.singer import Singer
from models.train.studio import (
    SECONDS,
    Performance,
    compressed,
    minimum_phase,
    performances,
    rearranged,
    render,
    room,
)

SIZE = SECONDS * RATE
NOTE = np.dtype([("start", "i8"), ("end", "i8"), ("pitch", "i2"), ("velocity", "f4")])
LINES = {
    "winds": 0.32,
    "strings": 0.22,
    "bass": 0.18,
    "guitar": 0.12,
    "keys": 0.08,
    "ensemble": 0.06,
    "organ": 0.02,
}
ALONE = {"keys": 0.6, "guitar": 0.24, "organ": 0.06, "ensemble": 0.1}
CHORDS = {"keys": 0.45, "guitar": 0.4, "organ": 0.07, "ensemble": 0.08}
TUNES = {"winds": 0.35, "strings": 0.15, "guitar": 0.15, "keys": 0.15, "ensemble": 0.2}
SPEAKERS = tuple(
    f"{tongue}+{voice}"
    for tongue in (
        "en-us",
        "de",
        "fr",
        "it",
        "pl",
        "es",
        "pt",
        "sv",
        "nl",
        "cs",
        "fi",
        "hu",
        "tr",
        "ro",
        "el",
    )
    for voice in (
        "m1",
        "m2",
        "m3",
        "m4",
        "m5",
        "m7",
        "f1",
        "f2",
        "f3",
        "f4",
        "f5",
        "croak",
        "klatt2",
        "whisper",
    )
)
SUNG = 0.35  # of the lines alone
NOTHING = {"drums": 0.3, "talk": 0.35, "air": 0.2, "claps": 0.15}


class Part(NamedTuple):
    player: Instrument
    notes: list[Note]
    pedal: Pedal
    db: float  # louder than the others by so much


def truth_of(notes: list[Note]) -> np.ndarray:
    """NOTE records in order of time; what several play at once is one note."""
    rows = [
        (round(n.start * RATE), round(n.end * RATE), n.pitch, n.velocity / 127) for n in tidy(notes, SECONDS)
    ]
    return np.array(rows, NOTE)


def _choice(shares: dict[str, float], rng: Rng) -> str:
    return str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))


class Composer:
    """Draws scenes: one line, one instrument, a few voices, a band."""

    def __init__(
        self, players: Players, songbook: backing.Songbook, plays: Iterator[Performance], kits: Shelf
    ) -> None:
        self.players, self.songbook, self.plays, self.kits = players, songbook, plays, kits

    def _part(self, role: str, style: str, rng: Rng, db: float = 0.0, beat: float = 0.0) -> Part:
        player = self.players.pick(role, rng)
        m = manner(player.low, player.high, SECONDS, rng, beat)
        notes = getattr(scores, style)(m, rng)
        return self._played(player, notes, m, rng, db)

    def _played(self, player: Instrument, notes: list[Note], m: Manner, rng: Rng, db: float) -> Part:
        keys = player.name == "splendid" or any(player.name.endswith(f"-{p:03d}") for p in range(6))
        pedal = pedalling(m, rng) if rng.random() < (0.5 if keys or "keys" in player.name else 0.03) else []
        return Part(player, tidy(notes, SECONDS, player.low - 3, player.high + 3), pedal, db)

    def _song(self, beat: float, downbeat: float, rng: Rng) -> dict[str, list[Note]]:
        """Parts of a song, in time."""
        song = self.songbook.pick(rng)
        bars = max(song.beats // 4 - int(SECONDS / beat / 4) - 2, 1)
        first, up = 4 * int(rng.integers(0, bars)), int(rng.integers(-6, 7))
        found = {}
        for name, notes in song.parts.items():
            softer = rng.integers(-25, 10)
            found[name] = [
                Note(
                    downbeat + (n.start - first) * beat + rng.normal(0, 0.005), downbeat + (n.end - first) * beat,
                    n.pitch + up, int(np.clip(n.velocity + softer + rng.normal(0, 6), 12, 127)),
                )
                for n in notes if first - 8 < n.start < first + SECONDS / beat
            ]  # fmt: skip
        return found

    def _solo(self, rng: Rng) -> list[Part]:
        role = _choice(ALONE, rng)
        player = self.players.pick(role, rng)
        m = manner(player.low, player.high, SECONDS, rng)
        if role == "keys" and rng.random() < 0.35:
            notes = self._song(m.beat, rng.uniform(0, 1), rng).get("PIANO", [])
        elif role == "keys":
            style = rng.choice(["keyboard", "counterpoint", "chords", "arpeggio", "again", "soup"],
                               p=[0.5, 0.15, 0.12, 0.1, 0.08, 0.05])  # fmt: skip
            notes = getattr(scores, str(style))(m, rng)
        elif role == "guitar":
            style = rng.choice(
                ["strum", "arpeggio", "chords", "again", "counterpoint"], p=[0.4, 0.25, 0.12, 0.13, 0.1]
            )
            notes = getattr(scores, str(style))(m, rng)
        else:
            notes = getattr(scores, str(rng.choice(["chords", "counterpoint", "again", "soup"])))(m, rng)
        return [self._played(player, notes, m, rng, 0)]

    def _voices(self, rng: Rng) -> list[Part]:
        """Strings, winds or any, each with a line of its own."""
        roles = [str(rng.choice(["strings", "winds", "winds", "any"]))] * int(rng.integers(2, 6))
        beat = 60 / rng.uniform(50, 150)
        return [
            self._part(_choice(LINES, rng) if role == "any" else role, "line", rng, rng.normal(0, 3), beat)
            for role in roles
        ]

    def _band(self, rng: Rng, beat: float, downbeat: float) -> list[Part]:
        parts = []
        if rng.random() < 0.6:
            song = self._song(beat, downbeat, rng)
            piano = song.get("PIANO", [])
            lows: dict[int, Note] = {}
            for note in piano:
                slot = round(2 * (note.start - downbeat) / beat)
                if slot not in lows or note.pitch < lows[slot].pitch:
                    lows[slot] = note
            bass = [n._replace(pitch=n.pitch - 12 * max(0, (n.pitch - 36) // 12), velocity=int(rng.integers(60, 120)))
                    for _, n in sorted(lows.items())]  # fmt: skip
            for role, notes in (
                (_choice(CHORDS, rng), piano),
                ("bass", bass),
                (_choice(TUNES, rng), song.get("MELODY", [])),
                (_choice(TUNES, rng), song.get("BRIDGE", [])),
            ):
                if notes and rng.random() < 0.85:
                    player = self.players.pick(role, rng)
                    m = manner(player.low, player.high, SECONDS, rng, beat)
                    parts.append(self._played(player, notes, m, rng, rng.normal(0, 3)))
            return parts
        parts.append(self._part("bass", str(rng.choice(["line", "again"])), rng, rng.normal(1, 3), beat))
        style = str(rng.choice(["strum", "chords", "arpeggio", "keyboard"]))
        parts.append(self._part(_choice(CHORDS, rng), style, rng, rng.normal(0, 3), beat))
        if rng.random() < 0.75:
            parts.append(self._part(_choice(TUNES, rng), "line", rng, rng.normal(2, 3), beat))
        if rng.random() < 0.3:
            parts.append(self._part(_choice(CHORDS, rng), "chords", rng, rng.normal(-3, 3), beat))
        return parts

    def scene(self, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """Sound, shape (SIZE,), peak 0.7, and its NOTE records."""
        kind, drums = rng.random(), np.zeros(0)
        if kind < 0.17:
            parts = [self._part(_choice(LINES, rng), "line", rng)]
        elif kind < 0.53:
            parts = self._solo(rng)
        elif kind < 0.67:
            parts = self._voices(rng)
        else:
            played = next(self.plays)
            parts = self._band(rng, played.beat, played.downbeat)
            if rng.random() < 0.6:
                drums = render(rearranged(played, rng), self.kits, rng)[0]
        quiet = rng.random() < 0.35
        parts = [p._replace(db=p.db - (rng.uniform(4, 14) if quiet and i and rng.random() < 0.5 else 0))
                 for i, p in enumerate(parts) if p.notes]  # fmt: skip
        return self._heard(parts, drums, rng)

    def line(self, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """One line alone, sung or played; as `scene` returns it."""
        if rng.random() >= SUNG:
            return self._heard([self._part(_choice(LINES, rng), "line", rng)], np.zeros(0), rng)
        singer = Singer(rng)
        notes = scores.line(manner(singer.low, singer.high, SECONDS, rng), rng)
        notes = singer.phrased(tidy(notes, SECONDS, singer.low, singer.high))
        return self._heard([Part(singer, notes, [], 0.0)], np.zeros(0), rng)

    @staticmethod
    def _heard(parts: list[Part], drums: np.ndarray, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """The parts and the drums, played, mixed and mastered, and the notes."""
        cents = rng.uniform(-25, 25) if rng.random() < 0.7 else 0.0
        dry, wet, notes = np.zeros(SIZE), np.zeros(SIZE), []
        for part in parts:
            tuned = cents + rng.normal(0, 3)
            x = part.player.play(part.notes, part.pedal, tuned, SECONDS, Fading.drawn(rng))
            x = worn(x, rng)
            loud = np.abs(x)
            loud = loud[loud > 0.03 * loud.max()] if loud.max() > 0 else loud
            if len(loud) < 100:
                continue
            x *= 10 ** (part.db / 20) / np.sqrt(np.mean(loud**2))
            dry += x
            wet += 10 ** (rng.uniform(-12, 0) / 20) * x
            notes += held(part.notes, part.pedal)
        if len(drums) and np.abs(dry).max() > 0 and np.abs(drums).max() > 0:
            drums = drums * np.sqrt(np.mean(dry**2) / np.mean(drums**2)) * 10 ** (rng.uniform(-10, 5) / 20)
            dry, wet = dry + drums, wet + 0.2 * drums
        return mastered(dry, wet, rng), truth_of(notes)


def composer(data: Path, work: Path, part: int) -> Composer:
    """One who draws from all that DATA holds; `work` remembers which programs were heard."""
    return Composer(
        Players(data / "pitched", work), backing.Songbook(data / "midi" / "pop909.zip"),
        performances(data / "midi" / "groove.zip", np.random.default_rng([1, part])),
        shelf(data / "drums" / "oneshots", soundfonts=False),
    )  # fmt: skip


def worn(x: np.ndarray, rng: Rng) -> np.ndarray:
    """One part through an equaliser, an amplifier, a compressor, or nothing."""
    if rng.random() < 0.3:
        x = minimum_phase(x, rng.normal(0, rng.choice([2, 5]), 8), np.geomspace(30, 20000, 8))
    peak = max(np.abs(x).max(), 1e-6)
    if rng.random() < 0.12:
        drive = rng.uniform(1, 8) / peak
        x = np.tanh(drive * x) / drive
    if rng.random() < 0.15:
        x = compressed(
            x / peak, 10 ** (rng.uniform(-30, -8) / 20), rng.uniform(1.5, 6), 0.005, rng.uniform(0.05, 0.3)
        )
    return np.asarray(x)


def mastered(dry: np.ndarray, wet: np.ndarray, rng: Rng) -> np.ndarray:
    """All of it in a room, pressed and driven a little; peak 0.7."""
    y = dry
    if rng.random() < 0.7:
        y = y + 10 ** (rng.uniform(-22, -2) / 20) * fftconvolve(wet, room(rng))[: len(dry)]
    y = y / max(np.abs(y).max(), 1e-6)
    if rng.random() < 0.25:
        y = compressed(
            y, 10 ** (rng.uniform(-24, -6) / 20), rng.uniform(1.5, 5), 0.005, rng.uniform(0.05, 0.4)
        )
    if rng.random() < 0.15:
        drive = rng.uniform(0.5, 3)
        y = np.tanh(drive * y) / np.tanh(drive)
    return (0.7 * y / max(np.abs(y).max(), 1e-6)).astype(np.float32)


def speech(rng: Rng, speakers: tuple[str, ...] = SPEAKERS) -> np.ndarray:
    """Somebody talks."""
    words = []
    for _ in range(70):
        pairs = [
            str(rng.choice(list("bdfghklmnprstvwz"))) + str(rng.choice(list("aeiou")))
            for _ in range(rng.integers(1, 5))
        ]
        words.append("".join(pairs) + str(rng.choice(["", "n", "s", "t", ",", "."])))
    voice, speed, pitch = str(rng.choice(speakers)), str(rng.integers(110, 220)), str(rng.integers(15, 85))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-s", speed, "-p", pitch, "-w", path, " ".join(words)],
                       check=True, capture_output=True)  # fmt: skip
        x, rate = sf.read(path, dtype="float32")
    return np.resize(soxr.resample(x, rate, RATE), SIZE).astype(np.float32)


def air(rng: Rng) -> np.ndarray:
    """A room, wind, a fan, a tape: noise of any colour, in gusts, often over a mains hum."""
    hz = np.fft.rfftfreq(SIZE, 1 / RATE) + 5
    db = -rng.uniform(-2, 9) * np.log2(hz / 1000) + 60 * np.minimum(np.log2(hz / rng.uniform(10, 80)), 0)
    for _ in range(rng.integers(0, 5)):  # what resonates
        at, width = 2 ** rng.uniform(5.5, 13), 10 ** rng.uniform(-1.3, 0)
        db += rng.uniform(-12, 18) * np.exp(-0.5 * (np.log2(hz / at) / width) ** 2)
    shaped = np.fft.rfft(rng.standard_normal(SIZE)) * 10 ** (np.clip(db, -150, 60) / 20)
    x = np.fft.irfft(shaped, SIZE)
    turns = np.interp(np.arange(SIZE), np.linspace(0, SIZE, 60), rng.normal(0, rng.choice([0.5, 6]), 60))
    x *= 10 ** (turns / 20) / np.sqrt(np.mean(x**2))
    if rng.random() < 0.4:
        turn = 2 * np.pi * rng.choice([50, 60]) / RATE * np.arange(SIZE)
        hum = sum(rng.normal() * k ** -rng.uniform(0, 2) * np.sin(k * turn) for k in range(1, 9))
        x += 10 ** (rng.uniform(-30, 0) / 20) * hum
    return x


def claps(rng: Rng) -> np.ndarray:
    """Hands, steps, keys, rain: bursts without a pitch, from one now and then to an applause."""
    x, rate = np.zeros(SIZE), 10 ** rng.uniform(0, 2.2)
    edge = 2 ** rng.uniform(7, 12)
    band = butter(1, [edge, min(edge * rng.uniform(2, 8), 20000)], "band", fs=RATE, output="sos")
    last = 10 ** rng.uniform(-2.8, -1.2)
    for start in rng.integers(0, SIZE - RATE, rng.poisson(SECONDS * rate)):
        size = int(4 * last * RATE * rng.uniform(0.5, 1.5))
        burst = rng.standard_normal(size) * np.exp(-np.arange(size) / (last * RATE))
        x[start : start + size] += rng.lognormal(0, 0.6) * burst
    return np.asarray(sosfilt(band, x))


def noise(composer: Composer, rng: Rng, kinds: dict[str, float] | None = None) -> np.ndarray:
    """What sounds and is no note: drums, or a talk, the air, or hands in a room; of `kinds`, by their shares."""
    kind = _choice(kinds or NOTHING, rng)
    if kind == "drums":
        return render(rearranged(next(composer.plays), rng), composer.kits, rng)[0]
    x = {"talk": speech, "air": air, "claps": claps}[kind](rng)
    return mastered(x, x, rng)
