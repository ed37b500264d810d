# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole sound file, heard as live sound is, as fast as the processor allows."""

from collections.abc import Callable, Iterator
from itertools import chain as chain_blocks
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bridge.closing import Closing
from bridge.errors import AudioFileError
from bridge.hearing import BAD, BLOCK, HEARD, hear_step, hearing, room
from bridge.kit.teacher import Teacher, pads_of
from bridge.midi.departure import declared
from bridge.patch import take_of
from bridge.preset import Preset
from bridge.slow import SlowLane, stages
from bridge.sources.files import check_channels, mixdown, open_audio
from dsp.events import EVENT
from dsp.resample import HIGHEST, LOWEST
from dsp.units import RATE


class Transcription(NamedTuple):
    events: np.ndarray  # (n,) EVENT
    samples: int  # heard, at 48 kHz
    mended: int  # of them not finite or absurd
    beyond: int  # what plugins add to every decision [samples]


def transcribe(
    blocks: Iterator[np.ndarray],
    rate: int,
    preset: Preset,
    *,
    ahead: int = 0,
    raw: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Transcription:
    """Events of a whole file, as fast as the processor allows: the step that live sound takes.

    Parameters
    ----------
    blocks
        Mono float32 blocks of any length.
    rate
        Of the source [Hz].
    preset
        What to listen for.
    ahead
        From the file, where it is a recorded take [samples].
    raw
        Whether the preset's gain and plugins are still to be applied; not for a take.
    progress
        Called with the source samples done so far.
    """
    chain = None
    if raw and preset.plugins:
        from bridge.plugins import PluginChain

        chain = PluginChain(preset.plugins, rate)
    lag = chain.delay if chain else 0
    state = hearing(preset, rate, preset.source.gain_db if raw else 0.0, lag, ahead)
    Teacher(pads_of(state), preset)
    slow = SlowLane(stages(preset), int(state.params["ahead"][0]))
    out, closing, got, done = room(), Closing(), [np.zeros(0, EVENT)], 0
    tail = np.zeros(int(state.params["tail"][0]), np.float32)
    for whole in chain_blocks(blocks, [tail]):
        for start in range(0, len(whole), BLOCK):
            block = np.ascontiguousarray(whole[start : start + BLOCK], np.float32)
            heard = chain.process(block) if chain else block
            said, n = hear_step(state, heard, out)
            if said:
                got.append(out[:said].copy())
                slow.know(got[-1])
            got.extend(events for events, _ in slow.listen(state.heard[:n]))
        done += len(whole)
        if progress:
            progress(done)
    events = np.concatenate(got)
    events = events[np.lexsort((events["id"], events["emitted"]))]
    closing.follow(events)
    time, waits = int(state.counts[HEARD]), int(state.params["ahead"][0])
    ends = closing.events(time, time + waits)
    added = int(state.params["beyond"][0])
    return Transcription(np.concatenate([events, ends]), time, int(state.counts[BAD]), added)


class Heard(NamedTuple):
    events: np.ndarray  # (n,) EVENT, times at 48 kHz
    seconds: float
    mended: int  # samples that were not finite or absurd
    warning: str  # what is wrong with a file that plays all the same, or ""
    header: dict[str, Any]  # as in the start line


def prepare(preset: Preset) -> None:
    """Have what `transcribe_file` calls compiled."""
    hear_step(hearing(preset, RATE), np.zeros(0, np.float32), room())


def transcribe_file(
    path: Path | str,
    preset: Preset,
    progress: Callable[[float], None] | None = None,
    through: Callable[[int], Callable[[np.ndarray], np.ndarray]] | None = None,
) -> Heard:
    """Events of a sound file.

    Parameters
    ----------
    path
        WAV, FLAC, Ogg, MP3 or AIFF.
    preset
        What to listen for.
    progress
        Called with the part done, 0..1.
    through
        What the sound goes through before it is heard: called with its rate, and then with
        each block (n,) float32 for as many samples.

    Raises
    ------
    AudioFileError
        Where it cannot be read.
    """
    with open_audio(path) as file:
        check_channels(preset.source.channels, file.channels, str(path))
        if not LOWEST <= file.rate <= HIGHEST:
            raise AudioFileError(
                f"{path}: a rate of {file.rate} Hz is outside {LOWEST}..{HIGHEST}",
                "convert it first, e.g. ffmpeg -i IN -ar 48000 OUT.wav",
            )
        take = take_of(file)
        expected = file.frames or 0

        def advance(done: int) -> None:
            if progress is not None and expected:
                progress(min(1.0, done / expected))

        blocks: Iterator[np.ndarray] = (
            mixdown(block, preset.source.channels) for block in file.blocks(BLOCK)
        )
        if through is not None:
            blocks = map(through(file.rate), blocks)
        got = transcribe(blocks, file.rate, preset, ahead=take or 0, raw=take is None, progress=advance)
        header = {
            "preset": preset.name,
            "mode": preset.mode,
            "constant": declared(preset, beyond=got.beyond),
            "ports": {"source": [f"file:{Path(path).name}"]},
        }
        return Heard(got.events, got.samples / RATE, got.mended, file.warning, header)
