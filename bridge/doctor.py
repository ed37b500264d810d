# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at this machine: what is well, what is not, and the command that mends it."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from bridge.devices import Found, look, other_servers

PACKAGES = ("numba", "numpy", "onnxruntime", "sounddevice", "python-rtmidi", "pedalboard")
LONGEST_PERIOD = 128  # beyond it the period is most of the latency [samples]
LOCKED = 256 << 20  # memory that may be locked and is surely enough [bytes]


# No package index has us; MIDI comes ready-made for this Python.
INSTALL = (
    "in the checkout: uv tool install --reinstall --python 3.12 . (for a wheel its path in place of the dot)"
)


class Finding(NamedTuple):
    """One line of the doctor's."""

    level: str  # "ok"; "warn": works, but could be better; "bad": something will not work
    key: str  # stable, for scripts
    what: str
    mend: str = ""  # what to install or set


@dataclass(frozen=True)
class Machine:
    """The facts the doctor judges; None where the system does not say."""

    system: str  # linux, darwin or win32
    found: Found
    servers: frozenset[str] = frozenset()  # sound servers besides JACK: pipewire, pulseaudio
    pipewire_jack: bool = False  # whether pw-jack is installed
    sequencer: bool = True  # whether the system carries MIDI between programs
    realtime: bool = True  # whether a realtime priority is granted
    priority_limit: int | None = None  # rtprio, -1 unlimited
    memory_limit: int | None = None  # bytes that may be locked, -1 unlimited
    governors: frozenset[str] = frozenset()
    processors: int = 2
    cache: Path = Path()
    cached: int = 0  # compiled kernels in it
    cache_writable: bool = True
    python: tuple[int, int, int] = (3, 11, 0)
    wide: bool = True  # 64 bits
    versions: Mapping[str, str] = field(default_factory=dict)  # "" where a package is missing


def examine() -> Machine:
    """Gather the facts of this machine; whatever cannot be asked stays unknown."""
    system = "linux" if sys.platform.startswith("linux") else sys.platform
    cache, cached, writable = _cache()
    priority, memory = _limits()
    return Machine(
        system=system,
        found=look(),
        servers=_servers(os.environ) if system == "linux" else frozenset(),
        pipewire_jack=shutil.which("pw-jack") is not None,
        sequencer=system != "linux" or os.access("/dev/snd/seq", os.R_OK | os.W_OK),
        realtime=_granted() if system == "linux" else True,
        priority_limit=priority,
        memory_limit=memory,
        governors=_governors(Path("/sys/devices/system/cpu")),
        processors=os.cpu_count() or 1,
        cache=cache,
        cached=cached,
        cache_writable=writable,
        python=sys.version_info[:3],
        wide=sys.maxsize > 2**32,
        versions={name: _version(name) for name in PACKAGES},
    )


def diagnose(machine: Machine) -> list[Finding]:
    """Judge the facts of a machine."""
    checks = (
        _runtime, _cache_state, _sound_servers, _jack, _inputs, _loopback, _midi,
        _priority, _memory, _governor, _cores,
    )  # fmt: skip
    return [finding for check in checks for finding in check(machine)]


def _runtime(m: Machine) -> Iterator[Finding]:
    said = ".".join(str(part) for part in m.python)
    if not m.wide:
        yield Finding("bad", "python", f"Python {said} of 32 bits", "install a 64-bit Python, 3.11 or 3.12")
    elif m.python < (3, 11):
        yield Finding("bad", "python", f"Python {said} is too old", INSTALL)
    else:
        yield Finding("ok", "python", f"Python {said}")
    missing = [name for name, found in m.versions.items() if not found]
    if missing:
        yield Finding("bad", "packages", f"missing: {', '.join(missing)}", INSTALL)
    else:
        yield Finding("ok", "packages", ", ".join(f"{name} {found}" for name, found in m.versions.items()))


def _cache_state(m: Machine) -> Iterator[Finding]:
    if not m.cache_writable:
        yield Finding(
            "warn",
            "kernel-cache",
            f"{m.cache} cannot be written: every start compiles for a while",
            "make the folder yours, or point XDG_CACHE_HOME to one that is"
            if m.system == "linux"
            else "make the folder yours",
        )
    elif m.cached:
        yield Finding("ok", "kernel-cache", f"{m.cached} compiled kernels in {m.cache}")
    else:
        yield Finding(
            "ok",
            "kernel-cache",
            f"{m.cache} is empty: the first start compiles for a while, later ones do not",
        )


def _sound_servers(m: Machine) -> Iterator[Finding]:
    if "pipewire" in m.servers:
        if m.found.jack.running:
            yield Finding("ok", "pipewire", "PipeWire runs")
        elif m.pipewire_jack:
            yield Finding(
                "ok",
                "pipewire",
                "PipeWire runs and stands in for JACK: pw-jack -p 64 earwire run --source jack",
            )
        else:
            yield Finding(
                "warn",
                "pipewire",
                "PipeWire runs, but cannot stand in for JACK",
                "sudo apt install pipewire-jack (Fedora: sudo dnf install pipewire-jack-audio-connection-kit), "
                "then pw-jack -p 64 earwire run",
            )
    if "pulseaudio" in m.servers and "pipewire" not in m.servers:
        yield Finding(
            "ok", "pulseaudio", "PulseAudio runs: heard through --source device, at its own latency"
        )


_INSTALL_JACK = {
    "linux": "sudo apt install jackd2 qjackctl",
    "darwin": "brew install jack qjackctl",
    "win32": "install JACK2 from https://jackaudio.org/downloads",
}
_START_JACK = {
    "linux": "jackd -d alsa -r 48000 -p 64 -n 3, or qjackctl",
    "darwin": "jackd -d coreaudio -r 48000 -p 64, or qjackctl",
    "win32": "jackd -d portaudio -r 48000 -p 64, or qjackctl",
}


def _jack(m: Machine) -> Iterator[Finding]:
    jack = m.found.jack
    if not jack.installed:
        # On Linux JACK is the way between programs; elsewhere a loopback device is.
        level = "warn" if m.system == "linux" and not m.servers else "ok"
        mend = _INSTALL_JACK.get(m.system, "") if level == "warn" else ""
        yield Finding(level, "jack", "JACK is not installed", mend)
        return
    if not jack.running:
        others = f"; {other_servers(jack.others)}" if jack.others else ""
        if "pipewire" in m.servers or m.system != "linux":
            yield Finding("ok", "jack", f"no JACK server runs{others}")
        else:
            yield Finding("warn", "jack", f"no JACK server runs{others}", _START_JACK["linux"])
        return
    yield Finding("ok", "jack", f"JACK runs at {jack.rate} Hz, period {jack.period}")
    if jack.rate != 48_000:
        yield Finding("ok", "jack-rate", f"{jack.rate} Hz is resampled to 48000 Hz, which adds up to 1 ms")
    if jack.period > LONGEST_PERIOD:
        ms = 1000 * jack.period / jack.rate
        yield Finding(
            "warn",
            "jack-period",
            f"a period of {jack.period} samples adds {ms:.1f} ms and more",
            f"set {64 if jack.rate <= 48_000 else 128} in qjackctl, or: jack_bufsize 64",
        )
    if not jack.priority:
        yield Finding(
            "warn",
            "jack-realtime",
            "JACK runs without realtime priority",
            "start it with: jackd --realtime -P 70 ...",
        )


_INSTALL_PORTAUDIO = {
    "linux": "sudo apt install libportaudio2 (Fedora: sudo dnf install portaudio)",
    "darwin": "brew install portaudio",
}


def _inputs(m: Machine) -> Iterator[Finding]:
    inputs = [device for device in m.found.devices if device.inputs]
    if why := m.found.trouble.get("devices"):
        yield Finding(
            "warn" if m.found.jack.running else "bad",
            "inputs",
            f"sound cards cannot be listed: {why}",
            _INSTALL_PORTAUDIO.get(m.system, ""),
        )
    elif inputs:
        names = ", ".join(device.name for device in inputs[:4]) + (", ..." if len(inputs) > 4 else "")
        yield Finding("ok", "inputs", f"{len(inputs)} audio input{'s'[: len(inputs) != 1]}: {names}")
    elif m.found.jack.running:
        yield Finding("ok", "inputs", "no sound card, but JACK runs")
    else:
        yield Finding(
            "bad",
            "inputs",
            "nothing to hear: no audio input and no JACK server",
            "plug in a sound card or microphone, or start a JACK server",
        )


_LOOPBACKS = {
    "darwin": "brew install blackhole-2ch, then send the DAW's output to BlackHole 2ch",
    "win32": "install VB-CABLE from https://vb-audio.com/Cable, then send the DAW's output to CABLE Input",
    "linux": "run the DAW on JACK, or: pactl load-module module-null-sink sink_name=earwire",
}


def _loopback(m: Machine) -> Iterator[Finding]:
    names = [device.name for device in m.found.devices if device.loopback]
    if names:
        yield Finding("ok", "loopback", f"another program is heard through {', '.join(names)}")
    elif m.found.jack.running or "pipewire" in m.servers:
        yield Finding("ok", "loopback", "other programs are heard by connecting their ports")
    else:
        yield Finding(
            "warn",
            "loopback",
            "no loopback device: other programs cannot be heard",
            _LOOPBACKS.get(m.system, ""),
        )


def _midi(m: Machine) -> Iterator[Finding]:
    if why := m.found.trouble.get("midi"):
        yield Finding("warn", "midi", f"MIDI ports cannot be listed: {why}", INSTALL)
        return
    ports = [port.name for port in m.found.midi if port.use == "play"]
    there = f"; ports to play: {', '.join(ports)}" if ports else ""
    if m.system == "win32":
        if ports:
            yield Finding("ok", "midi", f"MIDI goes out through ports that exist{there}")
        else:
            yield Finding(
                "warn",
                "midi",
                "Windows has no virtual MIDI ports of its own",
                "install loopMIDI from https://www.tobias-erichsen.de, add a port, then --midi loopMIDI",
            )
    elif m.sequencer:
        yield Finding("ok", "midi", f"virtual MIDI ports can be made{there}")
    elif m.found.jack.running:
        yield Finding("ok", "midi", f"MIDI goes out through JACK; no ALSA sequencer{there}")
    else:
        yield Finding(
            "warn",
            "midi",
            "no ALSA sequencer, so no virtual MIDI port",
            "sudo modprobe snd-seq, or run a JACK server",
        )


_LIMITS = (
    "printf '@audio - rtprio 95\\n@audio - memlock unlimited\\n' | sudo tee /etc/security/limits.d/audio.conf "
    "&& sudo usermod -aG audio $USER, then log in again"
)


def _priority(m: Machine) -> Iterator[Finding]:
    if m.system != "linux":
        return  # macOS and Windows grant it to whoever asks
    if m.realtime:
        yield Finding("ok", "realtime", "realtime priority is granted")
    else:
        limit = "" if m.priority_limit is None else f" (rtprio limit {_limit(m.priority_limit)})"
        yield Finding(
            "warn", "realtime", f"no realtime priority{limit}: latency will jitter under load", _LIMITS
        )


def _memory(m: Machine) -> Iterator[Finding]:
    if m.system != "linux" or m.memory_limit is None:
        return
    if 0 <= m.memory_limit < LOCKED:
        yield Finding(
            "warn",
            "memlock",
            f"only {m.memory_limit >> 10} KiB of memory may be locked: JACK clients may be refused",
            _LIMITS,
        )
    else:
        yield Finding("ok", "memlock", f"memory may be locked ({_limit(m.memory_limit, 20, ' MiB')})")


def _governor(m: Machine) -> Iterator[Finding]:
    slow = sorted(m.governors - {"performance"})
    if slow:
        yield Finding(
            "warn",
            "governor",
            f"the processor saves power ({', '.join(slow)}) and may wake late",
            "sudo cpupower frequency-set -g performance",
        )
    elif m.governors:
        yield Finding("ok", "governor", "the processor runs at full speed")


def _cores(m: Machine) -> Iterator[Finding]:
    if m.processors < 2:
        yield Finding(
            "warn", "processors", "one processor for the DAW and for earwire", "expect dropouts under load"
        )
    else:
        yield Finding("ok", "processors", f"{m.processors} processors")


def _limit(value: int, shift: int = 0, unit: str = "") -> str:
    return "unlimited" if value < 0 else f"{value >> shift}{unit}"


def _granted() -> bool:
    from bridge import realtime

    try:
        return realtime.may()
    except Exception:  # noqa: BLE001  whatever refuses, the answer is no
        return False


def _servers(environ: Mapping[str, str]) -> frozenset[str]:
    folder = Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    sockets = {"pipewire": folder / "pipewire-0", "pulseaudio": folder / "pulse" / "native"}
    return frozenset(name for name, path in sockets.items() if _there(path))


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _limits() -> tuple[int | None, int | None]:
    """Limits of the realtime priority and of locked memory [bytes]; -1 is unlimited."""
    try:
        import resource
    except ImportError:  # Windows
        return None, None
    asked: list[int | None] = []
    for name in ("RLIMIT_RTPRIO", "RLIMIT_MEMLOCK"):
        limit = getattr(resource, name, None)
        soft = None if limit is None else resource.getrlimit(limit)[0]
        asked.append(-1 if soft == resource.RLIM_INFINITY else soft)
    root = os.geteuid() == 0  # not held to it
    return asked[0], -1 if root else asked[1]


def _governors(folder: Path) -> frozenset[str]:
    try:
        return frozenset(
            path.read_text().strip() for path in folder.glob("cpu[0-9]*/cpufreq/scaling_governor")
        )
    except OSError:
        return frozenset()


def _cache() -> tuple[Path, int, bool]:
    """Where compiled kernels are kept, how many are there, and whether more may be."""
    from dsp.kernel import cache_path

    try:
        folder = cache_path()
        there = next(path for path in (folder, *folder.parents) if path.exists())
        return folder, sum(1 for _ in folder.rglob("*.nbc")), os.access(there, os.W_OK)
    except (OSError, StopIteration):
        return Path(), 0, False


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
