# SPDX-License-Identifier: GPL-3.0-or-later
"""What the note ear learns from: scores, players, batches, and the sums of its weights."""

import hashlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from dsp.tones import BINS, CHANNELS, FRAME, PITCHES, WINDOWS
from dsp.units import RATE
from models.train import scores
from models.train.instruments import AS_IS, Fading, Invented, Sampled, multisamples, score
from models.train.note_corpus import FRAMES, NOISES, PRE, TIME, Corpus, powers
from models.train.scenes import NOTE, air, claps, mastered, truth_of, worn
from models.train.scores import AGAIN, Note, held, manner, pedalling, tidy
from models.train.seal import SUMS, seal
from models.train.studio import SECONDS

STYLES = ("line", "chords", "strum", "arpeggio", "soup", "again", "counterpoint", "keyboard")


@pytest.mark.parametrize("style", STYLES)
def test_scores_can_be_played(style: str) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        m = manner(30, 96, 20, rng)
        notes = tidy(getattr(scores, style)(m, rng), 20)
        assert len(notes) > 10
        assert notes == sorted(notes)
        assert all(0 < n.start < n.end < 20 and 1 <= n.velocity <= 127 for n in notes)
        for pitch in {n.pitch for n in notes}:
            same = [n for n in notes if n.pitch == pitch]
            for first, then in pairwise(same):
                assert then.start - first.start >= AGAIN
                assert first.end < then.start


def test_a_pedal_holds_notes_until_it_is_up_or_they_are_struck_again() -> None:
    played = [Note(1.0, 1.2, 60, 80), Note(1.1, 1.3, 64, 80), Note(1.5, 1.6, 60, 80), Note(3.0, 3.1, 67, 80)]
    sounded = held(played, [(1.05, 2.0)])
    assert [(n.start, n.end, n.pitch) for n in sounded] == [
        (1.0, 1.5, 60),
        (1.1, 2.0, 64),
        (1.5, 2.0, 60),
        (3.0, 3.1, 67),
    ]


def test_pedals_go_up_after_they_went_down() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        for down, up in pedalling(manner(21, 108, 20, rng), rng):
            assert 0 < down < up


def test_a_score_is_a_midi_file_to_half_a_millisecond(tmp_path: Path) -> None:
    import mido

    notes = [Note(0.5, 1.0005, 60, 90), Note(1.0005, 2.25, 60, 40)]
    score(notes, [(0.6, 1.5)], 4, 10).save(tmp_path / "x.mid")
    now, found = 0.0, []
    for message in mido.MidiFile(tmp_path / "x.mid"):
        now += message.time
        if message.type in ("note_on", "note_off", "control_change"):
            found.append((message.type, now))
    assert [kind for kind, _ in found] == [
        "note_on", "control_change", "note_off", "note_on", "control_change", "note_off",
    ]  # fmt: skip
    assert [at for _, at in found] == pytest.approx([0.5, 0.6, 1.0005, 1.0005, 1.5, 2.25], abs=1e-4)


def test_a_soundfont_is_told_how_notes_fade() -> None:
    def controllers(fading: Fading) -> list[tuple[int, int]]:
        (track,) = score([Note(0.5, 1, 60, 90)], [], 4, 10, fading).tracks
        return [(m.control, m.value) for m in track if m.type == "control_change"]

    assert controllers(AS_IS) == []
    # Twice as long is 1200 timecents more, half as long as many less, in steps of two.
    assert controllers(Fading(2, 0.5)) == [
        (99, 120), (98, 36), (38, 600 % 128), (6, 64 + 600 // 128),
        (99, 120), (98, 38), (38, -600 % 128), (6, 64 - 600 // 128 - 1),
    ]  # fmt: skip


@pytest.mark.parametrize("role", ["keys", "winds"])
def test_what_fades_longer_rings_longer(role: str) -> None:
    levels = []
    for released in (0.5, 1, 2):
        player = Invented(np.random.default_rng(1), role)
        x = player.play([Note(0.1, 0.5, 60, 100)], [], 0, 2, Fading(1, released))
        end = int(0.5 * RATE)
        levels.append(np.abs(x[end + int(0.05 * RATE) : end + int(0.1 * RATE)]).max())
    assert levels[0] < levels[1] < levels[2]


@pytest.mark.parametrize("role", ["keys", "guitar", "bass", "strings", "winds", "ensemble"])
def test_invented_instruments_sound_what_they_play_when_they_play_it(role: str) -> None:
    for seed in range(4):
        player = Invented(np.random.default_rng([1, seed]), role)
        pitch = (player.low + player.high) // 2
        x = player.play([Note(0.5, 1.3, pitch, 100)], [], 0, 2)
        assert np.isfinite(x).all()
        assert np.abs(x[: RATE // 2]).max() == 0
        body = x[int(0.65 * RATE) : int(1.25 * RATE)]
        power = np.abs(np.fft.rfft(body * np.hanning(len(body)), 1 << 17)) ** 2
        harmonics = 440 * 2 ** ((pitch - 69) / 12) * np.arange(1, 9) * (1 << 17) / RATE
        on = sum(power[int(h * 0.965) : int(h * 1.035) + 1].max() for h in harmonics)
        between = sum(
            power[int(h * 0.965) : int(h * 1.035) + 1].max() for h in harmonics - 0.5 * harmonics[0]
        )
        assert on > 10 * between


def a_piano(folder: Path) -> Path:
    """Two keys of a multisample, in two layers, at 44.1 kHz, after a little silence."""
    home = folder / "splendid_piano"
    home.mkdir()
    for layer, loud in (("MF", 0.2), ("FF", 0.6)):
        for name, hz in (("A2", 220.0), ("A3", 440.0)):
            t = np.arange(44_100) / 44_100
            x = np.concatenate([np.zeros(3000), loud * np.sin(2 * np.pi * hz * t)])
            sf.write(home / f"{layer} {name}.ogg", x, 44_100)
    return folder


def test_multisamples_are_played_in_tune_and_at_once(tmp_path: Path) -> None:
    ((name, regions, low, high),) = multisamples(a_piano(tmp_path))["keys"]
    assert name == "splendid"
    player = Sampled(name, regions, low, high, np.random.default_rng(1))
    x = player.play([Note(0.2, 0.9, 61, 40), Note(1.2, 1.9, 61, 120)], [], 0, 2.2)
    for start in (0.2, 1.2):
        first = int(start * RATE)
        assert np.abs(x[first : first + 200]).max() > 0.3 * np.abs(x[first : first + 9000]).max()
        part = x[first + 4000 : first + 4000 + RATE // 2]
        power = np.abs(np.fft.rfft(part * np.hanning(len(part)), 1 << 17))
        assert power.argmax() * RATE / (1 << 17) == pytest.approx(440 * 2 ** (-8 / 12), rel=0.002)
    loud = [np.abs(x[int(t * RATE) :][: RATE // 2]).max() for t in (0.2, 1.2)]
    assert loud[1] > 3 * loud[0]


def test_what_is_played_at_once_is_one_note() -> None:
    truth = truth_of([Note(1.0, 2.0, 60, 90), Note(1.01, 1.5, 60, 50), Note(1.0, 3.0, 64, 127)])
    assert truth.dtype == NOTE
    assert truth["pitch"].tolist() == [60, 64]
    assert truth["start"].tolist() == [RATE, RATE]
    assert truth["velocity"] == pytest.approx([90 / 127, 1])


def test_rooms_and_amplifiers_move_no_onset() -> None:
    x = np.zeros(SECONDS * RATE)
    x[RATE : 2 * RATE] = np.sin(2 * np.pi * 300 * np.arange(RATE) / RATE)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        y = mastered(worn(x, rng), x, rng)
        assert np.abs(y).max() == pytest.approx(0.7, abs=1e-3)
        before, after = np.abs(y[RATE - 2000 : RATE - 20]).max(), np.abs(y[RATE : RATE + 480]).max()
        assert after > 0.1
        assert before < 0.05 * after


@pytest.mark.parametrize("nothing", [air, claps])
def test_what_holds_no_note_is_heard_all_the_same(
    nothing: Callable[[np.random.Generator], np.ndarray],
) -> None:
    for seed in range(4):
        x, again = (nothing(np.random.default_rng(seed)) for _ in range(2))
        assert x.shape == (SECONDS * RATE,)
        assert np.isfinite(x).all()
        assert x.std() > 0
        assert (x == again).all()


def a_corpus(folder: Path) -> Corpus:
    """One shard: a line, and a scene in which nothing is played; then noise."""
    player, rng = Invented(np.random.default_rng(5), "keys"), np.random.default_rng(6)
    player.range_db, player.span, player.noise = 20, 2, 0
    notes = tidy([Note(0.3 + 0.4 * i, 0.6 + 0.4 * i, 40 + 7 * i % 40, 60 + i) for i in range(47)], SECONDS)
    sound = player.play(notes, [], 0, SECONDS)
    noise = 0.1 * rng.standard_normal(len(sound)).astype(np.float32)
    truth = truth_of(notes)
    heard = np.stack([powers(0.3 * sound / np.abs(sound).max())] * 2 + [powers(noise)] * NOISES)
    assert heard.shape == (2 + NOISES, FRAMES, WINDOWS, BINS)
    np.save(folder / "notes_0000.npy", heard)
    np.savez(folder / "truth_0000.npz", truth=np.concatenate([truth] * 2), counts=np.array([len(truth)] * 2))
    return Corpus(folder, 3)


def test_batches_tell_what_is_played(tmp_path: Path) -> None:
    corpus = a_corpus(tmp_path)
    assert (len(corpus.scenes), len(corpus.noises)) == (2, NOISES)
    batch = corpus.batch(24)
    assert batch.x.shape == (24, TIME, CHANNELS, BINS)
    assert np.isfinite(batch.x).all()
    struck = batch.struck > 0
    assert struck.any((1, 2)).sum() > 12
    assert batch.sounding[struck].all()
    assert batch.struck.max() <= 1
    assert np.mean(corpus.scenes[0].velocity) == pytest.approx(
        0.5, abs=0.01
    )  # softer or harder than the rest
    rows, frames, pitches = np.nonzero(struck[:, 8:-8])
    middle = batch.x[:, :, 1, :]  # levels in the middle window
    own, others = [], []
    for row, frame, pitch in zip(rows, frames + 8, pitches, strict=True):
        rise = middle[row, frame + 6, 1::3] - middle[row, frame - 2, 1::3]
        own.append(rise[pitch])
        others.append(np.median(rise[:PITCHES]))
    assert np.median(own) > np.median(others) + 0.5


def test_the_same_seed_draws_the_same_batch(tmp_path: Path) -> None:
    a_corpus(tmp_path)
    one, two = Corpus(tmp_path, 4).batch(6), Corpus(tmp_path, 4).batch(6)  # some of them noisy
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)


def test_an_example_has_room_in_a_scene() -> None:
    assert PRE + TIME < FRAMES
    assert FRAMES * FRAME == SECONDS * RATE


def test_sums_of_other_weights_stay(tmp_path: Path) -> None:
    (tmp_path / "one.npz").write_bytes(b"one")
    (tmp_path / "two.npz").write_bytes(b"two")
    seal(tmp_path, ["one.npz"])
    seal(tmp_path, ["two.npz"])
    (tmp_path / "two.npz").write_bytes(b"two again")
    seal(tmp_path, ["two.npz"])
    lines = (tmp_path / SUMS).read_text().splitlines()
    assert lines == [
        f"{hashlib.sha256(b'one').hexdigest()}  one.npz",
        f"{hashlib.sha256(b'two again').hexdigest()}  two.npz",
    ]
