# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound from a file or from stdin, a block at a time, never the whole of it in memory."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Literal, Self

import numpy as np

from bridge.errors import AudioFileError, UsageError

RATES = range(4_000, 768_001)  # sample rates we believe [Hz]
MOST_CHANNELS = 128

FORMATS = (
    *(f"{name}{order}" for name in ("s16", "s24", "s32", "f32", "f64") for order in ("le", "be")),
    "u8",
    "s8",
)

Channels = Literal["mix"] | Sequence[int]

_SEEK_FAILED = 39  # libsndfile's code: the end of a stream that never said how long it is
_OPEN_ENDED = 0x7FFF0000  # a writer that cannot go back leaves a length from here to 2**32
_LENGTH = re.compile(r"^\s*(?:data|SSND)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_CONTAINERS = {
    b"RIFF": "WAV",
    b"RF64": "WAV",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"FORM": "AIFF",
    b"ID3\x03": "MP3",
}


class AudioFile:
    """A sound file being read.

    Attributes
    ----------
    path : Path
    rate : int
        [Hz]
    channels : int
    frames : int or None
        Length by the file's own word [samples]; None where it does not say.
    comment : str
        What the file says of itself.
    warning : str
        What is wrong with a file that plays all the same, or "". Complete only once it has been read.

    Notes
    -----
    Samples are as stored: a float file may hold values beyond full scale, or none that are finite.
    """

    def __init__(self, path: Path, file: Any, error: type[Exception]) -> None:
        self.path = path
        self.rate: int = file.samplerate
        self.channels: int = file.channels
        self.frames: int | None = file.frames if file.frames < 2**62 else None
        self.comment: str = file.comment or ""
        self.warning = _cut_short(path, file)
        self._file = file
        self._error = error

    def blocks(self, frames: int) -> Iterator[np.ndarray]:
        """The rest of the sound in blocks (<= frames, channels) float32, the last one shorter."""
        total, n = 0, frames
        while n == frames:
            block = np.full((frames, self.channels), np.nan, np.float32)
            try:
                n, damage = len(self._file.read(out=block)), None
            except self._error as error:
                # What was decoded before the damage is in the block, but only there: count it.
                heard = np.flatnonzero(~np.isnan(block).all(axis=1))
                n, damage = (int(heard[-1]) + 1 if len(heard) else 0), error
            if n:
                total += n
                yield block[:n]
            if damage is not None:
                if getattr(damage, "code", 0) != _SEEK_FAILED:
                    self._warn(f"damaged after {total / self.rate:.2f} s")
                break
        if self.frames is not None and total < self.frames:
            self._warn(f"ends after {total / self.rate:.2f} s of {self.frames / self.rate:.2f} s")

    def _warn(self, what: str) -> None:
        self.warning = self.warning or f"{self.path}: {what}"

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_audio(path: Path | str) -> AudioFile:
    """Open a WAV, FLAC, Ogg, MP3 or AIFF file, whatever its name says it is.

    Raises
    ------
    AudioFileError
        Where there is no such file, it holds no sound, or what it holds makes no sense.
    """
    path = Path(path)
    soundfile = _soundfile()
    _readable(path)
    try:
        # Anything may come out of a hostile file: the decoder's errors have no common root.
        file = soundfile.SoundFile(path)
    except Exception as error:  # noqa: BLE001
        why = str(error).split(": ", 1)[-1].rstrip(".") or type(error).__name__
        raise AudioFileError(
            f"{path}: not a sound file that can be read ({why})",
            "WAV, FLAC, Ogg, MP3 and AIFF are read; convert others first, e.g. ffmpeg -i IN OUT.wav",
        ) from None
    try:
        audio = AudioFile(path, file, soundfile.SoundFileError)
        if audio.rate not in RATES:
            raise AudioFileError(f"{path}: a sample rate of {audio.rate} Hz makes no sense")
        if not 1 <= audio.channels <= MOST_CHANNELS:
            raise AudioFileError(f"{path}: {audio.channels} channels make no sense")
        if audio.frames is not None and audio.frames <= 0:
            raise AudioFileError(f"{path}: holds no sound", "perhaps its recording was never finished")
    except AudioFileError:
        file.close()
        raise
    return audio


def _soundfile() -> ModuleType:
    try:
        import soundfile
    except OSError as error:
        raise AudioFileError(
            f"sound files cannot be read: {error}", "install libsndfile, e.g. apt install libsndfile1"
        ) from None
    return soundfile


def _readable(path: Path) -> None:
    """Say what the system says of `path`, which the decoder would only call a system error."""
    try:
        if path.is_dir():
            raise AudioFileError(f"{path}: is a folder, not a sound file")
        if path.exists() and not path.is_file():
            raise AudioFileError(f"{path}: not an ordinary file", "send raw samples in by --source stdin")
        with path.open("rb") as file:
            if not file.read(1):
                raise AudioFileError(f"{path}: is empty")
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise AudioFileError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if path.suffix.lower() == ".raw":  # by this name the decoder wants to be told the rate
        raise AudioFileError(
            f"{path}: raw samples say neither rate nor format",
            f"earwire run --source stdin:s16le:44100:2 < {path.name}",
        )


def _cut_short(path: Path, file: Any) -> str:
    """What a file's own header says of a missing end, or ""."""
    if file.format == "OGG":
        with path.open("rb") as raw:
            raw.seek(max(0, path.stat().st_size - (1 << 17)))  # an Ogg page is at most half as long
            tail = raw.read()
        page = tail.rfind(b"OggS\0")
        ended = page < 0 or page + 5 >= len(tail) or tail[page + 5] & 4
        return "" if ended else f"{path}: its end is missing"
    length = _LENGTH.search(file.extra_info)
    if length is None or int(length[1]) >= _OPEN_ENDED or int(length[2]) >= int(length[1]):
        return ""
    return f"{path}: its end is missing, {100 * int(length[2]) / int(length[1]):.0f} % is there"


@dataclass(frozen=True, slots=True)
class RawFormat:
    """How samples come in where no header says so."""

    encoding: str = "f32le"
    rate: int = 48_000
    channels: int = 1


def parse_stdin(spec: str) -> RawFormat:
    """Read `stdin[:FORMAT[:RATE[:CHANNELS]]]`; what is left out keeps its default."""
    head, *fields = spec.split(":")
    form = "stdin[:FORMAT:RATE:CHANNELS], e.g. stdin:s16le:44100:2"
    if head != "stdin" or len(fields) > 3:
        raise UsageError(f"source {spec!r} makes no sense", f"it is {form}")
    encoding, rate, channels = (
        given or default
        for given, default in zip([*fields, "", "", ""], ("f32le", "48000", "1"), strict=False)
    )
    if encoding not in FORMATS:
        raise UsageError(f"source {spec!r}: unknown format {encoding!r}", "formats: " + " ".join(FORMATS))
    if not rate.isascii() or not rate.isdigit() or int(rate) not in RATES:
        raise UsageError(f"source {spec!r}: {rate!r} is not a sample rate in Hz", f"it is {form}")
    if not channels.isascii() or not channels.isdigit() or not 1 <= int(channels) <= MOST_CHANNELS:
        raise UsageError(f"source {spec!r}: {channels!r} is not a number of channels", f"it is {form}")
    return RawFormat(encoding, int(rate), int(channels))


class RawStream:
    """Raw samples arriving on a pipe; the same face as `AudioFile`."""

    frames: int | None = None

    def __init__(self, form: RawFormat, stream: BinaryIO) -> None:
        self.rate = form.rate
        self.channels = form.channels
        self.warning = ""
        self._encoding = form.encoding
        self._stream = stream
        self._width = int(form.encoding.strip("usfble")) // 8  # bytes a sample

    def blocks(self, frames: int) -> Iterator[np.ndarray]:
        """What has arrived, as soon as it has, in blocks (<= frames, channels) float32."""
        width = self._width * self.channels
        # A buffered pipe would make the player wait until a whole block is there.
        read = getattr(self._stream, "read1", self._stream.read)
        rest, first = b"", True
        while True:
            try:
                arrived = read(frames * width - len(rest))
            except (OSError, ValueError) as error:
                self.warning = f"stdin: {getattr(error, 'strerror', None) or error}"
                return
            if arrived is None:  # a stream that does not block, with nothing to say yet
                continue
            rest += arrived
            if first and len(rest) >= 4:
                first = False
                if container := _CONTAINERS.get(rest[:4]):
                    raise AudioFileError(
                        f"stdin begins with the header of a {container} file, but raw samples are expected",
                        "use --source file:PATH, or pipe in: ffmpeg -i IN -f f32le -ar 48000 -ac 1 -",
                    )
            whole = len(rest) - len(rest) % width
            if whole:
                yield self._decode(rest[:whole])
            rest = rest[whole:]
            if not arrived:
                if rest:
                    self.warning = f"stdin: ended within a sample, its last {len(rest)} bytes are left out"
                return

    def _decode(self, data: bytes) -> np.ndarray:
        kind, order = self._encoding[0], ">" if self._encoding.endswith("be") else "<"
        if self._width == 3:
            wide = np.zeros((len(data) // 3, 4), np.uint8)  # 24 bits are the upper bytes of 32
            wide[:, 0 if order == ">" else 1 :][:, :3] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            samples = wide.view(f"{order}i4").ravel()
        else:
            samples = np.frombuffer(data, f"{order}{'i' if kind == 's' else kind}{self._width}")
        with np.errstate(over="ignore", invalid="ignore"):  # 64 bits beyond 32 become infinite
            floats = samples.astype(np.float32)
        if kind == "u":
            floats -= np.float32(128)
        if kind != "f":
            floats *= np.float32(2.0 ** (1 - 8 * samples.itemsize))
        return floats.reshape(-1, self.channels)

    def close(self) -> None:
        """Nothing to let go of: the stream is not ours."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_stdin(spec: str, stream: BinaryIO) -> RawStream:
    """Read raw samples from `stream` as `stdin[:FORMAT:RATE:CHANNELS]` says."""
    form = parse_stdin(spec)
    if stream.isatty():
        raise UsageError(
            "stdin is a terminal: no sound comes from there",
            "pipe it in, e.g. ffmpeg -i IN -f f32le -ar 48000 -ac 1 - | earwire run --source stdin",
        )
    return RawStream(form, stream)


def check_channels(channels: Channels, available: int, where: str = "the source") -> None:
    """Refuse channel numbers that `where` does not have."""
    if isinstance(channels, str):
        if channels != "mix":
            raise AudioFileError(f'channels are "mix" or a list of numbers, not {channels!r}')
        return
    if not channels:
        raise AudioFileError("an empty list of channels is silence", 'name one, or say "mix"')
    for channel in channels:
        if not 1 <= channel <= available:
            raise AudioFileError(
                f"there is no channel {channel}: {where} has {available}",
                'channels are counted from 1; "mix" takes all',
            )


def mixdown(block: np.ndarray, channels: Channels = "mix") -> np.ndarray:
    """Mean of the chosen channels.

    Parameters
    ----------
    block : (n, channels) float32
    channels
        "mix" for all, or their numbers, counted from 1.

    Returns
    -------
    (n,) float32
    """
    check_channels(channels, block.shape[1])
    rows = range(block.shape[1]) if isinstance(channels, str) else [channel - 1 for channel in channels]
    # One channel after the other: NumPy's own sum may round by the shape of the block.
    mono = block[:, rows[0]].copy()
    with np.errstate(over="ignore", invalid="ignore"):
        for row in rows[1:]:
            mono += block[:, row]
    if len(rows) > 1:
        mono *= np.float32(1 / len(rows))
    return mono
