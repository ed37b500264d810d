# SPDX-License-Identifier: GPL-3.0-or-later
"""From strokes to kits: practised in the company they will keep, and what the ear makes of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from bridge.errors import KitError
from bridge.kit import pages
from bridge.kit.cutting import NEAR, SILENCE, Stroke, listen_to
from bridge.kit.teacher import ear, every_stroke, without_kit
from bridge.preset import Preset
from dsp.events import DRUM
from dsp.pads import PADS
from dsp.units import RATE
from models.kit import ECHO, Kit

ROUNDS = 4  # how often a stroke is practised
CALM, BUSY = (0.5, 0.7), (0.11, 0.45)  # between two strokes of the first round, and of the others [s]
SWING_DB = 4.0  # how much a stroke's level changes from round to round
MOST_PRACTISED = 2400
ECHOES = 8  # heard where nothing was struck, from which on they are told from strokes


def practice(
    strokes: Mapping[str, Sequence[Stroke]], seed: int = 0, rounds: int = ROUNDS
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """A performance made of the strokes: sound, and when each pad is struck in it [samples].

    First each by itself, then all in a random order, close together and ringing into each other as they
    will when played.
    """
    rng = np.random.default_rng(seed)
    once = [(pad, stroke) for pad, taken in strokes.items() for stroke in taken]
    order: list[tuple[str, Stroke, float]] = []
    for turn in range(max(1, min(rounds, MOST_PRACTISED // max(len(once), 1)))):
        gaps = BUSY if turn else CALM
        rows = rng.permutation(len(once)) if turn else range(len(once))
        order += [(*once[k], float(rng.uniform(*gaps))) for k in rows]
    longest = max((len(stroke.sound) for _, stroke in once), default=0)
    length = int(sum(gap for *_, gap in order) * RATE) + longest + 2 * SILENCE
    sound, struck, now = np.zeros(length, np.float32), [], SILENCE
    for pad, stroke, gap in order:
        start = now - stroke.at
        gain = 10 ** (rng.uniform(-SWING_DB, SWING_DB) / 20)
        sound[start : start + len(stroke.sound)] += np.float32(gain) * stroke.sound
        struck.append((now, pad))
        now += int(gap * RATE)
    return sound / max(1.0, float(np.abs(sound).max(initial=0))), struck


def learned(
    strokes: Mapping[str, Sequence[Stroke]], preset: Preset, progress: Callable[[float], None] | None = None
) -> dict[str, np.ndarray]:
    """What the ear makes of each pad's strokes, (m, n) each; and of its echoes, where it has any."""
    sound, struck = practice(strokes)

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, len(sound), RATE):
            yield sound[start : start + RATE]
            if progress:
                progress(min(1.0, (start + RATE) / len(sound)))

    heard = listen_to(blocks(), RATE, without_kit(preset), every_stroke)
    found: dict[str, list[np.ndarray]] = {pad: [] for pad in strokes}
    echoes: dict[str, list[np.ndarray]] = {pad: [] for pad in strokes}
    times = np.array([time for time, _ in struck])
    waiting = set(range(len(struck)))
    for hit in heard.events[heard.events["kind"] == DRUM]:
        kept = heard.known.get(int(hit["id"]))
        before = int(np.searchsorted(times, hit["time"] + NEAR, side="right")) - 1
        if kept is None or before < 0:
            continue
        pad = struck[before][1]
        if abs(hit["time"] - times[before]) > NEAR:
            echoes[pad].append(kept)
        elif before in waiting:
            waiting.remove(before)
            found[pad].append(kept)
    found |= {ECHO + pad: rows for pad, rows in echoes.items() if len(rows) >= ECHOES}
    return {pad: np.array(rows, np.float32) for pad, rows in found.items()}


def begun(name: str, preset: Preset) -> Kit:
    """The kit of this name, where strokes can be added to it; else a new one."""
    heard_by = ear().name
    fresh = Kit(name, decision_ms=preset.drums.decision_ms, ear=heard_by)
    if name not in pages.names():
        return fresh
    try:
        kit = pages.load(name)
    except KitError:  # damaged: it is learned anew
        return fresh
    same = not kit.corrections and kit.ear == heard_by and kit.decision_ms == fresh.decision_ms
    return kit if same else fresh


def add_strokes(kit: Kit, learned: Mapping[str, np.ndarray]) -> Kit:
    """The kit with these strokes, (m, n) a pad; a pad that it has already is learned anew."""
    for name, strokes in learned.items():
        if not len(strokes):
            raise KitError(f"{name}: its strokes could not be made out", "strike it louder, or closer")
        if len(kit.strokes) and kit.strokes.shape[1] != strokes.shape[1]:
            kit = Kit(kit.name, decision_ms=kit.decision_ms, ear=kit.ear)
        try:
            row = kit.row(name)
            if row < 0 and name.startswith(ECHO) and len(kit.pads) >= PADS:
                continue
            kit = kit.without(row) if row >= 0 else kit.with_pad(pages.new_pad(kit, name))
            kit = kit.with_strokes(kit.row(name), strokes)
        except ValueError as error:
            raise KitError(f"kit {kit.name}: {error}") from None
    return kit
