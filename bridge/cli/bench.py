# SPDX-License-Identifier: GPL-3.0-or-later
"""earwire bench: what it really takes, here and now."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.errors import JackError, SourceError, UsageError

KEYS = """\
latency plays bursts without a pitch and waits for their notes, so it measures presets that
play drums; what a melody takes is declared by earwire run, and scored by earwire evaluate notes.

--json keys of latency: period, rate [Hz], realtime (priority granted), mode, declared, p1, median, p99, max and
jitter (p99 - p1), each as KEY_samples and KEY_ms; clicks played, dropped (beside a jump of the server, left out),
missed (not answered), extra (answers nobody asked for), xruns, load (part of one core).
--json keys of load: preset, seconds heard, step_us (of 64 samples: median, p99, p99_9, max), part_of_period
(the same p99_9), real_time_factor, peak_mb.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "what",
        choices=("latency", "load"),
        metavar="latency|load",
        help="from sound to MIDI through JACK, for drums; or the processor's time, for any preset",
    )
    add("--clicks", type=int, default=300, metavar="N", help="bursts to play (default: 300)")
    add("--seconds", type=float, default=60, metavar="S", help="sound to hear for load (default: 60)")
    add("--seed", type=int, default=0, help="of the bursts")
    add("--busy", action="store_true", help="keep the interpreter of the daemon busy meanwhile")
    add("--json", action="store_true", help="one JSON object on stdout")
    parser.epilog = KEYS


def execute(args: argparse.Namespace) -> int:
    if not 1 <= args.clicks <= 10_000:
        raise UsageError(f"--clicks {args.clicks}: from 1 to 10000")
    if not 1 <= args.seconds <= 36_000:
        raise UsageError(f"--seconds {args.seconds:g}: from 1 to 36000")
    from bridge.cli.main import preset_of

    preset = preset_of(args)  # before anything is started
    result = latency(args) if args.what == "latency" else load(args, preset)
    if args.json:
        print(json.dumps(result))
    else:
        for key, value in result.items():
            print(f"{key:>20}  {value}")
    return 0


@contextmanager
def daemon(args: argparse.Namespace, name: str) -> Any:
    """An earwire for the test: yields its start line and process."""
    with tempfile.TemporaryDirectory() as folder:
        lines, trouble = Path(folder) / "events.jsonl", Path(folder) / "stderr"
        command = [
            sys.executable,
            "-P",
            "-m",
            "bridge.cli.main",
            "run",
            "-q",
            "--name",
            name,
            "--source",
            "jack",
        ]
        command += ["--midi", "jack", "--events", str(lines), "-p", args.preset]
        for assignment in args.set:
            command += ["--set", assignment]
        environment = dict(os.environ, **({"EARWIRE_BUSY": "1"} if args.busy else {}))
        with open(trouble, "wb") as stderr:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stderr, env=environment)
        try:
            deadline = time.monotonic() + 180
            while not (lines.exists() and lines.read_text().endswith("\n")):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SourceError("the daemon to measure did not start", hint=trouble.read_text().strip())
                time.sleep(0.05)
            yield json.loads(lines.read_text().splitlines()[0]), process, lines
        finally:
            process.terminate()
            process.wait(10)


def _cpu(process: Any) -> float:
    """Processor time of a daemon and the keeper of its port so far [s]; 0 where it cannot be told."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        ticks = 0
        for pid in (str(process.pid), *children):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return 0.0


def latency(args: argparse.Namespace) -> dict[str, Any]:
    """Latency from sound to MIDI byte, through the ports a user would use."""
    import numpy as np

    from bridge import realtime
    from bridge.jack import client as jack

    if not jack.running():
        raise JackError(
            "no JACK server answers, and latency is measured through its ports",
            hint="start one, such as `jackd -d alsa -r 48000 -p 64`; `-d dummy` measures without a sound card",
        )
    from bridge.meter import Meter, measure

    name = f"earwire-bench-{os.getpid()}"
    with daemon(args, name) as (start, process, lines):
        meter = Meter(f"{name}-meter")
        try:
            meter.connect(f"{name}:in_1", f"{name}-midi:out")
            cpu, began = _cpu(process), time.monotonic()
            heard = measure(meter, args.clicks, args.seed, None if args.json else _dots(args.clicks))
            used = (_cpu(process) - cpu) / (time.monotonic() - began)
            period, rate = meter.client.period, meter.client.rate
        finally:
            meter.close()
        process.terminate()
        process.wait(10)
        end = json.loads(lines.read_text().splitlines()[-1])
    if not len(heard.values):
        raise SourceError(
            "no burst was answered",
            hint="bursts are strokes without a pitch: measure a preset that plays drums",
        )
    constants = start["constant"]
    values = heard.values
    p1, median, p99 = (float(np.percentile(values, p, method="nearest")) for p in (1, 50, 99))
    figures = {
        "declared": round(constants.get("drum", constants.get("note_on", 0)) * rate),
        "p1": p1,
        "median": median,
        "p99": p99,
        "max": float(values.max()),
        "jitter": p99 - p1,
    }
    result: dict[str, Any] = {
        "period": period,
        "rate": rate,
        "realtime": realtime.may(),
        "mode": start.get("mode"),
    }
    for key, value in figures.items():
        result[f"{key}_samples"] = round(value)
        result[f"{key}_ms"] = round(1000 * value / rate, 3)
    result |= {"clicks": heard.clicks, "dropped": heard.dropped, "missed": heard.missed, "extra": heard.extra}
    return result | {"late": end.get("late"), "xruns": end.get("xruns"), "load": round(used, 4)}


def _dots(total: int) -> Any:
    """Shows how far it is, on a terminal; nothing in a log."""
    shown = -1

    def show(done: int) -> None:
        nonlocal shown
        if done > shown:
            shown = done
            print(
                f"\r{done} of {total} bursts", end="" if done < total else "\n", file=sys.stderr, flush=True
            )

    return show if sys.stderr.isatty() else None


def load(args: argparse.Namespace, preset: Any) -> dict[str, Any]:
    """Processor time of the compiled step for each 64 samples of a busy performance."""
    import resource

    import numpy as np

    from bridge.hearing import hearing, room, time_hops
    from bridge.warm import HEARING, compiling
    from dsp.units import HOP, RATE

    state, out, clock = hearing(preset, RATE), room(), np.zeros(2, np.int64)
    nothing = np.zeros(0, np.float32)
    with compiling(args.json, HEARING):
        time_hops(state, nothing, out, clock, np.zeros(0, np.int64))
    rng = np.random.default_rng(args.seed)
    second = np.zeros(RATE, np.float32)
    hops = int(args.seconds * RATE) // HOP
    took = np.zeros(hops, np.int64)
    done = 0
    while done < hops:
        t = np.arange(RATE) / RATE
        second[:] = 0.2 * np.sin(2 * np.pi * rng.uniform(60, 800) * t) + 0.01 * rng.standard_normal(RATE)
        for start in rng.integers(0, RATE - 4800, 12):
            second[start : start + 4800] += rng.uniform(-0.5, 0.5, 4800) * np.exp(-np.arange(4800) / 900)
        n = min(RATE // HOP, hops - done)
        time_hops(state, second, out, clock, took[done : done + n])
        done += n
    step = took / 1000
    p999 = float(np.percentile(step, 99.9))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1024 if sys.platform != "darwin" else 1 << 20
    )
    return {
        "preset": preset.name,
        "seconds": args.seconds,
        "step_us": {
            "median": round(float(np.median(step)), 2),
            "p99": round(float(np.percentile(step, 99)), 2),
            "p99_9": round(p999, 2),
            "max": round(float(step.max()), 2),
        },
        "part_of_period": round(p999 / (HOP / RATE * 1e6), 4),
        "real_time_factor": round(args.seconds / (step.sum() * 1e-6), 1),
        "peak_mb": round(peak, 1),
    }
