# SPDX-License-Identifier: GPL-3.0-or-later
"""`earwire evaluate`: score against recordings whose answers are known."""

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.evaluate import Pair, Score
    from bridge.preset import Preset

SILENT = ["onset.enabled=false", "drums.enabled=false", "notes.enabled=false"]  # what is not scored
BEATS, CHORDS, KEY = ([f"{part}.enabled=true", *SILENT] for part in ("beat", "chord", "key"))
DECISIONS = {"drums": "3,6,12,25", "notes": "24,32,40,64"}  # of --curve [ms]

EPILOG = """\
examples:
  earwire evaluate drums ~/MDB                   SONG/drums.flac with SONG/class.txt
  earwire evaluate drums ~/MDB --audio mix       SONG/mix.flac instead
  earwire evaluate drums ~/MDB --truth subclass  SONG/subclass.txt: every label, not just families
  earwire evaluate drums ~/MDB --curve --picture curve.svg
  earwire evaluate drums ~/takes --map v-drums   x.wav with x.mid, as an e-kit wrote it
  earwire evaluate drums ~/takes --noise -45     how much of a bad day is borne
  earwire evaluate notes ~/lines -p voice        x.wav with x.txt, x.csv, x.jsonl or x.mid
  earwire evaluate notes ~/songs -p piano --curve   SET/x.wav with SET/x.mid: each set for itself, too
  earwire evaluate f0 ~/stems -p voice --json
  earwire evaluate beats ~/MDB --audio mix       SONG/mix.flac with SONG/beats.txt, or x.wav with x.txt

annotations, one event a line, times in seconds, separated by blanks, tabs or commas:
  onsets  time
  drums   time label [velocity]   a label of ours, a pad of the preset's kit, a family, or a class
                                  or subclass of MDB Drums; velocity 0..1 or 0..127
  notes   start end note [velocity]   the MIDI number; velocity 0..1 or 0..127
  f0      time pitch              in Hz, 0 where there is none
  chords  start end chord         as in a .lab file: C:maj, A:min7, N
  key     key                     A minor; or rows of start, end and key
  beats   time [place]            place in the bar, counted from 1
or event lines (.jsonl), or a MIDI file; of that, channel 10 alone counts as drums where it has any.

rules: nothing is shifted, all files are pooled; a match lies within 50 ms, of
beats within 70, from 5 s on. The delay is
from the annotated time to the newest sample a decision needed. Labels are scored where the
annotation names labels, velocity where it has any. Refined is what the names have become
once the refine events have come.

keys of --json:
  task, preset, sound: {gain_db, lowpass_hz, noise_dbfs},
  files: [{name, seconds, and the rest for this file}], and for all of them together:
  scores     {name: {f, precision, recall, hit, extra, missed}}
  measures   {name: value}, for f0, notes, beats, chords, key
  error_ms   {median, p90}, for beats: what was said less what is true, p90 of its size
  delay_ms   {p10, median, p90, max, n}, or null
  waited_ms  largest emitted - time
  sets       {folder: all of these}, where folders of DIR hold several files each; else null
and for drums:
  labels     {label: as scores}, or null
  macro      mean F of the labels that are struck, or null
  velocity   {spearman, within, error, n, labels: {label: {spearman, error, n}}}, or null;
             within: the mean of the labels' own correlations, by hits; error: median, of 0..1
  confusion  {families, labels or null}, each {struck: {said: n}}; said may be missed,
             struck may be extra
  refined    {scores, labels, macro, velocity, confusion, waited_ms}, or null
with --curve instead: task, preset, sound, files: [{name, seconds}],
  curve: [{decision_ms, and all of the above from files on}]
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
    add(
        "--map",
        default="gm",
        metavar="NAME",
        help="drum instrument that MIDI annotations are for: gm, v-drums",
    )
    add("--confusion", action="store_true", help="print the whole confusion, not just its commonest")
    add("--json", action="store_true", help="print JSON, for scripts")
    curve = parser.add_argument_group("F against delay, drums and notes only")
    curve.add_argument("--curve", action="store_true", help="score at several decisions")
    curve.add_argument("--decisions", metavar="MS,...", help=f"which ones (default: {DECISIONS['drums']})")
    curve.add_argument("--picture", type=Path, metavar="FILE.svg", help="draw it, too; drums only")
    spoil = parser.add_argument_group("a bad day, done to the sound before it is heard")
    spoil.add_argument("--gain", type=float, default=0.0, metavar="DB", help="louder or softer")
    spoil.add_argument("--lowpass", type=float, metavar="HZ", help="dull: 24 dB an octave are lost above HZ")
    spoil.add_argument("--noise", type=float, metavar="DBFS", help="white noise over it, the same every time")
    parser.epilog = EPILOG


def execute(args: argparse.Namespace) -> int:
    from bridge.cli.main import say
    from bridge.evaluate import KNOWN, SCORES, known_drums, pairs, readable, score_drums
    from bridge.evaluate.spoiling import Spoiling
    from bridge.evaluate.tables import show, show_curve
    from bridge.messages import labels_of
    from bridge.preset import load
    from bridge.transcribe import prepare
    from bridge.warm import HEARING, compiling

    decisions, notes = _decisions(args), _notes(args.map)
    spoiling = Spoiling(args.gain, args.lowpass, args.noise)
    wanted = {"f0": ["notes.pitch=true"], "beats": BEATS, "chords": CHORDS, "key": KEY}.get(args.task, [])
    name = args.preset or ("voice" if args.task in ("notes", "f0") else "drums")
    at = [[f"{args.task}.decision_ms={ms:g}"] for ms in decisions] or [[]]
    presets = [load(name, [*wanted, *args.set, *more]) for more in at]
    known, score = KNOWN[args.task], SCORES[args.task]
    if args.task == "drums":
        labels = labels_of(presets[0].drum_notes)
        known = partial(known_drums, labels=labels, notes=notes)
        score = partial(score_drums, labels=labels, notes=notes)
    found, wrong = readable(pairs(args.folder, args.task, args.audio, args.truth), known)
    if not found:
        for error in wrong:
            say(error.message, error.hint)
        return 1
    with compiling(args.json, HEARING):
        prepare(presets[0])
    results, failed = _listen(found, presets, score, spoiling)
    if wrong:  # a folder may hold annotations of several tasks
        say(
            f"{len(wrong)} left out, whose annotations do not read as {args.task}; the first: {wrong[0].message}"
        )
    if not results[0]["files"]:
        return 1
    result = {"task": args.task, "preset": presets[0].name, "sound": spoiling.as_dict()}
    if decisions:
        result["files"] = [{key: f[key] for key in ("name", "seconds")} for f in results[0]["files"]]
        result["curve"] = [{"decision_ms": ms, **r} for ms, r in zip(decisions, results, strict=True)]
    else:
        result |= results[0]
    if args.picture:
        _draw(args.picture, result)
    if args.json:
        print(json.dumps(result))
    elif decisions:
        show_curve(result)
    else:
        show(result, args.confusion)
    return 1 if failed else 0


def _decisions(args: argparse.Namespace) -> list[float]:
    """Decisions of the curve [ms]; none where none is asked for."""
    from bridge.errors import UsageError

    if not (args.curve or args.decisions or args.picture):
        return []
    if args.task not in DECISIONS:
        raise UsageError(f"a curve is drawn of drums, not of {args.task}")
    if args.picture and args.task != "drums":
        raise UsageError("a picture is drawn of drums alone", "leave out --picture")
    if args.picture and args.picture.suffix.lower() != ".svg":
        raise UsageError(f"{args.picture}: that is no name of an .svg file", "such as --picture curve.svg")
    usual = DECISIONS[args.task]
    try:
        return sorted({float(ms) for ms in (args.decisions or usual).split(",")})
    except ValueError:
        raise UsageError(f"--decisions {args.decisions!a} are no times in ms", f"such as {usual}") from None


def _notes(instrument: str) -> dict[int, str]:
    """What the notes of MIDI annotations mean."""
    from bridge.errors import UsageError
    from bridge.evaluate import notes_read
    from bridge.preset import instruments

    if instrument not in instruments():
        raise UsageError(f"no drum instrument is called {instrument!a}", "known: " + ", ".join(instruments()))
    return notes_read(instrument)


def _listen(
    found: Sequence["Pair"],
    presets: Sequence["Preset"],
    score: Callable[[Path, Any], "Score"],
    spoiling: Any,
) -> tuple[list[dict[str, Any]], int]:
    """What was heard with each preset, scored; and how many files could not be."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from bridge.cli.main import say
    from bridge.errors import EarwireError
    from bridge.evaluate import pooled
    from bridge.transcribe import transcribe_file

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    scores: list[list[Score]] = [[] for _ in presets]
    files: list[list[dict[str, Any]]] = [[] for _ in presets]
    failed = 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("listening", total=len(found) * len(presets))
        for n, pair in enumerate(found):
            progress.update(task, description=pair.name.replace("[", r"\["))
            got = []
            try:
                for k, preset in enumerate(presets):
                    advance = partial(_advance, progress, task, n * len(presets) + k)
                    heard = transcribe_file(pair.audio, preset, advance, spoiling.at)
                    got.append(score(pair.truth, heard.events))
            except EarwireError as error:
                failed += 1
                say(error.message, error.hint)
                continue
            for k, one in enumerate(got):
                scores[k].append(one)
                files[k].append({"name": pair.name, "seconds": round(heard.seconds, 2), **pooled([one])})
            progress.update(task, completed=(n + 1) * len(presets))
    names = [f["name"] for f in files[0]]
    return [
        {"files": f, **pooled(s), "sets": _sets(names, s)} for f, s in zip(files, scores, strict=True)
    ], failed


def _sets(names: Sequence[str], scores: Sequence["Score"]) -> dict[str, dict[str, Any]] | None:
    """Each folder for itself, where folders hold several files each."""
    from bridge.evaluate import pooled

    folders: dict[str, list[Score]] = {}
    for name, score in zip(names, scores, strict=True):
        folders.setdefault(name.rpartition("/")[0], []).append(score)
    if len(folders) < 2 or max(map(len, folders.values())) < 2:
        return None
    return {folder: pooled(some) for folder, some in folders.items()}


def _advance(progress: Any, task: Any, done: int, part: float) -> None:
    progress.update(task, completed=done + part)


def _draw(path: Path, result: dict[str, Any]) -> None:
    from bridge.errors import EarwireError
    from bridge.evaluate.picture import curve
    from bridge.evaluate.tables import heard

    below = heard(result["files"], result["preset"], result["sound"])
    try:
        path.write_text(curve(result["curve"], below), "utf-8")
    except OSError as error:
        raise EarwireError(f"{path}: cannot be written: {error.strerror or error}") from None
