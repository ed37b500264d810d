# SPDX-License-Identifier: GPL-3.0-or-later
"""`earwire evaluate`: score against recordings whose answers are known."""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

EPILOG = """\
examples:
  earwire evaluate drums ~/MDB                   SONG/drums.flac with SONG/class.txt
  earwire evaluate drums ~/MDB --audio mix       SONG/mix.flac instead
  earwire evaluate notes ~/lines -p voice        x.wav with x.txt, x.csv, x.jsonl or x.mid
  earwire evaluate f0 ~/stems -p voice --json

annotations, one event a line, times in seconds, separated by blanks, tabs or commas:
  onsets  time
  drums   time label       a label of ours, a family, or KD SD HH TT CY OT
  notes   start end note   the MIDI number
  f0      time pitch       in Hz, 0 where there is none
or event lines (.jsonl), or a MIDI file.

rules: nothing is shifted, all files are pooled; a match lies within 50 ms. The delay is
from the annotated time to the newest sample a decision needed.

keys of --json:
  task, preset, files: [{name, seconds, and the rest for this file}], and for all of them together:
  scores     {name: {f, precision, recall, hit, extra, missed}}
  measures   {name: value}, for f0
  delay_ms   {median, p90, max, n}, or null
  waited_ms  largest emitted - time
"""


def configure(parser: argparse.ArgumentParser) -> None:
    from bridge.evaluate import TASKS

    add = parser.add_argument
    add("task", choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    add("folder", type=Path, metavar="DIR", help="recordings with their annotations")
    add("-p", "--preset", metavar="P", help="a preset (default: drums; voice for notes and f0)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key of the preset")
    add("--audio", default="", metavar="NAME", help="which sound of each song, such as drums or mix")
    add("--truth", default="", metavar="NAME", help="which annotation of each song, such as subclass")
    add("--json", action="store_true", help="print JSON, for scripts")
    parser.epilog = EPILOG


def execute(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from bridge.cli.main import say
    from bridge.errors import EarwireError
    from bridge.evaluate import SCORES, Score, pairs, pooled, readable
    from bridge.preset import load
    from bridge.transcribe import prepare, transcribe_file
    from bridge.warm import HEARING, compiling

    found, wrong = readable(pairs(args.folder, args.task, args.audio, args.truth), args.task)
    if not found:
        for error in wrong:
            say(error.message, error.hint)
        return 1
    wanted = ["notes.pitch=true"] if args.task == "f0" else []
    name = args.preset or ("voice" if args.task in ("notes", "f0") else "drums")
    preset = load(name, [*wanted, *args.set])
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    scores: list[Score] = []
    files: list[dict[str, Any]] = []
    failed = 0
    with compiling(args.json, HEARING):
        prepare(preset)
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("listening", total=len(found))
        for n, pair in enumerate(found):
            progress.update(task, description=pair.name.replace("[", r"\["))
            try:
                advance = partial(_advance, progress, task, n)
                heard = transcribe_file(pair.audio, preset, advance)
                score = SCORES[args.task](pair.truth, heard.events)
            except EarwireError as error:
                failed += 1
                say(error.message, error.hint)
                continue
            scores.append(score)
            files.append({"name": pair.name, "seconds": round(heard.seconds, 2), **pooled([score])})
            progress.update(task, completed=n + 1)
    if wrong:  # a folder may hold annotations of several tasks
        say(
            f"{len(wrong)} left out, whose annotations do not read as {args.task}; the first: {wrong[0].message}"
        )
    if not scores:
        return 1
    result = {"task": args.task, "preset": preset.name, "files": files, **pooled(scores)}
    if args.json:
        print(json.dumps(result))
    else:
        table(result)
    return 1 if failed else 0


def _advance(progress: Any, task: Any, done: int, part: float) -> None:
    progress.update(task, completed=done + part)


def table(result: dict[str, Any]) -> None:
    """The figures on stdout, for a person."""
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout, highlight=False)
    if result["scores"]:
        main = next(reversed([n for n in result["scores"] if "micro of five" in n and "25" not in n]), None)
        main = main or next(iter(result["scores"]))
        figures = Table("", "F", "precision", "recall", "right", "extra", "missed", box=None)
        for column in figures.columns[1:]:
            column.justify = "right"
        for name, s in result["scores"].items():
            cells = [f"{s[k]:.3f}" for k in ("f", "precision", "recall")]
            cells += [str(s[k]) for k in ("hit", "extra", "missed")]
            figures.add_row(name, *cells, style="bold" if name == main else None)
        console.print(figures)
        songs = ", ".join(f"{f['name']} {f['scores'][main]['f']:.3f}" for f in result["files"])
        console.print(f"F of {main} by file: {songs}", soft_wrap=True)
    for name, value in result["measures"].items():
        console.print(f"{name:<22}{value:.3f}")
    if delay := result["delay_ms"]:
        console.print(
            f"delay: median {delay['median']:.1f} ms, 90 % within {delay['p90']:.1f} ms, most {delay['max']:.1f} ms"
        )
    console.print(f"no decision waited longer than {result['waited_ms']:.1f} ms")
    seconds = sum(f["seconds"] for f in result["files"])
    count = len(result["files"])
    console.print(f"{count} file{'s'[: count != 1]}, {seconds:.0f} s, preset {result['preset']}")
