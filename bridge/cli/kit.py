# SPDX-License-Identifier: GPL-3.0-or-later
"""`earwire kit`: teach it your own drums, in a minute."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Self

EPILOG = """\
what to do:
  learn NAME    strike each pad about ten times, soft to loud; a table, a beatbox or a clap is a pad too
  test NAME     strike, and see what it is taken for
  list          the kits there are
  show NAME     its pads, and how well they are told apart
  export NAME   its strokes as training examples, to FILE.npz (or -o OUT.npz)
  remove NAME   forget it

examples:
  earwire kit learn mine                             asks which pads, then listens
  earwire kit learn mine --pads kick,snare,table
  earwire kit learn mine --from strokes              strokes/kick.wav, strokes/snare/*.wav, ...
  earwire kit test mine --from others --json
  earwire run --set drums.kit=mine

To add a pad, or learn one again, learn only that pad. A kit is a page and a file of numbers;
its sound is not kept.

keys of --json:
  list  [{name, pads, strokes, decision_ms, corrections}]
  show  name, decision_ms, ear, right, macro_f, pads: [{name, note, strokes, corrected, right}],
        confusion: {struck: {heard: strokes}}
  test  name, strokes, heard, right, macro_f, pads: {pad: {f, precision, recall}}, confusion
"""
ACTIONS = ("learn", "test", "list", "show", "export", "remove")
USUAL = "kick, snare, hat-closed, hat-open, tom-high, tom-low, crash, ride"


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", choices=ACTIONS, metavar="WHAT", help=", ".join(ACTIONS))
    add("name", nargs="?", default="", metavar="NAME", help="of the kit: letters, digits, - and _")
    add("--pads", default="", metavar="A,B,...", help="which pads to learn, in this order")
    add("--strokes", type=int, default=10, metavar="N", help="of each pad (default: 10)")
    add(
        "--from",
        dest="folder",
        type=Path,
        metavar="DIR",
        help="a sound file, or a folder of them, for each pad",
    )
    add("--source", default="", metavar="S", help="where to listen, as in earwire run")
    add("-o", "--output", type=Path, metavar="OUT.npz", help="where to export to")
    add("--json", action="store_true", help="print JSON, for scripts")
    add("-q", "--quiet", action="store_true", help="no live view")
    parser.epilog = EPILOG


def execute(args: argparse.Namespace) -> int:
    from bridge.errors import UsageError

    if args.action == "list":
        return _list(args)
    if not args.name:
        raise UsageError(f"earwire kit {args.action} needs the name of a kit", "earwire kit list shows them")
    act = {"learn": _learn, "test": _test, "show": _show, "export": _export, "remove": _remove}
    return act[args.action](args)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _preset(args: argparse.Namespace, kit: str) -> Any:
    """The preset asked for, with this kit or none."""
    from bridge.preset import load

    return load(args.preset, [*args.set, f'drums.kit="{kit}"'])


# Learning


def _learn(args: argparse.Namespace) -> int:
    from bridge.errors import UsageError
    from bridge.kit import pages
    from bridge.kit.cutting import pads_in, strokes_in
    from bridge.kit.learning import add_strokes, begun, learned
    from bridge.transcribe import prepare
    from bridge.warm import HEARING, compiling

    pages.check(args.name)
    if not 1 <= args.strokes <= 200:
        raise UsageError(f"--strokes {args.strokes}: between 1 and 200")
    preset = _preset(args, "")
    kit = begun(args.name, preset)
    if args.name in pages.names() and not kit.pads:
        _say(f"kit {args.name} begins anew: it was learned by another ear, or at another decision_ms")
    if args.folder is not None:
        files = pads_in(args.folder)
        if args.pads:
            files = {pad: files[pad] for pad in _pads(args, list(files))}
        with compiling(args.quiet, HEARING):
            prepare(preset)
        strokes = {
            pad: [s for path in paths for s in strokes_in(path, preset)] for pad, paths in files.items()
        }
    else:
        strokes = _lesson(args, preset)
    strokes = {pad: taken for pad, taken in strokes.items() if taken}
    if not strokes:
        _say("earwire: nothing was struck, so nothing is kept")
        return 1
    with _Progress(args.quiet, "Learning") as progress:
        kit = add_strokes(kit, learned(strokes, preset, progress))
    path = pages.save(kit)
    for pad, taken in strokes.items():
        _say(f"{pad:<16} {len(taken)} strokes")
    _say(f"kept in {path}\nplay it:  earwire run --set drums.kit={args.name}")
    return _show(args) if args.json or not args.quiet else 0


def _pads(args: argparse.Namespace, known: list[str] | None = None) -> list[str]:
    """The pads to learn, as given, or as asked for."""
    from bridge.errors import UsageError
    from bridge.kit import pages

    given = args.pads
    if not given and sys.stdin.isatty() and sys.stderr.isatty():
        print(f"Which pads? Anything goes, separated by commas. [{USUAL}]", file=sys.stderr)
        print("> ", end="", file=sys.stderr, flush=True)
        given = sys.stdin.readline().strip() or USUAL
    pads = [pages.check("-".join(part.split()), "pad") for part in given.split(",") if part.strip()]
    if not pads:
        raise UsageError("which pads?", "--pads kick,snare,hat-closed")
    if len(set(pads)) < len(pads):
        raise UsageError(f"--pads {given}: give each pad once")
    if known is not None and (missing := [pad for pad in pads if pad not in known]):
        raise UsageError(f"--pads: {args.folder} has no {missing[0]}; there are {', '.join(known)}")
    return pads


def _lesson(args: argparse.Namespace, preset: Any) -> dict[str, Any]:
    """Listen while each pad is struck; the strokes of each."""
    from bridge.kit.cutting import for_drums
    from bridge.kit.lesson import BREATH, Lesson, LessonSink, LessonView

    seen = sys.stderr.isatty() and not args.quiet
    lesson = Lesson(_pads(args), args.strokes, BREATH if seen else 0)
    session = _session(args, for_drums(preset))
    sink = LessonSink(lesson, session.stop)
    session.record = sink
    session.sinks.append(sink)
    view = LessonView(lesson, session.meters) if seen else None
    try:
        summary = session.run()
    finally:
        if view is not None:
            view.close()
    left = lesson.asked is not None and not summary.ended  # Ctrl-C before the last pad
    return {} if left else lesson.strokes()


def _session(args: argparse.Namespace, preset: Any) -> Any:
    """A session that listens and sends nothing."""
    from bridge.midi.port import NoMidi
    from bridge.patch import open_source
    from bridge.run import Session
    from bridge.warm import ENGINE, JACK, compiling

    with compiling(args.quiet, ENGINE + JACK):
        opened = open_source(args.source, preset, "earwire-kit")
        try:
            session = Session(preset, opened.source, NoMidi(), _say, ahead=opened.ahead, raw=opened.raw)
            session.compile()
        except BaseException:
            opened.source.close()
            raise
    return session


class _Progress:
    """A bar on a terminal, nothing elsewhere; called with the part done."""

    def __init__(self, quiet: bool, what: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        hidden = quiet or not console.is_terminal
        self._bar = Progress(*columns, console=console, transient=True, disable=hidden)
        self._task = self._bar.add_task(what, total=1.0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, part: float) -> None:
        self._bar.update(self._task, completed=part)


# Looking


def _list(args: argparse.Namespace) -> int:
    from bridge.errors import KitError
    from bridge.kit import pages
    from models.kit import ECHO

    rows: list[dict[str, Any]] = []
    for name in pages.names():
        try:
            kit = pages.load(name)
        except KitError as error:
            _say(f"earwire: {error}")
            continue
        rows.append(
            {
                "name": name,
                "pads": [pad.name for pad in kit.pads if not pad.name.startswith(ECHO)],
                "strokes": len(kit.strokes),
                "decision_ms": kit.decision_ms,
                "corrections": kit.corrections,
            }
        )
    if args.json:
        print(json.dumps(rows))
    for row in rows if not args.json else ():
        print(f"{row['name']:<16} {', '.join(row['pads'])}")
    if not rows and not args.json:
        _say(f"no kits yet: earwire kit learn mine   (they will be in {pages.folder()})")
    return 0


def _show(args: argparse.Namespace) -> int:
    from bridge.kit import pages
    from bridge.kit.report import report

    kit = pages.load(args.name)
    told = report(kit)
    if args.json:
        print(json.dumps(told))
        return 0
    print(f"kit {kit.name}: {len(kit.strokes)} strokes, learned at {kit.decision_ms:g} ms")
    _table(told)
    return 0


def _table(told: dict[str, Any]) -> None:
    """Pads, and what each is taken for."""
    confusion = told["confusion"]
    for pad in told["pads"]:
        row = confusion.get(pad["name"], {})
        total = sum(row.values())
        right = row.get(pad["name"], 0)
        note = f"note {pad['note']:<4}" if pad["note"] is not None else " " * 9
        others = sorted(((n, heard) for heard, n in row.items() if heard != pad["name"] and n), reverse=True)
        wrong = ", ".join(f"{n} as {heard}" for n, heard in others[:3])
        part = f"{right / total:4.0%}" if total else "  - "
        print(f"  {pad['name']:<16} {note} {pad['strokes']:>4} strokes  {part} right   {wrong}".rstrip())
    if told["pads"] and told["right"] is not None:
        print(
            f"told apart: {told['right']:.1%} of the strokes, each judged by the others (macro F {told['macro_f']:.3f})"
        )


def _test(args: argparse.Namespace) -> int:
    if args.folder is None:
        return _listen(args)
    from bridge.kit.cutting import pads_in
    from bridge.kit.report import tested
    from bridge.transcribe import prepare
    from bridge.warm import HEARING, compiling

    preset = _preset(args, args.name)
    with compiling(args.quiet, HEARING):
        prepare(preset)
    told = tested(pads_in(args.folder), preset)
    if args.json:
        print(json.dumps(told))
        return 0
    for pad, score in told["pads"].items():
        row = told["confusion"].get(pad, {})
        wrong = ", ".join(
            f"{n} as {heard}" for heard, n in sorted(row.items(), key=lambda x: -x[1]) if heard != pad
        )
        print(f"  {pad:<16} F {score['f']:.3f}   {wrong}".rstrip())
    print(f"{told['right']} of {told['strokes']} strokes right, macro F {told['macro_f']:.3f}")
    return 0


def _listen(args: argparse.Namespace) -> int:
    """Show what each stroke is taken for, until stopped."""
    from bridge.kit.report import NamesSink

    preset = _preset(args, args.name)
    session = _session(args, preset)
    session.sinks.append(NamesSink(preset.drum_notes))
    _say("strike; Ctrl-C ends")
    session.run()
    return 0


def _export(args: argparse.Namespace) -> int:
    from bridge.kit import pages
    from bridge.kit.report import export

    path = args.output or Path(f"{args.name}.npz")
    n = export(pages.load(args.name), path)
    _say(f"{path}: {n} strokes with their labels, as training examples")
    return 0


def _remove(args: argparse.Namespace) -> int:
    from bridge.kit import pages

    pages.remove(args.name)
    _say(f"kit {args.name} is forgotten")
    return 0
