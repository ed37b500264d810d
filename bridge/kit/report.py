# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be said of a kit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import KitError
from bridge.kit.cutting import NEAR, SILENCE, Heard, Stroke, listen_to, strokes_in
from bridge.kit.teacher import Teacher, without_kit
from bridge.messages import labels_of
from bridge.preset import Preset
from bridge.view import bar
from dsp.events import DRUM, LABELS
from dsp.units import RATE
from models.kit import Kit, labels_of_pads, macro_f, told_apart

GAP = 0.35  # between two strokes of a test [s]


def report(kit: Kit) -> dict[str, Any]:
    """A kit's pads and how well they are told apart, each stroke judged by the others."""
    told = told_apart(kit) if len(kit.strokes) and not kit.corrections else None
    named = [kit.pads[row].name for row in told.pads] if told else []
    confusion = {
        struck: {heard: int(told.confusion[i, j]) for j, heard in enumerate(named) if told.confusion[i, j]}
        for i, struck in enumerate(named)
        if told
    }
    pads = []
    for row, (pad, count) in enumerate(zip(kit.pads, kit.counts(), strict=True)):
        mine = confusion.get(pad.name, {})
        right = round(mine.get(pad.name, 0) / sum(mine.values()), 4) if mine else None
        corrected = int(np.sum((kit.pad_of == row) & (kit.taken_for >= 0)))
        pads.append(
            {"name": pad.name, "note": pad.note, "strokes": count, "corrected": corrected, "right": right}
        )
    return {
        "name": kit.name,
        "decision_ms": kit.decision_ms,
        "ear": kit.ear,
        "right": round(told.right, 4) if told else None,
        "macro_f": round(macro_f(told.confusion), 4) if told else None,
        "pads": pads,
        "confusion": confusion,
    }


def sequence(strokes: Sequence[tuple[str, Stroke]]) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """Strokes one after the other as they are: sound, and when each pad is struck [samples]."""
    gap, struck, parts, now = int(GAP * RATE), [], [np.zeros(SILENCE, np.float32)], SILENCE
    for pad, stroke in strokes:
        piece = np.zeros(max(len(stroke.sound), gap), np.float32)
        piece[: len(stroke.sound)] = stroke.sound
        struck.append((now + stroke.at, pad))
        parts.append(piece)
        now += len(piece)
    return np.concatenate([*parts, np.zeros(SILENCE, np.float32)]), struck


def tested(files: Mapping[str, Sequence[Path]], preset: Preset) -> dict[str, Any]:
    """What a preset's kit makes of files whose pads are known.

    The strokes of all pads are heard in turn, so that none is told by what came before it.
    """
    plain = without_kit(preset)
    taken = {pad: [s for path in paths for s in strokes_in(path, plain)] for pad, paths in files.items()}
    most = max((len(strokes) for strokes in taken.values()), default=0)
    turns = [(pad, strokes[k]) for k in range(most) for pad, strokes in taken.items() if k < len(strokes)]
    sound, struck = sequence(turns)
    blocks = (sound[start : start + RATE] for start in range(0, len(sound), RATE))
    heard = listen_to(blocks, RATE, preset, lambda pads: Teacher(pads, preset).use(preset))
    return compared(struck, heard, preset)


def compared(struck: Sequence[tuple[int, str]], heard: Heard, preset: Preset) -> dict[str, Any]:
    """Strokes against hits: right, F of each pad, and what was taken for what."""
    labels = labels_of(preset.drum_notes)
    hits = heard.events[heard.events["kind"] == DRUM]
    free = np.ones(len(hits), bool)
    confusion: dict[str, dict[str, int]] = {}
    found = 0
    for time, pad in struck:
        near = np.flatnonzero((np.abs(hits["time"] - time) <= NEAR) & free)
        said = "nothing"
        if len(near):
            free[near[0]] = False
            found += 1
            said = labels[int(hits[near[0]]["label"])].name
        row = confusion.setdefault(pad, {})
        row[said] = row.get(said, 0) + 1
    extra: dict[str, int] = {}
    for hit in hits[free]:
        name = labels[int(hit["label"])].name
        extra[name] = extra.get(name, 0) + 1
    scores = {}
    for pad, row in confusion.items():
        right, were = row.get(pad, 0), sum(row.values())
        said_so = sum(other.get(pad, 0) for other in confusion.values()) + extra.get(pad, 0)
        scores[pad] = {
            "f": round(2 * right / max(were + said_so, 1), 4),
            "precision": round(right / max(said_so, 1), 4),
            "recall": round(right / max(were, 1), 4),
        }
    return {
        "name": preset.kit,
        "strokes": len(struck),
        "heard": found,
        "extra": int(free.sum()),
        "right": sum(row.get(pad, 0) for pad, row in confusion.items()),
        "macro_f": round(float(np.mean([s["f"] for s in scores.values()])), 4) if scores else 0.0,
        "pads": scores,
        "confusion": confusion,
    }


def export(kit: Kit, path: Path) -> int:
    """A kit's strokes as training examples of the ear's last layer; how many there are.

    Arrays of the file: ``strokes`` (m, n), each the net's embedding and then the timbre, ``labels`` (m,)
    names of pads, ``taken_for`` (m,) what each was heard as before it was put right, empty where it was
    learned, ``ear`` and ``decision_ms``.
    """
    beyond = {row: pad.name for row, pad in zip(labels_of_pads(kit.pads), kit.pads, strict=True)}
    names = {row: label.name for row, label in enumerate(LABELS)} | beyond
    try:
        with path.open("wb") as file:
            np.savez_compressed(
                file,
                strokes=kit.strokes,
                labels=np.array([kit.pads[row].name for row in kit.pad_of], dtype="U40"),
                taken_for=np.array([names.get(int(row), "") for row in kit.taken_for], dtype="U40"),
                ear=np.array(kit.ear),
                decision_ms=np.array(kit.decision_ms),
            )
    except OSError as error:
        raise KitError(f"{path}: cannot be written: {error.strerror or error}") from None
    return len(kit.strokes)


class NamesSink:
    """Prints what each stroke is taken for, and how surely.

    Parameters
    ----------
    notes
        MIDI note of each label and pad.
    """

    def __init__(self, notes: Mapping[str, int]) -> None:
        self._labels = labels_of(notes)

    def open(self, header: dict[str, Any]) -> None: ...

    def write(self, events: np.ndarray) -> None:
        for hit in events[events["kind"] == DRUM]:
            sure = float(hit["confidence"])
            name = self._labels[int(hit["label"])].name
            print(f"{hit['time'] / RATE:9.3f}  {name:<16} {bar(sure, 20)} {sure:4.0%}", flush=True)

    def close(self, end: dict[str, Any]) -> None: ...
