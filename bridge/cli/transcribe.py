# SPDX-License-Identifier: GPL-3.0-or-later
"""`earwire transcribe`: sound files to MIDI files."""

import argparse
import sys
from pathlib import Path
from typing import Any

from bridge.errors import EarwireError, UsageError

EPILOG = """\
examples:
  earwire transcribe take.wav                       writes take.mid beside it
  earwire transcribe song.mp3 -p voice -o tune.mid
  earwire transcribe *.flac -o midi --events lines   folders, where there are several files
  earwire transcribe take.wav --events - | jq .

The events are those that earwire run would have sent. The MIDI file carries when
things sounded, without any of our delays.
"""
ENDINGS = {
    ".lab": (".lab", ".txt"),
    ".mid": (".mid", ".midi", ".smf"),
    ".jsonl": (".jsonl", ".ndjson", ".json", ".txt", ".log"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="WAV, FLAC, Ogg, MP3 or AIFF")
    add(
        "-o",
        "--output",
        metavar="OUT.mid|DIR",
        help="the MIDI file to write, or a folder (default: beside each FILE)",
    )
    add("--events", metavar="OUT.jsonl|DIR", help="write event lines too: a file, a folder, or - for stdout")
    add("-q", "--quiet", action="store_true", help="no progress")
    parser.epilog = EPILOG


def execute(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from bridge.cli.main import preset_of, say
    from bridge.transcribe import prepare
    from bridge.warm import HEARING, compiling

    files = [Path(name) for name in args.files]
    midis = places(files, args.output, ".mid", "--output")
    lines = places(files, args.events, ".jsonl", "--events") if args.events else [None] * len(files)
    preset = preset_of(args)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    failed = 0
    if any(file.is_file() for file in files):
        with compiling(args.quiet, HEARING):
            prepare(preset)
    hidden = args.quiet or not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        for file, midi, line in zip(files, midis, lines, strict=True):
            task = progress.add_task(file.name.replace("[", r"\["), total=1.0)
            try:
                told = _one(
                    file, midi, line, preset, lambda part, task=task: progress.update(task, completed=part)
                )
            except EarwireError as error:
                failed += 1
                say(error.message, error.hint)
            else:
                if not args.quiet:
                    print(told, file=sys.stderr, flush=True)
            progress.remove_task(task)
    if failed and len(files) > 1:
        say(f"{failed} of {len(files)} files could not be transcribed")
    return 1 if failed else 0


def _one(file: Path, midi: Path, lines: Path | str | None, preset: Any, progress: Any) -> str:
    """Transcribe one file; a line that says what was heard."""
    import numpy as np

    from bridge.sinks.lines import LinesSink
    from bridge.sinks.smf import SmfSink
    from bridge.transcribe import transcribe_file
    from dsp.events import BEAT, CHORD, DRUM, NOTE_ON, ONSET

    heard = transcribe_file(file, preset, progress)
    sinks: list[Any] = [SmfSink(midi, preset)]
    if lines is not None:
        sinks.append(LinesSink(lines, preset.drum_notes))
    for sink in sinks:
        sink.open(heard.header)
        sink.write(heard.events)
        sink.close({})
    if not midi.is_file():
        raise EarwireError(f"{midi}: could not be written")
    counts = {
        "hits": np.sum(heard.events["kind"] == DRUM),
        "notes": np.sum((heard.events["kind"] == NOTE_ON) & (heard.events["ref"] == 0)),
        "onsets": np.sum(heard.events["kind"] == ONSET),
        "beats": np.sum(heard.events["kind"] == BEAT),
        "chords": np.sum(heard.events["kind"] == CHORD),
    }
    if counts["hits"]:
        del counts["onsets"]  # each hit has one
    words = ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "nothing heard"
    wrong = [heard.warning] if heard.warning else []
    if heard.mended:
        wrong.append(f"{heard.mended} samples were no numbers, and taken as silence")
    return "\n".join([f"{midi}: {words} in {heard.seconds:.1f} s", *(f"  {w}" for w in wrong)])


def places(files: list[Path], output: str | None, suffix: str, option: str) -> list[Any]:
    """Where what is made of each file goes; a folder is made where it is needed.

    Raises
    ------
    UsageError
        Where several files would go to one, one would replace a sound file, or a name says that it is
        no such file.
    """
    if output == "-":
        if suffix == ".mid":
            raise UsageError("a MIDI file does not go to stdout", "event lines do: --events -")
        return ["-"] * len(files)
    if output is None:
        out = [file.with_suffix(suffix) for file in files]
    elif Path(output).is_dir() or output.endswith(("/", "\\")) or not Path(output).suffix:
        folder = Path(output)
        if folder.is_file():
            raise UsageError(f"{option} {output}: several files need a folder, and this is a file")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{option} {output}: no folder can be made there: {error.strerror}") from None
        names = [file.stem for file in files]
        if len(set(names)) < len(names):  # song1/drums.wav song2/drums.wav
            names = [f"{file.resolve().parent.name}-{file.stem}" for file in files]
        out = [folder / f"{name}{suffix}" for name in names]
    elif len(files) > 1:
        raise UsageError(
            f"{option} {output} is one file, and {len(files)} are to be written",
            f"name a folder, with a slash at its end: {option} {Path(output).with_suffix('')}/",
        )
    else:
        out = [Path(output)]
    twice = [path for n, path in enumerate(out) if path in out[:n]]
    if twice:
        raise UsageError(
            f"two files would both become {twice[0]}", f"give them apart, each with its own {option}"
        )
    for path in out:
        if path in files:
            raise UsageError(
                f"{path} would be replaced by what is heard in it", f"choose another place with {option}"
            )
        if path.suffix.lower() not in ENDINGS[suffix]:
            raise UsageError(
                f"{option} {output}: that is no name of a {suffix} file",
                f"{option} {path.with_suffix(suffix)}; the name of a folder ends with a slash",
            )
    return out
