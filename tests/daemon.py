# SPDX-License-Identifier: GPL-3.0-or-later
"""An `earwire run` in the background and a peer to try it with, for tests and for the soak."""

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np

from tests.conftest import command, environment

RATE = 48_000
JACK = ("--source", "jack", "--midi", "jack")
FAST = (*JACK, "--set", "drums.decision_ms=3", "--set", "onset.decision_ms=3")
LONG_NOTES = {
    "drums": ("--set", "midi.gate_ms=2000"),
    "guitar": ("--preset", "guitar"),
}
SHM = Path("/dev/shm")


def until(condition, seconds=20.0, what="it"):
    """Wait for something that must come; what it was."""
    deadline = time.monotonic() + seconds
    while not (got := condition()):
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)
    return got


class Daemon:
    """An `earwire run` in the background, its event lines and what it says."""

    count = 0

    def __init__(self, folder, *args, name="", env=(), quiet=True, **options):
        Daemon.count += 1
        self.name = name or f"ear-{os.getpid()}-{Daemon.count}"
        self._events, self._said = folder / f"{self.name}.jsonl", folder / f"{self.name}.said"
        run = ["run", *(["-q"] if quiet else []), "--name", self.name, "--events", self._events, *args]
        with self._said.open("wb") as said:
            options = {"stdin": subprocess.DEVNULL, "stderr": said} | options
            self.process = subprocess.Popen(command(*run), env=environment(**dict(env)), **options)
        self.pid = self.process.pid
        until(lambda: self.lines or self.process.poll() is not None, 180, "the start line")
        assert self.lines, self.said
        self.header = self.lines[0]

    @property
    def lines(self):
        text = self._events.read_text() if self._events.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    @property
    def said(self):
        return self._said.read_text()

    def kinds(self, kind):
        return [line for line in self.lines if line["kind"] == kind]

    @property
    def keeper(self):
        """Process that keeps the MIDI port."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return next((int(pid) for pid in children if b"bridge.midi.keeper" in command_line(pid)), 0)

    @property
    def memory(self):
        """Files in shared memory that are ours."""
        path = command_line(self.keeper).split(b"\0")[4].decode()
        assert path.startswith(str(SHM)), path
        return Path(path)

    def wait_until_said(self, words):
        until(lambda: words in self.said, 30, f"{words!r} in {self.said!r}")

    def stop(self, number=signal.SIGTERM):
        """End it as a user would; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(20)


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@contextlib.contextmanager
def meter_on(one, midi=True):
    """The meter, connected to a daemon."""
    from bridge.jack.client import library

    library()
    from bridge.meter import Meter

    meter = Meter(f"{one.name}-meter")
    try:
        meter.connect(f"{one.name}:in_1", f"{one.name}-midi:out" if midi else "")
        until(lambda: meter.now > 0, what="the first cycle")
        yield meter
    finally:
        meter.close()


def clicks(meter, count=3, gap=0.2):
    """Play loud bursts, and wait until the last has passed."""
    from bridge.meter import BURST

    sound = np.random.default_rng(1).uniform(-0.5, 0.5, (count, BURST))
    starts = meter.play(sound, np.full(count, round(gap * RATE)))
    until(lambda: meter.now > starts[-1] + RATE // 10, what="the end of the bursts")


def tone(meter, seconds, f0=220.0):
    """Begin to play a plucked string."""
    from bridge.meter import BURST

    t = np.arange(round(seconds * RATE) // BURST * BURST) / RATE
    harmonics = sum(math.pow(k, -1.5) * np.sin(2 * np.pi * k * f0 * t) for k in range(1, 9))
    meter.play((0.3 * harmonics * np.exp(-0.3 * t)).reshape(-1, BURST), np.full(len(t) // BURST, BURST))


def ons(meter):
    return [e for e in meter.events.tolist() if e[1] & 0xF0 == 0x90 and e[3] > 0]


def sounding(meter):
    """Keys that were struck and not let go."""
    down = set()
    for _, status, note, velocity in meter.events.tolist():
        if status & 0xF0 == 0x90 and velocity > 0:
            down.add((status & 0x0F, note))
        elif status & 0xE0 == 0x80:
            down.discard((status & 0x0F, note))
    return down


def ports(*options):
    listing = subprocess.run(["jack_lsp", *options], capture_output=True, text=True, check=False)
    return listing.stdout


@contextlib.contextmanager
def oscdump(port, folder):
    """A peer that is not ours; what it has heard: (address, types, words)."""
    path = folder / f"osc-{port}.txt"
    with path.open("wb") as out:
        peer = subprocess.Popen(["oscdump", "-L", str(port)], stdout=out)
    hexadecimal = f":{port:04X}"
    until(lambda: hexadecimal in Path("/proc/net/udp").read_text() + Path("/proc/net/udp6").read_text())
    try:
        # A line: seconds.fraction of a time tag, address, types, arguments.
        yield lambda: [line.split()[1:] for line in path.read_text().splitlines()]
    finally:
        peer.terminate()
        peer.wait(5)


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
