# SPDX-License-Identifier: GPL-3.0-or-later
"""A small synthesiser: performances whose every hit and note is known to the sample.

It imitates no particular kit or instrument. Tests hear it, and the demo is made of it:

    python -m models.render FOLDER    writes groove.ogg, groove.txt, line.ogg and line.txt
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dsp.units import RATE, hz

Rng = np.random.Generator


class Stroke(NamedTuple):
    """One hit of a drum."""

    time: float  # [s]
    label: str  # a name of `dsp.events.LABELS` that has a voice here
    velocity: float = 0.8


class Tone(NamedTuple):
    """One note of a line."""

    time: float  # [s]
    end: float  # [s]
    note: float  # MIDI number; a fraction is out of tune on purpose
    velocity: float = 0.8
    voice: str = "pluck"  # pluck, bass, voice


def _t(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * RATE)) / RATE


def _noise(n: int, low: float, high: float, rng: Rng) -> np.ndarray:
    """Noise between two frequencies [Hz], unit RMS, there from its first sample."""
    f = np.fft.rfftfreq(2 * n, 1 / RATE)
    shape = 1 / np.sqrt(1 + (low / np.maximum(f, 1)) ** 8) / np.sqrt(1 + (f / high) ** 8)
    x = np.fft.irfft(np.fft.rfft(rng.standard_normal(2 * n)) * shape)[:n]
    return x / np.sqrt(np.mean(x**2))


def _sweep(t: np.ndarray, top: float, bottom: float, fall: float) -> np.ndarray:
    """A cosine that falls from `top` to `bottom` Hz; it begins with its edge, as a struck skin does."""
    return np.cos(2 * np.pi * (bottom * t + (top - bottom) * fall * (1 - np.exp(-t / fall))))


def _metal(t: np.ndarray, pitches: Sequence[float], rng: Rng) -> np.ndarray:
    """Many inharmonic partials, as of a plate."""
    return sum(np.cos(2 * np.pi * (f * t + rng.random())) for f in pitches) / np.sqrt(len(pitches))


def _kick(v: float, rng: Rng) -> np.ndarray:
    t = _t(0.35)
    body = _sweep(t, 110 + 60 * v, 52, 0.03) * np.exp(-t / 0.09)
    return body + (0.1 + 0.25 * v) * _noise(t.size, 1500, 6000, rng) * np.exp(-t / 0.003)


def _snare(v: float, rng: Rng) -> np.ndarray:
    t = _t(0.3)
    skin = (_sweep(t, 260, 185, 0.01) + 0.6 * _sweep(t, 420, 330, 0.01)) * np.exp(-t / 0.05)
    wires = _noise(t.size, 1200, 9000, rng) * np.exp(-t / (0.05 + 0.04 * v))
    return 0.5 * skin + (0.3 + 0.3 * v) * wires


def _side_stick(v: float, rng: Rng) -> np.ndarray:
    t = _t(0.12)
    wood = (np.cos(2 * np.pi * 820 * t) + 0.8 * np.cos(2 * np.pi * 1710 * t)) * np.exp(-t / 0.012)
    return 0.6 * wood + 0.2 * _noise(t.size, 2000, 7000, rng) * np.exp(-t / 0.004)


def _hat(ring: float) -> Callable[[float, Rng], np.ndarray]:
    def voice(v: float, rng: Rng) -> np.ndarray:
        t = _t(min(1.0, 7 * ring))
        plate = _metal(t, (4130, 5270, 6350, 7640, 8810, 10930), rng)
        x = 0.35 * plate + 0.45 * _noise(t.size, 6500, 16000, rng)
        return x * (0.75 * np.exp(-t / ring) + 0.25 * np.exp(-t / (ring / 5)))

    return voice


def _tom(pitch: float) -> Callable[[float, Rng], np.ndarray]:
    def voice(v: float, rng: Rng) -> np.ndarray:
        t = _t(0.6)
        body = _sweep(t, 1.5 * pitch, pitch, 0.04) + 0.4 * _sweep(t, 2.4 * pitch, 1.6 * pitch, 0.03)
        skin = (0.05 + 0.1 * v) * _noise(t.size, 800, 4000, rng) * np.exp(-t / 0.006)
        return 0.8 * body * np.exp(-t / 0.16) + skin

    return voice


def _crash(v: float, rng: Rng) -> np.ndarray:
    t = _t(2.2)
    plate = _metal(t, rng.uniform(900, 9000, 24).tolist(), rng) * np.exp(-t / 0.5)
    wash = _noise(t.size, 2500, 15000, rng) * (0.6 * np.exp(-t / 0.08) + 0.4 * np.exp(-t / 0.6))
    return 0.3 * plate + 0.6 * wash


def _ride(v: float, rng: Rng) -> np.ndarray:
    t = _t(1.6)
    ping = _metal(t, (3160, 4480, 5390, 6710), rng) * np.exp(-t / 0.12)
    wash = _noise(t.size, 5000, 14000, rng) * np.exp(-t / 0.45)
    return 0.45 * ping + 0.2 * wash


DRUMS: dict[str, Callable[[float, Rng], np.ndarray]] = {
    "kick": _kick,
    "snare": _snare,
    "snare-side": _side_stick,
    "hat-closed": _hat(0.035),
    "hat-pedal": _hat(0.05),
    "hat-open": _hat(0.22),
    "tom-low": _tom(82),
    "tom-mid": _tom(120),
    "tom-high": _tom(170),
    "crash": _crash,
    "ride": _ride,
}


# How loud each is in the mix: a kit is heard from its kick and snare, and its plates lie under them.
GAIN = {"kick": 1.0, "snare": 0.9, "snare-side": 0.6, "crash": 0.45, "ride": 0.3}
GAIN |= {
    "hat-closed": 0.2,
    "hat-pedal": 0.15,
    "hat-open": 0.25,
    "tom-low": 0.9,
    "tom-mid": 0.85,
    "tom-high": 0.8,
}


def f0(tone: Tone, t: np.ndarray) -> np.ndarray:
    """Pitch of a tone [Hz] at `t` seconds after its start; a sung one gains vibrato after a while."""
    if tone.voice != "voice":
        return np.full(t.shape, hz(tone.note))
    depth = 0.3 * np.clip((t - 0.25) / 0.3, 0, 1)  # [semitones]
    return hz(tone.note) * 2 ** (depth * np.sin(2 * np.pi * 5.5 * t) / 12)


FORMANTS = ((700, 110), (1200, 130), (2600, 180))  # an open vowel: centre and width [Hz]


def tone_of(tone: Tone, rng: Rng) -> np.ndarray:
    """Sound of one tone, from its very start until it has died away after its end."""
    release = 0.06 if tone.voice == "voice" else 0.03
    t = _t(tone.end - tone.time + 3 * release)
    pitch = f0(tone, t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    x = np.zeros(t.size)
    for k in range(1, int(min(40, 14_000 // pitch.max())) + 1):
        if tone.voice == "voice":
            level = sum(1 / (1 + ((k * pitch - f) / w) ** 2) for f, w in FORMANTS) / k**0.7
        else:
            where, bright = (0.13, 0.45 + 0.4 * tone.velocity) if tone.voice == "pluck" else (0.2, 0.3)
            loss = (0.9 if tone.voice == "pluck" else 0.6) * (1 + 0.25 * k)
            level = np.sin(np.pi * k * where) / k ** (1.6 - bright) * np.exp(-loss * t)
        x += level * np.sin(k * phase)
    attack = {"pluck": 0.002, "bass": 0.004, "voice": 0.03}[tone.voice]
    x *= np.minimum(1, (t + 1 / RATE) / attack)
    if tone.voice != "voice":  # finger or plectrum on the string
        x += 0.05 * tone.velocity * _noise(t.size, 700, 5000, rng) * np.exp(-t / 0.003)
    x *= np.where(t < tone.end - tone.time, 1.0, np.exp(-(t - (tone.end - tone.time)) / (release / 3)))
    return x / np.sqrt(np.mean(x[: RATE // 10] ** 2) * 12)


def render(
    played: Sequence[Stroke | Tone], seconds: float, seed: int = 0, hiss_db: float = -80
) -> np.ndarray:
    """Sound of a performance.

    Parameters
    ----------
    played
        Strokes and tones, in any order.
    seconds
        Length of what comes out.
    seed
        Of every noise in it.
    hiss_db
        Level of the noise floor [dBFS].

    Returns
    -------
    (n,) float32
        Each sound begins at sample ``round(time * 48000)`` exactly, and not before; the peak is 0.7
        where more would come out.
    """
    rng = np.random.default_rng(seed)
    out = np.zeros(round(seconds * RATE))
    for sound in sorted(played):
        if isinstance(sound, Stroke):
            x = DRUMS[sound.label](sound.velocity, rng) * 0.6 * GAIN[sound.label]
        else:
            x = tone_of(sound, rng) * 0.6
        x *= sound.velocity**1.5
        fade = min(x.size, RATE // 100)
        x[-fade:] *= np.linspace(1, 0, fade)
        start = round(sound.time * RATE)
        part = out[start : start + x.size]
        part += x[: part.size]
    out *= 0.7 / max(0.7, np.abs(out).max())
    out += rng.standard_normal(out.size) * 10 ** (hiss_db / 20)
    return out.astype(np.float32)


def groove() -> tuple[list[Stroke], float]:
    """Four bars of drums, with a fill, and their length [s]."""
    beat, first = 60 / 112, 0.4
    rng = np.random.default_rng(7)
    strokes: list[Stroke] = []

    def play(beats: float, label: str, velocity: float) -> None:
        late = rng.normal(0, 0.003)  # a drummer, not a grid
        loud = float(np.clip(velocity + rng.normal(0, 0.04), 0.1, 1))
        strokes.append(Stroke(round(first + beats * beat + late, 4), label, round(loud, 2)))

    for bar in range(4):
        at = 4.0 * bar
        for kick in (0, 2.5) if bar % 2 == 0 else (0, 1.75, 2.5):
            play(at + kick, "kick", 0.9)
        for snare in (1, 3) if bar < 3 else (1,):
            play(at + snare, "snare", 0.85)
        for eighth in range(8 if bar < 3 else 5):
            if bar == 0 and eighth == 0:
                play(at, "crash", 0.8)
            else:
                last = bar % 2 == 1 and eighth == 7
                play(at + eighth / 2, "hat-open" if last else "hat-closed", 0.7 if eighth % 2 == 0 else 0.5)
    for sixteenth, label in enumerate(("snare", "snare", "tom-high", "tom-mid", "tom-low", "tom-low")):
        play(14.5 + sixteenth / 4, label, 0.7 + 0.04 * sixteenth)
    play(16, "kick", 0.95)
    play(16, "crash", 0.9)
    return sorted(strokes), round(first + 18.5 * beat, 2)


def line() -> tuple[list[Tone], float]:
    """A short plucked tune, and its length [s]."""
    beat, now = 60 / 112, 0.4
    tune = (
        (57, 1),
        (60, 0.5),
        (62, 0.5),
        (64, 1),
        (67, 0.5),
        (64, 0.5),
        (62, 1),
        (60, 0.5),
        (57, 0.5),
        (55, 1),
    )
    tones = []
    for note, beats in (*tune, (57, 0.5), (60, 0.5), (64, 0.5), (69, 2)):
        tones.append(Tone(round(now, 4), round(now + 0.92 * beats * beat, 4), note, 0.8))
        now += beats * beat
    return tones, round(now + 0.4, 2)


PERFORMANCES = Path(__file__).parent / "performances"


def write_performances(folder: Path) -> None:
    """Render the demo: sound, and beside it what was played, as `earwire evaluate` reads it."""
    import soundfile

    for name, make in (("groove", groove), ("line", line)):
        path = folder / f"{name}.ogg"
        played, seconds = make()
        sound = render(played, seconds, seed=1)
        with soundfile.SoundFile(path, "w", RATE, 1, "VORBIS", format="OGG", compression_level=0.4) as file:
            for start in range(0, sound.size, 4096):  # the encoder cannot take it all at once
                file.write(sound[start : start + 4096])
        rows = [
            f"{p.time:.4f}\t{p.label}\t{p.velocity:.2f}"
            if isinstance(p, Stroke)
            else f"{p.time:.4f}\t{p.end:.4f}\t{p.note:g}\t{p.velocity:.2f}"
            for p in played
        ]
        path.with_suffix(".txt").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_performances(Path(sys.argv[1]) if len(sys.argv) > 1 else PERFORMANCES)
