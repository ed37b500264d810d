# SPDX-License-Identifier: GPL-3.0-or-later
"""Strokes cut out of sound, and what the ear makes of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bridge.errors import KitError
from bridge.hearing import BLOCK, hear_step, hearing, room
from bridge.kit import pages
from bridge.kit.teacher import known_of, pads_of, without_kit
from bridge.preset import Channels, Preset
from bridge.sources.files import check_channels, mixdown, open_audio
from dsp.events import DRUM, EVENT, ONSET
from dsp.pads import PadsState
from dsp.units import RATE, samples

SOUND = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")
BEFORE, LONGEST, FADE = samples(5), RATE, samples(10)  # of a cut stroke [samples]
APART = samples(90)  # what follows a louder stroke sooner is its echo
WEAK = 0.75  # what is so much softer than the loudest of its pad is no stroke of it
SILENCE = samples(400)  # before and after a file
NEAR = samples(12)  # where a stroke is heard, and where it was put


class Stroke(NamedTuple):
    sound: np.ndarray  # (n,) float32 at 48 kHz
    at: int  # sample at which it begins


class Heard(NamedTuple):
    sound: np.ndarray  # (n,) float32 at 48 kHz
    events: np.ndarray  # (m,) EVENT: strokes and hits
    known: dict[int, np.ndarray]  # what the ear knew of each hit, by its id


def for_drums(preset: Preset) -> Preset:
    """The preset with strokes and hits on, and all else off."""
    return replace(
        preset,
        onset=replace(preset.onset, enabled=True),
        drums=replace(preset.drums, enabled=True),
        notes=replace(preset.notes, enabled=False),
        osc=replace(preset.osc, level=False),
    )


def listen_to(
    blocks: Iterable[np.ndarray],
    rate: int,
    preset: Preset,
    teach: Callable[[PadsState], object] | None = None,
) -> Heard:
    """Strokes and hits in mono blocks, heard as they would be live.

    Parameters
    ----------
    teach
        Called once with the pads of the ear; without it there are none.
    """
    state = hearing(for_drums(preset), rate, preset.source.gain_db)
    pads = pads_of(state)
    if teach is not None:
        if pads is None:
            raise KitError("this ear cannot be taught")
        teach(pads)
    out = room()
    sound: list[np.ndarray] = [np.zeros(0, np.float32)]
    events: list[np.ndarray] = [np.zeros(0, EVENT)]
    known: dict[int, np.ndarray] = {}
    for whole in blocks:
        for start in range(0, len(whole), BLOCK):
            block = np.ascontiguousarray(whole[start : start + BLOCK], np.float32)
            said, heard = hear_step(state, block, out)
            sound.append(state.heard[:heard].copy())
            events.append(out[:said][np.isin(out[:said]["kind"], (ONSET, DRUM))])
            if pads is None:
                continue
            for hit in events[-1][events[-1]["kind"] == DRUM]:
                if (kept := known_of(pads, int(hit["id"]))) is not None:
                    known[int(hit["id"])] = kept
    return Heard(np.concatenate(sound), np.concatenate(events), known)


def cut(sound: np.ndarray, times: Sequence[int]) -> list[Stroke]:
    """The strokes that begin at `times` [samples], each until the next one or until it has rung."""
    strokes = []
    for time, after in pairwise([*times, len(sound) + BEFORE]):
        start = max(0, time - BEFORE)
        piece = sound[start : min(after - BEFORE, time + LONGEST)].astype(np.float32)
        fade = min(FADE, len(piece))
        piece[len(piece) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
        strokes.append(Stroke(piece, time - start))
    return strokes


def distinct(events: np.ndarray) -> list[int]:
    """When the strokes of one pad began [samples], echoes and what is far too weak left out."""
    onsets = np.sort(events[events["kind"] == ONSET], order="time")
    if not len(onsets):
        return []
    loud = onsets["value"].max()
    kept: list[np.void] = []
    for onset in onsets[onsets["value"] >= loud - WEAK]:
        if kept and onset["time"] - kept[-1]["time"] < APART:
            if onset["value"] > kept[-1]["value"]:
                kept[-1] = onset
        else:
            kept.append(onset)
    return [int(onset["time"]) for onset in kept]


def file_blocks(path: Path, channels: Channels) -> tuple[int, Iterator[np.ndarray]]:
    """Rate and mono blocks of a sound file, with silence around."""
    file = open_audio(path)
    check_channels(channels, file.channels, str(path))
    still = np.zeros(SILENCE * file.rate // RATE + 1, np.float32)

    def blocks() -> Iterator[np.ndarray]:
        with file:
            yield from (mixdown(block, channels) for block in file.blocks(4096))

    return file.rate, chain([still], blocks(), [still])


def strokes_in(path: Path, preset: Preset) -> list[Stroke]:
    """The strokes of a sound file; the whole of it where no stroke is found in it."""
    rate, blocks = file_blocks(path, preset.source.channels)
    heard = listen_to(blocks, rate, without_kit(preset))
    times = distinct(heard.events)
    loud = np.abs(heard.sound)
    if not times and len(loud) and loud.max() > 1e-4:
        times = [int(np.argmax(loud > 0.1 * loud.max()))]
    return cut(heard.sound, times)


def pads_in(folder: Path) -> dict[str, list[Path]]:
    """Sound files by pad: a file, or a folder of files, that is called as the pad is.

    Raises
    ------
    KitError
        Where there are none, or a name is no name of a pad.
    """
    if not folder.is_dir():
        raise KitError(f"{folder}: there is no such folder")
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        inside = path.rglob("*") if path.is_dir() else [path]
        files = sorted(p for p in inside if p.suffix.lower() in SOUND and p.is_file())
        if files and not path.name.startswith("."):
            name = (path.name if path.is_dir() else path.stem).strip().replace(" ", "-")
            found.setdefault(pages.check(name, "pad"), []).extend(files)
    if not found:
        raise KitError(
            f"{folder}: holds no sound",
            "put kick.wav, snare.wav ... there, or folders kick, snare ... of files",
        )
    return found
