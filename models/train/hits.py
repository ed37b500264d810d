# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the table by which `dsp.hits` names strokes, on drums played by real drummers and rendered here.

    python -m models.train.hits DATA [--seconds 9000] [--seed 1]

DATA holds `drums/oneshots/KIT/...` (muldjord, discord_gm_kit, sonic_pi and drum machines) and
`midi/groove.zip` (Groove MIDI Dataset). Every performance is played on a kit mixed from all of them,
each piece tuned, filtered and shortened at random; the sum gets a room, a compressor, a band limit,
hiss and sometimes music. The ears themselves listen, so what is learned is what they will hear,
false strokes included. The result is written to `dsp/hits_table.py`.
"""

import argparse
import base64
import io
import re
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np
import soundfile as sf
import soxr
from numba import njit
from scipy.signal import butter, fftconvolve, sosfilt

from dsp.drums import DrumsState, drums_state, drums_step
from dsp.events import DRUM, EVENT
from dsp.hits import DECISIONS, FAMILIES, FEATURES, HIDDEN, NAMES, OUTPUTS, DrumSettings
from dsp.onset import OnsetSettings
from dsp.spectrum import BANDS
from dsp.units import HOP, RATE

SECONDS = 20  # of one rendered performance
# Groove's note numbers, by the piece that plays them.
PIECES = {
    36: "kick", 38: "snare", 40: "snare", 37: "snare-side", 48: "tom-high", 50: "tom-high", 45: "tom-mid",
    47: "tom-mid", 43: "tom-low", 58: "tom-low", 46: "hat-open", 26: "hat-open", 42: "hat-closed",
    22: "hat-closed", 44: "hat-pedal", 49: "crash", 55: "crash", 57: "crash", 52: "crash", 51: "ride",
    59: "ride", 53: "ride",
}  # fmt: skip
# Mean and spread of a piece's level in a mix [dB], and its longest sound [s].
LEVELS = {
    "kick": (0, 3, 0.8), "snare": (-1, 4, 0.8), "snare-side": (-7, 4, 0.4), "hat-closed": (-14, 7, 0.5),
    "hat-open": (-12, 7, 2.0), "hat-pedal": (-17, 6, 0.5), "tom-low": (-3, 4, 1.5), "tom-mid": (-3, 4, 1.5),
    "tom-high": (-3, 4, 1.2), "crash": (-8, 6, 3.0), "ride": (-13, 7, 2.2), "other": (-10, 5, 0.8),
}  # fmt: skip
ACOUSTIC = ("muldjord", "discord_gm_kit")
METAL = ("hat-closed", "hat-open", "hat-pedal", "crash", "ride")
PATTERNS = (  # the first that a file's path matches says what it is
    (r"loop|drum_roll|whistle|cuica|swoosh|elec_(?!.*(snare|kick))|perc_|tabla|hat_cats", ""),
    (
        r"clap|cowb|conga|bongo|clave|block|agogo|tamb|cabasa|shaker|marac|timbale|sleigh|castanet|surdo",
        "other",
    ),
    (r"guiro|triangle|belltree|vibraslap", ""),
    (r"hihat.clos|hat_closed|cymbal_closed|CL_|sonic_pi/hat_", "hat-closed"),
    (r"hihat.open|cymbal_open|OP_", "hat-open"),
    (r"pedal|STMP", "hat-pedal"),
    (r"ride", "ride"),
    (r"crash|china|splash|cymb", "crash"),
    (r"sidestick|LM-2/stick|rimshot/rs", "snare-side"),
    (r"snare|sonic_pi/sn_|rimshot", "snare"),
    (r"kick|sonic_pi/bd_|drum_bass", "kick"),
    (r"tom.?(low|lo|l\b|ll)|Tom4|tom-1", "tom-low"),
    (r"tom.?(hi|h\b|hh)|Tom1|tom-3", "tom-high"),
    (r"tom", "tom-mid"),
)


PROVENANCE = """\
Fitted on {:.0f} s of renders, seed {}: Groove MIDI Dataset (Gillick et al., CC BY 4.0)
played on MuldjordKit (Lars Muldjord, CC BY 4.0), Discord SFZ GM Bank drums (CC0 / CC BY),
Sonic Pi samples (CC0), public-domain samples of the TR-808, LM-2, MRK-2, RZ-1 and MFB-512,
and on invented drums."""
Shelf = dict[str, dict[str, list[list[np.ndarray]]]]  # piece -> kit -> voices -> samples, soft to loud


class Hit(NamedTuple):
    time: float  # [s]
    piece: str
    velocity: float  # 0..1


class Heard(NamedTuple):
    start: int  # first sample
    piece: str
    level: float  # [dB]


def piece_of(path: str) -> str:
    """What a one-shot is, by its path below the kits; empty where it is of no use."""
    return next((piece for pattern, piece in PATTERNS if re.search(pattern, path)), "")


def load(path: Path, longest: float) -> np.ndarray | None:
    """A one-shot at the engine's rate, from its first sample, peak 1."""
    x, rate = sf.read(path, dtype="float32", always_2d=True)
    x = soxr.resample(x.mean(1), rate, RATE)
    peak = np.abs(x).max() if len(x) else 0
    if peak < 1e-4:
        return None
    x = x[max(0, int(np.argmax(np.abs(x) > 0.02 * peak)) - 8) :][: int(longest * RATE)].copy() / peak
    fade = min(len(x) // 4, 2000)
    x[len(x) - fade :] *= np.linspace(1, 0, fade)
    x[:8] *= np.linspace(0, 1, 8)[: len(x)]
    return x.astype(np.float32)


def kits(folder: Path) -> Shelf:
    """All one-shots below `folder`, by what they are."""
    found: dict[str, dict[str, dict[str, list[tuple[float, np.ndarray]]]]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".flac", ".ogg", ".wav")):
        name = path.relative_to(folder).as_posix()
        piece, kit = piece_of(name), name.split("/")[0]
        if not piece:
            continue
        x = load(path, LEVELS[piece][2])
        if x is None:
            continue
        # Takes of one voice differ in their last digits; a machine's knobs make voices of their own.
        voice = name if kit in ("TR-808", "sonic_pi") else re.sub(r"\d+\.\w+$|_[LR]\.\w+$", "", name)
        loud = float(np.sqrt(np.mean(sf.read(path, dtype="float32", always_2d=True)[0][:4000] ** 2)))
        found.setdefault(piece, {}).setdefault(kit, {}).setdefault(voice, []).append((loud, x))
    return {
        piece: {
            kit: [[x for _, x in sorted(takes, key=lambda t: t[0])] for takes in voices.values()]
            for kit, voices in by_kit.items()
        }
        for piece, by_kit in found.items()
    }


def performances(groove: Path, rng: np.random.Generator) -> Iterator[list[Hit]]:
    """What drummers played, SECONDS at a time, at tempos near their own."""
    with zipfile.ZipFile(groove) as archive:
        names = [n for n in archive.namelist() if n.endswith(".mid") and "eval_session" not in n]
        beats, fills = ([n for n in names if word in n] for word in ("_beat_", "_fill_"))
        while True:
            played = (
                fills if rng.random() < 0.12 else beats
            )  # as many were recorded, but songs are made of beats
            midi = mido.MidiFile(file=io.BytesIO(archive.read(played[rng.integers(len(played))])))
            clock, hits, speed = 0.0, [], rng.uniform(0.75, 1.6)
            for message in midi:
                clock += message.time
                if message.type == "note_on" and message.velocity > 8 and message.note in PIECES:
                    hits.append(Hit(clock / speed, PIECES[message.note], message.velocity / 127))
            length = clock / speed
            if len(hits) < 8 or length < 1:
                continue
            if length > SECONDS:
                start = rng.uniform(0, length - SECONDS)
                hits = [h._replace(time=h.time - start) for h in hits]
            else:
                turns = range(int(SECONDS / length) + 1)
                hits = [h._replace(time=h.time + turn * length) for turn in turns for h in hits]
            yield [h for h in hits if 0.2 < h.time < SECONDS - 0.3]


def rearranged(hits: list[Hit], rng: np.random.Generator) -> list[Hit]:
    """The same rhythm on other pieces: hats on the ride, no cymbals, a side stick for a snare ..."""
    swap: dict[str, str] = {}
    draw = rng.random()
    for share, change in (
        (0.10, {"hat-closed": "hat-open"}),
        (0.12, {"hat-closed": "ride"}),
        (0.05, {"hat-closed": "crash"}),
        (0.15, {"ride": "hat-closed"}),
        (0.15, {"ride": "hat-closed", "hat-pedal": "hat-open"}),
    ):
        draw -= share
        if draw < 0:
            swap.update(change)
            break
    if rng.random() < 0.12:
        swap["snare"] = "snare-side"
    hits = [h._replace(piece=swap.get(h.piece, h.piece)) for h in hits]
    if rng.random() < 0.3:
        extra = rng.integers(2, 12)
        hits += [
            Hit(
                rng.uniform(0.5, SECONDS - 0.3),
                str(rng.choice(["tom-low", "tom-mid", "tom-high", "crash"])),
                rng.uniform(0.4, 1),
            )
            for _ in range(extra)
        ]
    if rng.random() < 0.2:
        times = np.arange(rng.uniform(0.3, 0.6), SECONDS - 0.3, rng.uniform(0.2, 0.6))
        hits += [Hit(float(t), "other", rng.uniform(0.4, 1)) for t in times]
    if rng.random() < 0.1:
        hits = [h for h in hits if h.piece not in METAL]
    return sorted(hits)


def minimum_phase(x: np.ndarray, db: np.ndarray, at: np.ndarray) -> np.ndarray:
    """x with the gains `db` at the frequencies `at` [Hz], its first sample unmoved."""
    n = 1 << int(np.ceil(np.log2(len(x) + 2048)))
    hz = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 20)
    cepstrum = np.fft.irfft(np.interp(np.log2(hz), np.log2(at), db) * np.log(10) / 20, n)
    cepstrum[1 : n // 2] *= 2
    cepstrum[n // 2 + 1 :] = 0
    return np.fft.irfft(np.fft.rfft(x, n) * np.exp(np.fft.rfft(cepstrum)), n)[: len(x)]


def invented(piece: str, rng: np.random.Generator) -> np.ndarray:
    """A drum or cymbal out of nothing: partials, noise and a click, each with its own decay."""
    if piece in METAL:
        span = {"hat-closed": (0.03, 0.25), "hat-pedal": (0.03, 0.15), "hat-open": (0.3, 1.5),
                "ride": (0.6, 2.5), "crash": (0.8, 3.0)}[piece]  # fmt: skip
        decay = rng.uniform(*span)
        t = np.arange(int(min(1.2 * decay + 0.05, 2.5) * RATE)) / RATE
        low = rng.uniform(300, 2500 if piece == "crash" else 6000)
        high = rng.uniform(max(1.5 * low, 7000), 20000)
        count = int(rng.integers(4, 40))
        partials = sum(
            rng.uniform(0.2, 1)
            * np.sin(2 * np.pi * (np.exp(rng.uniform(np.log(low), np.log(high))) * t + rng.random()))
            * np.exp(-6.9 * t / (decay * rng.uniform(0.3, 1.2)))
            for _ in range(count)
        )  # fmt: skip
        noise = sosfilt(butter(2, [low, high], "band", fs=RATE, output="sos"), rng.standard_normal(len(t)))
        click = sosfilt(butter(1, [rng.uniform(800, 4000), rng.uniform(6000, 18000)], "band", fs=RATE, output="sos"),
                        rng.standard_normal(len(t)))  # fmt: skip
        swell = 1 - np.exp(-t / rng.uniform(0.002, 0.05)) if piece == "crash" else 1
        parts = (
            partials,
            noise * swell * np.exp(-6.9 * t / decay),
            click * np.exp(-t / rng.uniform(0.001, 0.006)),
        )
        weights = {"hat-closed": (0.3, 1, 0.8), "hat-pedal": (0.4, 1, 0.3), "hat-open": (0.4, 1.4, 0.5),
                   "ride": (0.8, 0.5, 1.2), "crash": (0.4, 1.6, 0.4)}[piece]  # fmt: skip
        y = sum(
            w * rng.lognormal(0, 0.6) * part / (np.sqrt(np.mean(part[:3000] ** 2)) + 1e-9)
            for w, part in zip(weights, parts, strict=True)
        )
    else:
        low, high, short, long = {
            "kick": (42, 85, 0.1, 0.6), "tom-low": (60, 110, 0.3, 1.2), "tom-mid": (90, 150, 0.25, 1),
            "tom-high": (130, 240, 0.2, 0.8), "snare": (150, 260, 0.1, 0.4), "snare-side": (400, 2000, 0.02, 0.08),
        }[piece]  # fmt: skip
        decay = rng.uniform(short, long)
        t = np.arange(int(1.2 * decay * RATE)) / RATE
        sweep = 1 + rng.uniform(0.1, 2.5 if piece == "kick" else 0.5) * np.exp(-t / rng.uniform(0.008, 0.05))
        phase = 2 * np.pi * np.cumsum(rng.uniform(low, high) * sweep) / RATE
        y = np.sin(phase) * np.exp(-6.9 * t / decay)
        for mode in (1.59, 2.14, 2.3):
            y = y + rng.uniform(0, 0.35) * np.sin(mode * phase) * np.exp(
                -6.9 * t / (decay * rng.uniform(0.2, 0.6))
            )
        wires = {"snare": rng.uniform(0.5, 2), "snare-side": 0.2}.get(piece, 0.06)
        band = [rng.uniform(300, 2500), rng.uniform(6000, 18000)]
        noise = sosfilt(butter(1, band, "band", fs=RATE, output="sos"), rng.standard_normal(len(t)))
        click = sosfilt(
            butter(1, rng.uniform(1500, 9000), "low", fs=RATE, output="sos"), rng.standard_normal(len(t))
        )
        y = y + wires * noise / noise.std() * np.exp(-6.9 * t / (decay * rng.uniform(0.3, 1.1)))
        y = y + rng.uniform(0.05, 0.6) * click * np.exp(-t / rng.uniform(0.0006, 0.004))
    y = y / np.abs(y).max()
    y[-200:] *= np.linspace(1, 0, 200)
    return y.astype(np.float32)


def any_kit(by_kit: dict[str, list[list[np.ndarray]]], rng: np.random.Generator) -> str:
    """A kit that has the piece; real drums three times as often as each machine."""
    weights = np.array([3.0 if kit in ACOUSTIC else 1.0 for kit in by_kit])
    return str(rng.choice(list(by_kit), p=weights / weights.sum()))


class Voice(NamedTuple):
    takes: list[np.ndarray]  # soft to loud
    gain: float
    curve: float  # how steeply velocity turns into level


def voice(piece: str, shelf: Shelf, kit: str, rng: np.random.Generator) -> Voice:
    """One piece of a kit, made its own."""
    by_kit = shelf[piece]
    if rng.random() < (0.35 if piece in METAL else 0.15) and piece != "other":
        takes = [invented(piece, rng)]
    else:
        home = by_kit[kit] if kit in by_kit and rng.random() < 0.6 else by_kit[any_kit(by_kit, rng)]
        takes = home[rng.integers(len(home))]
        takes = [
            takes[int(i)] for i in np.unique(np.linspace(0, len(takes) - 1, min(5, len(takes))).astype(int))
        ]
    if rng.random() < 0.6:
        ratio = 2 ** (rng.normal(0, 2) / 12)
        takes = [np.interp(np.arange(int(len(x) / ratio)) * ratio, np.arange(len(x)), x) for x in takes]
    if rng.random() < 0.75:
        at, db = np.geomspace(30, 20000, 8), rng.normal(0, rng.choice([2, 4, 7]), 8)
        takes = [minimum_phase(x, db, at) for x in takes]
    if piece in ("kick", "snare") and rng.random() < 0.3:  # bright and clicky, and still no hat
        bright = butter(1, rng.uniform(1500, 6000), "high", fs=RATE, output="sos")
        boost = 10 ** (rng.uniform(4, 18) / 20)
        takes = [x + boost * sosfilt(bright, x) for x in takes]
    if rng.random() < 0.3:
        hold = rng.uniform(0.05, 0.3) * RATE
        takes = [x * np.exp(-np.arange(len(x)) / hold) for x in takes]
    takes = [(x / max(np.abs(x).max(), 1e-6)).astype(np.float32) for x in takes]
    mean, spread, _ = LEVELS[piece]
    return Voice(takes, 10 ** ((mean + rng.normal(0, spread)) / 20), rng.uniform(0.7, 2))


@njit(cache=False)
def compressed(x: np.ndarray, threshold: float, ratio: float, attack: float, release: float) -> np.ndarray:
    y, level = np.empty_like(x), 1e-6
    rise, fall = np.exp(-1 / (attack * RATE)), np.exp(-1 / (release * RATE))
    for i in range(len(x)):
        a = abs(x[i])
        c = rise if a > level else fall
        level = c * level + (1 - c) * a
        y[i] = x[i] * ((threshold / level) ** (1 - 1 / ratio) if level > threshold else 1.0)
    return y


def music(n: int, rng: np.random.Generator) -> np.ndarray:
    """A bass line, plucked chords and a pad, to be heard behind the drums."""
    y = np.zeros(n)
    beat = rng.uniform(0.3, 0.7)
    for low, high, notes, step, decay in (
        (28, 45, 1, beat, 0.4),
        (48, 76, 3, beat / 2, 0.3),
        (52, 72, 3, 4 * beat, 3.0),
    ):
        if rng.random() < 0.3:
            continue
        loud = 10 ** (rng.uniform(-14, 0) / 20)
        tilt, attack = rng.uniform(0.6, 2), rng.choice([0.001, 0.004, 0.02])
        for start in np.arange(rng.uniform(0, 0.3), n / RATE - 0.1, step):
            if rng.random() < 0.35:
                continue
            at = int((start + rng.normal(0, 0.005)) * RATE)
            if at < 0:
                continue
            t = np.arange(min(n - at, int(min(2 * decay, 4) * RATE))) / RATE
            for _ in range(notes):
                f = 440 * 2 ** ((rng.integers(low, high) - 69) / 12)
                for k in range(1, int(min(16, 16000 // f)) + 1):
                    wave = np.sin(2 * np.pi * k * f * t + rng.uniform(0, 6.3)) * np.exp(
                        -t * (3 + 0.6 * k) / (2 * decay)
                    )
                    y[at : at + len(t)] += loud * k**-tilt * wave * (1 - np.exp(-t / attack))
    return y / max(np.abs(y).max(), 1e-6)


def mixed(dry: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Room, compressor, overdrive, music, band limit, hiss and level, each at random."""
    y = dry
    if rng.random() < 0.7:
        span = rng.uniform(0.12, 1.0)
        t = np.arange(int(span * RATE)) / RATE
        room = (
            rng.standard_normal(len(t))
            * 10 ** (-3 * t / span)
            * (rng.random(len(t)) < rng.choice([0.05, 0.3, 1]))
        )
        room = sosfilt(
            butter(1, [rng.uniform(40, 250), rng.uniform(2500, 14000)], "band", fs=RATE, output="sos"), room
        )
        room = np.append(np.zeros(int(rng.uniform(0, 0.02) * RATE)), room / np.sqrt((room**2).sum()))
        y = y + 10 ** (rng.uniform(-24, -3) / 20) * fftconvolve(dry, room)[: len(dry)]
    y = y / np.abs(y).max()
    if rng.random() < 0.5:
        y = compressed(
            y,
            10 ** (rng.uniform(-30, -8) / 20),
            rng.uniform(1.5, 8),
            rng.uniform(0.0005, 0.03),
            rng.uniform(0.04, 0.4),
        )
        y = y / np.abs(y).max()
    if rng.random() < 0.3:
        drive = rng.uniform(1, 5)
        y = np.tanh(drive * y) / np.tanh(drive)
    if rng.random() < 0.3:
        y = y + 10 ** (rng.uniform(-26, -3) / 20) * music(len(y), rng)
    if rng.random() < 0.5:
        limit = butter(
            int(rng.choice([2, 8, 12])),
            np.exp(rng.uniform(np.log(5000), np.log(18000))),
            fs=RATE,
            output="sos",
        )
        y = sosfilt(limit, y)
    y = y / np.abs(y).max()
    if rng.random() < 0.3:
        y = y + 10 ** (rng.uniform(-80, -48) / 20) * rng.standard_normal(len(y))
    return (y * 10 ** (-rng.choice([rng.uniform(1, 12), rng.uniform(1, 40)]) / 20)).astype(np.float32)


def render(hits: list[Hit], shelf: Shelf, rng: np.random.Generator) -> tuple[np.ndarray, list[Heard]]:
    """Audio, and what is in it."""
    n = SECONDS * RATE
    y, truth, voices = np.zeros(n), [], {}
    kit = any_kit(shelf["snare"], rng)
    for piece in sorted({h.piece for h in hits}):
        voices[piece] = voice(piece, shelf, kit, rng)
    evenness = rng.uniform(0.3, 1)
    chokes = sorted(int(h.time * RATE) for h in hits if h.piece in ("hat-closed", "hat-pedal", "hat-open"))
    for hit in hits:
        v = voices[hit.piece]
        strength = hit.velocity**evenness
        take = v.takes[
            int(np.clip(round(strength * (len(v.takes) - 1) + rng.normal(0, 0.5)), 0, len(v.takes) - 1))
        ]
        start = int((hit.time + rng.normal(0, 0.001)) * RATE)
        sound = take[: n - start] * np.float32(v.gain * strength**v.curve)
        if hit.piece == "hat-open":
            choke = next((c for c in chokes if c > start + 500), n) - start
            if choke < len(sound):
                sound = sound.copy()
                tail = min(len(sound) - choke, 1500)
                sound[choke : choke + tail] *= np.linspace(1, 0, tail)
                sound[choke + tail :] = 0
        y[start : start + len(sound)] += sound
        truth.append(Heard(start, hit.piece, 20 * np.log10(v.gain * strength**v.curve + 1e-9)))
    return mixed(y / max(np.abs(y).max(), 1e-6), rng), truth


@njit(cache=False)
def _listen(
    state: DrumsState, x: np.ndarray, out: np.ndarray, features: np.ndarray, times: np.ndarray
) -> int:
    n = 0
    for k in range(len(x)):
        count = drums_step(state, x[k : k + 1], out)
        for i in range(count):
            if out[i].kind == DRUM and (n == 0 or times[n - 1] != out[i].time):
                times[n] = out[i].time
                features[n] = state.hits.features
                n += 1
    return n


def heard(x: np.ndarray, decision_ms: float) -> tuple[np.ndarray, np.ndarray]:
    """Time [samples] of each stroke that the ears hear in x, and its features when they name it."""
    state = drums_state(OnsetSettings(), DrumSettings(decision_ms=decision_ms), np.zeros(1, np.int64))
    hops = x[: len(x) // HOP * HOP].reshape(-1, HOP)
    features, times = np.zeros((len(hops), FEATURES), np.float32), np.zeros(len(hops), np.int64)
    n = _listen(state, hops, np.zeros(16, EVENT), features, times)
    return times[:n].copy(), features[:n].copy()


def targets(times: np.ndarray, truth: list[Heard], decision_ms: float) -> np.ndarray:
    """What each stroke was, shape (strokes, OUTPUTS): its families, then its names; NaN where nobody could tell."""
    y = np.zeros((len(times), OUTPUTS), np.float32)
    early, sure, late = (round(s * RATE) for s in (0.015, min(0.7 * decision_ms, 20) / 1000, 0.025))
    starts, levels = np.array([h.start for h in truth]), np.array([h.level for h in truth])
    family_of = {name: family for family, name in NAMES}
    names = [name for _, name in NAMES]
    for start, piece, level in truth:
        name = {"hat-pedal": "hat-closed"}.get(piece, piece)
        if name not in names:
            continue
        loudest = levels[np.abs(starts - start) < early].max()
        told = level > -36 and level > loudest - 22
        columns = [FAMILIES.index(family_of[name]), len(FAMILIES) + names.index(name)]
        for i in np.flatnonzero((times >= start - late) & (times <= start + early)):
            for column in columns:
                if told and times[i] >= start - sure:
                    y[i, column] = 1
                elif y[i, column] == 0:
                    y[i, column] = np.nan
    return y


def colours(count: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth curves over the bands, of about 8 dB in the unit of the features, shape (count, BANDS)."""
    waves = np.cos(np.pi * np.outer(np.arange(1, 6), np.linspace(0, 1, BANDS)))
    return (rng.standard_normal((count, 5)) @ waves * (8 / np.sqrt(2.5) / 20)).astype(np.float32)


def fit(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, epochs: int = 30) -> tuple[np.ndarray, ...]:
    """One hidden layer by Adam: (FEATURES + 1, HIDDEN) and (HIDDEN + 1, OUTPUTS), biases last.

    Renders are not recordings: noise, another colour and missing features in every batch, and
    hidden units that may be absent, keep the fit from believing what only renders do.
    """
    first = rng.normal(0, FEATURES**-0.5, (FEATURES + 1, HIDDEN)).astype(np.float32)
    second = rng.normal(0, HIDDEN**-0.5, (HIDDEN + 1, OUTPUTS)).astype(np.float32)
    first[-1], second[-1] = 0, -2
    weights = [first, second]
    moments = [[np.zeros_like(w), np.zeros_like(w)] for w in weights]
    batch, step = 256, 0
    total = epochs * (len(x) // batch)
    one = np.ones((batch, 1), np.float32)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for at in range(0, len(x) - batch + 1, batch):
            rows = order[at : at + batch]
            a, t = x[rows] + 0.1 * rng.standard_normal((batch, FEATURES)).astype(np.float32), y[rows]
            a[:, BANDS : 2 * BANDS] += colours(batch, rng)
            a = np.concatenate([a * (rng.random(a.shape) > 0.2) / 0.8, one], 1)
            kept = (rng.random((batch, HIDDEN)) > 0.2) / 0.8
            h = np.maximum(a @ weights[0], 0) * kept
            hb = np.concatenate([h, one], 1)
            p = 1 / (1 + np.exp(-(hb @ weights[1])))
            d = np.where(np.isnan(t), 0, p - t) / batch
            back = (d @ weights[1][:-1].T) * (h > 0) * kept
            step += 1
            rate = 1.5e-3 * (1 + np.cos(np.pi * step / total))
            for i, gradient in enumerate((a.T @ back, hb.T @ d)):
                m, v = moments[i]
                m += 0.1 * (gradient - m)
                v += 0.001 * (gradient * gradient - v)
                update = (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8) + 0.1 * weights[i]
                weights[i] -= (rate * update).astype(np.float32)
    return weights[0], weights[1]


def corpus(data: Path, seconds: float, seed: int) -> Iterator[tuple[np.ndarray, list[Heard]]]:
    """Rendered performances, one after the other."""
    rng = np.random.default_rng(seed)
    shelf = kits(data / "drums" / "oneshots")
    plays = performances(data / "midi" / "groove.zip", rng)
    for _ in range(int(seconds / SECONDS)):
        hits = rearranged(next(plays), rng)
        if hits:
            yield render(hits, shelf, rng)


def quantised(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers -127..127 and the scale of each column."""
    scale = np.maximum(np.abs(weights).max(0), 1e-6) / 127
    return np.round(weights / scale).astype(np.int8), scale.astype(np.float32)


def write(path: Path, layers: list[tuple[np.ndarray, ...]], provenance: str) -> None:
    """The table as Python source."""
    blob = b"".join(
        scale.tobytes() + whole.tobytes() for pair in layers for whole, scale in (quantised(w) for w in pair)
    )
    lines = "\n".join(f'    "{line}"' for line in textwrap.wrap(base64.b64encode(blob).decode(), 104))
    path.write_text(
        "# SPDX-License-Identifier: GPL-3.0-or-later\n"
        f'"""Numbers by which strokes are named; written by models/train/hits.py.\n\n{provenance}\n"""\n\n'
        f"TABLE = (\n{lines}\n)\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=9000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    examples: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in DECISIONS]
    for count, (audio, truth) in enumerate(corpus(args.data, args.seconds, args.seed)):
        for i, decision in enumerate(DECISIONS):
            times, features = heard(audio, decision)
            examples[i].append((features, targets(times, truth, decision)))
        if count % 25 == 0:
            print(f"{count * SECONDS} s rendered", flush=True)
    layers = []
    for i, decision in enumerate(DECISIONS):
        x, y = (np.concatenate(part) for part in zip(*examples[i], strict=True))
        layers.append(fit(x, y, np.random.default_rng(args.seed)))
        print(
            f"{decision} ms: {len(x)} strokes, shares {np.nanmean(y, 0).round(3)[: len(FAMILIES)]}",
            flush=True,
        )
    provenance = PROVENANCE.format(args.seconds, args.seed)
    write(Path(__file__).resolve().parents[2] / "dsp" / "hits_table.py", layers, provenance)


if __name__ == "__main__":
    main()
