# SPDX-License-Identifier: GPL-3.0-or-later
"""A digital audio workstation without a screen: Ardour plays a sound into a port and records MIDI from another."""

import os
import subprocess
import wave
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np

RATE = 48_000
NAME = "session"
TRIES = 3  # of making a session, and of a performance
HERE = Path(__file__).parent


class Note(NamedTuple):
    at: int  # on the timeline [samples]
    note: int
    velocity: int
    channel: int


class Recording(NamedTuple):
    latency: int  # what the port that was recorded says of its own lateness [samples]
    notes: list[Note]
    ends: int  # how many note-offs


class NothingRecordedError(AssertionError):
    """The performance ended without a recording; what Ardour said of it."""


class Ardour:
    """One session in a folder of its own, with settings of its own.

    Parameters
    ----------
    folder
        Made, for this session alone.
    hears
        JACK port that the audio track "player" plays into.
    says
        JACK port that the MIDI track "listener" records.
    """

    def __init__(self, folder: Path, hears: str, says: str) -> None:
        for attempt in range(TRIES):
            self._home = folder / f"home-{attempt}"
            self._home.mkdir(parents=True)
            self.folder = self._home / NAME
            try:
                self._lua("build.lua", hears, says)
                return
            except AssertionError as error:
                # jackd drops a client that is silent for two seconds, as Ardour can be on a machine at work.
                if "JACK HALTED" not in str(error) or attempt + 1 == TRIES:
                    raise

    def _lua(self, script: str, *args: object) -> str:
        env = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        done = subprocess.run(
            ["ardour7-lua", HERE / script, self.folder, NAME, *map(str, args)],
            env={**env, "HOME": str(self._home)},
            cwd=self._home,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def put(self, sound: np.ndarray) -> None:
        """Lay mono float sound on the track "player", from the start of the timeline."""
        path = self.folder / "interchange" / NAME / "audiofiles" / "performance.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(np.round(sound * 32_767).astype("<i2").tobytes())
        # Ardour's Lua cannot make a region of a file; its session file, while closed, can.
        session = self.folder / f"{NAME}.ardour"
        tree = ET.parse(session)
        root = tree.getroot()
        spare = int(root.get("id-counter", "0"))
        tick = int(_child(root, "TempoMap").get("superclocks-per-second", "")) // RATE
        length = f"a{len(sound) * tick}@a0"
        source = {
            "name": path.name,
            "type": "audio",
            "flags": "",
            "id": str(spare),
            "channel": "0",
            "gain": "1",
        }
        ET.SubElement(_child(root, "Sources"), "Source", source)
        region = {
            "name": "performance",
            "id": str(spare + 1),
            "type": "audio",
            "channels": "1",
            "source-0": str(spare),
            "master-source-0": str(spare),
            "start": "a0",
            "length": length,
            "ancestral-start": "a0",
            "ancestral-length": length,
            "sync-position": "a0",
            "opaque": "1",
            "layer": "0",
            "scale-amplitude": "1",
            "default-fade-in": "0",
            "default-fade-out": "0",
            "fade-in-active": "0",
            "fade-out-active": "0",
        }
        playlists = _child(root, "Playlists")
        player = next(list_ for list_ in playlists if list_.get("name", "").startswith("player"))
        ET.SubElement(player, "Region", region)
        root.set("id-counter", str(spare + 2))
        tree.write(session, encoding="UTF-8", xml_declaration=True)

    def perform(self, seconds: float) -> Recording:
        """Play the timeline's first seconds and record what comes back."""
        output = self._lua("perform.lua", seconds)
        said = [line.split() for line in output.splitlines()]
        if not any(words[:1] == ["recorded"] for words in said):
            raise NothingRecordedError(output)
        (latency,) = (int(words[1]) for words in said if words[:1] == ["latency"])
        ((position, start),) = (map(int, words[1:3]) for words in said if words[:1] == ["recorded"])
        (path,) = (self.folder / "interchange" / NAME / "midifiles").glob("*.mid")
        file = mido.MidiFile(path)
        (track,) = file.tracks
        notes, ends, ticks = [], 0, 0
        for message in track:
            ticks += message.time
            if message.type == "note_on" and message.velocity:
                at = round(ticks / file.ticks_per_beat * RATE / 2)  # the timeline is at 120 bpm
                notes.append(Note(at + position - start, message.note, message.velocity, message.channel + 1))
            elif message.type in ("note_on", "note_off"):
                ends += 1
        return Recording(latency, notes, ends)


def _child(root: ET.Element, name: str) -> ET.Element:
    child = root.find(name)
    assert child is not None, f"this Ardour writes no {name} into its sessions"
    return child
