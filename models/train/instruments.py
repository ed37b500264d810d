# SPDX-License-Identifier: GPL-3.0-or-later
"""Who plays to the note ear: soundfonts, patches, multisamples, and instruments invented for one scene.

A soundfont's program is heard before it is believed: it must speak at once, and sound the note it is asked.
Two soundfonts never train, they test.
"""

import json
import re
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np
import soundfile as sf
import soxr
from numba import njit
from scipy.signal import butter, sosfilt

from dsp.units import RATE
from models.train.scores import Note, Pedal, Rng, held

TRAIN = {
    "timgm": Path("/usr/share/sounds/sf2/TimGM6mb.sf2"),
    "csound": Path("/usr/share/sounds/sf2/sf_GMbank.sf2"),
    "freepats": Path("/etc/timidity/freepats.cfg"),
}
TEST = {
    "fluid": Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    "musescore": Path("/usr/share/sounds/sf3/MuseScore_General.sf3"),
}
# General MIDI programs by what they are asked to play, and from where to where.
GM: dict[str, dict[tuple[int, ...], tuple[int, int]]] = {
    "keys": {(0, 1, 2, 3, 4, 5, 6, 7): (24, 103), (8, 11): (53, 96), (10, 12, 13, 15): (52, 90), (46,): (28, 98)},
    "organ": {(16, 17, 18, 19, 20): (36, 96), (21, 23): (42, 90), (22,): (48, 86)},
    "guitar": {(24, 25, 26, 27, 28, 29, 30): (40, 86), (104, 105, 107): (45, 84), (45,): (36, 86)},
    "bass": {(32, 33, 34, 35, 36, 37, 38, 39): (26, 60)},
    "strings": {(40, 110): (55, 96), (41,): (48, 86), (42,): (36, 76), (43,): (28, 60)},
    "winds": {(56, 59): (54, 84), (57,): (40, 72), (58,): (28, 58), (60,): (40, 77), (64,): (56, 88), (65,): (49, 81),
              (66,): (44, 76), (67,): (36, 69), (68,): (58, 91), (69,): (52, 81), (70,): (34, 72), (71,): (50, 91),
              (72,): (74, 102), (73, 74, 75, 79): (60, 96)},
    "ensemble": {(44, 48, 49): (36, 90), (52, 53, 54): (43, 82), (61, 62, 63): (36, 84), (80, 81, 85): (36, 92),
                 (88, 90): (40, 88)},
}  # fmt: skip
ROLES = tuple(GM)
DECAY, RELEASE = 36, 38  # generators of a SoundFont: how long a note takes to fade, held and let go


class Fading(NamedTuple):
    """How many times as long as by itself an instrument takes to fade."""

    held: float
    released: float

    @classmethod
    def drawn(cls, rng: Rng) -> "Fading":
        """As it is, or as another instrument of its kind would."""
        return cls(2 ** rng.uniform(-1, 1), 2 ** rng.uniform(-1.5, 1.5)) if rng.random() < 0.6 else AS_IS


AS_IS = Fading(1.0, 1.0)


class Instrument(ABC):
    """One that plays notes."""

    def __init__(self, name: str, low: int, high: int) -> None:
        self.name, self.low, self.high = name, low, high

    @abstractmethod
    def play(
        self, notes: Sequence[Note], pedal: Pedal, cents: float, seconds: float, fading: Fading = AS_IS
    ) -> np.ndarray:
        """Sound of the notes, shape (seconds * RATE,), `cents` out of tune."""


def _scaled(generator: int, factor: float) -> list[mido.Message]:
    """Controllers by which a SoundFont synthesizer scales a time of all its programs (SoundFont 2.01, section 9.6)."""
    value = 8192 + round(600 * np.log2(factor))  # of two timecents
    pairs = (99, 120), (98, generator), (38, value & 127), (6, value >> 7)
    return [mido.Message("control_change", control=control, value=value) for control, value in pairs]


def score(
    notes: Iterable[Note], pedal: Pedal, program: int, cents: float, fading: Fading = AS_IS
) -> mido.MidiFile:
    """A MIDI file whose tick is half a millisecond."""
    messages: list[tuple[float, int, mido.Message]] = []
    for note in notes:
        velocity = int(note.velocity)
        messages.append((note.start, 2, mido.Message("note_on", note=note.pitch, velocity=velocity)))
        messages.append((note.end, 0, mido.Message("note_off", note=note.pitch)))
    for down, up in pedal:
        messages.append((down, 1, mido.Message("control_change", control=64, value=127)))
        messages.append((up, 1, mido.Message("control_change", control=64, value=0)))
    midi, track, last = mido.MidiFile(ticks_per_beat=1000), mido.MidiTrack(), 0
    midi.tracks.append(track)
    track.append(mido.Message("program_change", program=program))
    track.append(mido.Message("pitchwheel", pitch=int(np.clip(cents / 200 * 8192, -8192, 8191))))
    if fading != AS_IS:
        track.extend(_scaled(DECAY, fading.held) + _scaled(RELEASE, fading.released))
    for at, _, message in sorted(messages, key=lambda m: m[:2]):
        tick = max(round(at * 2000), last)
        track.append(message.copy(time=tick - last))
        last = tick
    return midi


class Program(Instrument):
    """A General MIDI program of a soundfont, or of patches where the file is a `.cfg`."""

    def __init__(self, bank: str, path: Path, program: int, low: int, high: int) -> None:
        super().__init__(f"{bank}-{program:03d}", low, high)
        self.path, self.program = path, program

    def play(
        self, notes: Sequence[Note], pedal: Pedal, cents: float, seconds: float, fading: Fading = AS_IS
    ) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            midi, sound = Path(folder) / "part.mid", Path(folder) / "part.wav"
            score(notes, pedal, self.program, cents, fading).save(midi)
            if self.path.suffix == ".cfg":
                rate = ["-s", str(RATE), "-Ow1sl", "-EFreverb=0", "-EFchorus=0"]
                command = ["timidity", "-c", str(self.path), "--preserve-silence", "-A50", *rate]
                command += ["-o", str(sound), str(midi)]
            else:
                command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-g", "0.3", "-r", str(RATE)]
                command += ["-o", "synth.dynamic-sample-loading=1", "-O", "float", "-T", "wav"]
                command += ["-F", str(sound), str(self.path), str(midi)]
            subprocess.run(command, check=True, capture_output=True)
            x = sf.read(sound, dtype="float32", always_2d=True)[0].mean(1)
        out = np.zeros(round(seconds * RATE), np.float32)
        out[: len(x)] = x[: len(out)]
        return out


def speaks(instrument: Program) -> bool:
    """Whether a program sounds the notes it is asked, and soon."""
    pitches = [int(p) for p in np.linspace(instrument.low + 5, instrument.high - 5, 4)]
    notes = [Note(0.5 + 1.5 * i, 1.3 + 1.5 * i, pitch, 90) for i, pitch in enumerate(pitches)]
    x = instrument.play(notes, [], 0, 7)
    for note in notes:
        start = int(note.start * RATE)
        part = x[start : start + int(0.7 * RATE)]
        level = np.sqrt(np.convolve(part**2, np.ones(480) / 480, "valid"))
        if level.max() < 1e-3 or not (level[: int(0.09 * RATE)] > 0.15 * level.max()).any():
            return False
        body = part[int(0.08 * RATE) : int(0.5 * RATE)]
        power = np.abs(np.fft.rfft(body * np.hanning(len(body)), 1 << 17)) ** 2
        hz = 440 * 2 ** ((note.pitch - 69) / 12)

        def near(ratio: float, hz: float = hz, power: np.ndarray = power) -> float:
            centre = hz * ratio * (1 << 17) / RATE
            return float(power[int(centre * 0.978) : int(centre * 1.022) + 2].max())

        own = [near(k) for k in (1, 2, 3, 4) if k * hz < 15000]
        below = [near(k) for k in (0.5, 1.5, 2.5) if 50 < k * hz < 15000]
        if sum(own) < 0.05 * power.max() or max(below, default=0) > 0.1 * max(own):
            return False
    return True


@njit(cache=False)
def _strings(out, start, stop, ratios, gains, fades, step, attack, release):  # type: ignore[no-untyped-def]
    """Partials that die away, each for itself."""
    n = len(out)
    for k in range(len(ratios)):
        angle = step * ratios[k]
        if angle > 2.7:
            break
        cosine, sine, re, im = np.cos(angle), np.sin(angle), 0.0, gains[k]
        rise, let_go = 0.0, 1.0
        for i in range(start, n):
            if i >= stop:
                let_go *= release
                if let_go < 1e-4:
                    break
            rise += attack * (1.0 - rise)
            re, im = (re * cosine - im * sine) * fades[k], (re * sine + im * cosine) * fades[k]
            out[i] += re * rise * let_go


@njit(cache=False)
def _winds(out, start, stop, phase, gains, bright, envelope):  # type: ignore[no-untyped-def]
    """Harmonics of one moving phase; the higher ones follow `bright`."""
    for i in range(len(phase)):
        if start + i >= len(out):
            break
        s, c = np.sin(phase[i]), 2 * np.cos(phase[i])
        before, now, total, fade = 0.0, s, 0.0, 1.0
        for k in range(len(gains)):
            total += gains[k] * fade * now
            before, now = now, c * now - before
            fade *= bright[i]
        out[start + i] += total * envelope[i]


class Invented(Instrument):
    """Struck, plucked, bowed or blown: spectrum, stiffness, decay, attack, noise and vibrato drawn at random."""

    def __init__(self, rng: Rng, role: str) -> None:
        low, high = {"bass": (24, 60), "keys": (24, 105), "guitar": (38, 88)}.get(role, (33, 98))
        super().__init__("invented-" + role, low, high)
        self.rng = rng
        self.decays = role in ("keys", "guitar", "bass") or rng.random() < 0.1
        self.slope = rng.uniform(0.4, 2.2)
        self.rough = rng.normal(0, rng.uniform(1, 7), 40)  # each harmonic's own level [dB]
        self.even = rng.uniform(-25, 0) if rng.random() < 0.25 else 0.0  # even harmonics [dB]
        self.struck = rng.uniform(0.06, 0.5)  # place along the string
        self.combs = rng.random() < 0.5
        self.stiff = 10 ** rng.uniform(-5.5, -3.1) if rng.random() < 0.6 else 0.0
        self.span = 10 ** rng.uniform(-0.5, 0.9)  # decay of A3 to 1/e [s]
        self.shade = rng.uniform(0.02, 0.5)  # how much faster high partials die
        self.attack = 10 ** rng.uniform(-3.3, -2.3 if self.decays else -1.2)
        self.release = 10 ** rng.uniform(-1.9, -0.5)
        self.range_db = rng.uniform(15, 42)  # from velocity 1 to 127
        self.gloss = rng.uniform(0, 1.2)  # how much brighter when loud
        self.noise = 10 ** (rng.uniform(-50, -14) / 20)
        self.burst = 10 ** rng.uniform(-2.7, -1.4)  # [s]
        self.breath = 10 ** (rng.uniform(-60, -28) / 20)
        edge = np.exp(rng.uniform(np.log(300), np.log(5000)))
        self.band = butter(1, [edge, min(edge * rng.uniform(2, 8), 20000)], "band", fs=RATE, output="sos")
        self.vibrato = rng.uniform(0, 0.5) if rng.random() < 0.5 else 0.0  # [semitones]
        self.pace = rng.uniform(4, 7)
        self.scoop = rng.normal(0, 0.5) if rng.random() < 0.3 else 0.0  # [semitones] it begins beside
        self.tremble = rng.uniform(0, 0.3) if rng.random() < 0.3 else 0.0
        self.doubles = rng.random() < 0.3
        self.beating = rng.uniform(1, 14)  # between the doubles [cents]
        self.formants = rng.uniform(250, 4000, 3) if rng.random() < 0.4 else np.zeros(0)

    def _gains(self, hz: float, velocity: float) -> np.ndarray:
        k = np.arange(1, int(np.clip(16000 / hz, 1, 40)) + 1)
        db = -20 * np.log10(k) * (self.slope + self.gloss * (0.7 - velocity)) + self.rough[: len(k)]
        db[0] -= self.rough[0]
        db[1::2] += self.even
        gains = 10 ** (db / 20)
        if self.combs:
            gains *= np.abs(np.sin(np.pi * k * self.struck)) + 0.05
        for formant in self.formants:
            gains *= 1 + 4 / (1 + ((k * hz - formant) / (0.15 * formant)) ** 2)
        loud = 10 ** (self.range_db * (velocity - 1) / 20)
        return loud * gains / np.sqrt((gains**2).sum())

    def play(
        self, notes: Sequence[Note], pedal: Pedal, cents: float, seconds: float, fading: Fading = AS_IS
    ) -> np.ndarray:
        out, rng, release = np.zeros(round(seconds * RATE)), self.rng, self.release * fading.released
        for note in held(notes, pedal):
            start, stop = round(note.start * RATE), round(note.end * RATE)
            hz = 440 * 2 ** ((note.pitch - 69 + cents / 100) / 12)
            gains = self._gains(hz, note.velocity / 127)
            size = min(stop - start + int(3 * release * RATE), len(out) - start)
            for detune in (0, self.beating) if self.doubles else (0,):
                pitch = hz * 2 ** (detune / 1200)
                if self.decays:
                    k = np.arange(1, len(gains) + 1)
                    ratios = k * np.sqrt((1 + self.stiff * k**2) / (1 + self.stiff))
                    times = self.span * fading.held * (220 / pitch) ** 0.6 / (1 + self.shade * (k - 1))
                    _strings(
                        out, start, stop, ratios, gains * rng.choice([-1, 1], len(gains)),
                        np.exp(-1 / (times * RATE)), 2 * np.pi * pitch / RATE, 1 - np.exp(-1 / (self.attack * RATE)),
                        np.exp(-1 / (release / 3 * RATE)),
                    )  # fmt: skip
                else:
                    t = np.arange(size) / RATE
                    bend = (
                        self.vibrato
                        * np.clip((t - 0.15) / 0.3, 0, 1)
                        * np.sin(2 * np.pi * self.pace * t + rng.random())
                    )
                    bend += self.scoop * np.exp(-t / 0.04) * rng.uniform(0, 1)
                    phase = 2 * np.pi * (rng.random() + np.cumsum(pitch * 2 ** (bend / 12)) / RATE)
                    rise = 1 - np.exp(-t / self.attack * 2)
                    fall = np.where(
                        t < note.end - note.start,
                        1,
                        np.exp(-(t - (note.end - note.start)) / release * 3),
                    )
                    shake = 1 + self.tremble * np.sin(2 * np.pi * self.pace * t)
                    _winds(out, start, stop, phase, gains, 0.8 + 0.2 * rise, rise * fall * shake)
            loud = 10 ** (self.range_db * (note.velocity / 127 - 1) / 20)
            hit = rng.standard_normal(min(int(6 * self.burst * RATE), len(out) - start))
            out[start : start + len(hit)] += (
                loud
                * self.noise
                * sosfilt(self.band, hit)
                * np.exp(-np.arange(len(hit)) / (self.burst * RATE))
            )
            if not self.decays and size > 0:
                out[start : start + size] += (
                    loud * self.breath * sosfilt(self.band, rng.standard_normal(size)) * rise * fall
                )
        return out.astype(np.float32)


class Region(NamedTuple):
    low: int
    high: int
    key: int
    softest: int
    loudest: int
    path: Path


@cache
def _sample(path: Path) -> np.ndarray:
    """From where it sounds, at most eight seconds."""
    x, rate = sf.read(path, dtype="float32", always_2d=True)
    x = soxr.resample(x.mean(1), rate, RATE) if rate != RATE else x.mean(1)
    peak = np.abs(x[: RATE // 2]).max()
    return x[max(0, int(np.argmax(np.abs(x) > 0.02 * peak)) - 24) :][: 8 * RATE].astype(np.float32)


class Sampled(Instrument):
    """A multisample."""

    def __init__(self, name: str, regions: list[Region], low: int, high: int, rng: Rng) -> None:
        super().__init__(name, low, high)
        self.regions, self.rng = regions, rng
        self.release = 10 ** rng.uniform(-1.7, -0.8)
        self.even = all(region.softest == 0 for region in regions)  # one layer only: loudness by gain alone
        self.curve = rng.uniform(1, 2)

    def play(
        self, notes: Sequence[Note], pedal: Pedal, cents: float, seconds: float, fading: Fading = AS_IS
    ) -> np.ndarray:
        out, release = np.zeros(round(seconds * RATE), np.float32), self.release * fading.released
        for note in held(notes, pedal):
            near = min(
                abs(r.key - note.pitch) for r in self.regions if r.softest <= note.velocity <= r.loudest
            )
            fits = [
                r
                for r in self.regions
                if abs(r.key - note.pitch) == near and r.softest <= note.velocity <= r.loudest
            ]
            region = fits[self.rng.integers(len(fits))]
            sample, ratio = _sample(region.path), 2 ** ((note.pitch - region.key + cents / 100) / 12)
            start, stop = round(note.start * RATE), round(note.end * RATE)
            size = min(int(len(sample) / ratio) - 1, stop - start + int(3 * release * RATE), len(out) - start)
            sound = np.interp(np.arange(size) * ratio, np.arange(len(sample)), sample).astype(np.float32)
            tail = stop - start
            if size > tail:
                sound[tail:] *= np.exp(-np.arange(size - tail) / (release * RATE))
            fade = min(size, 400)
            sound[size - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
            out[start : start + size] += sound * (note.velocity / 127) ** (self.curve if self.even else 0.5)
        return out


NAMES = {name: i for i, name in enumerate(("c", "c#", "d", "d#", "e", "f", "f#", "g", "g#", "a", "a#", "b"))}
NAMES |= {"db": 1, "eb": 3, "gb": 6, "ab": 8, "bb": 10}


def _named(name: str, up: int = 1) -> int:
    """MIDI number of a pitch's name, the octave of middle C being 5 - `up`."""
    match = re.fullmatch(r"([A-Ga-g][#b]?)(-?\d)", name)
    assert match, name
    return 12 * (int(match.group(2)) + up) + NAMES[match.group(1).lower()]


def _sfz(path: Path) -> list[Region]:
    """Regions of an sfz file that says where each sample lies."""
    found = []
    for text in path.read_text(errors="replace").split("<region>")[1:]:
        line = text.splitlines()[0]
        said = dict(re.findall(r"(\w+)=(.*?)(?=\s+\w+=|\s*$)", line))
        sample = (path.parent / said["sample"]).with_suffix(".flac")
        if sample.exists():
            key = int(said["pitch_keycenter"])
            found.append(
                Region(
                    int(said["lokey"]),
                    int(said["hikey"]),
                    key,
                    int(said.get("lovel", 0)),
                    int(said.get("hivel", 127)),
                    sample,
                )
            )
    return found


def _layers(found: dict[int, list[tuple[int, Path]]], layers: list[int]) -> list[Region]:
    """Regions of samples by layer; `layers` are the loudest velocity of each."""
    softest = [0, *(v + 1 for v in layers[:-1])]
    return [Region(0, 127, key, softest[i], layers[i], path) for i in found for key, path in found[i]]


def multisamples(folder: Path) -> dict[str, list[tuple[str, list[Region], int, int]]]:
    """Those at hand, by role."""
    found: dict[str, list[tuple[str, list[Region], int, int]]] = {}
    for number, role, low, high in (
        ("005", "keys", 28, 100), ("026", "guitar", 38, 86), ("034", "bass", 24, 70), ("045", "ensemble", 30, 84),
        ("046", "guitar", 30, 90),
    ):  # fmt: skip
        for path in folder.glob(f"discord_gm/{number}*.sfz"):
            regions = _sfz(path)
            if regions:
                found.setdefault(role, []).append((f"discord-{number}", regions, low, high))
    piano: dict[int, list[tuple[int, Path]]] = {0: [], 1: []}
    for path in sorted(folder.glob("splendid_piano/*.ogg")):
        layer, name = path.stem.split()
        piano[int(layer == "FF")].append((_named(name, 2), path))
    if piano[1]:
        top = max(key for key, _ in piano[1])
        piano[1] += [(key, path) for key, path in piano[0] if key > top]
        found.setdefault("keys", []).append(("splendid", _layers(piano, [79, 127]), 21, 108))
    for way, role in (("pizz", "bass"), ("arco", "strings")):
        by_layer: dict[int, list[tuple[int, Path]]] = {}
        for path in sorted(folder.glob(f"double_bass/{way}/*.flac")):
            _, name, loud, *_ = path.stem.split("_")
            by_layer.setdefault({"p": 0, "m": 1, "f": 2}[loud[0]], []).append((_named(name), path))
        if len(by_layer) == 3:
            found.setdefault(role, []).append(
                (f"double-bass-{way}", _layers(by_layer, [50, 85, 127]), 24, 67)
            )
    return found


def _there(path: Path) -> set[int]:
    """Programs that a bank has of its own; a soundfont is taken to have all."""
    if path.suffix != ".cfg":
        return set(range(128))
    first = re.split(r"^bank 0$", path.read_text(), maxsplit=1, flags=re.MULTILINE)[-1]
    return {
        int(n)
        for n in re.findall(
            r"^\s*(\d+)\s", re.split(r"^bank|^drumset", first, flags=re.MULTILINE)[0], re.MULTILINE
        )
    }


class Players:
    """All that may train, by role."""

    def __init__(self, pitched: Path, work: Path) -> None:
        known = work / "heard.json"
        heard: dict[str, bool] = json.loads(known.read_text()) if known.exists() else {}
        self.programs: dict[str, list[Program]] = {role: [] for role in ROLES}
        for role, ranges in GM.items():
            for bank, path in TRAIN.items():
                there = _there(path) if path.exists() else set()
                for program, (low, high) in (
                    (p, span) for some, span in ranges.items() for p in some if p in there
                ):
                    one = Program(bank, path, program, low, high)
                    if one.name not in heard:
                        heard[one.name] = speaks(one)
                    if heard[one.name]:
                        self.programs[role].append(one)
        work.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps(heard, indent=0))
        self.samples = multisamples(pitched)

    def pick(self, role: str, rng: Rng) -> Instrument:
        """One that can play `role`."""
        programs, draw = self.programs[role], rng.random()
        if draw < 0.25 or not programs:
            return Invented(rng, role)
        if draw < 0.55 and role in self.samples:
            many = self.samples[role]
            return Sampled(*many[rng.integers(len(many))], rng)
        return programs[rng.integers(len(programs))]
