# SPDX-License-Identifier: GPL-3.0-or-later
"""A take: the sound as it was heard, the events and the MIDI of one session, in a folder of its own."""

from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import TakeError
from bridge.preset import Preset
from bridge.sinks import Say, say_on_stderr
from bridge.sinks.lines import LinesSink
from bridge.sinks.smf import SmfSink
from dsp.units import RATE

UPDATE = 2 * RATE  # how often the header is brought up to date [samples]
LONGEST = 6 * 3600 * RATE  # a WAV file ends at 4 GiB
UPDATE_HEADER_NOW = 0x1060  # libsndfile's command


def comment(ahead: int) -> str:
    """What the sound file says of itself: how much newer input each sample already waited for."""
    return f"earwire take, ahead={ahead}"


class TakeSink:
    """``audio.wav``, ``events.jsonl`` and ``take.mid`` in a folder that is new or empty.

    All three are valid at any moment but the last two seconds, whatever happens
    to the program. Transcribing ``audio.wav`` gives the same event lines.

    Parameters
    ----------
    folder
        Where the take goes; made where it does not exist.
    preset
        In use, for the MIDI file.
    ahead
        Look-ahead of the source's resampler and plugins [samples at 48 kHz].
    say
        Tells the user one line.

    Raises
    ------
    TakeError
        Where the folder holds something already, or cannot be written.
    """

    def __init__(
        self, folder: Path | str, preset: Preset | None = None, ahead: int = 0, say: Say = say_on_stderr
    ) -> None:
        self.folder, self._say = Path(folder), say
        self._written = self._updated = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()):
                raise TakeError(
                    f"{self.folder}: is not empty, and a take never replaces another",
                    f"name a new folder, such as --record {_next(self.folder)}",
                )
            self._audio = self._open_audio(ahead)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise TakeError(f"{self.folder}: a take cannot be recorded there: {why}") from None
        self._sinks = (
            LinesSink(self.folder / "events.jsonl", preset.drum_notes if preset else None, say=say),
            SmfSink(self.folder / "take.mid", preset, say),
        )

    def _open_audio(self, ahead: int) -> Any:
        import soundfile

        path = self.folder / "audio.wav"
        try:
            file = soundfile.SoundFile(path, "w", RATE, 1, "FLOAT", format="WAV")
        except soundfile.LibsndfileError as error:
            raise OSError(error.error_string) from None
        file.comment = comment(ahead)  # before any sound, so that it stands in the header
        self._lib, self._null = soundfile._snd, soundfile._ffi.NULL
        return file

    def open(self, header: dict[str, Any]) -> None:
        for sink in self._sinks:
            sink.open(header)
        self._update()

    def sound(self, x: np.ndarray) -> None:
        """More of what the analysis heard, (n,) float32 at 48 kHz."""
        if self._audio is None or not len(x):
            return
        try:
            self._audio.write(x)
        except (OSError, RuntimeError) as error:
            self._stop_audio(f"no more sound is recorded: {error}")
            return
        self._written += len(x)
        if self._written - self._updated >= UPDATE:
            self._update()
        if self._written >= LONGEST:
            self._stop_audio("six hours are the longest a sound file can be; events go on")

    def write(self, events: np.ndarray) -> None:
        for sink in self._sinks:
            sink.write(events)

    def close(self, end: dict[str, Any]) -> None:
        for sink in self._sinks:
            sink.close(end)
        self._stop_audio()

    def _update(self) -> None:
        """Have the header say how much sound there is by now."""
        self._updated = self._written
        if self._audio is not None:
            self._lib.sf_command(self._audio._file, UPDATE_HEADER_NOW, self._null, 0)

    def _stop_audio(self, why: str = "") -> None:
        audio, self._audio = self._audio, None
        if audio is not None:
            try:
                audio.close()
            except (OSError, RuntimeError) as error:
                why = why or f"the end of the sound was not written: {error}"
        if why:
            self._say(f"{self.folder}: {why}")


def _next(folder: Path) -> Path:
    """A name like this one that nothing has yet: take-2 after take, take-3 after take-2."""
    stem, dash, last = folder.name.rpartition("-")
    stem, count = (stem, int(last)) if dash and last.isdigit() and len(last) < 4 else (folder.name, 1)
    while True:
        count += 1
        other = folder.with_name(f"{stem}-{count}")
        if not other.exists():
            return other
