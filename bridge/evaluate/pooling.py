# SPDX-License-Identifier: GPL-3.0-or-later
"""All files as one, in figures a script can read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bridge.evaluate.matching import WINDOWS, Counts, Names, Score
from bridge.evaluate.truth import FAMILIES
from dsp.events import LABEL_ROW

FEWEST = 5  # velocities of one drum that can be ranked


def pooled(scores: Sequence[Score]) -> dict[str, Any]:
    """All files as one.

    Returns
    -------
    dict
        ``scores``: {name: {f, precision, recall, hit, extra, missed}}; ``measures``: {name: value},
        of f0, notes, beats, chords and key; ``delay_ms``: {p10, median, p90, max, n}, null where nothing
        matched; ``waited_ms``: the largest ``emitted - time``. Of beats also ``error_ms``:
        {median, p90 of the size}. Of drums also what `_named` returns, and the same as
        ``refined``, with its own ``waited_ms``; null where nothing was refined.
    """
    measures = {}
    for name in dict.fromkeys(name for score in scores for name in score.measures):
        values, weights = zip(*(s.measures[name] for s in scores if name in s.measures), strict=True)
        measures[name] = round(float(np.average(values, weights=weights)), 4)
    out: dict[str, Any] = {
        "scores": _scores(score.counts for score in scores),
        "measures": measures,
        "delay_ms": _delays([delay for score in scores for delay in score.delays]),
        "waited_ms": _ms(score.waited for score in scores),
    }
    if errors := [error for score in scores for error in score.errors]:
        sizes = 1000 * np.abs(errors)
        out["error_ms"] = {
            "median": round(float(1000 * np.median(errors)), 2),
            "p90": round(float(np.percentile(sizes, 90)), 2),
        }
    names = [score.names for score in scores if score.names]
    if names:
        first, last = zip(*names, strict=True)
        refined = {**_named(last), "waited_ms": _ms(one.waited for one in last)}
        out |= _named(first) | {"refined": refined if any(one.changes for one in last) else None}
    return out


def _ms(seconds: Iterable[float]) -> float:
    return round(1000 * max(seconds, default=0.0), 2)


def _delays(seconds: Sequence[float]) -> dict[str, Any] | None:
    if not seconds:
        return None
    delays = 1000 * np.array(seconds)
    p10, median, p90 = (round(float(value), 2) for value in np.percentile(delays, (10, 50, 90)))
    most = round(float(delays.max()), 2)
    return {"p10": p10, "median": median, "p90": p90, "max": most, "n": delays.size}


def _summed(counts: Iterable[dict[str, Counts]]) -> dict[str, Counts]:
    out: dict[str, Counts] = {}
    for one in counts:
        for name, count in one.items():
            out[name] = out.get(name, Counts()).plus(count)
    return out


def _scores(counts: Iterable[dict[str, Counts]]) -> dict[str, dict[str, Any]]:
    total = _summed(counts)
    if "kick" in total:
        for suffix in WINDOWS:
            for name, families in (("micro of five", FAMILIES), ("micro of three", FAMILIES[:3])):
                micro = Counts()
                for family in families:
                    micro = micro.plus(total[family + suffix])
                total[name + suffix] = micro
    return {name: _figures(count) for name, count in total.items()}


def _figures(c: Counts) -> dict[str, Any]:
    return {
        "f": round(c.f, 4),
        "precision": round(c.hit / max(1, c.hit + c.extra), 4),
        "recall": round(c.hit / max(1, c.hit + c.missed), 4),
        **c._asdict(),
    }


def _named(names: Sequence[Names]) -> dict[str, Any]:
    """Names and velocities of all files.

    Returns
    -------
    dict
        ``scores`` of families; ``labels``: {label: as scores}, and ``macro``, the mean F of those that
        are struck, both null where annotations name families alone; ``confusion``: {families, labels},
        each {struck: {said: n}}; ``velocity`` as `_velocity` returns it.
    """
    told = [one.labels for one in names if one.labels is not None]
    labels = _summed(told)
    labels = {name: labels[name] for name in sorted(labels, key=order)}
    struck = [count.f for count in labels.values() if count.hit + count.missed]
    return {
        "scores": _scores(one.families for one in names),
        "labels": {name: _figures(count) for name, count in labels.items()} if told else None,
        "macro": round(sum(struck) / len(struck), 4) if struck else None,
        "velocity": _velocity([row for one in names for row in one.velocities]),
        "confusion": {
            "families": _nested(one.mistaken for one in names),
            "labels": _nested(one.mistaken_labels for one in names) if told else None,
        },
    }


def order(name: str) -> tuple[int, str]:
    """Families and labels as they are listed, then pads, then what is no drum."""
    rows = {**LABEL_ROW, "hat": 4, "tom": 7, "cymbal": 10, "other": 900, "missed": 999, "extra": 999}
    return rows.get(name, 100), name


def _nested(counters: Iterable[Counter[tuple[str, str]]]) -> dict[str, dict[str, int]]:
    total: Counter[tuple[str, str]] = sum(counters, Counter())
    out: dict[str, dict[str, int]] = {}
    for struck, said in sorted(total, key=lambda pair: (order(pair[0]), order(pair[1]))):
        out.setdefault(struck, {})[said] = total[struck, said]
    return out


def _velocity(rows: Sequence[tuple[str, float, float]]) -> dict[str, Any] | None:
    """How velocities agree.

    Returns
    -------
    dict or None
        ``spearman``: rank correlation of all; ``within``: the mean of each label's own, weighted by
        hits; ``error``: median absolute error; ``n``; ``labels``: {label: {spearman, error, n}}.
        A correlation is null where hits are few or all alike; all is None where no velocity is known.
    """
    if not rows:
        return None
    played, said = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    of = np.array([row[0] for row in rows])
    labels = {}
    for name in sorted(set(of.tolist()), key=order):
        labels[name] = _agreement(played[of == name], said[of == name])
    ranked = [one for one in labels.values() if one["spearman"] is not None]
    within = None
    if ranked:
        ranks, weights = [one["spearman"] for one in ranked], [one["n"] for one in ranked]
        within = round(float(np.average(ranks, weights=weights)), 4)
    whole = _agreement(played, said)
    return {"spearman": whole["spearman"], "within": within, **whole, "labels": labels}


def _agreement(played: np.ndarray, said: np.ndarray) -> dict[str, Any]:
    from scipy.stats import rankdata

    rank = None
    if len(played) >= FEWEST and np.ptp(played) > 0 and np.ptp(said) > 0:
        rank = round(float(np.corrcoef(rankdata(played), rankdata(said))[0, 1]), 4)
    error = round(float(np.median(np.abs(played - said))), 4)
    return {"spearman": rank, "error": error, "n": len(played)}
