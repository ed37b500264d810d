# SPDX-License-Identifier: GPL-3.0-or-later
"""`earwire demo`: a first look, with nothing plugged in."""

import argparse
import shutil
import sys
from typing import Any, NamedTuple

import numpy as np

EPILOG = """\
It plays a short recording of drums and one of a guitar into earwire, silently and at
the speed they were played, shows what is heard as it is heard, and then compares that
with what was really played. It takes less than half a minute.

examples:
  earwire demo
  earwire demo --midi virtual     and hear it: connect a synth to the port earwire
"""

NEXT = """\
next:
  {0} run                       your own drums, from JACK or the default input
  {0} run -p voice --midi jack  sing, and play a synth
  {0} transcribe take.wav       a recording to MIDI
  {0} doctor                    what this machine could do better
"""


class Scene(NamedTuple):
    """One recording of the demo."""

    name: str  # of its files
    preset: str
    task: str
    says: str


SCENES = (
    Scene("groove", "drums", "drums", "first, ten seconds of drums"),
    Scene("line", "guitar", "notes", "now six seconds of guitar"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--midi", default="none", metavar="M", help="also play it: jack, virtual or part of a port's name"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no live view, only the result")
    parser.epilog = EPILOG


def execute(args: argparse.Namespace) -> int:
    told = []
    for scene in SCENES:
        if not args.quiet:
            print(f"earwire: {scene.says}\n", file=sys.stderr, flush=True)
        events, whole = _perform(scene, args)
        if not whole:  # Ctrl-C
            break
        told.append(_compare(scene, events))
    for line in told:
        print(line)
    if told:
        print(f"\n{NEXT.format(_program())}", end="")
    return 0


def _program() -> str:
    """What to type to start us: after `make demo` that is no single word yet."""
    return "earwire" if shutil.which("earwire") or not sys.argv[0].endswith("earwire") else sys.argv[0]


class _Keep:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.events: list[np.ndarray] = []

    def open(self, header: dict[str, Any]) -> None: ...

    def write(self, events: np.ndarray) -> None:
        self.events.append(events.copy())

    def close(self, end: dict[str, Any]) -> None: ...


def _perform(scene: Scene, args: argparse.Namespace) -> tuple[np.ndarray, bool]:
    """Play one recording; the events, and whether it was heard to its end."""
    from bridge.cli import run
    from bridge.preset import load
    from dsp.events import EVENT
    from models.render import PERFORMANCES

    parser = argparse.ArgumentParser()
    run.configure(parser)
    recording = PERFORMANCES / f"{scene.name}.ogg"
    line = ["--source", f"file:{recording}", "--midi", args.midi, *(["-q"] if args.quiet else [])]
    options = parser.parse_args(line, argparse.Namespace(preset=scene.preset, set=[]))
    kept = _Keep()
    summary = run.perform(options, load(scene.preset), [kept])
    return np.concatenate([np.zeros(0, EVENT), *kept.events]), summary.ended


def _compare(scene: Scene, events: np.ndarray) -> str:
    """What was heard of what was played, in a sentence."""
    from bridge.evaluate import SCORES, pooled, score_onsets
    from models.render import PERFORMANCES

    truth = PERFORMANCES / f"{scene.name}.txt"
    result = pooled([SCORES[scene.task](truth, events)])
    delay = result["delay_ms"]
    known = f", typically known {delay['median']:.0f} ms after they began" if delay else ""
    if scene.task == "notes":
        n = result["scores"]["notes"]
        return f"guitar: heard {n['hit']} of {n['hit'] + n['missed']} notes{_extra(n['extra'])}{known}"
    strokes = pooled([score_onsets(truth, events)])["scores"]["onsets"]
    named = result["scores"]["micro of five"]
    return (
        f"drums:  heard {strokes['hit']} of {strokes['hit'] + strokes['missed']} strokes{_extra(strokes['extra'])}, "
        f"named {named['hit']} of {named['hit'] + named['missed']} drums{_extra(named['extra'])}{known}"
    )


def _extra(n: int) -> str:
    return f" and {n} that {'was' if n == 1 else 'were'} not there" if n else ""
