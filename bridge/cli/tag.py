# SPDX-License-Identifier: GPL-3.0-or-later
"""`earwire tag`: tempo, key and chords of sound files."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bridge.errors import EarwireError

EPILOG = """\
examples:
  earwire tag song.mp3                 a table: tempo, key, and each chord with its time
  earwire tag *.flac --json            an object a line, for scripts
  earwire tag song.wav --lab           song.lab beside it: start, end and chord a line
  earwire tag *.wav --lab -o labels/   the same, in a folder
  earwire tag song.wav --set chord.on_beat=true

They are what earwire run would have said while the song played: nothing is heard twice.

keys of --json:
  file, seconds
  tempo   {bpm, low, high, beats, confidence}, or null: the middle, between which four in five of
          all beats lie, beats in a bar
  key     of most of it, or null
  keys    [{start, end, key, confidence}]           times in seconds
  chords  [{start, end, chord, bass, confidence}]   N where there is none
"""


def configure(parser: argparse.ArgumentParser) -> None:
    from bridge.cli.main import add_preset

    add_preset(parser, "harmony")
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="WAV, FLAC, Ogg, MP3 or AIFF")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--json", action="store_true", help="print JSON, an object a line")
    kind.add_argument("--lab", action="store_true", help="write the chords as .lab files")
    add("-o", "--output", metavar="OUT.lab|DIR", help="where, instead of beside each FILE; with --lab")
    add("-q", "--quiet", action="store_true", help="no progress")
    parser.epilog = EPILOG


def execute(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from bridge.cli.main import preset_of, say
    from bridge.cli.transcribe import places
    from bridge.errors import UsageError
    from bridge.tags import tags
    from bridge.transcribe import prepare, transcribe_file
    from bridge.warm import HEARING, compiling

    if args.output and not args.lab:
        raise UsageError("-o says where .lab files go", "add --lab, or send what is printed there with >")
    files = [Path(name) for name in args.files]
    out = places(files, args.output, ".lab", "--output") if args.lab else [None] * len(files)
    preset = preset_of(args)
    if not (preset.beat.enabled or preset.key.enabled or preset.chord.enabled):
        raise UsageError(
            f"preset {preset.name} hears neither beat nor key nor chords",
            "leave -p out, or add --set chord.enabled=true",
        )
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    hidden, failed = args.quiet or not console.is_terminal, 0
    if any(file.is_file() for file in files):
        with compiling(args.quiet, HEARING):
            prepare(preset)
    for file, place in zip(files, out, strict=True):
        try:
            with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
                task = progress.add_task(file.name.replace("[", r"\["), total=1.0)

                def advance(part: float, progress: Any = progress, task: Any = task) -> None:
                    progress.update(task, completed=part)

                heard = transcribe_file(file, preset, advance)
            found = {"file": str(file), **tags(heard.events, heard.seconds)}
            _tell(found, args.json, place, args.quiet)
        except EarwireError as error:
            failed += 1
            say(error.message, error.hint)
        else:
            if heard.warning:
                say(f"{file}: {heard.warning}")
    return 1 if failed else 0


def _tell(found: dict[str, Any], as_json: bool, place: Path | None, quiet: bool) -> None:
    """Write the .lab file, or print a line of JSON or a table."""
    from bridge.tags import lab

    if place is not None:
        try:
            place.write_text(lab(found), "utf-8")
        except OSError as error:
            raise EarwireError(f"{place}: cannot be written: {error.strerror or error}") from None
        if not quiet:
            print(f"{place}: {len(found['chords'])} chords in {found['seconds']:.1f} s", file=sys.stderr)
    elif as_json:
        print(json.dumps(found), flush=True)
    else:
        print(table(found), flush=True)


def clock(seconds: float) -> str:
    """Such as 1:02.5."""
    tenths = round(10 * seconds)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"


def table(found: dict[str, Any]) -> str:
    """Tempo, key and chords, as a person reads them."""
    rows = [f"{found['file']}  ({clock(found['seconds'])})"]
    tempo, width = found["tempo"], 8
    if tempo:
        steady = tempo["high"] - tempo["low"] < 0.02 * tempo["bpm"]
        wanders = "" if steady else f", from {tempo['low']:.0f} to {tempo['high']:.0f}"
        rows.append(f"  tempo   {tempo['bpm']:.1f} bpm{wanders}, {tempo['beats']} beats in a bar")
    if found["key"]:
        rows.append(f"  key     {found['key']}")
    if len(found["keys"]) > 1:
        rows += [f"  {clock(s['start']):>{width}}  {s['key']}" for s in found["keys"]]
    if found["chords"]:
        rows.append("  chords")
        for s in found["chords"]:
            over = "" if s["bass"] in ("N", s["chord"].partition(":")[0]) else f" over {s['bass']}"
            rows.append(f"  {clock(s['start']):>{width}}  {s['chord']}{over}")
    return "\n".join(rows if len(rows) > 1 else [*rows, "  nothing heard"])
