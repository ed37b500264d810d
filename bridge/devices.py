# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine offers to hear and to play, looked up without disturbing it."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bridge.jack.client import AUDIO, IS_INPUT, IS_OUTPUT, IS_PHYSICAL, MIDI, Client, library

# Inputs that are another program's output.
LOOPBACK = re.compile(
    r"blackhole|vb-?(audio|cable)|cable (in|out)put|loopback|soundflower|voicemeeter|monitor|background music"
    r"|stereo mix|what u hear|wave out mix",
    re.IGNORECASE,
)
RATES = (44_100, 48_000, 88_200, 96_000, 192_000)


class JackPort(NamedTuple):
    name: str
    type: str  # "audio" or "midi"
    use: str  # "hear": gives sound or MIDI; "play": takes it
    physical: bool


class Jack(NamedTuple):
    """The JACK server that a client reaches, if one runs."""

    installed: bool
    running: bool = False
    server: str = ""
    rate: int = 0  # [Hz]
    period: int = 0  # [samples]
    priority: int = 0  # of its clients' threads, 0 where it runs without realtime
    ports: tuple[JackPort, ...] = ()
    others: tuple[str, ...] = ()  # servers of other names, reached by JACK_DEFAULT_SERVER


class Device(NamedTuple):
    """A PortAudio device."""

    number: int  # by which PortAudio knows it
    name: str
    api: str
    inputs: int
    outputs: int
    rate: int  # its own [Hz]
    rates: tuple[int, ...]  # of those common in music, what its inputs can be opened at [Hz]
    loopback: bool
    default: bool  # the default input


class MidiPort(NamedTuple):
    name: str
    api: str
    use: str  # "play": we can send to it; "hear": it can send to us


class Found(NamedTuple):
    """What was found; `trouble` says why a list is empty, by its name."""

    jack: Jack
    devices: tuple[Device, ...]
    midi: tuple[MidiPort, ...]
    trouble: dict[str, str]


@contextmanager
def hushed() -> Iterator[None]:
    """Keep what C libraries print off the terminal: they complain where nothing is wrong."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr to protect
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def look() -> Found:
    """All that can be found now; a system that is missing is missing, not an error."""
    trouble: dict[str, str] = {}
    with hushed():
        jack = look_at_jack()
        try:
            devices = look_at_portaudio()
        except Exception as error:  # noqa: BLE001  each system breaks in its own way; a list does not
            devices = ()
            trouble["devices"] = _said(error)
        try:
            midi = look_at_midi()
        except Exception as error:  # noqa: BLE001
            midi = ()
            trouble["midi"] = _said(error)
    return Found(jack, devices, midi, trouble)


def look_at_jack() -> Jack:
    """The JACK server and its ports; never starts one."""
    server = os.environ.get("JACK_DEFAULT_SERVER", "default")
    others = tuple(name for name in jack_servers() if name != server)
    if library() is None:
        return Jack(False, others=others)
    client = Client.try_open("earwire-look")
    if client is None:
        return Jack(True, others=others)
    try:
        physical = {
            port
            for kind in (AUDIO, MIDI)
            for use in (IS_OUTPUT, IS_INPUT)
            for port in client.ports("", kind, use | IS_PHYSICAL)
        }
        ports = tuple(
            JackPort(name, type_, use, name in physical)
            for type_, kind in (("audio", AUDIO), ("midi", MIDI))
            for use, flag in (("hear", IS_OUTPUT), ("play", IS_INPUT))
            for name in client.ports("", kind, flag)
        )
        return Jack(True, True, server, client.rate, client.period, client.priority, ports, others)
    finally:
        client.close()


def other_servers(names: Sequence[str]) -> str:
    """How JACK servers of other names are reached."""
    if len(names) == 1:
        return f"JACK_DEFAULT_SERVER={names[0]} selects one that runs"
    return f"JACK_DEFAULT_SERVER=NAME selects one of those that run: {', '.join(names)}"


def jack_servers() -> list[str]:
    """Names of the JACK 2 servers of this user; each keeps a socket."""
    if not sys.platform.startswith("linux"):
        return []
    socket = re.compile(rf"jack_(.+)_{os.getuid()}_0")
    try:
        names = sorted(path.name for path in Path("/dev/shm").iterdir() if path.is_socket())
    except OSError:
        return []
    return [match[1] for name in names if (match := socket.fullmatch(name))]


def look_at_portaudio() -> tuple[Device, ...]:
    """PortAudio's devices, freshly listed."""
    import sounddevice

    sounddevice._terminate()  # its list is frozen when it is initialised
    sounddevice._initialize()
    apis = sounddevice.query_hostapis()
    default = sounddevice.default.device[0]
    return tuple(
        Device(
            row["index"],
            row["name"],
            apis[row["hostapi"]]["name"],
            row["max_input_channels"],
            row["max_output_channels"],
            round(row["default_samplerate"]),
            tuple(rate for rate in RATES if _opens_at(rate, row)),
            row["max_input_channels"] > 0 and bool(LOOPBACK.search(row["name"])),
            row["index"] == default,
        )
        for row in sounddevice.query_devices()
    )


def _opens_at(rate: int, row: dict) -> bool:
    import sounddevice

    if not row["max_input_channels"]:
        return False
    try:
        sounddevice.check_input_settings(row["index"], 1, "float32", samplerate=rate)
    except (sounddevice.PortAudioError, ValueError):
        return False
    return True


def look_at_midi() -> tuple[MidiPort, ...]:
    """MIDI ports of every system that answers, but for those we opened to look."""
    from bridge.midi import rtports

    return tuple(
        MidiPort(name, api, use)
        for api, out, into in rtports.listing()
        for use, names in (("play", out), ("hear", into))
        for name in names
        if "earwire-look" not in name
    )


def _said(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
