# SPDX-License-Identifier: GPL-3.0-or-later
"""What leaves through files and sockets is whole, in order, and calm when the world is not."""

import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_message import OscMessage

from bridge.errors import MidiError, OscError, SinkError, TakeError
from bridge.preset import Preset, load
from bridge.sinks.lines import LinesSink
from bridge.sinks.osc import OscSink
from bridge.sinks.smf import PPQN, SmfSink
from bridge.sinks.take import TakeSink
from dsp.events import BEND, DRUM, EVENT, LABEL_ROW, LEVEL, NOTE_OFF, NOTE_ON, ONSET
from dsp.units import RATE

HEADER = {"preset": "drums", "constant": {"drum": 0.0133}, "ports": {}}
END = {"xruns": 1, "overruns": 2, "late": 3}


def say(ids: Iterator[int], kind: int, seconds: float, **fields: Any) -> np.ndarray:
    event = np.zeros(1, EVENT)
    event["id"], event["kind"], event["label"] = next(ids), kind, -1
    event["time"] = round(seconds * RATE)
    event["emitted"] = event["time"] + 600
    event["confidence"] = 1
    for name, value in fields.items():
        event[name] = value
    return event


@pytest.fixture
def ids() -> Iterator[int]:
    return iter(range(1, 1_000_000))


def hit(ids: Iterator[int], seconds: float, label: str = "kick", velocity: float = 0.5) -> np.ndarray:
    return say(ids, DRUM, seconds, label=LABEL_ROW[label], value=velocity)


def timeline(path: Path, track: str) -> list[tuple[float, Any]]:
    """(second, message) of the track of that name."""
    file = mido.MidiFile(path)
    (found,) = [t for t in file.tracks if t.name == track]
    now, out = 0, []
    for message in found:
        now += message.time
        out.append((now / (2 * file.ticks_per_beat), message))
    return out


def presses(path: Path, track: str) -> list[tuple[str, float, int]]:
    return [(m.type, round(t, 4), m.note) for t, m in timeline(path, track) if "note_" in m.type]


# -- lines


def test_lines_are_on_disk_as_soon_as_they_are_written(tmp_path: Path, ids: Iterator[int]) -> None:
    path = tmp_path / "events.jsonl"
    sink = LinesSink(path, {"kick": 24})
    sink.open(HEADER)
    assert json.loads(path.read_text())["kind"] == "start"
    sink.write(np.concatenate([hit(ids, 1), say(ids, LEVEL, 1, number=-20)]))
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    assert [(x["kind"], x.get("note")) for x in lines] == [("start", None), ("drum", 24)]
    sink.close(END)
    sink.close(END)
    assert json.loads(path.read_text().splitlines()[-1]) == {"kind": "end", **END}
    assert len(path.read_text().splitlines()) == 3


def test_the_level_is_written_when_asked_for(tmp_path: Path, ids: Iterator[int]) -> None:
    sink = LinesSink(tmp_path / "e", level=True)
    sink.write(say(ids, LEVEL, 1, number=-20))
    sink.close(END)
    assert json.loads((tmp_path / "e").read_text().splitlines()[0])["level"] == -20


def test_lines_to_nowhere_say_so(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot be written"):
        LinesSink(tmp_path / "none" / "e.jsonl")


def test_a_reader_that_leaves_is_no_error() -> None:
    script = (
        "import numpy as np\n"
        "from bridge.sinks.lines import LinesSink\n"
        "from dsp.events import EVENT\n"
        "sink = LinesSink('-')\n"
        "sink.open({})\n"
        "while not sink.gone: sink.write(np.zeros(1000, EVENT))\n"
        "sink.close({})\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    program = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
    )
    assert program.stdout and program.stderr
    assert json.loads(program.stdout.readline())["kind"] == "start"
    program.stdout.close()
    assert program.stderr.read() == b"" and program.wait(30) == 0
    program.stderr.close()


def test_a_full_disk_is_said_once(tmp_path: Path, ids: Iterator[int]) -> None:
    told: list[str] = []
    sink = LinesSink(tmp_path / "e", say=told.append)
    sink._file.close()

    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    sink._file = Full()
    for second in range(3):
        sink.write(hit(ids, second))
    assert sink.gone and len(told) == 1 and "No space" in told[0]
    sink.close(END)


# -- MIDI files


def test_a_hit_is_held_for_its_gate_and_cut_by_the_next(tmp_path: Path, ids: Iterator[int]) -> None:
    sink = SmfSink(path := tmp_path / "a.mid")
    sink.open(HEADER)
    sink.write(np.concatenate([hit(ids, 1.0), hit(ids, 1.03, velocity=1), hit(ids, 1.01, "snare")]))
    sink.close(END)
    assert presses(path, "drums") == [
        ("note_on", 1.0, 36),
        ("note_on", 1.0099, 38),
        ("note_off", 1.0302, 36),
        ("note_on", 1.0302, 36),
        ("note_off", 1.0901, 38),
        ("note_off", 1.1104, 36),
    ]
    ons = [m for _, m in timeline(path, "drums") if m.type == "note_on"]
    assert [m.velocity for m in ons] == [64, 64, 127] and {m.channel for m in ons} == {9}
    file = mido.MidiFile(path)
    assert file.type == 1 and file.ticks_per_beat == PPQN >= 960
    assert [m.tempo for m in file.tracks[0] if m.type == "set_tempo"] == [500_000]


def test_two_hits_of_one_drum_at_once_are_one(tmp_path: Path, ids: Iterator[int]) -> None:
    sink = SmfSink(path := tmp_path / "a.mid")
    sink.write(np.concatenate([hit(ids, 1, velocity=0.9), hit(ids, 1, velocity=0.1)]))
    sink.close(END)
    assert [m.velocity for _, m in timeline(path, "drums") if m.type == "note_on"] == [114]


def test_notes_bends_and_their_range(tmp_path: Path, ids: Iterator[int]) -> None:
    sink = SmfSink(path := tmp_path / "a.mid", load("voice"))
    on = say(ids, NOTE_ON, 1, number=60.4, value=1)
    sink.write(on)
    sink.write(say(ids, BEND, 1.1, ref=on["id"], number=600))
    sink.write(say(ids, NOTE_OFF, 1.5, ref=on["id"], number=60.4))
    sink.write(say(ids, NOTE_ON, 2, number=62, value=0))
    sink.write(say(ids, ONSET, 3))
    sink.close(END)
    said = timeline(path, "notes")
    controls = [(m.control, m.value) for _, m in said if m.type == "control_change"]
    semitones = load("voice").midi.bend_range
    assert controls[:3] == [(101, 0), (100, 0), (6, semitones)]
    wheel = [(round(t, 3), m.pitch) for t, m in said if m.type == "pitchwheel"]
    assert wheel == [(1.1, 8192 * 6 // semitones), (2.0, 0)]
    assert presses(path, "notes") == [
        ("note_on", 1.0, 60),
        ("note_off", 1.5, 60),
        ("note_on", 2.0, 62),
        ("note_off", 3.0, 62),
    ]
    assert [m.velocity for _, m in said if m.type == "note_on"] == [127, 1]
    order = [m.type for t, m in said if round(t, 3) == 2.0]
    assert order == ["pitchwheel", "note_on"]


def test_a_note_struck_again_ends_first(tmp_path: Path, ids: Iterator[int]) -> None:
    sink = SmfSink(path := tmp_path / "a.mid")
    first, second = (say(ids, NOTE_ON, t, number=60, value=0.5) for t in (1.0, 1.5))
    sink.write(np.concatenate([first, second]))
    sink.write(say(ids, NOTE_OFF, 1.6, ref=first["id"], number=60))
    sink.write(say(ids, NOTE_OFF, 2, ref=second["id"], number=60))
    sink.close(END)
    assert [(kind, t) for kind, t, _ in presses(path, "notes")] == [
        ("note_on", 1.0),
        ("note_off", 1.5),
        ("note_on", 1.5),
        ("note_off", 2.0),
    ]


def test_any_stream_of_events_makes_a_file_without_stuck_notes(tmp_path: Path, ids: Iterator[int]) -> None:
    rng, sink = np.random.default_rng(3), SmfSink(path := tmp_path / "a.mid")
    opened: list[np.ndarray] = []
    for step in range(400):
        at, dice = step * 0.013 + rng.normal() * 0.02 + 1, rng.random()
        if dice < 0.5:
            sink.write(hit(ids, at, rng.choice(["kick", "ride", "snare"]), rng.random()))
        elif dice < 0.75:
            on = say(ids, NOTE_ON, at, number=rng.integers(60, 64), value=rng.random())
            opened.append(on)
            sink.write(on)
        elif opened and dice < 0.85:
            sink.write(say(ids, BEND, at, ref=opened[-1]["id"], number=rng.normal() * 300))
        elif opened:
            sink.write(say(ids, NOTE_OFF, at, ref=opened.pop(0)["id"]))
    sink.close(END)
    for track in ("notes", "drums"):
        sounding: set[int] = set()
        for kind, _, note in presses(path, track):
            assert (note in sounding) == (kind == "note_off")
            sounding ^= {note}
        assert not sounding


def test_a_file_is_there_before_the_session_ends(tmp_path: Path, ids: Iterator[int]) -> None:
    sink = SmfSink(path := tmp_path / "a.mid")
    sink.write(say(ids, NOTE_ON, 1, number=60, value=0.5))
    assert not path.exists()
    sink.write(say(ids, NOTE_ON, 11, number=64, value=0.5))
    assert [kind for kind, _, _ in presses(path, "notes")] == ["note_on", "note_off"] * 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.mid"]


def test_silence_makes_a_valid_file_too(tmp_path: Path) -> None:
    sink = SmfSink(path := tmp_path / "a.mid")
    sink.close(END)
    assert len(mido.MidiFile(path).tracks) == 1


def test_a_preset_chooses_notes_channels_gate_and_velocity(tmp_path: Path, ids: Iterator[int]) -> None:
    preset = load("drums", ["midi.drum_channel=3", "midi.gate_ms=500", "drums.map.kick=24", "velocity.low=1"])
    sink = SmfSink(path := tmp_path / "a.mid", preset)
    sink.write(hit(ids, 1, velocity=0.1))
    sink.close(END)
    assert presses(path, "drums") == [("note_on", 1.0, 24), ("note_off", 1.5, 24)]
    assert [(m.channel, m.velocity) for _, m in timeline(path, "drums") if m.type == "note_on"] == [(2, 127)]


def test_low_notes_have_a_track_and_a_channel_of_their_own(tmp_path: Path, ids: Iterator[int]) -> None:
    preset = load("bass", ["midi.split=C3", "midi.low_channel=5"])
    sink = SmfSink(path := tmp_path / "a.mid", preset)
    for number, start in ((60, 1.0), (40, 1.5)):
        on = say(ids, NOTE_ON, start, number=number, value=0.5, channel=1)
        ref = int(on["id"][0])
        sink.write(np.concatenate([on, say(ids, BEND, start + 0.1, ref=ref, number=50)]))
        sink.write(say(ids, NOTE_OFF, start + 0.25, ref=ref, number=number))
    sink.close(END)
    assert presses(path, "notes") == [("note_on", 1.0, 60), ("note_off", 1.25, 60)]
    assert presses(path, "low notes") == [("note_on", 1.5, 40), ("note_off", 1.75, 40)]
    for track, channel in (("notes", 0), ("low notes", 4)):
        said = [m for _, m in timeline(path, track) if not m.is_meta]
        assert {m.channel for m in said} == {channel}
        assert [m.pitch > 0 for m in said if m.type == "pitchwheel"] == [True, False]


def test_a_midi_file_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(MidiError, match="no folder"):
        SmfSink(tmp_path / "none" / "a.mid")
    with pytest.raises(MidiError, match="is a folder"):
        SmfSink(tmp_path)


# -- OSC


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        heard.settimeout(5)
        yield heard


def address_of(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


def heard(listener: socket.socket) -> tuple[str, list[Any]]:
    got = OscMessage(listener.recv(4096))
    return got.address, got.params


def test_osc_arrives_as_the_interface_says(listener: socket.socket, ids: Iterator[int]) -> None:
    sink = OscSink([address_of(listener)], "/kit", notes={"kick": 24})
    sink.open(HEADER)
    assert heard(listener) == ("/kit/status", ["start", "drums"])
    sink.write(np.concatenate([say(ids, LEVEL, 1, number=-20), hit(ids, 1)]))
    assert heard(listener) == ("/kit/drum", ["kick", 24, 0.5, 1.0])
    assert heard(listener) == ("/kit/drum/kick", [0.5])
    sink.close(END)
    assert heard(listener) == ("/kit/status", ["end", 1, 2, 3])


def test_a_bundle_carries_the_time_it_sounded(listener: socket.socket, ids: Iterator[int]) -> None:
    sink = OscSink([address_of(listener)], bundle=True)
    before = time.time()
    sink.write(say(ids, ONSET, 1, value=0.5))  # emitted 600 samples after it sounded
    after = time.time()
    bundle = OscBundle(listener.recv(4096))
    assert before - 0.001 <= bundle.timestamp + 600 / RATE <= after + 0.001
    assert bundle.content(0).address == "/earwire/onset"
    sink.close(END)


def test_the_level_goes_out_when_asked_for(listener: socket.socket, ids: Iterator[int]) -> None:
    sink = OscSink([address_of(listener)], level=True)
    sink.write(say(ids, LEVEL, 1, number=-20))
    assert heard(listener) == ("/earwire/level", [-20.0])
    sink.close(END)


def test_a_listener_that_comes_late_is_heard_by(ids: Iterator[int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    told: list[str] = []
    sink = OscSink([f"127.0.0.1:{address[1]}"], say=told.append)
    for _ in range(20):
        sink.write(hit(ids, 1))
    assert len(told) <= 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind(address)
        late.settimeout(5)
        sink.write(hit(ids, 2))
        assert heard(late)[0] == "/earwire/drum"
    sink.close(END)


def test_a_host_that_cannot_be_found_is_said_once_and_never_waited_for(
    ids: Iterator[int], monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    port, real, lost = listener.getsockname()[1], socket.getaddrinfo, [True]

    def lookup(host: str, *args: Any, **kwargs: Any) -> Any:
        if lost[0]:
            raise socket.gaierror(-2, "Name or service not known")
        return real("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr("bridge.sinks.osc.socket.getaddrinfo", lookup)
    monkeypatch.setattr("bridge.sinks.osc.RETRY", 0.01)
    told: list[str] = []
    sink = OscSink([f"stage.local:{port}"], say=told.append)
    for _ in range(50):
        sink.write(hit(ids, 1))
    assert sink.targets[0].dropped == 100
    deadline = time.monotonic() + 5
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    lost[0] = False
    while len(told) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "not known" in told[0] and "found" in told[1] and len(told) == 2
    sink.write(hit(ids, 2))
    assert heard(listener)[0] == "/earwire/drum"
    sink.close(END)


def test_a_target_that_is_none_is_refused() -> None:
    with pytest.raises(OscError, match="HOST:PORT"):
        OscSink(["localhost"])


# -- takes


def test_a_take_holds_sound_events_and_midi(tmp_path: Path, ids: Iterator[int]) -> None:
    take = TakeSink(tmp_path / "take", Preset(), ahead=27)
    take.open(HEADER)
    x = np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32)
    for start in range(0, x.size, 5000):
        take.sound(x[start : start + 5000])
    take.write(hit(ids, 1))
    take.close(END)
    take.close(END)
    with soundfile.SoundFile(tmp_path / "take" / "audio.wav") as file:
        assert (file.samplerate, file.channels, file.subtype) == (RATE, 1, "FLOAT")
        assert file.comment == "earwire take, ahead=27"
        np.testing.assert_array_equal(file.read(dtype="float32"), x)
    assert len((tmp_path / "take" / "events.jsonl").read_text().splitlines()) == 3
    assert presses(tmp_path / "take" / "take.mid", "drums")[0] == ("note_on", 1.0, 36)


def test_a_take_can_be_read_though_the_program_died(tmp_path: Path) -> None:
    take = TakeSink(tmp_path)
    take.open(HEADER)
    take.sound(np.full(3 * RATE, 0.25, np.float32))
    with soundfile.SoundFile(tmp_path / "audio.wav") as file:  # nothing was closed
        assert file.frames >= 2 * RATE
        assert (file.read(RATE, dtype="float32") == 0.25).all()
    take.close(END)


def test_a_take_never_replaces_another(tmp_path: Path) -> None:
    TakeSink(tmp_path / "take").close(END)
    (tmp_path / "take-2").mkdir()
    before = (tmp_path / "take" / "audio.wav").read_bytes()
    with pytest.raises(TakeError, match="not empty") as refused:
        TakeSink(tmp_path / "take")
    assert str(tmp_path / "take-3") in refused.value.hint
    assert (tmp_path / "take" / "audio.wav").read_bytes() == before


def test_a_take_needs_a_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TakeError, match="cannot be recorded"):
        TakeSink(tmp_path / "file")


def test_a_take_goes_on_without_sound_when_the_disk_is_full(tmp_path: Path, ids: Iterator[int]) -> None:
    told: list[str] = []
    take = TakeSink(tmp_path, replace(Preset(), name="mine"), say=told.append)

    class Full:
        def write(self, x: np.ndarray) -> None:
            raise RuntimeError("No space left on device")

        def close(self) -> None:
            pass

    take._audio.close()
    take._audio = Full()
    take.sound(np.zeros(10, np.float32))
    take.sound(np.zeros(10, np.float32))
    take.write(hit(ids, 1))
    take.close(END)
    assert len(told) == 1 and "No space" in told[0]
    assert (tmp_path / "take.mid").exists()
