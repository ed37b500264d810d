# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole sound file, heard as live sound is, as fast as the processor allows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bridge.departure import declared
from bridge.engine import transcribe
from bridge.errors import AudioFileError
from bridge.hearing import hear_step, hearing, room
from bridge.patch import take_of
from bridge.preset import Preset
from bridge.sources.files import check_channels, mixdown, open_audio
from dsp.resample import HIGHEST, LOWEST
from dsp.units import RATE

BLOCK = 4096  # frames read at once


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
