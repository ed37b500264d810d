# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person asks for while it runs: by OSC or by a MIDI pad. Off unless asked for."""

import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from bridge.errors import OscError, UsageError
from bridge.native import clock_ns
from bridge.preset import osc_target

Say = Callable[[str], None]
Commands = SimpleQueue[tuple[str, str]]
MOST_TEXT = 200  # longest argument taken
TAKEN = ("correct", "undo", "preset", "panic", "half", "double", "nudge", "lock")
PADS = (
    ("half", ""),
    ("double", ""),
    ("nudge", "-5"),
    ("nudge", "5"),
    ("lock", ""),
)  # above the one that taps


def listens_at(where: str) -> tuple[str, int]:
    """Host and port of --osc-in, ``[HOST:]PORT``; without a host it is loopback."""
    try:
        return osc_target(where if ":" in where else f"127.0.0.1:{where}")
    except ValueError as error:
        raise UsageError(f"--osc-in: {error}", hint="a port, such as 9001, or HOST:PORT") from None


class OscRemote:
    """An OSC server that takes ``/PREFIX/correct``, ``/undo``, ``/preset``, ``/panic``, ``/tap`` and more.

    Parameters
    ----------
    where
        ``PORT`` or ``HOST:PORT``; without a host it listens on loopback only.
    prefix
        Of the addresses, without the slash.
    commands
        Where requests are put.
    say
        Tells the user one line: of other addresses, once.
    """

    def __init__(self, where: str, prefix: str, commands: Commands, say: Say = lambda line: None) -> None:
        from pythonosc.dispatcher import Dispatcher
        from pythonosc.osc_server import BlockingOSCUDPServer

        address = listens_at(where)
        dispatcher = Dispatcher()
        for name in TAKEN:
            dispatcher.map(f"/{prefix}/{name}", self._take, name)
        dispatcher.map(f"/{prefix}/tap", self._tap)
        dispatcher.set_default_handler(self._wonder)
        self._commands, self._say, self._said = commands, say, set[str]()
        self._wanted = ", ".join(f"/{prefix}/{name}" for name in (*TAKEN, "tap"))
        try:
            self._server = BlockingOSCUDPServer(address, dispatcher)
        except OSError as error:
            raise OscError(
                f"--osc-in {where}: {error.strerror or error}", hint="is the port taken?"
            ) from None
        # A datagram that is no OSC is nothing to stop for.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign, assignment]
        threading.Thread(target=self._server.serve_forever, name="osc-in", daemon=True).start()

    def _take(self, _address: str, fixed: list[Any], *arguments: Any) -> None:
        argument = str(arguments[0])[:MOST_TEXT] if arguments else ""
        self._commands.put((fixed[0], argument))

    def _tap(self, *_: Any) -> None:
        self._commands.put(("tap", str(clock_ns())))

    def _wonder(self, address: str, *_: Any) -> None:
        self._tell("", f"OSC: {address[:MOST_TEXT]!a} is not understood; taken are {self._wanted}")

    def _tell(self, about: str, line: str) -> None:
        """Say it once: a sender may go on for hours."""
        if about not in self._said:
            self._said.add(about)
            self._say(line)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class MidiRemote:
    """A MIDI input whose notes say what the last hit really was, by the preset's map, or tap the tempo.

    Parameters
    ----------
    name
        Part of a port's name, or ``virtual[:NAME]``.
    drum_notes
        MIDI note of each label.
    commands
        Where requests are put.
    tap_note
        The note that taps the tempo, 0 for none; those above it ask for PADS.
    """

    def __init__(
        self, name: str, drum_notes: Mapping[str, int], commands: Commands, tap_note: int = 0
    ) -> None:
        from bridge.midi import rtports

        self._labels = {note: label for label, note in reversed(list(drum_notes.items()))}
        self._commands, self._tap = commands, tap_note
        kind, _, rest = name.partition(":")
        virtual = kind == "virtual"
        self._port = rtports.open_input((rest or "earwire-in") if virtual else name, virtual, self._take)

    def _take(self, message: tuple[list[int], float], _: Any = None) -> None:
        data = message[0]
        if len(data) != 3 or data[0] & 0xF0 != 0x90 or not data[2]:
            return
        above = data[1] - self._tap
        if self._tap and above == 0:
            self._commands.put(("tap", str(clock_ns())))
        elif self._tap and 1 <= above <= len(PADS):
            self._commands.put(PADS[above - 1])
        elif data[1] in self._labels:
            self._commands.put(("correct", self._labels[data[1]]))

    def close(self) -> None:
        self._port.close_port()
        self._port.delete()
