# SPDX-License-Identifier: GPL-3.0-or-later
"""libjack through ctypes: what is called outside the process callback.

Opens clients only; what runs inside a callback is in `bridge.jack.callbacks`,
which must be imported only after `library` has loaded libjack.
"""

import ctypes
import re
import sys
import time
from collections.abc import Callable, Iterable
from ctypes import POINTER, c_char_p, c_int, c_uint32, c_ulong, c_void_p
from functools import cache
from typing import Any

import llvmlite.binding

from bridge.errors import JackError

AUDIO, MIDI = b"32 bit float mono audio", b"8 bit raw midi"
IS_INPUT, IS_OUTPUT, IS_PHYSICAL = 1, 2, 4
NO_START_SERVER = 1
RESCAN = 1.0  # between two looks for ports to connect [s]
CAPTURE_LATENCY = 0

_NAMES = {"linux": "libjack.so.0", "darwin": "libjack.0.dylib", "win32": "libjack64.dll"}
_SIGNATURES: dict[str, tuple[Any, ...]] = {  # result, then arguments
    "jack_client_open": (c_void_p, c_char_p, c_int, POINTER(c_int)),
    "jack_client_close": (c_int, c_void_p),
    "jack_get_client_name": (c_char_p, c_void_p),
    "jack_activate": (c_int, c_void_p),
    "jack_deactivate": (c_int, c_void_p),
    "jack_get_sample_rate": (c_uint32, c_void_p),
    "jack_get_buffer_size": (c_uint32, c_void_p),
    "jack_set_process_callback": (c_int, c_void_p, c_void_p, c_void_p),
    "jack_set_buffer_size_callback": (c_int, c_void_p, c_void_p, c_void_p),
    "jack_set_xrun_callback": (c_int, c_void_p, c_void_p, c_void_p),
    "jack_set_freewheel_callback": (c_int, c_void_p, c_void_p, c_void_p),
    "jack_set_latency_callback": (c_int, c_void_p, c_void_p, c_void_p),
    "jack_on_shutdown": (None, c_void_p, c_void_p, c_void_p),
    "jack_port_register": (c_void_p, c_void_p, c_char_p, c_char_p, c_ulong, c_ulong),
    "jack_port_by_name": (c_void_p, c_void_p, c_char_p),
    "jack_port_get_connections": (POINTER(c_char_p), c_void_p),
    "jack_get_ports": (POINTER(c_char_p), c_void_p, c_char_p, c_char_p, c_ulong),
    "jack_connect": (c_int, c_void_p, c_char_p, c_char_p),
    "jack_free": (None, c_void_p),
    "jack_client_real_time_priority": (c_int, c_void_p),
    "jack_is_realtime": (c_int, c_void_p),
    "jack_recompute_total_latencies": (c_int, c_void_p),
    "jack_port_get_latency_range": (None, c_void_p, c_int, c_void_p),
}


_Quiet = ctypes.CFUNCTYPE(None, c_char_p)
_quiet = _Quiet(lambda message: None)


@cache
def library() -> ctypes.CDLL | None:
    """libjack, made known to the compiler too; None where it is not installed."""
    name = _NAMES.get("linux" if sys.platform.startswith("linux") else sys.platform)
    try:
        lib = ctypes.CDLL(name)
        llvmlite.binding.load_library_permanently(name)
    except (OSError, TypeError, RuntimeError):
        return None
    for function, (result, *arguments) in _SIGNATURES.items():
        entry = getattr(lib, function)
        entry.restype, entry.argtypes = result, arguments
    # libjack prints to stderr when no server runs; we say it better ourselves.
    lib.jack_set_error_function(_quiet)
    lib.jack_set_info_function(_quiet)
    return lib


def running() -> bool:
    """Whether a JACK server answers."""
    client = Client.try_open("earwire-probe")
    if client is None:
        return False
    client.close()
    return True


class Client:
    """A JACK client; its callbacks are addresses of native code."""

    def __init__(self, lib: ctypes.CDLL, handle: int) -> None:
        self.lib, self.handle = lib, handle
        self.name = lib.jack_get_client_name(handle).decode()
        self.rate = int(lib.jack_get_sample_rate(handle))

    @classmethod
    def try_open(cls, name: str) -> "Client | None":
        """A client of the running server, never one that it would have to start; None without a server."""
        lib = library()
        if lib is None:
            return None
        status = c_int()
        handle = lib.jack_client_open(name.encode(), NO_START_SERVER, ctypes.byref(status))
        return cls(lib, handle) if handle else None

    @classmethod
    def open(cls, name: str) -> "Client":
        if library() is None:
            raise JackError(
                "libjack is not installed",
                hint="Debian: apt install jackd2; macOS: brew install jack; "
                "Windows: the JACK2 installer. Or use --source device.",
            )
        client = cls.try_open(name)
        if client is None:
            raise JackError(
                "no JACK server answers",
                hint="start one (qjackctl, or `jackd -d alsa -r 48000 -p 64`), or use --source device",
            )
        return client

    @property
    def period(self) -> int:
        return int(self.lib.jack_get_buffer_size(self.handle))

    @property
    def priority(self) -> int:
        """Realtime priority JACK gives its clients, 0 where it runs without."""
        if not self.lib.jack_is_realtime(self.handle):
            return 0
        return max(0, int(self.lib.jack_client_real_time_priority(self.handle)))

    def callback(self, what: str, address: int, argument: int) -> None:
        """Set the `process`, `xrun`, ... callback."""
        function = "jack_on_shutdown" if what == "shutdown" else f"jack_set_{what}_callback"
        getattr(self.lib, function)(self.handle, address, argument)

    def port(self, name: str, kind: bytes, flags: int) -> int:
        handle = self.lib.jack_port_register(self.handle, name.encode(), kind, flags, 0)
        if not handle:
            raise JackError(f"JACK refused the port {self.name}:{name}", hint="is the server out of ports?")
        return int(handle)

    def activate(self) -> None:
        if self.lib.jack_activate(self.handle):
            raise JackError(f"JACK did not activate the client {self.name}")

    def close(self) -> None:
        self.lib.jack_client_close(self.handle)

    def ports(self, pattern: str, kind: bytes, flags: int) -> list[str]:
        """Full names of the ports that `pattern` (a regular expression) is found in."""
        try:
            wanted = re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise JackError(f"{pattern!r} is no regular expression: {error}") from None
        found = self._names(self.lib.jack_get_ports(self.handle, None, kind, flags))
        return [name for name in found if wanted.search(name) and not name.startswith(self.name + ":")]

    def connections(self, port: int) -> list[str]:
        return self._names(self.lib.jack_port_get_connections(int(port)))

    def latency(self, port: str) -> int:
        """Most frames by which an output port lags the air; 0 for one that has gone."""
        handle, frames = self.lib.jack_port_by_name(self.handle, port.encode()), (c_uint32 * 2)()
        if handle:
            self.lib.jack_port_get_latency_range(handle, CAPTURE_LATENCY, frames)
        return frames[1]

    def connect(self, source: str, target: str) -> bool:
        """Connect two ports by full name; True where they are connected now."""
        return self.lib.jack_connect(self.handle, source.encode(), target.encode()) in (0, 17)  # EEXIST

    def _names(self, array: Any) -> list[str]:
        names = []
        if array:
            i = 0
            while array[i]:
                names.append(array[i].decode())
                i += 1
            self.lib.jack_free(array)
        return names


class Wiring:
    """Connections that are wanted: each is made once both its ends are there, whenever that is.

    What a person has unplugged stays unplugged; what has gone and come back is connected again.
    """

    def __init__(self) -> None:
        self._made: set[tuple[str, str]] = set()
        self._lost: list[tuple[str, str]] = []
        self._next = 0.0

    def lost(self, pairs: Iterable[tuple[str, str]]) -> None:
        """The server has gone, and these were connected."""
        self._made.clear()
        self._lost = list(pairs)

    def tend(self, client: Client, wanted: Callable[[], Iterable[tuple[str, str]]]) -> bool:
        """Connect what can be by now, asking for the `wanted` pairs that exist once a second.

        Returns whether something is connected again that had been lost.
        """
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + RESCAN
        before = len(self._lost)
        self._lost = [pair for pair in self._lost if not client.connect(*pair)]
        pairs = set(wanted())
        self._made &= pairs
        self._made |= {pair for pair in pairs - self._made if client.connect(*pair)}
        return len(self._lost) < before
