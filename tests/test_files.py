# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound files and raw streams: what they hold, however they are cut, and whatever is wrong with them."""

import io
import os
import struct

import numpy as np
import pytest
import soundfile

from bridge.errors import AudioFileError, UsageError
from bridge.sources.files import FORMATS, check_channels, mixdown, open_audio, open_stdin, parse_stdin

KINDS = ("wav", "flac", "ogg", "mp3", "aiff")


def tone(seconds: float = 1.0, rate: int = 48_000, channels: int = 2) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(7).normal(0, 0.05, (len(t), channels))
    return (0.4 * np.sin(2 * np.pi * 220 * t)[:, None] + noise).astype(np.float32)


def heard(path, frames=1000):
    with open_audio(path) as audio:
        blocks = list(audio.blocks(frames))
        assert all(len(block) == frames for block in blocks[:-1])
        return np.concatenate(blocks) if blocks else np.zeros((0, audio.channels), np.float32), audio


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_its_sound_whatever_the_block(tmp_path, kind):
    path, sound = tmp_path / f"a.{kind}", tone(rate=44_100)
    soundfile.write(path, sound, 44_100)
    whole, audio = heard(path, 1 << 20)
    assert (audio.rate, audio.channels, audio.frames, audio.warning) == (44_100, 2, len(sound), "")
    assert whole.shape == sound.shape
    assert whole.dtype == np.float32
    lossy = kind in ("ogg", "mp3")
    aligned = np.corrcoef(whole[:, 0], sound[:, 0])[0, 1]
    assert aligned > (0.97 if lossy else 0.999_99)
    if not lossy:
        np.testing.assert_allclose(whole, sound, atol=2 / 32_768)
    for frames in (64, 777):
        np.testing.assert_array_equal(heard(path, frames)[0], whole)


def test_a_float_file_gives_its_samples_to_the_bit(tmp_path):
    sound = tone() * 3
    soundfile.write(tmp_path / "a.wav", sound, 48_000, subtype="FLOAT")
    np.testing.assert_array_equal(heard(tmp_path / "a.wav")[0], sound)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_name_does_not_matter(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, tone(), 48_000)
    wrong = path.rename(tmp_path / f"a.{KINDS[KINDS.index(kind) - 1]}")
    assert heard(wrong)[0].shape == (48_000, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_file_plays_what_it_has_and_says_so(tmp_path, kind):
    path, sound = tmp_path / f"a.{kind}", tone(3)
    soundfile.write(path, sound, 48_000)
    whole, _ = heard(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    part, audio = heard(path)
    assert 0.5 * len(whole) < len(part) < 0.65 * len(whole)
    np.testing.assert_array_equal(part[:-2400], whole[: len(part) - 2400])
    assert str(path) in audio.warning
    assert "ends after" in audio.warning or "missing" in audio.warning or "damaged" in audio.warning


def test_damage_keeps_every_sample_before_it(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, tone(3), 48_000)
    whole, _ = heard(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 100] = bytes(100)
    path.write_bytes(data)
    few, audio = heard(path, 100)
    many, _ = heard(path, 50_000)
    assert len(few) == len(many) > 48_000
    np.testing.assert_array_equal(few, whole[: len(few)])
    np.testing.assert_array_equal(many, few)
    assert "damaged after 1." in audio.warning


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_a_wav_that_never_knew_its_length_is_whole(tmp_path, length):
    path, sound = tmp_path / "a.wav", tone()
    soundfile.write(path, sound, 48_000, subtype="FLOAT")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 4, length)
    struct.pack_into("<I", data, data.find(b"data") + 4, length)
    path.write_bytes(data)
    whole, audio = heard(path)
    np.testing.assert_array_equal(whole, sound)
    assert audio.warning == ""


def test_a_flac_that_never_knew_its_length_is_whole(tmp_path):
    path, sound = tmp_path / "a.flac", tone()
    soundfile.write(path, sound, 48_000)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # STREAMINFO: 36 bits of total samples, 0 = unknown
    data[22:26] = bytes(4)
    path.write_bytes(data)
    for frames in (1000, 1024, 50_000):
        whole, audio = heard(path, frames)
        assert (len(whole), audio.frames, audio.warning) == (48_000, None, "")


def test_what_is_no_sound_is_refused_in_words(tmp_path):
    def refused(path, *words):
        with pytest.raises(AudioFileError) as caught:
            open_audio(path)
        for word in (str(path).replace("\0", ""), *words):
            assert word in str(caught.value).replace("\0", "")

    refused(tmp_path / "none.wav", "No such file")
    refused(tmp_path, "folder")
    (tmp_path / "empty.wav").touch()
    refused(tmp_path / "empty.wav", "empty")
    for kind in ("wav", "mp3", "flac", "txt"):
        (tmp_path / f"text.{kind}").write_text("la la la\n" * 1000)
        refused(tmp_path / f"text.{kind}", "not a sound file")
    (tmp_path / "a.raw").write_bytes(bytes(1000))
    refused(tmp_path / "a.raw", "raw samples")
    soundfile.write(tmp_path / "nothing.wav", np.zeros((0, 2)), 48_000)
    refused(tmp_path / "nothing.wav", "no sound")
    refused("a\0b.wav")
    refused(tmp_path / ("x" * 300))
    os.mkfifo(tmp_path / "pipe.wav")
    refused(tmp_path / "pipe.wav", "ordinary")


def test_absurd_headers_are_refused(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), 48_000)
    data = bytearray(path.read_bytes())
    for offset, form, value in (
        (24, "<I", 1),
        (24, "<I", 0xFFFFFFF0),
        (22, "<H", 0),
        (22, "<H", 60_000),
        (22, "<H", 1000),
    ):
        bad = data.copy()
        struct.pack_into(form, bad, offset, value)
        path.write_bytes(bad)
        with pytest.raises(AudioFileError, match=r"a\.wav"):
            open_audio(path)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
def test_mutated_files_are_refused_or_played_calmly(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, tone(0.1, channels=1), 48_000)
    data = path.read_bytes()
    draw = np.random.default_rng(42)
    played, complaints = 0, []
    for _ in range(200):
        bad = bytearray(data)
        for _ in range(draw.integers(1, 6)):  # most of them where the headers are
            at = int(draw.integers(0, 64 if draw.random() < 0.7 else len(bad)))
            bad[at] = int(draw.choice([0, 255, draw.integers(0, 256)]))
        if draw.random() < 0.2:
            bad = bad[: draw.integers(1, len(bad))]
        path.write_bytes(bad)
        try:
            total = 0
            with open_audio(path) as audio:
                for block in audio.blocks(512):
                    assert block.dtype == np.float32
                    assert 1 <= len(block) <= 512
                    total += len(block)
            assert total < 100_000
            played += 1
        except AudioFileError as error:
            complaints.append(str(error))
    assert played
    assert complaints
    assert all(str(path) in complaint and "\n" not in complaint for complaint in complaints)


def test_mixdown_is_the_mean_of_the_chosen_channels():
    block = np.array([[1, 2, 6], [-1, 0, 4]], np.float32)
    np.testing.assert_array_equal(mixdown(block), [3, 1])
    np.testing.assert_array_equal(mixdown(block, [2]), [2, 0])
    np.testing.assert_array_equal(mixdown(block, (1, 3)), [3.5, 1.5])
    wide = tone(0.1, channels=13)
    whole = mixdown(wide)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(np.concatenate([mixdown(wide[i : i + 1]) for i in range(len(wide))]), whole)
    single = wide[:, :1]
    mono = mixdown(single)
    np.testing.assert_array_equal(mono, single[:, 0])
    assert not np.shares_memory(mono, single)


@pytest.mark.parametrize("channels", [[3], [0], [-1], [1, 9], []])
def test_a_channel_that_is_not_there_is_refused(channels):
    with pytest.raises(AudioFileError) as caught:
        mixdown(np.zeros((4, 2), np.float32), channels)
    if channels:
        assert f"there is no channel {channels[-1]}: the source has 2" in str(caught.value)


def test_channels_are_a_list_or_mix():
    check_channels("mix", 1)
    check_channels([2, 1], 2)
    with pytest.raises(AudioFileError, match="mix"):
        check_channels("left", 2)


FULL = {"s8": 2**7, "u8": 2**7, "s16": 2**15, "s24": 2**23, "s32": 2**31}


@pytest.mark.parametrize("encoding", FORMATS)
def test_every_raw_format_is_read(encoding):
    order = "big" if encoding.endswith("be") else "little"
    bits = encoding.removesuffix("le").removesuffix("be")
    values = [0.0, 0.5, -0.5, -1.0, 0.25, 0.75]
    if bits[0] == "f":
        data = np.array(values, f"{'>' if order == 'big' else '<'}{bits[0]}{int(bits[1:]) // 8}").tobytes()
    else:
        whole = [int(v * FULL[bits]) + (128 if bits == "u8" else 0) for v in values]
        data = b"".join(v.to_bytes(int(bits[1:]) // 8, order, signed=bits[0] == "s") for v in whole)
    with open_stdin(f"stdin:{encoding}:44100:2", io.BytesIO(data)) as raw:
        assert (raw.rate, raw.channels, raw.frames) == (44_100, 2, None)
        got = np.concatenate(list(raw.blocks(2)))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.reshape(values, (3, 2)))
    assert raw.warning == ""


class Dribble(io.RawIOBase):
    """A pipe that gives a few bytes at a time, and sometimes none yet."""

    def __init__(self, data, seed):
        self.rest, self.draw = data, np.random.default_rng(seed)

    def read(self, size=-1):
        n = int(self.draw.integers(0, 12))
        if n == 0 and self.rest:
            return None
        out, self.rest = self.rest[: min(n or 1, size)], self.rest[min(n or 1, size) :]
        return out


@pytest.mark.parametrize("seed", range(5))
def test_a_dribbling_pipe_gives_the_same_samples(seed):
    sound = tone(0.02)
    raw = open_stdin("stdin:f32le:48000:2", Dribble(sound.tobytes() + b"\1\2\3", seed))
    blocks = list(raw.blocks(64))
    assert all(1 <= len(block) <= 64 for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), sound)
    assert "within a sample" in raw.warning
    assert "3 bytes" in raw.warning


def test_sound_is_handed_on_before_a_block_is_full():
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe, os.fdopen(write, "wb", buffering=0) as player:
        player.write(np.arange(10, dtype=np.float32).tobytes())
        first = next(open_stdin("stdin", pipe).blocks(64))
    np.testing.assert_array_equal(first[:, 0], np.arange(10))


def test_a_wav_piped_in_as_raw_samples_is_noticed(tmp_path):
    file = io.BytesIO()
    soundfile.write(file, tone(), 48_000, format="WAV")
    file.seek(0)
    with pytest.raises(AudioFileError, match="header of a WAV file"):
        list(open_stdin("stdin", file).blocks(64))


def test_an_empty_pipe_is_silence_without_complaint():
    raw = open_stdin("stdin", io.BytesIO())
    assert list(raw.blocks(64)) == []
    assert raw.warning == ""


@pytest.mark.parametrize(
    "spec",
    [
        "stdin:f32",
        "stdin:s24le:0",
        "stdin:s16le:44.1k",
        "stdin:s16le:44100:0",
        "stdin:s16le:44100:999",
        "stdin:s16le:44100:2:1",
        "stdinx",
        "stdin:s16le:-5:1",
        "stdin:s16le:٣:1",
    ],
)
def test_a_senseless_spec_is_a_usage_error(spec):
    with pytest.raises(UsageError) as caught:
        open_stdin(spec, io.BytesIO())
    assert spec in str(caught.value)
    assert caught.value.hint


def test_what_a_spec_leaves_out_keeps_its_default():
    for spec, fields in (
        ("stdin", ("f32le", 48_000, 1)),
        ("stdin:s16le", ("s16le", 48_000, 1)),
        ("stdin::44100", ("f32le", 44_100, 1)),
        ("stdin:s24be:96000:8", ("s24be", 96_000, 8)),
    ):
        form = parse_stdin(spec)
        assert (form.encoding, form.rate, form.channels) == fields
