# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person asks for by OSC or MIDI arrives, and nothing else does."""

import socket
from queue import Empty, SimpleQueue

import pytest
from pythonosc.osc_message_builder import OscMessageBuilder

from bridge.errors import OscError, UsageError
from bridge.preset import load
from bridge.remote import MOST_TEXT, MidiRemote, OscRemote
from tests.daemon import free_port


def packet(address, *arguments):
    builder = OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument)
    return builder.build().dgram


class Wire:
    """A remote that listens, and a peer that sends to it."""

    def __init__(self, host="127.0.0.1"):
        self.commands, self.port = SimpleQueue(), free_port()
        where = str(self.port) if host == "127.0.0.1" else f"{host}:{self.port}"
        self.remote = OscRemote(where, "studio", self.commands)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def send(self, data):
        self.socket.sendto(data, ("127.0.0.1", self.port))

    def heard(self, seconds=5.0):
        """The next command, or None."""
        try:
            return self.commands.get(timeout=seconds)
        except Empty:
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remote.close()
        self.socket.close()


@pytest.mark.parametrize(
    "sent, command",
    [
        (packet("/studio/correct", "snare"), ("correct", "snare")),
        (packet("/studio/preset", "voice"), ("preset", "voice")),
        (packet("/studio/panic"), ("panic", "")),
        (packet("/studio/panic", 1), ("panic", "1")),
        (packet("/studio/correct", "x" * 5000), ("correct", "x" * MOST_TEXT)),
        (packet("/studio/correct", "Trommel \N{MUSICAL SYMBOL G CLEF}"), ("correct", None)),
    ],
)
def test_each_command_arrives_with_its_argument(sent, command):
    with Wire() as wire:
        wire.send(sent)
        got = wire.heard()
    assert got is not None and got[0] == command[0]
    assert command[1] is None or got == command


NOISE = [
    b"",
    b"\0",
    b"/studio/panic",  # no type tags, not padded
    b"#bundle\0",
    b"#bundle\0" + b"\xff" * 20,
    b"\xff" * 1400,
    packet("/studio/panic")[:-1],
    packet("/other/panic"),
    packet("/studio/panicky"),
    packet("/studio/*/panic"),
    packet("/studio/correct", "snare").replace(b",s", b",b"),
]


def test_noise_is_passed_over(capfd):
    with Wire() as wire:
        for noise in NOISE:
            wire.send(noise)
        wire.send(packet("/studio/correct", "kick"))
        got = []
        while not got or got[-1] != ("correct", "kick"):
            got.append(wire.heard())
            assert got[-1] is not None
    assert set(got[:-1]) <= {("panic", ""), ("correct", "")}
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_is_said():
    with Wire() as wire, pytest.raises(OscError, match="--osc-in"):
        OscRemote(str(wire.port), "studio", SimpleQueue())


def test_a_closed_remote_gives_its_port_back():
    with Wire() as wire:
        pass
    again = OscRemote(str(wire.port), "studio", SimpleQueue())
    again.close()


@pytest.mark.parametrize("where", ["", "nine", "0", "70000", "127.0.0.1:", "127.0.0.1:x"])
def test_what_is_no_address_is_a_mistake_of_usage(where):
    with pytest.raises(UsageError, match="--osc-in"):
        OscRemote(where, "studio", SimpleQueue())


def test_a_pad_corrects_the_last_hit(monkeypatch):
    commands, preset = SimpleQueue(), load("drums", ["drums.map.cowbell=60"])
    taken = {}

    class Port:
        def close_port(self):
            taken["closed"] = True

        def delete(self):
            taken["deleted"] = True

    def open_input(name, virtual, callback):
        taken.update(name=name, virtual=virtual, callback=callback)
        return Port()

    monkeypatch.setattr("bridge.midi.rtports.open_input", open_input)
    remote = MidiRemote("Pad Kontrol", preset.drum_notes, commands)
    assert (taken["name"], taken["virtual"]) == ("Pad Kontrol", False)
    silent = ([0x90, 60, 0], [0x80, 60, 64], [0x90, 127, 90], [0xF8], [], [0xB0, 60, 64])
    for data in (*silent, [0x99, 60, 90], [0x90, 36, 1]):
        taken["callback"]((data, 0.0), None)
    assert [commands.get_nowait(), commands.get_nowait()] == [("correct", "cowbell"), ("correct", "kick")]
    assert commands.empty()
    remote = MidiRemote("Pad Kontrol", preset.drum_notes, commands, tap_note=70)
    for note in (70, 71, 72, 73, 74, 75, 36):
        taken["callback"](([0x90, note, 90], 0.0), None)
    tap, *others = [commands.get_nowait() for _ in range(7)]
    assert tap[0] == "tap" and tap[1].isdecimal()
    assert others == [
        ("half", ""), ("double", ""), ("nudge", "-5"), ("nudge", "5"), ("lock", ""), ("correct", "kick")
    ]  # fmt: skip
    remote.close()
    assert taken["closed"] and taken["deleted"]
    for spec, name in (("virtual:Pads", "Pads"), ("virtual", "earwire-in")):
        MidiRemote(spec, preset.drum_notes, commands)
        assert (taken["name"], taken["virtual"]) == (name, True)
