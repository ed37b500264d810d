# SPDX-License-Identifier: GPL-3.0-or-later
"""MIDI ports of the operating system, by python-rtmidi; never its silent dummy."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bridge.errors import MidiError

# By platform, the APIs that carry MIDI to other programs, best first.
_APIS = {
    "linux": ("API_LINUX_ALSA", "API_UNIX_JACK"),
    "darwin": ("API_MACOSX_CORE", "API_UNIX_JACK"),
    "win32": ("API_WINDOWS_MM",),
}


@dataclass
class OutputPort:
    name: str
    api: int
    midi: Any

    def send(self, message: Sequence[int]) -> None:
        self.midi.send_message(message)

    def close(self) -> None:
        self.midi.close_port()
        self.midi.delete()


def _rtmidi() -> Any:
    try:
        import rtmidi
    except ImportError:
        raise MidiError(
            "python-rtmidi is not installed, so there is no system MIDI",
            hint="Python 3.12 has it ready-made; or use --midi jack, or --midi none",
        ) from None
    return rtmidi


def _apis() -> list[int]:
    rtmidi = _rtmidi()
    compiled = set(rtmidi.get_compiled_api())
    names = _APIS.get("linux" if sys.platform.startswith("linux") else sys.platform, ())
    return [getattr(rtmidi, name) for name in names if getattr(rtmidi, name) in compiled]


def _try(kind: str, api: int, client: str) -> Any:
    """An rtmidi end of `api`, or None where the system has no such thing."""
    rtmidi = _rtmidi()
    try:
        with _hushed():
            return getattr(rtmidi, kind)(rtapi=api, name=client)
    except (rtmidi.SystemError, rtmidi.RtMidiError, RuntimeError, SystemError):
        return None


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep what ALSA's library prints of a missing sequencer off the terminal: we say it ourselves."""
    try:
        before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:  # there is no stderr
        yield
        return
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def listing() -> list[tuple[str, list[str], list[str]]]:
    """(API, names of the ports we can send to, names of those we can hear) for each API that answers."""
    rtmidi = _rtmidi()
    found = []
    for api in _apis():
        out, into = _try("MidiOut", api, "earwire-look"), _try("MidiIn", api, "earwire-look")
        if out is None or into is None:
            continue
        found.append((rtmidi.get_api_display_name(api), out.get_ports(), into.get_ports()))
        out.delete()
        into.delete()
    return found


def open_output(name: str, virtual: bool) -> OutputPort:
    """A virtual port called `name`, or the first port of another program whose name holds `name`.

    Raises
    ------
    MidiError
        Where no API answers, virtual ports do not exist, or no port is so named.
    """
    return OutputPort(*_open("MidiOut", name, virtual))


def open_input(name: str, virtual: bool, callback: Callable[..., None]) -> Any:
    """The same for a port to hear, whose messages go to `callback`."""
    _, _, midi = _open("MidiIn", name, virtual)
    midi.set_callback(callback)
    return midi


def _open(kind: str, name: str, virtual: bool) -> tuple[str, int, Any]:
    seen: list[str] = []
    if virtual and sys.platform == "win32":
        raise MidiError(
            "Windows has no virtual MIDI ports of its own",
            hint="install loopMIDI, add a port there, then name it with --midi",
        )
    for api in _apis():
        midi = _try(kind, api, name if virtual else "earwire")
        if midi is None:
            continue
        try:
            if virtual:
                midi.open_virtual_port(name)
                return name, api, midi
            for index, port in enumerate(midi.get_ports()):
                seen.append(port)
                if name.lower() in port.lower():
                    midi.open_port(index, "earwire")
                    return port, api, midi
        except Exception:  # noqa: BLE001 - rtmidi raises what it likes; the next API may do better
            seen.append(f"(an API that failed for {name})")
        midi.delete()
    if virtual:
        raise MidiError(
            "no system MIDI answers here, so no virtual port can be made",
            hint="Linux: `modprobe snd-seq`, or run a JACK server; or --midi none",
        )
    ports = ", ".join(seen) if seen else "there are none"
    raise MidiError(f"no MIDI port has {name!r} in its name", hint=f"ports here: {ports}")


def exists(port: OutputPort) -> bool:
    """Whether the port is still there."""
    try:
        return port.name in port.midi.get_ports()
    except Exception:  # noqa: BLE001 - rtmidi raises what it likes where its server has gone
        return False
