# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon as a user runs it, between a real JACK server and real peers: on time, and hard to kill."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dsp.events import LABELS
from tests.conftest import command, environment, jack
from tests.daemon import (
    FAST,
    JACK,
    LONG_NOTES,
    RATE,
    Daemon,
    clicks,
    command_line,
    free_port,
    meter_on,
    ons,
    oscdump,
    ports,
    sounding,
    tone,
    until,
)

pytestmark = pytest.mark.jack


@pytest.fixture
def daemon(tmp_path):
    """Starts daemons; what still runs after the test is stopped."""
    running = []

    def start(*args, **options):
        running.append(Daemon(tmp_path, *args, **options))
        return running[-1]

    yield start
    for one in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.stop()
        one.process.kill()


# Starting and stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_cleanly(jack_server, daemon, number):
    one = daemon(*JACK, "--set", "midi.gate_ms=2000")
    memory = one.memory
    with meter_on(one) as meter:
        clicks(meter, 2)
        until(lambda: sounding(meter), what="a note")
        assert one.stop(number) == 0
        until(lambda: not sounding(meter), what="the end of all notes")
    assert one.lines[-1]["kind"] == "end"
    assert [line for line in one.said.splitlines() if "compiling for" not in line] == []
    assert not memory.exists()
    assert one.name not in ports()


def test_the_start_line_says_what_a_script_needs(jack_server, daemon):
    one = daemon(*JACK)
    assert one.header["rate"] == RATE
    assert one.header["ports"] == {"source": [f"{one.name}:in_1"], "midi": f"{one.name}-midi:out"}
    assert one.header["constant"]["drum"] == pytest.approx(0.012 + 64 / RATE, abs=1e-6)
    assert {f"{one.name}:in_1", f"{one.name}-midi:out"} <= set(ports().splitlines())


# On time


def latency_is_exact(one, meter, period):
    from bridge.meter import measure

    declared = period + 144
    assert round(one.header["constant"]["drum"] * RATE) == declared
    heard = measure(meter, 60, softest_db=-9)  # loud: the clock is tried here, not the ear
    assert heard.dropped <= 30, "the server itself stumbles too often to tell"
    assert (heard.missed, heard.extra) == (0, 0)
    p1, median, p99 = np.percentile(heard.values, (1, 50, 99), method="nearest")
    assert (median, p99) == (declared, declared)
    assert p99 - p1 <= 1


def test_a_busy_interpreter_is_not_waited_for(jack_server, daemon):
    one = daemon(*FAST, env={"EARWIRE_BUSY": "1"})
    with meter_on(one) as meter:
        answers_are(meter, 208)
    assert one.stop() == 0


def test_every_answer_comes_a_constant_after_its_burst(jack_server, daemon):
    one = daemon(*FAST)
    listed = ports("-l").split(f"{one.name}-midi:out\n")[1].splitlines()
    assert "port capture latency = [ 208 208 ] frames" in (line.strip() for line in listed[:3])
    with meter_on(one) as meter:
        latency_is_exact(one, meter, 64)


def test_the_constant_grows_with_the_period_and_follows_it(daemon):
    with jack(period=128):
        one = daemon(*FAST)
        with meter_on(one) as meter:
            latency_is_exact(one, meter, 128)


def test_a_change_of_period_while_it_runs_is_followed(daemon):
    with jack(period=128):
        one = daemon(*FAST)
        with meter_on(one) as meter:
            clicks(meter)
            subprocess.run(["jack_bufsize", "64"], check=True, capture_output=True)
            until(lambda: "[ 208 " in ports("-l").split(f"{one.name}-midi:out\n")[1], what="new latency")
            time.sleep(0.3)
            answers_are(meter, 208)
        assert one.stop() == 0
        assert one.said == ""


def answers_are(meter, constant):
    from bridge.meter import measure

    for _ in range(4):
        heard = measure(meter, 10, softest_db=-9)
        if heard.dropped < heard.clicks:  # else the server stumbled through all of them
            break
    assert set(heard.values.tolist()) == {constant} and heard.missed == 0, heard


def test_freewheeling_loses_nothing(daemon):
    with jack():
        one = daemon(*FAST)
        with meter_on(one) as meter:
            began = meter.now
            subprocess.run(["jack_freewheel", "y"], check=True, capture_output=True)
            until(lambda: meter.now > began + 20 * RATE, 60, "twenty seconds of sound")
            subprocess.run(["jack_freewheel", "n"], check=True, capture_output=True)
            time.sleep(0.3)
            answers_are(meter, 208)
        assert one.stop() == 0
        assert one.lines[-1]["overruns"] == 0


# Killed


@pytest.mark.parametrize("preset", LONG_NOTES)
def test_notes_end_and_the_port_goes_when_it_is_killed(jack_server, daemon, preset):
    one = daemon(*JACK, *LONG_NOTES[preset])
    memory, keeper = one.memory, one.keeper
    with meter_on(one) as meter:
        tone(meter, 5) if preset == "guitar" else clicks(meter)
        until(lambda: sounding(meter), what="a note")
        os.kill(one.pid, signal.SIGKILL)
        one.process.wait()
        until(lambda: not sounding(meter), 3, "the end of all notes")
        until(lambda: f"{one.name}-midi" not in ports(), 3, "the end of the port")
    until(lambda: not command_line(keeper), 3, "the end of the keeper")
    assert not memory.exists()


def test_a_killed_keeper_is_replaced_its_port_connected_and_its_notes_ended(jack_server, daemon):
    one = daemon(*FAST, "--set", "midi.gate_ms=2000")
    with meter_on(one) as meter:
        clicks(meter)
        until(lambda: sounding(meter), what="a note")
        time.sleep(0.6)  # connections are looked at four times a second
        os.kill(one.keeper, signal.SIGKILL)
        one.wait_until_said("has died; opening it again")
        one.wait_until_said("is open again")
        until(lambda: not sounding(meter), what="the end of all notes")
        before = len(ons(meter))
        clicks(meter)
        until(lambda: len(ons(meter)) >= before + 3, what="answers")
        assert one.stop() == 0
        until(lambda: not sounding(meter), what="the end of all notes")
    assert len(one.said.splitlines()) == 2


# Left alone


def test_a_server_that_goes_and_comes_back_is_waited_for(daemon):
    with contextlib.ExitStack() as servers:
        name = servers.enter_context(jack())
        one = daemon(*FAST)
        with meter_on(one) as meter:
            clicks(meter)
            until(lambda: len(ons(meter)) >= 3, what="answers")
        servers.close()
        one.wait_until_said("the JACK server has gone")
        time.sleep(1.0)
        assert one.process.poll() is None
        with jack(name=name):
            one.wait_until_said("the JACK server is back")
            one.wait_until_said(f"{one.name}-midi:out is back")
            with meter_on(one) as meter:
                answers_are(meter, 208)
            assert one.stop() == 0
    assert one.said.count("has gone") == 2  # sound and MIDI, once each
    assert one.lines[-1]["kind"] == "end"


def test_a_named_port_that_goes_and_comes_back_is_waited_for(jack_server, daemon):
    from bridge.jack.client import library

    library()
    from bridge.meter import Meter

    def play(synth, one):
        synth.connect(f"{one.name}:in_1", "")
        clicks(synth)
        until(lambda: sounding(synth), what="a note")

    synth = Meter("synth")
    one = daemon("--source", "jack", "--midi", "synth:in", "--set", "midi.gate_ms=2000")
    assert one.header["ports"]["midi"] == "synth:in"
    play(synth, one)
    synth.close()
    one.wait_until_said("the MIDI port synth:in has gone; waiting for it to come back")
    synth = Meter("synth")
    one.wait_until_said("the MIDI port synth:in is back")
    play(synth, one)
    assert one.stop() == 0
    until(lambda: not sounding(synth), what="the end of all notes")
    synth.close()
    assert len(one.said.splitlines()) == 2


def test_an_osc_host_that_is_not_there_is_said_once_and_found_later(jack_server, daemon, tmp_path):
    port = free_port()
    targets = ("--osc", f"127.0.0.1:{port}", "--osc", "no-such-host.invalid:9000")
    one = daemon(*JACK, *targets)
    with meter_on(one) as meter:
        clicks(meter, 12)
        one.wait_until_said(f"OSC 127.0.0.1:{port}: nobody listens there")
        one.wait_until_said("OSC no-such-host.invalid:9000: ")
        with oscdump(port, tmp_path) as heard:
            clicks(meter)
            until(lambda: sum(m[0].endswith("/onset") for m in heard()) == 3, what="OSC")
    assert one.stop() == 0
    assert len(one.said.splitlines()) == 2


# OSC, in and out


def test_two_run_side_by_side_each_under_its_name(jack_server, daemon, tmp_path):
    port = free_port()
    with oscdump(port, tmp_path) as heard:
        left, right = (daemon(*JACK, "--osc", f"127.0.0.1:{port}", name=name) for name in ("left", "right"))
        with meter_on(right) as meter:
            clicks(meter)
            until(lambda: len(ons(meter)) >= 3, what="answers")
        with meter_on(left) as meter:
            clicks(meter, 2)
            until(lambda: len(ons(meter)) >= 2, what="answers")
        assert (left.stop(), right.stop()) == (0, 0)
        until(lambda: sum(m[2:3] == ['"end"'] for m in heard()) == 2, what="the end")
        said = heard()
    count = {name: sum(m[0] == f"/{name}/onset" for m in said) for name in ("left", "right")}
    assert count == {"left": 2, "right": 3}
    types = {m[0].removeprefix("/left"): m[1] for m in said if m[0].startswith("/left/")}
    label = left.kinds("drum")[0]["label"]
    assert types["/onset"] == "f" and types["/drum"] == "siff" and types[f"/drum/{label}"] == "f"
    drums = [m for m in said if m[0] == "/left/drum"]
    assert [m[2].strip('"') for m in drums] == [d["label"] for d in left.kinds("drum")]
    assert [int(m[3]) for m in drums] == [d["note"] for d in left.kinds("drum")]
    assert (left.said, right.said) == ("", "")


def osc(port, address, *arguments):
    from pythonosc.udp_client import SimpleUDPClient

    with contextlib.closing(SimpleUDPClient("127.0.0.1", port)._sock) as wire:
        from pythonosc.osc_message_builder import OscMessageBuilder

        builder = OscMessageBuilder(address)
        for argument in arguments:
            builder.add_arg(argument)
        wire.sendto(builder.build().dgram, ("127.0.0.1", port))


def test_commands_by_osc_are_obeyed(jack_server, daemon):
    port = free_port()
    options = ("--osc-in", str(port), "--set", "midi.gate_ms=2000", "--set", "drums.refine=false")
    one = daemon(*JACK, *options, name="studio")
    with meter_on(one) as meter:
        clicks(meter)
        until(lambda: sounding(meter), what="a note")
        osc(port, "/studio/panic")
        until(lambda: not sounding(meter), 1.5, "the end of all notes")
        one.wait_until_said("panic: every note is ended")
    # A burst may be several hits at once: then it is the one of the family that is put right, or else the last.
    hits = one.kinds("drum")
    last = [hit for hit in hits if hit["onset"] == hits[-1]["onset"]]
    family = {label.name: label.family for label in LABELS}
    kin = [hit for hit in last if family[hit["label"]] == family["cowbell"]]
    osc(port, "/studio/correct", "cowbell")
    refined = until(lambda: one.kinds("refine"), what="the correction")[-1]
    assert refined["ref"] == (kin[0] if kin else last[-1])["id"]
    assert (refined["label"], refined["confidence"]) == ("cowbell", 1.0)
    osc(port, "/studio/correct", "no-such-drum")
    one.wait_until_said("there is no drum called 'no-such-drum'")
    osc(port, "/studio/preset", "voice")
    one.wait_until_said("preset voice is in use")
    osc(port, "/studio/preset", "no-such-preset")
    one.wait_until_said("the earlier preset stays in use")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        for noise in (b"", b"\xff" * 400, b"/studio/panic", b"#bundle\0" + b"\0" * 9):
            wire.sendto(noise, ("127.0.0.1", port))
    osc(port, "/other/panic")
    osc(port, "/studio/correct")
    osc(port, "/studio/correct", 7)
    one.wait_until_said("'7'")
    assert one.said.count("panic: every note") == 1
    assert one.stop() == 0
    assert "Traceback" not in one.said


# The preset's file


def test_a_preset_is_read_again_when_its_file_changes(jack_server, daemon, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("[drums]\ndecision_ms = 12\n[onset]\ndecision_ms = 8\n")
    one = daemon(*JACK, "--preset", file)
    with meter_on(one) as meter:
        answers_are(meter, 12 * 48 + 64)
        file.write_text("[drums]\ndecision_ms = 20\n[drums.map]\nkick = 1\nsnare = 1\nhat-closed = 1\n")
        one.wait_until_said("mine.toml has changed and is in use")
        answers_are(meter, 20 * 48 + 64)
        assert "[ 1024 " in ports("-l").split(f"{one.name}-midi:out\n")[1]
        file.write_text("[drums]\ndecision_ms = soon\n")
        one.wait_until_said("the earlier preset stays in use")
        answers_are(meter, 20 * 48 + 64)
    assert one.stop() == 0
    assert len(one.said.splitlines()) == 2


# Takes


def events_of(path):
    """Event lines but the first and the last."""
    lines = Path(path).read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["kind"] not in ("start", "end")]
    assert len(kept) == len(lines) - 2 or len(kept) == len(lines) - 1
    return kept


def heard_again(earwire, take, folder):
    """Event lines of a take's sound."""
    again = folder / "again.jsonl"
    done = earwire("transcribe", "-q", take / "audio.wav", "-o", folder / "again.mid", "--events", again)
    assert done.returncode == 0, done.stderr
    return events_of(again)


def test_a_take_from_jack_says_the_same_again(jack_server, daemon, earwire, tmp_path):
    one = daemon(*JACK, "--record", tmp_path / "take")
    with meter_on(one) as meter:
        from bridge.meter import measure

        measure(meter, 15)
    assert one.stop() == 0
    take = tmp_path / "take"
    live = events_of(take / "events.jsonl")
    assert live == events_of(one._events)
    assert sum('"kind":"drum"' in line for line in live) >= 10
    assert heard_again(earwire, take, tmp_path) == live
    info = soundfile.info(take / "audio.wav")
    assert (info.samplerate, info.channels, info.subtype) == (RATE, 1, "FLOAT")
    assert (take / "take.mid").read_bytes().startswith(b"MThd")


def performance(rate, seconds=4.0):
    """Strokes of decaying noise over a tone."""
    rng = np.random.default_rng(5)
    t = np.arange(round(seconds * rate)) / rate
    x = 0.05 * np.sin(2 * np.pi * 110 * t)
    for start in np.arange(0.3, seconds - 0.3, 0.21):
        n = np.arange(len(t) - round(start * rate))
        x[-len(n) :] += rng.normal(0, 0.2, len(n)) * np.exp(-n / (0.02 * rate))
    return x.astype("<f4")


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_take_from_a_pipe_says_the_same_again(earwire, tmp_path, rate):
    take = tmp_path / "take"
    run = command(
        "run", "-q", "--midi", "none", "--record", take, "--source", f"stdin:f32le:{rate}:1"
    )  # fmt: skip
    process = subprocess.Popen(run, env=environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    data, at = performance(rate).tobytes(), 0
    for size in np.random.default_rng(0).integers(1, 9_999, 10_000).tolist():  # cut where no sample ends
        process.stdin.write(data[at : at + size])
        process.stdin.flush()
        at += size
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (0, b"")
    live = events_of(take / "events.jsonl")
    assert sum('"kind":"drum"' in line for line in live) >= 10
    assert heard_again(earwire, take, tmp_path) == live


# What nobody should send


def test_numbers_that_are_none_are_heard_as_silence(earwire, tmp_path):
    x = performance(RATE)
    x[1000:1200], x[30_000], x[40_000] = np.nan, np.inf, 1e30
    wrong = np.where(np.abs(x) < 100, x, 0).astype("<f4")
    said = []
    for sound in (x, wrong):
        done = subprocess.run(
            command("run", "-q", "--source", "stdin", "--midi", "none", "--events", "-"),
            input=sound.tobytes(),
            env=environment(),
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        said.append(done.stdout)
    assert said[0] == said[1]
    assert b"NaN" not in said[0] and said[0].count(b'"drum"') >= 10


HOSTILE = {
    "garbage": np.random.default_rng(9).bytes(100_001),
    "nothing": b"",
    "one byte": b"x",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_whatever_comes_in_it_ends_calmly(tmp_path, what):
    done = subprocess.run(
        command("run", "-q", "--source", "stdin", "--midi", "none", "--events", "-"),
        input=HOSTILE[what],
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["kind"] == "end"


NO_SERVER = {"JACK_DEFAULT_SERVER": "earwire-no-such-server"}
REFUSED = [
    (("--source", "jack:["), {}, 1, "is no regular expression"),
    (("--source", "jack"), NO_SERVER, 1, "no JACK server answers"),
    (("--source", "stdin", "--midi", "jack"), NO_SERVER, 1, "no JACK server answers"),
    (("--source", "stdin", "--midi", "jack:["), {}, 1, "is no regular expression"),
    (("--source", "stdin", "--midi", "no-such-port"), {}, 1, "no-such-port"),
    (("--source", "nowhere"), {}, 2, "no such source"),
    (("--source", "stdin", "--osc", "nowhere"), {}, 1, "nowhere"),
    (("--source", "stdin", "--midi", "none", "--osc-in", "99999"), {}, 2, "99999"),
    (("--source", "stdin", "--midi", "none", "--name", "a b"), {}, 2, "--name"),
    (("--source", "file:/no/such.wav"), {}, 1, "No such file"),
]


@pytest.mark.parametrize("args, env, code, words", REFUSED)
def test_what_cannot_be_is_refused_in_words(jack_server, earwire, args, env, code, words):
    done = earwire("run", "-q", *args, env=env, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr and "Traceback" not in done.stderr
    assert re.match(r"earwire: [^\n]+\n(  [^\n]+\n)?\Z", done.stderr), done.stderr


def test_a_closed_stdin_ends_it(tmp_path):
    shell = " ".join(map(str, command("run", "-q", "--source", "stdin", "--midi", "none"))) + " <&-"
    done = subprocess.run(shell, shell=True, env=environment(), capture_output=True, check=False)
    assert done.returncode in (0, 1) and b"Traceback" not in done.stderr
