# SPDX-License-Identifier: GPL-3.0-or-later
"""earwire run: listen until stopped."""

import argparse
import os
import re
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from bridge.errors import OscError, UsageError

EXAMPLES = """\
examples:
  earwire run                                        drums, from JACK or the default input
  earwire run -p voice --source device --midi virtual:Voice
  earwire run --source jack:REAPER:out --osc 127.0.0.1:9000 -q
  earwire run --source file:take.wav --events -      events of a file, as it plays
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    sources = "jack[:PORTS], device[:NAME], file:PATH[,fast] or stdin[:FORMAT:RATE:CHANNELS]"
    add("--source", default="", metavar="S", help=f"{sources}; left out: JACK, or the default input")
    add(
        "--midi", default="", metavar="M", help="jack[:PORTS], virtual[:NAME], none, or part of a port's name"
    )
    add(
        "--osc",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="send OSC there as well; may be repeated",
    )
    add("--osc-in", metavar="[HOST:]PORT", help="take OSC commands: /correct, /undo, /preset, /panic")
    add("--midi-in", metavar="M", help="take corrections from a MIDI input")
    add("--events", metavar="F", help="write event lines to a file, or - for stdout")
    add("--record", metavar="DIR", help="keep sound, events and MIDI of this session in a folder")
    add("--name", default="earwire", help="of the ports and OSC addresses (default: earwire)")
    add("-q", "--quiet", action="store_true", help="no live view")
    parser.epilog = EXAMPLES


def execute(args: argparse.Namespace) -> int:
    from bridge.cli.main import preset_of

    perform(args, preset_of(args))
    return 0


def _keep_busy() -> None:
    """Hold the interpreter as a program beside us might; `earwire bench latency --busy` asks for it."""
    while True:
        pass


def say(line: str) -> None:
    print(f"earwire: {line}", file=sys.stderr, flush=True)


def perform(args: argparse.Namespace, preset: Any, also: Sequence[Any] = ()) -> Any:
    """Run a session as the options of `configure` say, with sinks of the caller's too; its summary."""
    from bridge.warm import ENGINE, JACK, compiling

    _check(args)
    by_jack = args.source.partition(":")[0] in ("", "jack")
    with ExitStack() as parts:
        with compiling(args.quiet, ENGINE + by_jack * JACK):  # a source brings code of its own
            session = _session(args, preset, also, parts)
            session.compile()
        if os.environ.get("EARWIRE_BUSY"):
            threading.Thread(target=_keep_busy, daemon=True).start()
        return session.run()


def _check(args: argparse.Namespace) -> None:
    """Refuse what makes no sense before anything opens."""
    from bridge.preset import osc_target
    from bridge.remote import listens_at

    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", args.name):
        raise UsageError(f"--name {args.name!r}: up to 40 letters, digits, - and _")
    if args.source.endswith(",fast") and args.midi not in ("", "none"):
        raise UsageError(
            "MIDI cannot leave faster than real time",
            hint="leave ,fast out, or --midi none; earwire transcribe writes a MIDI file",
        )
    for target in args.osc:
        try:
            osc_target(target)
        except ValueError as error:
            raise OscError(f"--osc: {error}") from None
    if args.osc_in:
        listens_at(args.osc_in)


def _session(args: argparse.Namespace, preset: Any, also: Sequence[Any], parts: ExitStack) -> Any:
    """The session, with all it needs open; `parts` closes what a session that never runs leaves open."""
    from bridge.patch import open_port, open_source, unmatched
    from bridge.preset import load
    from bridge.run import Session
    from bridge.view import LiveView, view_for

    nobody = unmatched(args.source, args.midi)
    opened = open_source(args.source, preset, args.name)
    parts.callback(opened.source.close)
    port, jack_midi = open_port(args.midi, opened.source.name.partition(":")[0], args.name)
    parts.callback(port.close)
    session = Session(
        preset,
        opened.source,
        port,
        say=say,
        jack_midi=jack_midi,
        ahead=opened.ahead,
        raw=opened.raw,
        reload=lambda: load(args.preset, args.set),
    )
    view = view_for(session, args.quiet, opened.lasts)
    if isinstance(view, LiveView):
        session.say = view.say  # a line printed into a live picture would break it
    for line in nobody:
        session.say(line)
    _add_sinks(session, args)
    session.sinks += [*also, *([view] if view is not None else [])]
    for remote in _remotes(session, args):
        parts.callback(remote.close)
    return session


def _add_sinks(session: Any, args: argparse.Namespace) -> None:
    preset = session.preset
    if args.events:
        from bridge.sinks.lines import LinesSink

        session.sinks.append(LinesSink(args.events, preset.drum_notes, say=session.say))
    targets = [*preset.osc.targets, *args.osc]
    if targets:
        from bridge.sinks.osc import OscSink

        osc = preset.osc
        session.sinks.append(
            OscSink(
                targets,
                f"/{args.name}",
                osc.bundle,
                session.say,
                osc.level,
                preset.drum_notes,
                session.teacher.place,
            )
        )
    if preset.clock.link:
        from bridge.sinks.link import LinkSink, joined

        session.sinks.append(LinkSink(joined()))
    if args.record:
        from bridge.sinks.take import TakeSink

        session.record = TakeSink(args.record, preset, session.engine.ahead, session.say)
        session.sinks.append(session.record)


def _remotes(session: Any, args: argparse.Namespace) -> list[Any]:
    remotes: list[Any] = []
    if args.osc_in:
        from bridge.remote import OscRemote

        remotes.append(OscRemote(args.osc_in, args.name, session.commands, session.say))
    if args.midi_in:
        from bridge.remote import MidiRemote

        notes = session.preset.drum_notes
        known = {name: notes[name] for name in session.teacher.names()}
        remotes.append(MidiRemote(args.midi_in, known, session.commands, session.preset.midi.tap_note))
    return remotes
