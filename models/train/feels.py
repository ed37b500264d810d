# SPDX-License-Identifier: GPL-3.0-or-later
"""Music made by rule, to learn the beat from: feels and metres that are seldom recorded, with and without drums."""

from typing import NamedTuple

import numpy as np

from models.train.rhythm import KITS, Score, Timeline

KICK, SIDE, SNARE, HAT, PEDAL, OPEN, CRASH, RIDE = 36, 37, 38, 42, 44, 46, 49, 51
TOMS = (50, 47, 45, 43)


class Feel(NamedTuple):
    """How a bar goes: a row for each piece, a letter for each part of a beat (x loud, o soft, ? at times)."""

    metre: int
    parts: int  # of a beat
    slow: float  # [bpm]
    fast: float
    rows: dict[int, str]


FEELS = (
    Feel(4, 2, 56, 165, {KICK: "x..?x.?.", SNARE: "..x...x.", HAT: "xoxoxoxo"}),
    Feel(4, 2, 56, 110, {KICK: "x..xx.?.", SNARE: "..x...x.", HAT: "xoxoxoxo"}),
    Feel(4, 2, 100, 200, {KICK: "x.?.x.?.", SNARE: "..x...x.", HAT: "x.x.x.x."}),
    Feel(4, 2, 95, 150, {KICK: "x.?.x.?.", SNARE: "x.x.x.x.", HAT: "xoxoxoxo"}),  # every beat alike
    Feel(4, 2, 108, 140, {KICK: "x.x.x.x.", SNARE: "..x...x.", OPEN: ".x.x.x.x"}),  # four on the floor
    Feel(4, 2, 110, 150, {KICK: "x..xx..xx..xx..x", SIDE: "x..x..x...x..x..", HAT: "xoxoxoxoxoxoxoxo"}),
    Feel(4, 2, 60, 92, {KICK: "....x...", SIDE: "....x...", HAT: "xoxoxoxo"}),  # the one is left out
    Feel(4, 2, 125, 175, {KICK: "x.?.x.?.", SNARE: "..x...x.", HAT: ".x.x.x.x"}),  # off the beat
    Feel(4, 2, 130, 170, {KICK: "x..?....", SNARE: "....x...", HAT: "xoxoxoxo"}),  # half time
    Feel(4, 4, 52, 88, {KICK: "x......?x.?.....", SNARE: "....x.......x...", HAT: "xoxoxoxoxoxoxoxo"}),
    Feel(4, 4, 80, 122, {KICK: "x..?..x..?x..?..", SNARE: "....x..?.?..x..?", HAT: "xoxoxoxoxoxoxoxo"}),
    Feel(4, 4, 72, 106, {KICK: "x.....?x..x.....", SNARE: "....x.......x...", HAT: "x.o.x.o.x.o.x.o."}),
    Feel(4, 4, 105, 132, {KICK: "x...x...x...x...", SNARE: "....x.......x...", OPEN: "..x...x...x...x."}),
    Feel(4, 4, 85, 125, {KICK: "x...x...x...x...", SNARE: "ooxoooxoooxoooxo", PEDAL: "..x...x...x...x."}),
    Feel(4, 4, 85, 120, {KICK: "x..xx..xx..xx..x", SIDE: "x..x..x...x.x...", HAT: "xooxxooxxooxxoox"}),
    Feel(4, 4, 80, 112, {KICK: "x.x.......xx....", SNARE: "....x..o.o..x..o", RIDE: "x.x.x.x.x.x.x.x."}),
    Feel(4, 4, 60, 80, {KICK: "x.....x...x.....", SNARE: "....x.......x...", HAT: "xoxoxxxoxoxoxoxx"}),
    Feel(4, 3, 75, 165, {KICK: "x.....x..?..", SNARE: "...x.....x..", HAT: "x.ox.ox.ox.o"}),  # shuffle
    Feel(4, 3, 48, 82, {KICK: "x....?x..?..", SNARE: "...x.....x..", HAT: "xooxooxooxoo"}),  # slow blues
    Feel(
        4,
        3,
        100,
        215,
        {RIDE: "x..x.ox..x.o", PEDAL: "...x.....x..", KICK: "?.....?..?..", SNARE: "..?..?..?..?"},
    ),
    Feel(3, 2, 80, 190, {KICK: "x.....", SNARE: "..o.o.", HAT: "x.x.x."}),
    Feel(3, 2, 62, 130, {KICK: "x....?", SNARE: "....x.", HAT: "xoxoxo"}),
    Feel(3, 2, 80, 150, {KICK: "x..?..", SNARE: "..x.x.", RIDE: "xoxoxo"}),
    Feel(3, 3, 90, 180, {RIDE: "x..x.ox..", PEDAL: "...x.....", KICK: "x.....?.?"}),
    Feel(3, 4, 55, 90, {KICK: "x.....?.....", SNARE: "....o...x...", HAT: "xoxoxoxoxoxo"}),
    Feel(2, 3, 46, 90, {KICK: "x....?", SNARE: "...x..", HAT: "xooxoo"}),  # six eighths
    Feel(2, 3, 46, 80, {KICK: "x....x...x..", SNARE: "...x.....x..", RIDE: "xooxooxooxoo"}),
    Feel(2, 3, 60, 120, {KICK: "x..?..", SNARE: "...x.o", HAT: "x.ox.o"}),
    Feel(2, 2, 95, 140, {KICK: "x.x.", SNARE: ".x.x", HAT: "x.x."}),  # polka
    Feel(2, 4, 70, 115, {KICK: "x...?...", SNARE: "x.ooxoox"}),  # march
)
STRUMMED = (24, 25, 25, 26, 27, 27, 28, 29, 30, 104, 105)
PLUCKED = (0, 0, 1, 4, 5, 6, 11, 15, 24, 25, 26, 27, 46, 88, 106, 108)
STRUCK = (0, 0, 1, 2, 4, 5, 7, 16, 18, 21, 29, 61)
HELD = (16, 19, 48, 49, 50, 52, 61, 89, 90, 92, 94)
BASSES = (32, 33, 33, 34, 35, 36, 38, 39, 58)
LEADS = (21, 22, 40, 52, 53, 56, 60, 65, 66, 68, 71, 73, 75, 80, 81, 82)
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
SLACK = (0.0, 0.003, 0.006, 0.012)  # spread of when notes are played [s]


class Player:
    """Plays by places in bars: swung or not, loosely or not, and perhaps not all the time."""

    def __init__(self, feel: Feel, line: Timeline, score: Score, rng: np.random.Generator) -> None:
        self.feel, self.rng, self._line, self._score = feel, rng, line, score
        self.slots = feel.metre * feel.parts
        self.bars = line.count // feel.metre + 2
        self._swing = rng.uniform(0.52, 0.68) if feel.parts != 3 and rng.random() < 0.25 else 0.5
        self._slack = float(rng.choice(SLACK))

    def beat(self, slot: float) -> float:
        """Beat of a place counted in parts of beats."""
        parts = self.feel.parts
        if parts == 3:
            return slot / 3
        unit, within = divmod(slot, 2)  # every other part is late
        late = (
            within * 2 * self._swing if within < 1 else 2 * self._swing + (within - 1) * 2 * (1 - self._swing)
        )
        return (2 * unit + late) / parts

    def times(self, share: float = 0.3) -> tuple[float, float]:
        """From when to when a part is silent [s]; nobody is, mostly."""
        if self.rng.random() > share:
            return -2.0, -1.0
        start = self.rng.choice([-1.0, self.rng.uniform(0, self._score.seconds)])
        return start, start + self.rng.uniform(2, 9)

    def play(
        self, channel: int, note: int, loud: float, slot: float, long: float, silent: tuple[float, float]
    ) -> None:
        start, end = self._line.where(self.beat(slot)), self._line.where(self.beat(slot + long))
        if start is None or silent[0] < start < silent[1]:
            return
        start += self.rng.normal(0, self._slack)
        loud = loud * self.rng.normal(1, 0.08)
        self._score.play(channel, note, loud, start, start + 0.15 if end is None else end)


def drums(player: Player, score: Score) -> None:
    """A feel, with fills and crashes, some of it left out or on other pieces."""
    feel, rng, silent = player.feel, player.rng, player.times()
    rows = dict(feel.rows)
    top = next((piece for piece in (HAT, RIDE, OPEN) if piece in rows), None)
    if top and rng.random() < 0.3:
        rows[int(rng.choice([HAT, RIDE, OPEN, 54, 69, 70, 53]))] = rows.pop(top)
    if SNARE in rows and rng.random() < 0.2:
        rows[int(rng.choice([SIDE, 39, 40]))] = rows.pop(SNARE)
    if len(rows) > 2 and rng.random() < 0.2:
        del rows[list(rows)[rng.integers(len(rows))]]
    soft, often = rng.uniform(0.3, 1.0), rng.uniform(0, 0.7)
    sometimes = {piece: rng.random(64) < often for piece in rows}  # a drummer keeps to what he chose
    fills = int(rng.choice([2, 4, 8, 99]))
    level = {piece: rng.uniform(60, 120) for piece in rows}
    for bar in range(player.bars):
        filled = player.slots - int(rng.integers(1, 2 * feel.parts + 1)) if bar % fills == fills - 1 else 999
        for piece, row in rows.items():
            for slot in range(player.slots):
                letter = row[(bar * player.slots + slot) % len(row)]
                if letter == "." or (slot >= filled and piece != KICK):
                    continue
                if letter == "?" and sometimes[piece][slot] == (rng.random() < 0.1):
                    continue
                loud = level[piece] * (1.0 if letter == "x" else soft)
                player.play(9, piece, loud, bar * player.slots + slot, 1, silent)
        for slot in range(filled, player.slots):
            if rng.random() < 0.8:
                piece = int(rng.choice([SNARE, *TOMS]))
                player.play(9, piece, rng.uniform(60, 120), bar * player.slots + slot, 1, silent)
        if bar % fills == 0 and rng.random() < 0.6:
            player.play(9, CRASH, 110, bar * player.slots, 2, silent)
    score.instrument(9, int(rng.choice(KITS)), rng.uniform(50, 127))


def harmony(rng: np.random.Generator, bars: int) -> list[list[int]]:
    """A chord for each bar, as pitches from a bass upward: a few bars over and over."""
    scale, tonic = (MAJOR, MINOR)[rng.integers(2)], int(rng.integers(40, 52))
    length = int(rng.choice([1, 2, 4, 4, 4, 8]))
    degrees = [0, *rng.choice([0, 1, 2, 3, 3, 4, 4, 5, 5], length - 1)] if length > 1 else [0]
    steps = (0, 2, 4, 6) if rng.random() < 0.3 else (0, 2, 4)
    chords = [[tonic + 12 * ((d + s) // 7) + scale[(d + s) % 7] for s in steps] for d in degrees]
    return [chords[bar % length] for bar in range(bars)]


def weights(player: Player) -> np.ndarray:
    """How likely something happens at each place of a bar: at its beginning, on beats, between them."""
    feel, rng = player.feel, player.rng
    found = np.full(player.slots, rng.uniform(0.05, 0.7))
    found[:: feel.parts] = rng.uniform(0.4, 1.0)
    found[0] = rng.uniform(0.7, 1.0)
    return found


def accompaniment(player: Player, score: Score) -> None:
    """Chords strummed, plucked, struck or held, a bass and a tune, or some of them."""
    rng = player.rng
    chords, ahead = harmony(rng, player.bars), rng.random() < 0.15  # chords come half a beat early
    channel = 0
    for style in rng.choice(4, size=int(rng.choice([1, 1, 2])), replace=False):
        program = int(rng.choice((STRUMMED, PLUCKED, STRUCK, HELD)[style]))
        score.instrument(channel, program, rng.uniform(60, 120))
        (strum, pluck, strike, hold)[style](player, channel, chords, ahead)
        channel += 1
    if rng.random() < 0.65:
        score.instrument(channel, int(rng.choice(BASSES)), rng.uniform(60, 125))
        bass(player, channel, chords)
        channel += 1
    if rng.random() < 0.35:
        score.instrument(channel, int(rng.choice(LEADS)), rng.uniform(60, 115))
        tune(player, channel, chords)


def strum(player: Player, channel: int, chords: list[list[int]], ahead: bool) -> None:
    rng, n, silent = player.rng, player.slots, player.times(0.2)
    struck = rng.random(2 * n) < np.tile(weights(player), 2)
    struck[0] = True
    accents = rng.uniform(0.7, 1.2, 2 * n)
    accents[player.feel.parts :: 2 * player.feel.parts] *= rng.choice([1.0, 1.3])
    spread, up = rng.uniform(0, 0.12), 12 * int(rng.random() < 0.5)
    for at in range(n * player.bars):
        if not struck[at % (2 * n)]:
            continue
        chord = [*chords[min((at + int(ahead)) // n, player.bars - 1)]]
        chord = [p + up for p in chord] + [p + up + 12 for p in chord[:2]]
        long = rng.uniform(0.7, 2.5)
        for k, pitch in enumerate(chord if at % 2 == 0 else chord[::-1][:3]):
            player.play(channel, pitch, 85 * accents[at % (2 * n)], at + k * spread, long, silent)


def pluck(player: Player, channel: int, chords: list[list[int]], ahead: bool) -> None:
    rng, n, silent = player.rng, player.slots, player.times(0.2)
    step = 1 if player.feel.parts != 4 or rng.random() < 0.6 else 2
    shape = rng.integers(0, 5, n if rng.random() < 0.6 else player.feel.parts * 2)
    shape[0] = 0
    accent, up, ring = rng.uniform(1, 1.35), 12 * int(rng.random() < 0.6), rng.uniform(0.8, 4)
    for at in range(0, n * player.bars, step):
        chord = chords[min((at + int(ahead)) // n, player.bars - 1)]
        tone = shape[at // step % len(shape)] if at % n else 0
        pitch = chord[tone % len(chord)] + 12 * (tone // len(chord)) + up
        player.play(
            channel, pitch, 75 * (accent if at % player.feel.parts == 0 else 1), at, ring * step, silent
        )


def strike(player: Player, channel: int, chords: list[list[int]], ahead: bool) -> None:
    rng, n, parts, silent = player.rng, player.slots, player.feel.parts, player.times(0.2)
    draw, early = rng.random(), parts / 2 if ahead else 0
    for bar, chord in enumerate(chords):
        for slot in range(n):
            beat, on = slot // parts, slot % parts == 0
            if draw < 0.3:  # the bass, then chords: oom pah
                first = slot == 0 or (player.feel.metre == 4 and beat == 2 and on)
                notes = [chord[0]] if first else [p + 12 for p in chord] if on else []
            elif draw < 0.55:  # on every beat
                notes = [p + 12 for p in chord] if on else []
            elif draw < 0.7:  # between beats
                notes = [p + 12 for p in chord] if slot % parts == parts // 2 and parts != 3 else []
            elif draw < 0.85:  # on every part
                notes = [p + 12 for p in chord]
            else:  # two to a bar
                notes = [p + 12 for p in chord] if slot in (0, n // 2) else []
            for pitch in notes:
                loud = 90 if on else 72
                player.play(
                    channel, pitch, loud, bar * n + slot - (early if slot == 0 else 0), parts * 0.8, silent
                )


def hold(player: Player, channel: int, chords: list[list[int]], ahead: bool) -> None:
    early, n = player.feel.parts / 2 if ahead else 0, player.slots
    for bar, chord in enumerate(chords):
        for pitch in chord:
            player.play(channel, pitch + 12, 75, bar * n - early, n * 0.97, (-2.0, -1.0))


def bass(player: Player, channel: int, chords: list[list[int]]) -> None:
    rng, n, parts, draw = player.rng, player.slots, player.feel.parts, player.rng.random()
    struck = rng.random(2 * n) < np.tile(weights(player), 2)
    struck[0], silent = True, player.times(0.2)
    for at in range(n * player.bars):
        chord, slot = chords[at // n], at % n
        if draw < 0.25:  # on one, and in the middle
            sounds, long = slot in (0, n // 2), n * 0.45
        elif draw < 0.4:
            sounds, long = slot == 0, n * 0.95
        elif draw < 0.55:  # walking
            sounds, long = slot % parts == 0, parts * 0.9
        elif draw < 0.7:
            sounds, long = parts != 4 or slot % 2 == 0, 0.9
        else:
            sounds, long = bool(struck[at % (2 * n)]), 1.2
        if sounds:
            other = slot != 0 and rng.random() < (0.8 if 0.4 <= draw < 0.55 else 0.2)
            pitch = chord[rng.integers(len(chord))] if other else chord[0]
            player.play(channel, pitch - 12, 95, at, long, silent)


def tune(player: Player, channel: int, chords: list[list[int]]) -> None:
    rng, n, silent = player.rng, player.slots, player.times(0.5)
    struck = rng.random((4, n)) < 0.8 * weights(player)
    for at in range(n * player.bars):
        if struck[(at // n) % 4, at % n]:
            chord = chords[at // n]
            pitch = chord[rng.integers(len(chord))] + int(rng.choice([12, 24, 24, 26]))
            player.play(channel, pitch, rng.uniform(70, 110), at, rng.choice([1, 2, 3]), silent)


def ruled(rng: np.random.Generator, few: float = 0.4) -> tuple[Score, Timeline]:
    """One clip of it: its notes, and its beats; `few` is the share of bars of two and three."""
    score, short = Score(), rng.random() < few
    feels = [feel for feel in FEELS if (feel.metre < 4) == short]
    feel = feels[rng.integers(len(feels))]
    bpm = float(np.exp(rng.uniform(np.log(feel.slow), np.log(feel.fast))))
    line = Timeline(bpm, feel.metre, rng, waltzes=0)
    player, draw = Player(feel, line, score, rng), rng.random()
    if draw < 0.65:
        drums(player, score)
    if draw > 0.2:
        accompaniment(player, score)
    return score, line
