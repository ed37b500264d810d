# SPDX-License-Identifier: GPL-3.0-or-later
"""earwire run: listen until stopped."""

import argparse
import sys
from typing import Any

from bridge.errors import UsageError

EXAMPLES = """\
examples:
  earwire run                                        drums, from JACK or the default input
  earwire run -p voice --source device --midi virtual:Voice
  earwire run --source jack:REAPER:out --osc 127.0.0.1:9000 -q
  earwire run --source file:take.wav --events -      events of a file, as it plays
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--source", default="", metavar="S", help="jack[:PORTS], device[:NAME], file:PATH[,fast] or stdin[:FORMAT:RATE:CHANNELS]")
    add("--midi", default="", metavar="M", help="jack[:PORTS], virtual[:NAME], none, or part of a port's name")
    add("--osc", action="append", default=[], metavar="HOST:PORT", help="send OSC there as well; may be repeated")
    add("--osc-in", metavar="[HOST:]PORT", help="take OSC commands: /correct, /preset, /panic")
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


def say(line: str) -> None:
    print(f"earwire: {line}", file=sys.stderr, flush=True)


def perform(args: argparse.Namespace, preset: Any) -> Any:
    """Run a session as the options of `configure` say; what was heard."""
    from bridge.patch import open_port, open_source
    from bridge.run import Session
    from bridge.warm import warm

    if not args.name or not args.name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"--name {args.name!r}: letters, digits, - and _ only")
    opened = open_source(args.source, preset, args.name)
    kind = opened.source.name.partition(":")[0]
    port, jack_midi = open_port(args.midi, kind, args.name)
    session = None
    try:
        sinks, record = _sinks(args, preset)
        session = Session(
            preset,
            opened.source,
            port,
            sinks,
            say,
            record=record,
            jack_midi=jack_midi,
            ahead=opened.ahead,
            raw=opened.raw,
            reload=lambda: __import__("bridge.preset", fromlist=["load"]).load(args.preset, args.set),
        )
        warm(session.compile, args.quiet)
        return session.run(lambda: None)
    except BaseException:
        port.close()
        opened.source.close()
        raise


def _sinks(args: argparse.Namespace, preset: Any) -> tuple[list[Any], Any]:
    sinks: list[Any] = []
    record = None
    if args.events:
        from bridge.sinks.lines import LinesSink

        sinks.append(LinesSink(args.events))
    return sinks, record
