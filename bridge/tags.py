# SPDX-License-Identifier: GPL-3.0-or-later
"""What a whole recording is: its tempo, its key, and its chords with their times."""

from typing import Any

import numpy as np

from bridge.messages import said
from dsp.events import BEAT, CHORD, CHORDS, KEY, NO_CHORD, TONICS
from dsp.units import RATE

SETTLED = 5.0  # beats before this are still being looked for, where there are others [s]
DIGITS = 3


def tags(events: np.ndarray, seconds: float) -> dict[str, Any]:
    """Tempo, key and chords of a recording.

    Parameters
    ----------
    events : (n,) EVENT
        All that was heard in it.
    seconds
        How long it lasts.
    """
    keys = _spans(events[events["kind"] == KEY], seconds, ("key",))
    return {
        "seconds": round(seconds, DIGITS),
        "tempo": _tempo(events[events["kind"] == BEAT]),
        "key": _longest(keys),
        "keys": keys,
        "chords": _spans(events[events["kind"] == CHORD], seconds, ("chord", "bass")),
    }


def _tempo(beats: np.ndarray) -> dict[str, Any] | None:
    """The tempo in the middle, and between which most others lie; the metre that was counted most."""
    late = beats[beats["time"] >= SETTLED * RATE]
    beats = late if len(late) else beats
    if not len(beats):
        return None
    low, bpm, high = (round(float(b), 2) for b in np.percentile(beats["number"], (10, 50, 90)))
    metres, counts = np.unique(beats["label"], return_counts=True)
    sure = round(float(beats["confidence"].mean()), DIGITS)
    return {"bpm": bpm, "low": low, "high": high, "beats": int(metres[counts.argmax()]), "confidence": sure}


def _spans(events: np.ndarray, seconds: float, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Each until the next begins; those said again are one, and as sure as the surest word of them."""
    spans: list[dict[str, Any]] = []
    for event in events:
        told, start = said(event), min(max(0.0, float(event["time"]) / RATE), seconds)
        if spans and all(spans[-1][name] == told[name] for name in names):
            spans[-1]["confidence"] = max(spans[-1]["confidence"], told["confidence"])
            continue
        if spans:
            start = max(start, spans[-1]["start"])
            spans[-1]["end"] = round(start, DIGITS)
        fields = {name: told[name] for name in names}
        spans.append({"start": round(start, DIGITS), "end": 0.0, **fields, "confidence": told["confidence"]})
    if spans:
        spans[-1]["end"] = round(seconds, DIGITS)
    return [span for span in spans if span["end"] > span["start"]]


def _longest(keys: list[dict[str, Any]]) -> str | None:
    """The key of most of it, by how sure it was."""
    weight: dict[str, float] = {}
    for span in keys:
        weight[span["key"]] = weight.get(span["key"], 0) + span["confidence"] * (span["end"] - span["start"])
    return max(weight, key=lambda name: weight[name]) if weight else None


def lab(tagged: dict[str, Any]) -> str:
    """Chords as lines of start, end and chord, without a gap."""
    chords = tagged["chords"]
    first = chords[0]["start"] if chords else tagged["seconds"]
    rows = [(0.0, first, CHORDS[NO_CHORD])] if first > 0 else []
    rows += [(span["start"], span["end"], _inverted(span)) for span in chords]
    return "".join(f"{start:.3f}\t{end:.3f}\t{chord}\n" for start, end, chord in rows)


DEGREE = ("1", "b2", "2", "b3", "3", "4", "b5", "5", "b6", "6", "b7", "7")


def _inverted(span: dict[str, Any]) -> str:
    """A chord over another bass than its root, as .lab files write it: C:maj/3."""
    root = span["chord"].partition(":")[0]
    if root not in TONICS or span["bass"] not in TONICS or span["bass"] == root:
        return str(span["chord"])
    return f"{span['chord']}/{DEGREE[(TONICS.index(span['bass']) - TONICS.index(root)) % 12]}"
