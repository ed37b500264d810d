# SPDX-License-Identifier: GPL-3.0-or-later
"""`earwire devices`: what can be heard and played here, in the words `earwire run` takes."""

import argparse
import json
import textwrap
from collections.abc import Iterator
from shutil import get_terminal_size

from bridge.devices import Found, look, other_servers

EPILOG = """\
examples:
  earwire devices
  earwire run --source device:BlackHole --midi virtual

keys of --json:
  jack     {installed, running, server, rate, period, priority,
            ports: [{name, type: audio|midi, use: hear|play, physical}],
            others: [names of further servers]}
  devices  [{number, name, api, inputs, outputs, rate, rates, loopback, default}]
  midi     [{name, api, use: hear|play}]
  trouble  {devices|midi: why its list is empty}
rates in Hz, the period in samples; "hear" gives sound or MIDI, "play" takes it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def execute(args: argparse.Namespace) -> int:
    found = look()
    if args.json:
        print(json.dumps(as_table(found)))
    else:
        print("\n".join(lines(found)))
    return 0


def as_table(found: Found) -> dict:
    """What --json prints."""
    return {
        "jack": found.jack._asdict() | {"ports": [port._asdict() for port in found.jack.ports]},
        "devices": [device._asdict() for device in found.devices],
        "midi": [port._asdict() for port in found.midi],
        "trouble": found.trouble,
    }


def lines(found: Found) -> Iterator[str]:
    """What a person reads."""
    jack = found.jack
    if jack.running:
        yield (
            f"JACK server {jack.server!r}: {jack.rate} Hz, period {jack.period}"
            + (f", realtime priority {jack.priority}" if jack.priority else ", not realtime")
        )
        for port in jack.ports:
            if port.type == "audio" and port.use == "hear":
                yield f"  hear  {port.name:<36} --source 'jack:{_pattern(port.name)}'"
        for port in jack.ports:
            if port.type == "midi" and port.use == "play":
                yield f"  play  {port.name:<36} --midi jack, then connect"
    else:
        yield "JACK: " + ("no server runs" if jack.installed else "not installed")
    if jack.others:
        yield textwrap.fill(
            other_servers(jack.others),
            get_terminal_size().columns,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    inputs = [device for device in found.devices if device.inputs]
    yield "Audio inputs:" if inputs else f"Audio inputs: {found.trouble.get('devices', 'none')}"
    for device in inputs:
        what = f"{device.inputs} channel{'s'[: device.inputs != 1]}, {device.rate} Hz"
        notes = [
            note for note, is_so in (("default", device.default), ("loopback", device.loopback)) if is_so
        ]
        yield f"  hear  {device.name} ({device.api}; {', '.join([what, *notes])})  --source 'device:{device.name}'"
    yield "MIDI ports:" if found.midi else f"MIDI ports: {found.trouble.get('midi', 'none')}"
    for midi in found.midi:
        option = "--midi" if midi.use == "play" else "--midi-in"
        yield f"  {midi.use}  {midi.name} ({midi.api})  {option} '{midi.name}'"
    yield "earwire doctor says what is missing, and how to get it"


def _pattern(port: str) -> str:
    """A regular expression that finds `port`, without escapes where none are needed."""
    return "".join(f"\\{c}" if c in r".^$*+?{}[]\|()" else c for c in port)
