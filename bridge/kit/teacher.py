# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drummer teaches: kits for the fast lane, and single hits put right while it listens."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from bridge.errors import KitError
from bridge.kit import pages
from bridge.messages import labels_of
from bridge.native import release
from bridge.preset import Preset
from dsp.events import LABEL_ROW, LABELS
from dsp.pads import PADS, PadsState
from models import drums
from models.archive import WeightsError, sums
from models.kit import ECHO, Kit, Pad, Prior, Rows, nothing, rows_of

CORRECTIONS = "corrections"  # the kit that takes what is put right where the preset names none
MOST_UNDONE = 100


class Ear(NamedTuple):
    """What was exported with the ear's weights."""

    name: str  # which weights they are; "" for none
    prior: Prior | None
    place: tuple[np.ndarray, np.ndarray] | None  # (2, n) and (2,): from an embedding to where it lies


def ear() -> Ear:
    """The ear in use."""
    try:
        arrays, name = drums.weights(), sums().get(drums.NAME, "")[:16]
    except WeightsError:
        return Ear("", None, None)
    return Ear(name, prior_of(arrays), place_of(arrays))


def prior_of(arrays: Mapping[str, np.ndarray]) -> Prior | None:
    """Spread and means of embeddings, where they were exported."""
    if "kit.cov" not in arrays or "kit.mean" not in arrays:
        return None
    return Prior(arrays["kit.cov"].astype(np.float64), arrays["kit.mean"].astype(np.float64))


def place_of(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """The projection of embeddings to two numbers, where it was exported."""
    return (arrays["xy.w"], arrays["xy.b"]) if "xy.w" in arrays and "xy.b" in arrays else None


def pads_of(state: Any) -> PadsState | None:
    """The pads within a state of the fast lane."""
    if isinstance(state, PadsState):
        return state
    if isinstance(state, tuple):
        for part in state:
            if (found := pads_of(part)) is not None:
                return found
    return None


def teach(pads: PadsState, rows: Rows, kit: bool) -> None:
    """Have the fast lane take `rows` from its next decision on, even while it runs."""
    bank, count = 1 - int(pads.use[0]), min(len(rows.weights), PADS)
    pads.weights[bank, :count] = rows.weights[:count]
    pads.says[bank, :count] = rows.says[:count]
    pads.instead[bank, :count] = rows.instead[:count]
    pads.counts[bank], pads.kit[bank] = count, kit
    release(pads.use, 0, bank)


def every_stroke(pads: PadsState) -> None:
    """Have every stroke be a hit, of no drum in particular: the first label beyond the known ones."""
    none = np.zeros((1, pads.weights.shape[2]), np.float32)
    teach(pads, Rows(none, np.array([len(LABELS)]), np.array([-1])), kit=True)


def known_of(pads: PadsState, id: int) -> np.ndarray | None:
    """What the ear knew of a hit, (n,): its embedding, then its timbre; None where it is too long ago."""
    found = np.flatnonzero(pads.ids == id)
    if not len(found):
        return None
    copy = pads.strokes[found[0]].copy()
    return copy if pads.ids[found[0]] == id else None


class _Undo(NamedTuple):
    event: np.ndarray  # () EVENT as it was before
    kit: Kit


class Put(NamedTuple):
    """What came of a correction."""

    label: int  # of the hit from now on; -1 where nothing was changed
    told: str  # a line for the drummer


class Teacher:
    """The kit in use, and what is put right.

    Parameters
    ----------
    pads
        Of the fast lane; None where its ear cannot be taught.
    preset
        Which kit it names.

    Raises
    ------
    KitError
        Where the kit cannot be used.
    """

    def __init__(self, pads: PadsState | None, preset: Preset, heard_by: Ear | None = None) -> None:
        self._pads, self._ear = pads, heard_by or ear()
        self.kit: Kit | None = None
        self._undone: list[_Undo] = []
        self.use(preset)

    def use(self, preset: Preset) -> str:
        """Take the kit of another preset; a line where there is something to say of it."""
        before = self.kit.name if self.kit else ""
        if preset.kit:
            self.kit = usable(preset.kit, self._ear, self._pads)
        elif self.kit and not self.kit.corrections:
            self.kit = None
        if before != (self.kit.name if self.kit else ""):
            self._undone.clear()
        self._labels = labels_of(preset.drum_notes)
        self._decision = preset.drums.decision_ms
        self._teach()
        if self.kit and abs(self.kit.decision_ms - self._decision) > 1:
            learned = f"{self.kit.decision_ms:g}"
            return (
                f"kit {self.kit.name} was learned at {learned} ms and is used at {self._decision:g} ms, so its "
                f"names are less sure: --set drums.decision_ms={learned}, or learn it again"
            )
        return ""

    def _teach(self) -> None:
        if self._pads is None:
            return
        if self.kit and len(self.kit.strokes):
            teach(self._pads, rows_of(self.kit, self._ear.prior), kit=not self.kit.corrections)
        else:
            teach(self._pads, nothing(self._pads.strokes.shape[1]), kit=False)

    def place(self, id: int) -> tuple[float, float] | None:
        """Where the sound of a hit lies, each 0..1; None where that is not known."""
        if self._pads is None or self._ear.place is None:
            return None
        heard = known_of(self._pads, id)
        if heard is None:
            return None
        w, b = self._ear.place
        x, y = np.clip(w @ heard[: w.shape[1]] + b, 0, 1)
        return float(x), float(y)

    def names(self) -> list[str]:
        """What a hit may be put right to."""
        if self.kit and not self.kit.corrections:
            return [pad.name for pad in self.kit.pads if not pad.name.startswith(ECHO)]
        return [label.name for label in LABELS]

    def correct(self, event: np.ndarray, name: str) -> Put:
        """Learn that a hit, () EVENT, was really `name`."""
        if name not in self.names():
            kit = f" in kit {self.kit.name}" if self.kit and not self.kit.corrections else ""
            return Put(-1, f"there is no drum called {name!r}{kit}; there are {', '.join(self.names())}")
        label = [known.name for known in self._labels].index(name)
        if self._undone and self._undone[-1].event["id"] == event["id"]:  # put right twice
            last = self._undone.pop()
            event, self.kit = last.event, last.kit
        said = f"the last hit was a {name}"
        heard = known_of(self._pads, int(event["id"])) if self._pads is not None else None
        if heard is None:
            return Put(label, f"{said}; nothing could be learned from it")
        before = self.kit or Kit(
            CORRECTIONS, decision_ms=self._decision, ear=self._ear.name, corrections=True
        )
        if self.kit is None:
            before = self._earlier(before)
        kit = before if before.row(name) >= 0 else before.with_pad(Pad(name))
        try:
            kit = kit.with_strokes(kit.row(name), heard[None], int(event["label"]))
            pages.save(kit)
        except (KitError, ValueError) as error:
            return Put(label, f"{said}; not learned: {error}")
        self._undone = [*self._undone, _Undo(event.copy(), before)][-MOST_UNDONE:]
        self.kit = kit
        self._teach()
        return Put(label, f"{said}; {self._learned()}")

    def _earlier(self, fresh: Kit) -> Kit:
        """Corrections of earlier sessions, where this ear can add to them."""
        try:
            kit = pages.load(CORRECTIONS)
        except KitError:
            return fresh
        same = kit.corrections and kit.ear == self._ear.name and self._pads is not None
        fits = not len(kit.strokes) or (self._pads and kit.strokes.shape[1] == self._pads.strokes.shape[1])
        return kit if same and fits else fresh

    def _learned(self) -> str:
        kit = self.kit
        assert kit is not None
        if not kit.corrections:
            return f"learned, and kept with kit {kit.name}"
        if self._ear.prior is None:
            return f"kept in kit {kit.name} for training; this ear cannot learn from it at once"
        return f"learned; drums.kit = {kit.name} keeps it for the next time"

    def undo(self) -> tuple[np.ndarray | None, str]:
        """Forget the newest correction; the hit as it was before, () EVENT, and a line for the drummer."""
        if not self._undone:
            return None, "nothing to undo"
        last = self._undone.pop()
        self.kit = last.kit
        self._teach()
        try:
            pages.save(last.kit)
        except KitError as error:
            return last.event, f"the last correction is undone, but not on disk: {error}"
        return last.event, "the last correction is undone"


def usable(name: str, heard_by: Ear, pads: PadsState | None) -> Kit:
    """A kit that the ear in use can hear with."""
    kit = pages.load(name)
    hint = f"learn it again: earwire kit learn {name}"
    if pads is None:
        raise KitError(f"kit {name}: this ear cannot be taught")
    if not len(kit.strokes) and not kit.corrections:
        raise KitError(f"kit {name} has no strokes yet", hint)
    fits = not len(kit.strokes) or kit.strokes.shape[1] == pads.strokes.shape[1]
    if not fits or kit.ear != heard_by.name:
        raise KitError(
            f"kit {name} was learned by another ear, so its strokes mean nothing to this one", hint
        )
    return kit


def without_kit(preset: Preset) -> Preset:
    """The same preset, naming what is struck by itself."""
    notes = {name: note for name, note in preset.drum_notes.items() if name in LABEL_ROW}
    return replace(preset, kit="", drum_notes=notes)
