# SPDX-License-Identifier: GPL-3.0-or-later
"""The long bars, by hand on a calm machine: ``python bench/soak.py WHAT ...``; see README.md beside this.

Each measure prints rows of figure, bar and verdict.  Servers, peers and signals
are real, as in tests/test_daemon.py; only the durations are longer.
"""

import argparse
import contextlib
import json
import os
import pty
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.conftest import command, environment, jack
from tests.daemon import (
    FAST,
    JACK,
    LONG_NOTES,
    RATE,
    Daemon,
    clicks,
    free_port,
    meter_on,
    ons,
    oscdump,
    ports,
    sounding,
    tone,
    until,
)

TICK = os.sysconf("SC_CLK_TCK")
failed = 0


def row(what, figure, bar="", good=True):
    """Print one figure; `bar` is what it is held against."""
    global failed
    failed += not good
    verdict = ("ok" if good else "MISSED") if bar else ""
    print(f"{what:<52} {figure:>28}   {bar:<22} {verdict}", flush=True)


def cpu(*pids):
    """Processor time so far [s]."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICK


def resident(pid):
    """Memory in use [MB]."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@contextlib.contextmanager
def stress(on):
    """Both cores kept busy by others."""
    if not on:
        yield
        return
    hog = subprocess.Popen(["stress-ng", "--quiet", "--cpu", str(os.cpu_count())])
    try:
        time.sleep(1)
        yield
    finally:
        hog.terminate()
        hog.wait()


def latency(args):
    """Sound to MIDI byte through JACK, in frames."""
    for period in args.periods:
        for state in args.states:
            with jack(period), stress(state == "stress"):
                options = ["--json", "--clicks", args.bursts, *(["--busy"] if state == "busy" else [])]
                options += ["--set", "drums.decision_ms=3", "--set", "onset.decision_ms=3"]
                done = subprocess.run(
                    command("bench", "latency", *options),
                    env=environment(),
                    capture_output=True,
                    text=True,
                    check=False,
                )
            what = f"latency at {period}, {state}"
            if done.returncode:
                row(what, "failed: " + done.stderr.strip()[-60:], "an answer", False)
                continue
            got = json.loads(done.stdout)
            keys = ("p1_samples", "median_samples", "p99_samples", "max_samples")
            p1, median, p99, most = (got[key] for key in keys)
            declared = got["declared_samples"]
            exact = declared == period + 144 == median == p99 and p99 - p1 <= 1 and not got["missed"]
            more = f"dropped {got['dropped']} missed {got['missed']} extra {got['extra']}"
            row(what, f"{p1} / {median} / {p99} / {most}", f"p1 median p99 {period + 144}", exact)
            row("  of " + more, f"late {got['late']} load {got['load']}")


def kill(args):
    """Killed in mid-note: every note ends, the port goes."""
    hanging, slowest = 0, 0.0
    with jack(), tempfile.TemporaryDirectory() as folder:
        for k in range(args.times):
            preset = list(LONG_NOTES)[k % 2]
            one = Daemon(Path(folder), *JACK, *LONG_NOTES[preset])
            with meter_on(one) as meter:
                tone(meter, 5) if preset == "guitar" else clicks(meter)
                until(lambda meter=meter: sounding(meter), what="a note")
                if k % 3 == 2:
                    time.sleep(0.6)  # connections are looked at four times a second
                    os.kill(one.keeper, signal.SIGKILL)
                    until(lambda one=one: "is open again" in one.said)
                    until(lambda meter=meter: not sounding(meter))
                    clicks(meter)
                began = time.monotonic()
                os.kill(one.pid, signal.SIGKILL)
                one.process.wait()
                try:
                    until(lambda meter=meter: not sounding(meter), 3)
                    until(lambda one=one: f"{one.name}-midi" not in ports(), 3)
                except AssertionError:
                    hanging += 1
                slowest = max(slowest, time.monotonic() - began)
    row(f"killed {args.times} times in mid-note: notes left sounding", str(hanging), "0", hanging == 0)
    row("  longest until all notes ended and the port was gone", f"{slowest:.2f} s")


def restart(args):
    """Server, OSC listener and MIDI port go and come back."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        path, osc = Path(folder), free_port()
        server = stack.enter_context(contextlib.ExitStack())
        name = server.enter_context(jack())
        one = Daemon(path, *FAST, "--osc", f"127.0.0.1:{osc}")
        answered = {"JACK server": 0, "OSC listener": 0, "MIDI listener": 0}
        for _ in range(args.times):
            server.close()
            time.sleep(args.seconds)
            server.enter_context(jack(name=name))
            until(lambda: one.said.count("is back") == 2 * (answered["JACK server"] + 1), 30, "the server")
            with meter_on(one) as meter:
                clicks(meter)
                until(lambda meter=meter: len(ons(meter)) >= 3, what="answers")
            answered["JACK server"] += 1
        for _ in range(args.times):
            with meter_on(one) as meter:
                clicks(meter)
                until(lambda meter=meter: len(ons(meter)) >= 3, what="answers")
                answered["MIDI listener"] += 1
                with oscdump(osc, path) as heard:
                    clicks(meter)
                    until(lambda heard=heard: sum(m[0].endswith("/onset") for m in heard()) >= 3, what="OSC")
                answered["OSC listener"] += 1
                clicks(meter, 8)  # to nobody
        code = one.stop()
        for what, n in answered.items():
            row(f"{what} gone and back, answers after", f"{n} of {args.times}", "all", n == args.times)
        row("  exit code", str(code), "0", code == 0)
        row("  said", f"{len(one.said.splitlines())} lines")


def minute(rng):
    """A minute of a busy performance, (n,) float32."""
    t = np.arange(60 * RATE) / RATE
    x = 0.1 * np.sin(2 * np.pi * rng.uniform(80, 400) * t) + 0.002 * rng.standard_normal(len(t))
    for start in rng.integers(0, len(t) - 9600, 300):
        x[start : start + 9600] += rng.uniform(-0.5, 0.5, 9600) * np.exp(-np.arange(9600) / 1500)
    return x.astype("<f4")


def memory(args):
    """An hour of sound, fed fast: memory and processor time must not grow."""
    rng = np.random.default_rng(0)
    kinds = {
        "performance": minute(rng),
        "silence": np.zeros(60 * RATE, "<f4"),
        "denormals": np.full(60 * RATE, 1e-40, "<f4"),
    }
    run = command("run", "-q", "--source", "stdin", "--midi", "none", "--events", "-", *args.options)
    with subprocess.Popen(run, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        last = []
        drain = threading.Thread(target=lambda: last.extend(list(process.stdout)[-1:]))
        drain.start()
        spent, memories = {kind: [] for kind in kinds}, []
        process.stdin.write(kinds["performance"][: 10 * RATE].tobytes())
        for k in range(args.minutes):
            kind = ("performance", "performance", "performance", "silence", "denormals")[k % 5]
            before = cpu(process.pid)
            process.stdin.write(kinds[kind].tobytes())
            process.stdin.flush()
            spent[kind].append(cpu(process.pid) - before)
            memories.append(resident(process.pid))
        process.stdin.close()
        drain.join()
        process.wait()
    end = json.loads(last[0])
    settled = memories[min(5, len(memories) // 2)]
    growth = 100 * (memories[-1] / settled - 1)
    row(
        f"{args.minutes} min fed fast: memory",
        f"{settled:.1f} -> {memories[-1]:.1f} MB",
        "<= 2 % more",
        growth <= 2,
    )
    calm = statistics.median(spent["performance"])
    for kind, times in spent.items():
        if times:
            half = len(times) // 2
            early, late = statistics.median(times[: half or 1]), statistics.median(times[half:])
            row(
                f"  {kind}: processor time a minute",
                f"{early:.2f}, later {late:.2f} s",
                f"<= {1.25 * calm:.2f} s",
                late <= 1.25 * calm,
            )
    row("  overruns", str(end["overruns"]), "0", end["overruns"] == 0)


def load(args):
    """Processor time of a running daemon, keeper included, JACK left out."""
    with jack(), tempfile.TemporaryDirectory() as folder:
        used = {}
        for view in (False, True):
            one = Daemon(Path(folder), *JACK, "-p", args.preset, **terminal(view))
            with meter_on(one) as meter:
                from bridge.meter import bursts

                sound, gaps = bursts(5 * args.seconds, 0, (150, 250), RATE, softest_db=-12)
                meter.play(sound, gaps)
                time.sleep(2)
                pids, began = (one.pid, one.keeper), time.monotonic()
                before = [cpu(pid) for pid in pids]
                time.sleep(args.seconds)
                took = time.monotonic() - began
                each = [100 * (cpu(pid) - b) / took for pid, b in zip(pids, before, strict=True)]
            one.stop()
            used[view] = sum(each)
            what = "with the live view" if view else "run -q"
            bar = ("<= 4 % more", used[True] <= used[False] + 4) if view else ("<= 6 %", used[False] <= 6)
            row(f"{args.preset} at 64, {what}", f"{each[0]:.1f} + {each[1]:.1f} % of a core", *bar)


def terminal(view):
    """Options of a daemon that draws on a terminal, which somebody reads."""
    if not view:
        return {}
    ours, theirs = pty.openpty()
    threading.Thread(target=read_all, args=(ours,), daemon=True).start()
    return {"quiet": False, "stderr": theirs}


def read_all(fd):
    with contextlib.suppress(OSError):
        while os.read(fd, 65536):
            pass


def start(args):
    """From the command to the start line, kernels compiled."""
    times = {"jack": [], "stdin": []}
    with jack(), tempfile.TemporaryDirectory() as folder:
        for options in (JACK, ("--source", "stdin", "--midi", "none")):
            for _ in range(args.times + 1):
                began = time.monotonic()
                one = Daemon(Path(folder), *options, stdin=subprocess.PIPE)
                times[options[1]].append(time.monotonic() - began)
                one.process.stdin.close()
                one.stop()
    for source, took in times.items():
        median = statistics.median(took[1:])
        row(
            f"warm start from {source}",
            f"{median:.2f} s, worst {max(took[1:]):.2f}",
            "<= 2.5 s",
            median <= 2.5,
        )


def transcribe(args):
    """Ten minutes on one core, start and end included."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "long.wav"
        rng = np.random.default_rng(0)
        soundfile.write(wav, np.concatenate([minute(rng) for _ in range(args.minutes)]), RATE)
        for preset in args.presets:
            took = []
            for _ in range(args.times):
                began = time.monotonic()
                subprocess.run(
                    ["taskset", "-c", "0", *command("transcribe", "-q", "-p", preset, wav)],
                    env=environment(),
                    check=True,
                )
                took.append(time.monotonic() - began)
            speed = 60 * args.minutes / min(took)
            row(
                f"transcribe {args.minutes} min, {preset}", f"{speed:.0f} x real time", ">= 60 x", speed >= 60
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_subparsers(dest="what", required=True)
    add = {f: what.add_parser(f.__name__, help=f.__doc__) for f in MEASURES}
    add[latency].add_argument("--bursts", type=int, default=300)
    add[latency].add_argument("--periods", type=int, nargs="+", default=[64, 128])
    add[latency].add_argument("--states", nargs="+", default=["idle", "busy", "stress"])
    add[kill].add_argument("--times", type=int, default=50)
    add[restart].add_argument("--times", type=int, default=10)
    add[restart].add_argument("--seconds", type=float, default=60, help="without a server")
    add[memory].add_argument("--minutes", type=int, default=60)
    add[memory].add_argument("options", nargs="*", help="of earwire run, after --")
    add[load].add_argument("--seconds", type=int, default=30)
    add[load].add_argument("--preset", default="drums")
    add[start].add_argument("--times", type=int, default=5)
    add[transcribe].add_argument("--minutes", type=int, default=10)
    add[transcribe].add_argument("--times", type=int, default=2)
    add[transcribe].add_argument("--presets", nargs="+", default=["drums", "guitar"])
    args = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    {f.__name__: f for f in MEASURES}[args.what](args)
    return bool(failed)


MEASURES = (latency, kill, restart, memory, load, start, transcribe)

if __name__ == "__main__":
    sys.exit(main())
