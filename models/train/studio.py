# SPDX-License-Identifier: GPL-3.0-or-later
"""Drum performances turned into sound: kits mixed and made their own, rooms, desks and bad days."""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np
import soundfile as sf
from numba import njit
from scipy.signal import butter, fftconvolve, sosfilt

from dsp.events import LABEL_ROW, LABELS
from dsp.units import RATE
from models.train.kits import ACOUSTIC, ELECTRONIC, PIECES, Shelf, Takes

SECONDS = 20  # of one rendered performance
FAMILIES = ("kick", "snare", "hat", "tom", "cymbal", "other")
TEST_DRUMMERS = ("drummer4", "drummer8")  # never trained on
# Groove's note numbers, by what is struck.
GROOVE = {
    36: "kick", 38: "snare", 40: "snare-rim", 37: "snare-side", 48: "tom-high", 50: "tom-high", 45: "tom-mid",
    47: "tom-mid", 43: "tom-low", 58: "tom-low", 46: "hat-open", 26: "hat-open", 42: "hat-closed",
    22: "hat-closed", 44: "hat-pedal", 49: "crash", 55: "crash", 57: "crash", 52: "crash", 51: "ride",
    59: "ride", 53: "ride-bell",
}  # fmt: skip
LEVELS = {  # mean and spread of a piece's level in a mix [dB]
    "kick": (0, 3), "snare": (-1, 4), "snare-rim": (-1, 4), "snare-side": (-7, 4), "hat-closed": (-14, 7),
    "hat-open": (-12, 7), "hat-pedal": (-17, 6), "tom-low": (-3, 4), "tom-mid": (-3, 4), "tom-high": (-3, 4),
    "crash": (-8, 6), "ride": (-13, 7), "china": (-9, 6), "ride-bell": (-11, 6), "splash": (-10, 6),
    "clap": (-5, 4), "tambourine": (-11, 5), "cowbell": (-9, 5), "bongo": (-8, 4), "conga": (-7, 4),
    "shaker": (-13, 5), "other": (-9, 5),
}  # fmt: skip
METAL = ("hat-closed", "hat-open", "hat-pedal", "ride", "crash", "china", "ride-bell", "splash")
HATS = ("hat-closed", "hat-open", "hat-pedal")
SNARES = ("snare", "snare-rim", "snare-side")
CRASHES = ("crash", "china", "splash")
TOGETHER = 0.04  # strokes so near are meant to be one [s]
PERCUSSION = ("clap", "tambourine", "cowbell", "bongo", "conga", "shaker", "other")
RARE = ("tom-low", "tom-mid", "tom-mid", "tom-high", "crash", "china", "china", "splash", "splash", "ride-bell",
        "snare-rim", "cowbell")  # fmt: skip
INVENTED = {"snare-rim": "snare", "china": "crash", "ride-bell": "ride", "splash": "crash"}  # like another

HIT = np.dtype(
    [("start", "i8"), ("piece", "i2"), ("label", "i2"), ("family", "i2"), ("level", "f4"), ("velocity", "f4")]
)


class Hit(NamedTuple):
    time: float  # [s]
    piece: str
    velocity: float  # 0..1


class Performance(NamedTuple):
    hits: list[Hit]
    beat: float  # its length [s]
    downbeat: float  # time of the first one [s]


def performances(groove: Path, rng: np.random.Generator, *, test: bool = False) -> Iterator[Performance]:
    """What drummers played, SECONDS at a time, at tempos near their own."""
    with zipfile.ZipFile(groove) as archive:
        names = [
            n for n in archive.namelist() if n.endswith(".mid") and (n.split("/")[0] in TEST_DRUMMERS) == test
        ]
        beats, fills = ([n for n in names if word in n] for word in ("_beat_", "_fill_"))
        while True:
            # As many fills were recorded, but songs are made of beats.
            played = fills if fills and rng.random() < 0.12 else beats
            name = played[rng.integers(len(played))]
            midi = mido.MidiFile(file=io.BytesIO(archive.read(name)))
            tempo = re.search(r"_(\d+)_(?:beat|fill)", name)
            clock, hits, speed = 0.0, [], rng.uniform(0.75, 1.6)
            for message in midi:
                clock += message.time
                if message.type == "note_on" and message.velocity > 4 and message.note in GROOVE:
                    hits.append(Hit(clock / speed, GROOVE[message.note], message.velocity / 127))
            beat = 60 / float(tempo.group(1) if tempo else 120) / speed
            length = clock / speed
            if len(hits) < 8 or length < 1:
                continue
            if length > SECONDS:
                start = rng.uniform(0, length - SECONDS)
                hits = [h._replace(time=h.time - start) for h in hits]
                downbeat = -start % (4 * beat)
            else:
                length = max(round(length / beat), 1) * beat  # the loop closes on a beat
                turns = range(int(SECONDS / length) + 1)
                hits = [h._replace(time=h.time + turn * length) for turn in turns for h in hits]
                downbeat = 0.0
            yield Performance([h for h in hits if 0.2 < h.time < SECONDS - 0.3], beat, downbeat)


def rearranged(played: Performance, rng: np.random.Generator) -> list[Hit]:
    """The same rhythm on other pieces: hats on the ride, no cymbals, a side stick for a snare ..."""
    swap: dict[str, str] = {}
    draw = rng.random()
    for share, change in (
        (0.10, {"hat-closed": "hat-open"}),
        (0.12, {"hat-closed": "ride"}),
        (0.10, {"hat-closed": "crash"}),
        (0.03, {"hat-closed": "ride-bell"}),
        (0.03, {"hat-closed": "china"}),
        (0.03, {"hat-closed": "shaker"}),
        (0.15, {"ride": "hat-closed", "ride-bell": "hat-open"}),
        (0.08, {"ride": "crash"}),
        (0.10, {"ride": "hat-closed", "hat-pedal": "hat-open"}),
    ):
        draw -= share
        if draw < 0:
            swap.update(change)
            break
    if rng.random() < 0.15:
        swap["snare"] = str(rng.choice(["snare-side", "snare-side", "snare-rim", "clap"]))
    if rng.random() < 0.5:
        swap["snare-rim"] = "snare"
    swap["crash"] = swap.get("crash", str(rng.choice(["crash", "crash", "crash", "china", "splash"])))
    hits = [h._replace(piece=swap.get(h.piece, h.piece)) for h in played.hits]
    if rng.random() < 0.5:
        hits += [
            Hit(rng.uniform(0.5, SECONDS - 0.3), str(rng.choice(RARE)), rng.uniform(0.3, 1))
            for _ in range(rng.integers(2, 20))
        ]
    for _ in range(int(rng.choice([0, 0, 0, 0, 0, 1, 1, 2]))):
        piece, step = str(rng.choice(PERCUSSION)), played.beat * rng.choice([0.25, 0.5, 0.5, 1, 2])
        chance = rng.uniform(0.4, 1)
        hits += [
            Hit(float(t), piece, rng.uniform(0.3, 1))
            for t in np.arange(played.downbeat + step * rng.integers(0, 2), SECONDS - 0.3, step)
            if rng.random() < chance and t > 0.2
        ]
    for piece, under, share in (
        ("snare", "kick", 0.2),
        ("snare", "hat-closed", 0.1),
        ("kick", "hat-closed", 0.1),
    ):
        if rng.random() < share:  # one with every stroke of the other
            doubled = [h for h in hits if h.piece == piece]
            hits += [
                Hit(h.time + rng.normal(0, 0.002), under, min(h.velocity * rng.uniform(0.6, 1.2), 1))
                for h in doubled
            ]
    if rng.random() < 0.15:  # flams and drags
        graced = [
            h for h in hits if h.piece in ("snare", "tom-low", "tom-mid", "tom-high") and rng.random() < 0.2
        ]
        hits += [
            h._replace(time=h.time - rng.uniform(0.012, 0.06), velocity=0.5 * h.velocity) for h in graced
        ]
    draw = rng.random()
    if draw < 0.12:
        hits = [h for h in hits if h.piece not in METAL]
    elif draw < 0.2:
        hits = [h for h in hits if h.piece in METAL]
    return sorted(h for h in hits if 0.1 < h.time < SECONDS - 0.2)


def apart(hits: list[Hit], rng: np.random.Generator) -> list[Hit]:
    """What is so often struck together struck apart, so that a hat is heard, not guessed from a backbeat."""
    draw = rng.random()
    if draw < 0.3:  # no cymbal with a kick, or a snare, or either
        beneath = (("kick",), SNARES, ("kick", *SNARES))[int(rng.integers(3))]
        times = np.array([h.time for h in hits if h.piece in beneath])
        spared = rng.choice([0, 0, 0.2])
        hits = [
            h for h in hits
            if h.piece not in METAL or not (np.abs(times - h.time) < TOGETHER).any() or rng.random() < spared
        ]  # fmt: skip
    elif draw < 0.38:  # crashes, and nothing to keep time
        hits = [h for h in hits if h.piece not in METAL or h.piece in CRASHES]
        hits += [
            Hit(h.time + rng.normal(0, 0.003), "crash", rng.uniform(0.5, 1))
            for h in hits
            if h.piece == "kick" and rng.random() < 0.08
        ]
    elif draw < 0.46:  # a crash with every kick, or every kick and snare
        under = ("kick",) if rng.random() < 0.6 else ("kick", *SNARES)
        hits = [h for h in hits if h.piece not in METAL or rng.random() < 0.1]
        hits += [
            Hit(h.time + rng.normal(0, 0.004), "crash", rng.uniform(0.4, 1)) for h in hits if h.piece in under
        ]
    if rng.random() < 0.1:
        hits = [h._replace(piece="snare-side") if h.piece in SNARES else h for h in hits]
    return sorted(h for h in hits if 0.1 < h.time < SECONDS - 0.2)


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


def gated(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """In a big room whose sound is cut off all at once."""
    n, band = int(rng.uniform(0.12, 0.45) * RATE), [rng.uniform(80, 400), rng.uniform(3000, 16000)]
    tail = sosfilt(butter(1, band, "band", fs=RATE, output="sos"), rng.standard_normal(n))
    wet = fftconvolve(x[:4800], tail * np.exp(-rng.uniform(0, 4) * np.arange(n) / n))[:n]
    wet[-400:] *= np.linspace(1, 0, 400)
    y = np.zeros(max(len(x), n), np.float32)
    y[: len(x)] = x
    y[:n] += 10 ** (rng.uniform(-12, 3) / 20) * wet / max(np.abs(wet).max(), 1e-6)
    return y


def layered(takes: Takes, others: Takes, rng: np.random.Generator) -> Takes:
    """Each take with another voice's under it."""
    gain, sums = 10 ** (rng.uniform(-12, 3) / 20), []
    for i, take in enumerate(takes):
        other = others[min(len(others) - 1, i * len(others) // len(takes))]
        both = np.zeros(max(len(take), len(other)), np.float32)
        both[: len(take)] += take
        both[: len(other)] += gain * other
        sums.append(both / np.abs(both).max())
    return sums


def any_kit(by_kit: dict[str, list[Takes]], rng: np.random.Generator) -> str:
    """A kit that has the piece; real drums most, and little of the soundfonts, whose programs share samples."""
    shares = [
        3 if kit in ACOUSTIC else 1 if kit in ELECTRONIC or not kit[-1].isdigit() else 0.3 for kit in by_kit
    ]
    return str(rng.choice(list(by_kit), p=np.array(shares) / sum(shares)))


class Voice(NamedTuple):
    takes: Takes  # soft to loud
    gain: float
    curve: float  # how steeply velocity turns into level


def voice(piece: str, shelf: Shelf, kit: str, rng: np.random.Generator, *, plain: bool = False) -> Voice:
    """One piece of a kit, made its own; `plain` leaves it as it was recorded."""
    by_kit = shelf[piece]
    home = by_kit[kit] if kit in by_kit and (plain or rng.random() < 0.6) else by_kit[any_kit(by_kit, rng)]
    takes = home[rng.integers(len(home))]
    takes = [takes[int(i)] for i in np.unique(np.linspace(0, len(takes) - 1, min(4, len(takes))).astype(int))]
    mean, spread = LEVELS[piece]
    if plain:
        return Voice(takes, 10 ** ((mean + rng.normal(0, spread / 2)) / 20), rng.uniform(0.9, 1.5))
    draw, metal = rng.random(), piece in METAL
    like = INVENTED.get(piece, piece)
    if draw < (0.3 if metal else 0.12) and piece not in PERCUSSION:
        takes = [invented(like, rng)]
    elif draw < (0.55 if metal else 0.27):
        other = by_kit[any_kit(by_kit, rng)]
        takes = layered(takes, other[rng.integers(len(other))], rng)
    if rng.random() < 0.6:
        ratio = 2 ** (rng.normal(0, 2) / 12)
        takes = [np.interp(np.arange(int(len(x) / ratio)) * ratio, np.arange(len(x)), x) for x in takes]
    if rng.random() < 0.75:
        at, db = np.geomspace(30, 20000, 8), rng.normal(0, rng.choice([2, 4, 7]), 8)
        takes = [minimum_phase(x, db, at) for x in takes]
    if piece in ("kick", *SNARES, "tom-low", "tom-mid", "tom-high") and rng.random() < 0.4:
        # bright and clicky, and still no hat
        bright = butter(1, rng.uniform(1500, 6000), "high", fs=RATE, output="sos")
        boost = 10 ** (rng.uniform(4, 24) / 20)
        takes = [x + boost * sosfilt(bright, x) for x in takes]
    if like in ("kick", "snare", "tom-low", "tom-mid", "tom-high", "clap") and rng.random() < 0.25:
        takes = [gated(x, rng) for x in takes]
    elif rng.random() < 0.3:
        hold = rng.uniform(0.05, 0.3) * RATE
        takes = [x * np.exp(-np.arange(len(x)) / hold) for x in takes]
    takes = [(x / max(np.abs(x).max(), 1e-6)).astype(np.float32) for x in takes]
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


def room(rng: np.random.Generator) -> np.ndarray:
    """An impulse response of unit energy: sparse or dense, dark or bright."""
    span = rng.uniform(0.12, 1.2)
    t = np.arange(int(span * RATE)) / RATE
    tail = (
        rng.standard_normal(len(t))
        * 10 ** (-3 * t / span)
        * (rng.random(len(t)) < rng.choice([0.05, 0.3, 1]))
    )
    band = [rng.uniform(40, 250), rng.uniform(2500, 14000)]
    tail = sosfilt(butter(1, band, "band", fs=RATE, output="sos"), tail)
    return np.append(np.zeros(int(rng.uniform(0, 0.02) * RATE)), tail / np.sqrt((tail**2).sum()))


def clean(dry: np.ndarray, wet: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some room, and no more; peak 0.7."""
    y = dry + 10 ** (rng.uniform(-24, -9) / 20) * fftconvolve(wet, room(rng))[: len(dry)]
    return (0.7 * y / max(np.abs(y).max(), 1e-6)).astype(np.float32)


def desk(dry: np.ndarray, wet: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Room, compressor, overdrive, clipping, codec and bit depth, each at random; peak 0.7."""
    y = dry
    if rng.random() < 0.75:
        y = y + 10 ** (rng.uniform(-18, 3) / 20) * fftconvolve(wet, room(rng))[: len(dry)]
    y = y / max(np.abs(y).max(), 1e-6)
    if rng.random() < 0.5:
        threshold, ratio = 10 ** (rng.uniform(-30, -8) / 20), rng.uniform(1.5, 8)
        y = compressed(y, threshold, ratio, rng.uniform(0.0005, 0.03), rng.uniform(0.04, 0.4))
        y = y / max(np.abs(y).max(), 1e-6)
    if rng.random() < 0.35:
        drive = rng.uniform(1, 6)
        y = np.tanh(drive * y) / np.tanh(drive)
    if rng.random() < 0.1:
        y = np.clip(y * rng.uniform(1.2, 3), -1, 1)
    y = 0.7 * y
    if rng.random() < 0.08:
        file = io.BytesIO()
        sf.write(file, y.astype(np.float32), RATE, format="MP3")
        file.seek(0)
        coded = sf.read(file, dtype="float32")[0]
        y = np.pad(coded, (0, max(len(y) - len(coded), 0)))[: len(y)]
    if rng.random() < 0.05:
        steps = 2 ** rng.integers(7, 12)
        y = np.round(y * steps) / steps
    return y.astype(np.float32)


def render(
    hits: list[Hit],
    shelf: Shelf,
    rng: np.random.Generator,
    *,
    plain: bool = False,
    harsh: bool = True,
    kit: str = "",
) -> tuple[np.ndarray, np.ndarray]:
    """Audio, shape (SECONDS * RATE,), and what is in it, HIT records in order of time.

    `plain` leaves the kit as it was recorded, and without `harsh` the sound has only been in a room.
    """
    n = SECONDS * RATE
    dry, wet, truth = np.zeros(n), np.zeros(n), []
    kit = kit or any_kit(shelf["snare"], rng)
    hits = [h for h in hits if h.piece in shelf]
    voices = {piece: voice(piece, shelf, kit, rng, plain=plain) for piece in sorted({h.piece for h in hits})}
    sends = {piece: 10 ** (rng.uniform(-20, 0) / 20) for piece in voices}
    evenness = 1.0 if plain else rng.uniform(0.4, 1)
    chokes = sorted(int(h.time * RATE) for h in hits if h.piece in HATS)
    choked = rng.random() < 0.85
    for hit in hits:
        v, strength = voices[hit.piece], hit.velocity**evenness
        place = round(strength * (len(v.takes) - 1) + rng.normal(0, 0.4))
        take = v.takes[int(np.clip(place, 0, len(v.takes) - 1))]
        start = int((hit.time + rng.normal(0, 0.001)) * RATE)
        gain = v.gain * strength**v.curve * 10 ** (rng.normal(0, 0.7) / 20)
        sound = take[: n - start] * np.float32(gain)
        if hit.piece == "hat-open" and choked:
            choke = next((c for c in chokes if c > start + 500), n) - start
            if choke < len(sound):
                sound = sound.copy()
                tail = min(len(sound) - choke, int(rng.uniform(0.005, 0.05) * RATE))
                sound[choke : choke + tail] *= np.linspace(1, 0, tail)
                sound[choke + tail :] = 0
        dry[start : start + len(sound)] += sound
        wet[start : start + len(sound)] += sends[hit.piece] * sound
        label = LABEL_ROW.get(hit.piece, -1)
        family = FAMILIES.index(LABELS[label].family if label >= 0 else "other")
        truth.append(
            # An even player's soft strokes are not soft.
            (start, PIECES.index(hit.piece), label, family, 20 * np.log10(gain + 1e-9), strength)
        )
    return (desk if harsh else clean)(dry, wet, rng), np.sort(np.array(truth, HIT), order="start")
