# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, in words a musician can act on.

    EarwireError
      UsageError            the command line asks for something that makes no sense (exit 2)
      PresetError           a preset cannot be read, or says something impossible
      CacheError            a folder for compiled kernels or reports cannot be written
      SourceError           sound cannot come in
        AudioFileError      a sound file or stream cannot be read or written
        DeviceError         a sound card or its driver refuses
          JackError         the JACK server or its library refuses
      SinkError             events cannot leave
        MidiError           a MIDI port or MIDI file refuses
        OscError            an OSC address or socket refuses
        TakeError           a recording session cannot be written
      ModelError            a learned stage cannot be loaded
      KitError              a kit cannot be found, read, learned or kept
      PluginError           a plugin cannot be found, loaded or set

Every message says what is wrong and where; `hint` says what to do about it.
Nothing else may reach a terminal: what is not in this tree is a bug of ours,
and is written to a report file instead.
"""

from pathlib import Path


class EarwireError(Exception):
    """Something the user can understand and mend.

    Parameters
    ----------
    message
        What is wrong and where, one sentence without a full stop.
    hint
        What to do about it, or nothing where the message says it all.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(EarwireError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class PresetError(EarwireError):
    """A preset cannot be read, or says something impossible.

    Parameters
    ----------
    message
        What is wrong, without the place.
    hint
        What to do about it.
    path
        The preset's file, or None for an override given on the command line.
    line
        Line of the file, counted from 1, or None where no line is to blame.
    key
        Dotted key, such as ``drums.decision_ms``, or "".
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        path: Path | str | None = None,
        line: int | None = None,
        key: str = "",
    ) -> None:
        place = ", ".join(part for part in (str(path or ""), f"line {line}" if line else "") if part)
        where = f"{key} ({place})" if key and place else key or place
        super().__init__(f"{where}: {message}" if where else message, hint)
        self.path = path
        self.line = line
        self.key = key


class CacheError(EarwireError):
    """A folder for compiled kernels or reports cannot be written."""


class SourceError(EarwireError):
    """Sound cannot come in."""


class AudioFileError(SourceError):
    """A sound file or stream cannot be read or written."""


class DeviceError(SourceError):
    """A sound card or its driver refuses."""


class JackError(DeviceError):
    """The JACK server or its library refuses."""


class SinkError(EarwireError):
    """Events cannot leave."""


class MidiError(SinkError):
    """A MIDI port or MIDI file refuses."""


class OscError(SinkError):
    """An OSC address or socket refuses."""


class TakeError(SinkError):
    """A recording session cannot be written."""


class ModelError(EarwireError):
    """A learned stage cannot be loaded."""


class KitError(EarwireError):
    """A kit cannot be found, read, learned or kept."""


class PluginError(EarwireError):
    """A plugin cannot be found, loaded or set."""
