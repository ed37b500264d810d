# SPDX-License-Identifier: GPL-3.0-or-later
"""How well a kit of one's own is told apart: kits no net was trained on, and sounds that are no drums.

    python bench/kits.py ONESHOTS [--decision 12] [--kits 5] [--apart]

ONESHOTS is the folder of sample folders that `make train-drums` takes; the kits are those of Debian's
hydrogen-drumkits that training leaves out. Ten pads of ten strokes are learned, soft to loud, and played
again; pitch, strength and colour differ from stroke to stroke. With --apart what is played are samples
of the pad that were not learned from: other strengths, sometimes another microphone.
The test is a performance, 180 to 500 ms from stroke to stroke, ringing into each other; `calm` is one
stroke after the other. Then ten mistakes are put right, and another performance is heard.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from bridge.kit import cutting, learning, report
from bridge.kit.cutting import Stroke
from bridge.kit.teacher import teach
from bridge.messages import labels_of
from bridge.preset import Preset, load
from dsp.events import DRUM
from dsp.pads import PadsState
from dsp.units import RATE
from models.kit import ECHO, Kit, rows_of
from models.train.kits import Takes, shelf, trimmed
from models.train.kits import _load as sound_of
from models.train.studio import LEVELS

ODD = ("elec_blip", "elec_wood", "elec_pop", "elec_twip", "perc_door", "perc_snap", "perc_till", "tabla_ghe1")
EACH, PADS, PUT_RIGHT = 10, 10, 10
Voices = dict[str, Takes]


def stroke(mine: Takes, velocity: float, rng: np.random.Generator) -> Stroke:
    """One stroke of a pad."""
    x = mine[min(len(mine) - 1, int(velocity * len(mine)))]
    speed = 2 ** (rng.uniform(-0.25, 0.25) / 12)
    x = np.interp(np.arange(int(len(x) / speed)) * speed, np.arange(len(x)), x)
    dark = min(0.68, 0.6 * (1 - velocity) * rng.uniform(0.5, 1.3))  # a soft stroke is a dull one
    x = (1 - 0.75 * dark) * lfilter([1 - dark], [1, -dark], x) * 10 ** (-24 * (1 - velocity) / 20)
    return Stroke(np.concatenate([np.zeros(240), 0.5 * x]).astype(np.float32), 240)


def played(pads: Voices, rng: np.random.Generator, only: int | None = None) -> dict[str, list[Stroke]]:
    """Strokes of each pad, in any order of strength; `only` takes even (0) or odd (1) samples."""
    out = {}
    for name, takes in pads.items():
        mine = takes if only is None or len(takes) < 2 else takes[only::2]
        level = np.float32(10 ** (LEVELS.get(name, (-6, 0))[0] / 20))
        taken = [stroke(mine, v, rng) for v in rng.permutation(np.linspace(0.25, 1, EACH))]
        out[name] = [s._replace(sound=level * s.sound) for s in taken]
    return out


def performed(
    taken: dict[str, list[Stroke]], rng: np.random.Generator, calm: bool
) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """All strokes in a random order, over a little hiss."""
    order = [(name, s) for name, each in taken.items() for s in each]
    order = [order[k] for k in rng.permutation(len(order))]
    gaps = np.full(len(order), 0.9) if calm else rng.uniform(0.18, 0.5, len(order))
    times = RATE // 2 + np.concatenate([[0], np.cumsum(gaps[:-1] * RATE)]).astype(int)
    sound = 3e-4 * rng.standard_normal(times[-1] + 4 * RATE).astype(np.float32)
    for (_, s), time in zip(order, times, strict=True):
        sound[time - s.at : time - s.at + len(s.sound)] += s.sound
    return sound, [(int(time), name) for time, (name, _) in zip(times, order, strict=True)]


def heard(sound: np.ndarray, kit: Kit, preset: Preset) -> cutting.Heard:
    def prepare(pads: PadsState) -> None:
        teach(pads, rows_of(kit, None), kit=True)

    return cutting.listen_to([sound], RATE, preset, prepare)


def put_right(
    kit: Kit, said: cutting.Heard, struck: list[tuple[int, str]], names: list[str], most: int
) -> Kit:
    """The kit after the first `most` mistakes were corrected."""
    hits = said.events[said.events["kind"] == DRUM]
    for time, name in struck:
        near = np.flatnonzero(np.abs(hits["time"] - time) <= cutting.NEAR)
        if most and len(near) and names[hits[near[0]]["label"]] != name:
            known = said.known[int(hits[near[0]]["id"])]
            kit = kit.with_strokes(kit.row(name), known[None], int(hits[near[0]]["label"]))
            most -= 1
    return kit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("oneshots", type=Path)
    parser.add_argument("--decision", type=float, default=12)
    parser.add_argument("--kits", type=int, default=5)
    parser.add_argument("--apart", action="store_true")
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    found: dict[str, Voices] = {}
    for piece, kits in shelf(None, held_out=True).items():
        for kit, voices in kits.items():
            if piece != "other":
                found.setdefault(kit, {})[piece] = voices[int(rng.integers(len(voices)))]
    odd = {name: [trimmed(sound_of(args.oneshots / "sonic_pi" / f"{name}.ogg"), 1.0)] for name in ODD}
    whole = [kit for kit in sorted(found) if sum(len(takes) > 1 for takes in found[kit].values()) >= 8]
    print(f"{'macro F':36s} as learned, calm; after {PUT_RIGHT} corrections, calm")
    rows: list[list[float]] = []
    for name in whole[: args.kits]:
        chosen = [p for p in rng.permutation(sorted(found[name])) if len(found[name][p]) > 1][:PADS]
        drums = {p: found[name][p] for p in chosen}
        rows += [measured(name, pads, args.decision, args.apart, rng) for pads in (drums, drums | odd)]
    for k, title in enumerate(("10 pads", "18 pads")):
        mean = np.mean(rows[k::2], axis=0)
        print(f"{title:36s}", *(f"{score:.3f}" for score in mean))


def measured(title: str, pads: Voices, decision: float, apart: bool, rng: np.random.Generator) -> list[float]:
    preset = load("drums", [f"drums.decision_ms={decision}"])
    learned = learning.learned(played(pads, rng, 0 if apart else None), preset)
    kit = learning.add_strokes(Kit("bench", decision_ms=decision), learned)
    notes = dict(preset.drum_notes) | {pad.name: 60 for pad in kit.pads if not pad.name.startswith(ECHO)}
    preset = replace(preset, drum_notes=notes)
    names = [label.name for label in labels_of(notes)]
    lesson, struck = performed(played(pads, rng, 1 if apart else None), rng, False)
    better = put_right(kit, heard(lesson, kit, preset), struck, names, PUT_RIGHT)
    shows = [performed(played(pads, rng, 1 if apart else None), rng, calm) for calm in (False, True)]
    scores = [
        report.compared(struck, heard(sound, each, preset), preset)["macro_f"]
        for each in (kit, better)
        for sound, struck in shows
    ]
    print(f"{title}, {len(pads)} pads".ljust(36), *(f"{score:.3f}" for score in scores), flush=True)
    return scores


if __name__ == "__main__":
    main()
