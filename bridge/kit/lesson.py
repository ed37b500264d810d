# SPDX-License-Identifier: GPL-3.0-or-later
"""A lesson: pad after pad is struck, and what was struck is kept until it is over."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bridge.kit.cutting import APART, LONGEST, Stroke, cut
from bridge.view import FLOOR_DB, FRAME, bar
from dsp.events import ONSET
from dsp.units import RATE, samples

WANTED = 10  # strokes of a pad
LEAST = 3  # with fewer a pad is not kept
BREATH = samples(1200)  # after a pad's last stroke, in which the next pad is not yet heard
LONGEST_LESSON = 30 * 60 * RATE  # of sound that is kept [samples]
HEIGHTS = "▁▂▃▄▅▆▇█"


class Lesson:
    """Which pad is asked for, and the strokes of each so far.

    Parameters
    ----------
    pads
        What to ask for, in order.
    wanted
        Strokes of each.
    breath
        After a pad's last stroke, in which nothing is taken for the next one [samples].
    """

    def __init__(self, pads: Sequence[str], wanted: int = WANTED, breath: int = BREATH) -> None:
        self.pads, self.wanted, self._breath = list(pads), wanted, breath
        self.struck: dict[str, list[tuple[int, float]]] = {pad: [] for pad in pads}  # when, how hard
        self.row = 0
        self._from = 0  # strokes before this sample are not counted
        self._sound: list[np.ndarray] = []
        self.heard = 0  # samples

    @property
    def asked(self) -> str | None:
        """The pad to strike now; None when the lesson is over."""
        return self.pads[self.row] if self.row < len(self.pads) else None

    def sound(self, x: np.ndarray) -> None:
        """More of what the ear hears, (n,) float32 at 48 kHz."""
        if self.heard < LONGEST_LESSON:
            self._sound.append(x.copy())
        self.heard += len(x)
        if self.heard >= LONGEST_LESSON:
            self.finish()

    def stroke(self, time: int, velocity: float) -> bool:
        """One more stroke [samples]; whether it counts."""
        if self.asked is None or time < self._from:
            return False
        mine = self.struck[self.asked]
        if mine and time - mine[-1][0] < APART:
            if velocity > mine[-1][1]:  # what came before was a scrape
                mine[-1] = (time, velocity)
            return False
        mine.append((time, velocity))
        if len(mine) >= self.wanted:
            self._go(self.row + 1, time + self._breath)
        return True

    def skip(self) -> None:
        """Go on to the next pad; what was struck of this one is kept if it is enough."""
        if self.asked is not None:
            self._go(self.row + 1, self.heard)

    def redo(self) -> None:
        """Begin this pad again; where it has no stroke yet, the one before."""
        if self.row and (self.asked is None or not self.struck[self.asked]):
            self.row -= 1
        if self.asked is not None:
            self.struck[self.asked].clear()
            self._from = self.heard

    def finish(self) -> None:
        """The lesson is over."""
        self.row = len(self.pads)

    def _go(self, row: int, after: int) -> None:
        self.row, self._from = row, after

    def strokes(self) -> dict[str, list[Stroke]]:
        """Strokes of each pad that has enough."""
        sound = np.concatenate([np.zeros(0, np.float32), *self._sound])
        times = sorted(time for taken in self.struck.values() for time, _ in taken if time < len(sound))
        stroke = dict(zip(times, cut(sound, times), strict=True))
        kept = {pad: [stroke[t] for t, _ in taken if t in stroke] for pad, taken in self.struck.items()}
        return {pad: taken for pad, taken in kept.items() if len(taken) >= min(LEAST, self.wanted)}


class LessonSink:
    """Hands a session's sound and strokes to a lesson, and ends the session with it.

    Parameters
    ----------
    lesson
    end
        Called once, when the lesson is over.
    """

    def __init__(self, lesson: Lesson, end: Callable[[], None]) -> None:
        self._lesson, self._end = lesson, end

    def open(self, header: dict[str, Any]) -> None: ...

    def sound(self, x: np.ndarray) -> None:
        self._lesson.sound(x)
        # The last stroke is to ring before it is cut.
        taken = [time for struck in self._lesson.struck.values() for time, _ in struck]
        if self._lesson.asked is None and self._lesson.heard > max(taken, default=0) + LONGEST // 2:
            self._end()

    def write(self, events: np.ndarray) -> None:
        for event in events[events["kind"] == ONSET]:
            self._lesson.stroke(int(event["time"]), float(event["value"]))

    def close(self, end: dict[str, Any]) -> None: ...


class LessonView:
    """The lesson as a drummer sees it, and the keys that steer it.

    Parameters
    ----------
    lesson, meters
        What is shown.
    """

    def __init__(self, lesson: Lesson, meters: Any) -> None:
        from rich.console import Console
        from rich.live import Live

        from bridge.keys import Keys

        self._lesson, self._meters = lesson, meters
        self._stop = threading.Event()
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
        self._live.start()
        self._keys = Keys(self._press)
        self._thread = threading.Thread(target=self._redraw, name="lesson", daemon=True)
        self._thread.start()

    def _press(self, key: str) -> None:
        acts = {"s": self._lesson.skip, " ": self._lesson.skip, "\n": self._lesson.skip}
        acts |= {"r": self._lesson.redo, "d": self._lesson.finish, "q": self._lesson.finish}
        acts.get(key.lower(), lambda: None)()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(1.0)
        self._keys.close()
        self._live.stop()

    def _redraw(self) -> None:
        while not self._stop.wait(FRAME):
            self._live.update(self.picture(), refresh=True)

    def picture(self) -> Any:
        from rich.text import Text

        lesson, level = self._lesson, self._meters.level_db
        text = Text(no_wrap=True, overflow="ellipsis")
        for row, pad in enumerate(lesson.pads):
            taken = lesson.struck[pad]
            now = row == lesson.row
            mark = "►" if now else "✓" if len(taken) >= lesson.wanted else " "
            hard = "".join(HEIGHTS[min(7, int(8 * velocity))] for _, velocity in taken)
            text.append(f" {mark} {pad:<16}", "bold" if now else "dim")
            text.append(f"{hard:<{lesson.wanted}}  ", "bright_yellow" if now else "yellow")
            text.append(
                f"heard {len(taken)} of {lesson.wanted}\n" if now or taken else "\n", "" if now else "dim"
            )
        part = 1 - level / FLOOR_DB if level > FLOOR_DB else 0.0
        text.append("\n   level ")
        text.append(bar(part, 40), "red" if level > -3 else "green")
        text.append(f" {level:6.1f} dBFS\n" if level > -100 else "  silence\n")
        if lesson.asked is not None:
            text.append(f"\n   strike {lesson.asked}, soft to loud, a second apart", "bold")
            keys = "   s: next pad   r: again   d: done   Ctrl-C: leave" if self._keys.there else ""
            text.append(f"\n\n{keys}", "dim")
        return text
