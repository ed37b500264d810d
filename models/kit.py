# SPDX-License-Identifier: GPL-3.0-or-later
"""A drummer's own kit: a few strokes of each pad, and the weights that tell them apart.

A stroke is what the ear knows of it at the moment of decision: the net's embedding, then its timbre.
Pads are told apart by linear discriminants: every pad has its own mean, all share the spread of the
strokes of one pad. So few strokes cannot say how so many numbers move together, so what they seem to
say of that is not taken whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from dsp.events import LABEL_ROW, LABELS
from dsp.pads import PADS

MOST = 4000  # strokes in a kit
ECHO = "echo-of-"  # a pad so called is what else is heard when another is struck, and no stroke
TOGETHER = 0.7  # part of what is seen of numbers that move together that is believed
STILL = 0.1  # of the usual deviation: a number that moves less is not taken for news when it does
RIDGE = 0.01  # of the spread, added to every number
CORRECTED = 4.0  # strokes that a correction counts for
CLEARLY = 0.7  # how far from the usual sound of a label to the corrected ones a hit must lie to be renamed
TEMPERATURES = np.geomspace(1, 64, 25)  # of confidence, tried on strokes left out


class Prior(NamedTuple):
    """What the training corpus says of embeddings, for corrections that no kit stands behind."""

    spread: np.ndarray  # (n, n) covariance of strokes of one sound
    means: np.ndarray  # (len(LABELS), n) of each label


@dataclass(frozen=True, slots=True)
class Pad:
    name: str
    note: int | None = None  # None: as the instrument has it


@dataclass(frozen=True, slots=True)
class Kit:
    """Strokes and what they were.

    `corrections` marks a kit that has no strokes of its own: its pads are
    labels, and each stroke is one that was named wrongly.
    """

    name: str
    pads: tuple[Pad, ...] = ()
    decision_ms: float = 12.0
    ear: str = ""  # which weights the strokes were heard with
    corrections: bool = False
    strokes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))  # (m, n)
    pad_of: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # (m,) row of pads
    taken_for: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # (m,) label; -1: learned

    def row(self, name: str) -> int:
        """Row of a pad; -1 where there is none of this name."""
        return next((row for row, pad in enumerate(self.pads) if pad.name == name), -1)

    def counts(self) -> list[int]:
        """Strokes of each pad."""
        return [int(np.sum(self.pad_of == row)) for row in range(len(self.pads))]

    def with_pad(self, pad: Pad) -> "Kit":
        if len(self.pads) >= PADS:
            raise ValueError(f"a kit has at most {PADS} pads")
        return replace(self, pads=(*self.pads, pad))

    def with_strokes(self, pad: int, strokes: np.ndarray, taken_for: int = -1) -> "Kit":
        """This kit with strokes (m, n) of a pad; `taken_for` is the label that was wrong."""
        m = len(strokes)
        if len(self.strokes) + m > MOST:
            raise ValueError(f"a kit holds at most {MOST} strokes")
        before = self.strokes if len(self.strokes) else np.zeros((0, strokes.shape[1]), np.float32)
        return replace(
            self,
            strokes=np.concatenate([before, np.asarray(strokes, np.float32)]),
            pad_of=np.concatenate([self.pad_of, np.full(m, pad)]),
            taken_for=np.concatenate([self.taken_for, np.full(m, taken_for)]),
        )

    def without(self, pad: int) -> "Kit":
        """This kit without the strokes of a pad, which stays."""
        return self._only(self.pad_of != pad)

    def without_last(self) -> "Kit":
        """This kit before its newest correction."""
        corrected = np.flatnonzero(self.taken_for >= 0)
        keep = np.ones(len(self.pad_of), bool)
        keep[corrected[-1:]] = False
        return self._only(keep)

    def _only(self, keep: np.ndarray) -> "Kit":
        return replace(
            self, strokes=self.strokes[keep], pad_of=self.pad_of[keep], taken_for=self.taken_for[keep]
        )


class Rows(NamedTuple):
    """Pads as the fast lane takes them."""

    weights: np.ndarray  # (p, n + 1) float32
    says: np.ndarray  # (p,) label, a row of LABELS or beyond them
    instead: np.ndarray  # (p,) label it takes the place of; -1 in a kit


def nothing(size: int) -> Rows:
    """No pads, for strokes of `size` numbers."""
    return Rows(np.zeros((0, size + 1), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))


def labels_of_pads(pads: Sequence[Pad]) -> list[int]:
    """Label of each pad: a row of LABELS for a name that stands there, beyond them for others, -1 for echoes."""
    rows, beyond = [], len(LABELS)
    for pad in pads:
        if pad.name.startswith(ECHO):
            rows.append(-1)
        elif pad.name in LABEL_ROW:
            rows.append(LABEL_ROW[pad.name])
        else:
            rows.append(beyond)
            beyond += 1
    return rows


def rows_of(kit: Kit, prior: Prior | None) -> Rows:
    """What a kit, or corrections, teach the fast lane; nothing where there is too little."""
    return _corrections(kit, prior) if kit.corrections else _kit(kit)


def struck(kit: Kit) -> list[int]:
    """Rows of the pads that have strokes."""
    return [row for row, count in enumerate(kit.counts()) if count]


def _kit(kit: Kit) -> Rows:
    pads = struck(kit)
    says = np.array(labels_of_pads(kit.pads), np.int64)[pads]
    weights = discriminants(kit)
    heat = temperature(kit) if len(pads) > 1 else 1.0
    return Rows((weights / heat).astype(np.float32), says, np.full(len(pads), -1, np.int64))


def _corrections(kit: Kit, prior: Prior | None) -> Rows:
    """A pad for each mistake that was made: where `instead` was said, `says` is right."""
    size = kit.strokes.shape[1]
    mistakes = sorted({(int(t), int(p)) for t, p in zip(kit.taken_for, kit.pad_of, strict=True)})
    rows: list[tuple[np.ndarray, int, int]] = []
    labels = labels_of_pads(kit.pads)
    for taken, pad in mistakes:
        if prior is None or not 0 <= taken < len(prior.means) or labels[pad] == taken:
            continue
        usual = prior.means[taken]
        mean = kit.strokes[(kit.taken_for == taken) & (kit.pad_of == pad)].mean(0)[: len(usual)]
        w = np.zeros(size + 1)
        w[: len(usual)] = np.linalg.solve(_firm(prior.spread), mean - usual)
        w[size] = -w[: len(usual)] @ (usual + CLEARLY * (mean - usual))
        rows.append((w, labels[pad], taken))
    rows = rows[-PADS:]
    return Rows(
        np.array([w for w, _, _ in rows], np.float32).reshape(-1, size + 1),
        np.array([says for _, says, _ in rows], np.int64),
        np.array([taken for _, _, taken in rows], np.int64),
    )


def _firm(spread: np.ndarray) -> np.ndarray:
    """A covariance that can be divided by, even where an embedding has numbers that never move."""
    n = len(spread)
    return spread + np.eye(n) * (1e-3 * np.trace(spread) / n + 1e-9)


class _Seen(NamedTuple):
    """A kit's strokes, each number by its own deviation."""

    x: np.ndarray  # (m, n)
    true: np.ndarray  # (m,) column: place among the pads that have strokes
    weight: np.ndarray  # (m,) strokes that each counts for
    means: np.ndarray  # (p, n) of the pads
    inverse: np.ndarray  # (n, n) of the spread that the pads share
    scale: np.ndarray  # (n,) deviation


def _seen(kit: Kit) -> _Seen:
    pads = struck(kit)
    true = np.searchsorted(pads, kit.pad_of)
    x = kit.strokes.astype(np.float64)
    deviation = x.std(0)
    scale = np.maximum(deviation, STILL * np.median(deviation)) + 1e-6
    x = x / scale
    count = np.where(kit.taken_for >= 0, CORRECTED, 1.0)
    means = np.array([np.average(x[true == k], axis=0, weights=count[true == k]) for k in range(len(pads))])
    around = x - means[true]
    spread = around.T @ around / max(len(x) - len(pads), 1)
    spread = TOGETHER * spread + (1 - TOGETHER) * np.diag(np.diag(spread))
    spread += np.eye(len(spread)) * (RIDGE * np.trace(spread) / len(spread) + 1e-6)
    return _Seen(x, true, count, means, np.linalg.inv(spread), scale)


def discriminants(kit: Kit) -> np.ndarray:
    """Weights (p, n + 1) of the pads that have strokes, in their order."""
    seen = _seen(kit)
    w = seen.means @ seen.inverse
    bias = -0.5 * np.sum(w * seen.means, 1, keepdims=True)
    rows = np.concatenate([w / seen.scale, bias], 1)
    return rows - rows.mean(0)  # what all pads share says nothing, and costs digits of the float32 to come


def left_out(kit: Kit) -> tuple[np.ndarray, np.ndarray]:
    """Scores (m, p) of every stroke, judged by means that know nothing of it, and its true column (m,).

    The spread is of all strokes: leaving one out would hardly change it.
    """
    seen = _seen(kit)
    w = seen.means @ seen.inverse
    scores = seen.x @ w.T - 0.5 * np.sum(w * seen.means, 1)
    counts = np.bincount(seen.true, seen.weight)
    rest = counts[seen.true] - seen.weight
    fair = rest > 0  # an only stroke has nobody else to be judged by
    own = seen.means[seen.true[fair]] * counts[seen.true[fair], None] - seen.weight[fair, None] * seen.x[fair]
    own /= rest[fair, None]
    turned = own @ seen.inverse
    scores[fair, seen.true[fair]] = np.sum(turned * (seen.x[fair] - own / 2), 1)
    return scores, seen.true


def temperature(kit: Kit) -> float:
    """By how much to cool the scores, so that a confidence of .9 is right nine times in ten."""
    scores, true = left_out(kit)

    def wrongness(heat: float) -> float:
        s = scores / heat
        top = s.max(1)
        return float(np.sum(top + np.log(np.exp(s - top[:, None]).sum(1)) - s[np.arange(len(s)), true]))

    return float(min(TEMPERATURES, key=wrongness))


class Told(NamedTuple):
    """How well the pads of a kit are told apart."""

    pads: list[int]  # rows
    confusion: np.ndarray  # (p, p) strokes: row struck, column heard

    @property
    def right(self) -> float:
        return float(np.trace(self.confusion) / max(self.confusion.sum(), 1))


def told_apart(kit: Kit) -> Told:
    """Every stroke named by a kit that does not know it."""
    pads = struck(kit)
    confusion = np.zeros((len(pads), len(pads)), np.int64)
    if len(pads):
        scores, true = left_out(kit)
        np.add.at(confusion, (true, scores.argmax(1)), 1)
    return Told(pads, confusion)


def macro_f(confusion: np.ndarray) -> float:
    """Mean F of the pads, from (p, p) strokes by what was struck and what was heard."""
    hit = np.diag(confusion).astype(float)
    said, were = confusion.sum(0), confusion.sum(1)
    return float(np.mean(2 * hit / np.maximum(said + were, 1))) if len(hit) else 0.0
