# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the command line says to a source and a MIDI port."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bridge.errors import DeviceError, EarwireError, UsageError
from bridge.preset import Preset

FILE_BLOCK = 4096  # frames read from a file at once
STREAM_BLOCK = 128  # frames read from stdin at once
NAMED = 4  # ports named as examples


class Opened(NamedTuple):
    source: Any
    ahead: int  # what a recorded take already waited for [samples at 48 kHz]
    raw: bool  # whether the preset's gain and plugins are still to be applied
    lasts: float | None  # how long it plays [s], where that is known


def _mono(opened: Any, channels: Any, block: int, where: str) -> Iterator[np.ndarray]:
    from bridge.sources.files import check_channels, mixdown

    check_channels(channels, opened.channels, where)
    return (mixdown(x, channels) for x in opened.blocks(block))


def open_source(spec: str, preset: Preset, name: str) -> Opened:
    """The source that `spec` names, opened but not started.

    Parameters
    ----------
    spec
        ``jack[:PORT_REGEX]``, ``device[:NAME]``, ``file:PATH[,fast]``,
        ``stdin[:FORMAT:RATE:CHANNELS]``; empty for JACK where a server runs,
        else the default input.
    preset
        Says which channels to hear.
    name
        Of the JACK client.

    Raises
    ------
    UsageError
        For a spec that is none of these.
    SourceError
        Where the source cannot be opened.
    """
    if not spec:
        return _open_default(preset, name)
    kind, _, rest = spec.partition(":")
    channels = preset.source.channels
    if kind == "jack":
        from bridge.sources.jack import JackSource

        return Opened(JackSource(name, rest), 0, True, None)
    if kind == "device":
        from bridge.sources.device import DeviceSource

        return Opened(DeviceSource(rest, channels), 0, True, None)
    if kind == "file":
        return _open_file(rest, channels)
    if kind == "stdin":
        from bridge.sources.files import open_stdin
        from bridge.sources.stream import StreamSource

        stream = open_stdin(spec, sys.stdin.buffer)
        blocks = _mono(stream, channels, STREAM_BLOCK, "stdin")
        return Opened(StreamSource("stdin", blocks, stream.rate, "given"), 0, True, None)
    forms = "jack[:PORTS], device[:NAME], file:PATH[,fast] or stdin[:FORMAT:RATE:CHANNELS]"
    is_file = Path(spec.removesuffix(",fast")).is_file()
    raise UsageError(
        f"--source {spec}: no such source",
        hint=f"for the file say --source file:{spec}" if is_file else forms,
    )


def _open_default(preset: Preset, name: str) -> Opened:
    """JACK where a server runs, else the default input."""
    from bridge.devices import jack_servers, other_servers
    from bridge.jack import client as jack

    if jack.running():
        return open_source("jack", preset, name)
    try:
        return open_source("device", preset, name)
    except DeviceError as error:
        served = jack_servers()
        instead = f"or use JACK: {other_servers(served)}" if served else "or start a JACK server"
        raise DeviceError(error.message, "; ".join(filter(None, (error.hint, instead)))) from None


def unmatched(source: str, midi: str) -> list[str]:
    """What to tell about port patterns of `source` and `midi` that no JACK port fits, a line each."""
    from bridge.jack import client as jack

    wanted = [
        (option, pattern, type_, flag)
        for option, spec, type_, flag in (
            ("--source", source, jack.AUDIO, jack.IS_OUTPUT),
            ("--midi", midi, jack.MIDI, jack.IS_INPUT),
        )
        if spec.startswith("jack:") and (pattern := spec.removeprefix("jack:"))
    ]
    client = jack.Client.try_open("earwire-look") if wanted else None
    if client is None:
        return []  # whoever opens the port says it
    try:
        return [
            f"{option} jack:{pattern}: no port is called that, so nothing is connected yet; "
            + _some(client.ports("", type_, flag))
            for option, pattern, type_, flag in wanted
            if not client.ports(pattern, type_, flag)
        ]
    finally:
        client.close()


def _some(ports: list[str]) -> str:
    """A few names, as examples."""
    if not ports:
        return "there are none"
    return "there are " + ", ".join(ports[:NAMED]) + (", ..." if len(ports) > NAMED else "")


def _open_file(rest: str, channels: Any) -> Opened:
    from bridge.sources.files import open_audio
    from bridge.sources.stream import StreamSource

    path, fast = (rest[:-5], True) if rest.endswith(",fast") else (rest, False)
    if not path:
        raise UsageError("--source file: names no file", hint="file:PATH or file:PATH,fast")
    file = open_audio(path)
    blocks = _mono(file, channels, FILE_BLOCK, path)
    source = StreamSource(
        f"file:{Path(path).name}", blocks, file.rate, "fast" if fast else "real", lambda: file.warning
    )
    take = take_of(file)
    lasts = file.frames / file.rate if file.frames is not None else None
    return Opened(source, take or 0, take is None, lasts)


def take_of(file: Any) -> int | None:
    """What a recorded take waited for [samples at 48 kHz]; None for any other file.

    A take holds what the analysis heard, so gain and plugins are in it already.
    """
    found = re.search(r"earwire take, ahead=(\d{1,6})\b", getattr(file, "comment", "") or "")
    return int(found[1]) if found else None


def open_port(spec: str, source_spec: str, name: str) -> tuple[Any, bool]:
    """The MIDI port that `spec` names, being opened; and whether it is JACK's.

    Parameters
    ----------
    spec
        ``jack[:PORT_REGEX]``, ``virtual[:NAME]``, ``none`` or part of a port's
        name; empty: as the source.
    source_spec
        Kind of the source: "jack", "device", "file" or "stdin".
    name
        Of the session.
    """
    if not spec:
        spec = {"jack": "jack", "device": "virtual"}.get(source_spec, "none")
        if spec == "virtual" and sys.platform == "win32":
            raise EarwireError(
                "Windows has no virtual MIDI ports of its own",
                hint="install loopMIDI, add a port there, and run with --midi and its name; or --midi none",
            )
    from bridge.midi.port import MidiPort, NoMidi

    kind, _, rest = spec.partition(":")
    if spec == "none":
        return NoMidi(), False
    if kind == "jack":
        return MidiPort("jack", f"{name}-midi", rest), True
    if kind == "virtual":
        return MidiPort("virtual", rest or name), False
    return MidiPort("named", spec), False
