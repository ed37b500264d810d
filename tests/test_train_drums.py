# SPDX-License-Identifier: GPL-3.0-or-later
"""What the drum ear learns from: names of samples, rendered truth, batches."""

import io
import zipfile
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile as sf

from dsp.bands import BANDS, FRAME, INPUTS, Bands
from dsp.drumnet import VOICES
from dsp.events import LABEL_ROW, LABELS
from dsp.stage import Spec
from dsp.units import HOP, RATE
from models.train.drum_corpus import FRAMES, TIME, Corpus, powers
from models.train.drum_thresholds import FIVE, Song, thresholds
from models.train.kits import PIECES, Shelf, hydrogen_kit, piece_of
from models.train.studio import (
    FAMILIES,
    METAL,
    SECONDS,
    TOGETHER,
    Hit,
    Performance,
    apart,
    invented,
    performances,
    rearranged,
    render,
)
from tests.contract import verify_contract


@pytest.mark.parametrize(
    ("name", "piece"),
    [
        ("muldjord/hihat_closed/HihatClosed_1.flac", "hat-closed"),
        ("discord_gm_kit/hihat_open/OP_TIP_Hat_1.flac", "hat-open"),
        ("discord_gm_kit/hihat_pedal/STMP_Hat_1.flac", "hat-pedal"),
        ("Hi-Hat Semiopen (Paiste Alpha Metal edge 14)", "hat-open"),
        ("Snare Rimshot (Pearl Free Floating Maple 14x3.5)", "snare-rim"),
        ("Rim Click (Pearl Free Floating Maple 14x3.5)", "snare-side"),
        ("TR-808/rimshot/rs.flac", "snare-side"),
        ("TR-808/snare/sd.flac", "snare"),
        ("Crash/Ride Bell (Paiste Rude Crash/Ride 18)", "ride-bell"),
        ("Zildjian Splash Choke", ""),
        ("Hand Clap", "clap"),
        ("Cajon Slap", "other"),
        ("sonic_pi/loop_amen.flac", ""),
        ("Tom Hi", "tom-high"),
        ("Floor Tom", "tom-low"),
    ],
)
def test_samples_are_known_by_their_names(name: str, piece: str) -> None:
    assert piece_of(name) == piece


def test_a_sample_under_two_names_is_one_piece(tmp_path: Path) -> None:
    sound = np.random.default_rng(1).standard_normal(4800) * np.exp(-np.arange(4800) / 900)
    for name in ("low.wav", "high.wav"):
        sf.write(tmp_path / name, 0.5 * sound, RATE)
    drums = (("Tom Hi", "high.wav"), ("Tom Mid", "high.wav"), ("Tom Low", "low.wav"))
    rows = (
        f"<instrument><name>{name}</name><filename>{file}</filename></instrument>" for name, file in drums
    )
    (tmp_path / "drumkit.xml").write_text("".join(rows))
    assert [piece for piece, _ in hydrogen_kit(tmp_path)] == ["tom-high", "tom-low"]


def a_shelf() -> Shelf:
    rng = np.random.default_rng(5)
    like = {"snare-rim": "snare", "china": "crash", "ride-bell": "ride", "splash": "crash"}
    drums = [p for p in PIECES if p.split("-")[0] in ("kick", "snare", "hat", "tom", "crash", "ride")]
    return {piece: {"a kit": [[invented(like.get(piece, piece), rng)]]} for piece in drums}


def test_truth_is_where_the_sound_is() -> None:
    hits = [Hit(1.0, "kick", 0.9), Hit(2.0, "snare", 0.5), Hit(3.0, "hat-closed", 0.7), Hit(4.0, "kick", 0.2)]
    sound, truth = render(hits, a_shelf(), np.random.default_rng(1), plain=True)
    assert len(sound) == SECONDS * RATE
    assert np.abs(sound).max() <= 1
    assert [PIECES[row] for row in truth["piece"]] == ["kick", "snare", "hat-closed", "kick"]
    assert [LABELS[row].name for row in truth["label"]] == ["kick", "snare", "hat-closed", "kick"]
    assert [FAMILIES[row] for row in truth["family"]] == ["kick", "snare", "hat", "kick"]
    assert truth["velocity"] == pytest.approx([0.9, 0.5, 0.7, 0.2])
    for start in truth["start"]:
        before, after = sound[start - 2000 : start - 100], sound[start : start + 400]
        assert np.abs(after).max() > 2 * np.abs(before).max()


def a_groove(path: Path) -> Path:
    midi, track = mido.MidiFile(ticks_per_beat=480), mido.MidiTrack()
    midi.tracks.append(track)
    for _ in range(16):
        track.append(mido.Message("note_on", channel=9, note=36, velocity=100, time=0))
        track.append(mido.Message("note_on", channel=9, note=42, velocity=60, time=240))
        track.append(mido.Message("note_on", channel=9, note=38, velocity=90, time=240))
    file = io.BytesIO()
    midi.save(file=file)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("drummer1/session1/1_rock_120_beat_4-4.mid", file.getvalue())
        archive.writestr("drummer8/session1/1_rock_120_beat_4-4.mid", file.getvalue())
    return path


def test_performances_keep_the_beat(tmp_path: Path) -> None:
    played = next(performances(a_groove(tmp_path / "groove.zip"), np.random.default_rng(2)))
    kicks = np.array([h.time for h in played.hits if h.piece == "kick"])
    phase = ((kicks - played.downbeat) / played.beat + 0.25) % 1 - 0.25
    assert np.abs(phase).max() < 0.01
    assert max(h.time for h in played.hits) > SECONDS - 3  # short ones are played over and over


def test_rearranged_stays_in_time() -> None:
    played = Performance([Hit(1 + i / 4, "hat-closed", 0.5) for i in range(40)], 0.5, 0.0)
    for seed in range(20):
        hits = rearranged(played, np.random.default_rng(seed))
        assert hits == sorted(hits)
        assert {h.piece for h in hits} <= set(PIECES)
        assert all(0 < h.time < SECONDS and 0 < h.velocity <= 1 for h in hits)


def test_cymbals_come_with_and_without_what_is_under_them() -> None:
    hits = [
        Hit(1 + i / 4, piece, 0.5) for i in range(60) for piece in ("hat-closed", ("kick", "snare")[i % 2])
    ]
    shares: dict[str, set[float]] = {"kick": set(), "snare": set()}
    for seed in range(60):
        left = apart(hits, np.random.default_rng(seed))
        assert left == sorted(left)
        assert all(0 < h.time < SECONDS and 0 < h.velocity <= 1 for h in left)
        metal = np.array([h.time for h in left if h.piece in METAL])
        beside = {h.time: (np.abs(metal - h.time) < TOGETHER).any() for h in hits[1::2]}
        for i, piece in enumerate(shares):
            shares[piece].add(round(float(np.mean(list(beside.values())[i::2])), 1))
    assert shares["kick"] >= {0, 1} and shares["snare"] >= {0, 1}


def test_powers_are_what_the_ear_hears() -> None:
    x = np.random.default_rng(3).standard_normal(RATE).astype(np.float32) * 0.1
    found = powers(x)
    assert found.shape == (RATE // FRAME, BANDS)
    assert np.isfinite(found).all()
    louder = powers(10 * x)
    assert np.median(louder.astype(float) - found) == pytest.approx(2, abs=0.01)  # 20 dB


def test_batches_tell_what_was_struck(tmp_path: Path) -> None:
    shelf = a_shelf()
    hits = [Hit(0.5 + i / 2, "kick" if i % 2 else "snare", 0.3 + 0.01 * i) for i in range(38)]
    sound, truth = render(hits, shelf, np.random.default_rng(4), plain=True)
    music = powers(np.zeros(SECONDS * RATE, np.float32))
    np.savez(
        tmp_path / "shard_0000.npz",
        drums=np.stack([powers(sound)] * 2), music=music[None],
        truth=np.concatenate([truth, truth]), counts=np.array([len(truth)] * 2),
    )  # fmt: skip
    corpus = Corpus(tmp_path, 7)
    x, onsets, velocities = corpus.batch(16)
    assert x.shape == (16, TIME, INPUTS)
    assert np.isfinite(x).all()
    families = onsets[..., len(LABELS) :]
    named = {FAMILIES[i] for i in np.nonzero((families > 0).any((0, 1)))[0]}
    assert named == {"kick", "snare"}
    assert ((onsets[..., LABEL_ROW["kick"]] > 0) == (families[..., 0] > 0)).all()
    struck = families > 0
    assert (velocities[struck] >= 0.3).all()
    assert (velocities[~struck] == 0).all()
    # The level rises at the frame of a hit or the next.
    level = x[..., :BANDS].max(-1)
    rows, frames, _ = np.nonzero(struck[:, 8:-8])
    rise = np.array(
        [level[r, f + 8 : f + 11].max() - level[r, f + 5] for r, f in zip(rows, frames, strict=True)]
    )
    assert np.median(rise) > 0.2
    assert FRAMES * FRAME == SECONDS * RATE


def test_the_same_seed_draws_the_same_batch(tmp_path: Path) -> None:
    sound, truth = render([Hit(1 + i, "kick", 0.5) for i in range(18)], a_shelf(), np.random.default_rng(4))
    music = powers(np.zeros(SECONDS * RATE, np.float32))
    np.savez(
        tmp_path / "shard_0000.npz",
        drums=powers(sound)[None], music=music[None], truth=truth, counts=np.array([len(truth)]),
    )  # fmt: skip
    one, two = Corpus(tmp_path, 7).batch(8), Corpus(tmp_path, 7).batch(8)  # some of them noisy
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)


def test_bands_keep_the_contract() -> None:
    rng = np.random.default_rng(8)
    x = (rng.standard_normal((600, HOP)) * 0.1).astype(np.float32)
    verify_contract(Bands, x, Spec(RATE, HOP, (HOP,)), [1, 2, 3, 7, 100, 101, 500])


def heard(strokes: dict[str, float], rumours: dict[str, float], lag: int = 2, frames: int = 4000) -> Song:
    """A song in which each family is struck every 0.4 s, as likely as given, and as often suspected in vain."""
    likely, struck = np.zeros((frames, 1, VOICES), np.float32), {family: np.zeros(0) for family in FIVE}
    at = np.arange(100, frames - 100, 100)
    for sure, shift in ((strokes, 0), (rumours, 50)):
        for family, p in sure.items():
            for later in range(2):
                likely[at + shift + lag + later, 0, FAMILIES.index(family)] = p
    return Song(likely, struck | dict.fromkeys(strokes, (at + 0.5) * FRAME / RATE))


def test_thresholds_part_strokes_from_what_is_suspected_in_vain() -> None:
    song = heard({"kick": 0.8, "hat": 0.7}, {"kick": 0.4, "hat": 0.3, "snare": 0.6})
    kick, snare, hat = thresholds([song], [], np.array([2]))[0, :3]
    assert 0.4 < kick <= 0.8 and snare > 0.6 and 0.3 < hat <= 0.7


def test_a_snare_where_it_is_excused_moves_no_threshold() -> None:
    song = heard({"kick": 0.8, "snare": 0.7}, {"snare": 0.5})
    vain = song.struck["snare"] + 50 * FRAME / RATE
    assert thresholds([song], [], np.array([2]))[0, 1] > 0.5
    assert thresholds([song._replace(excused=vain)], [], np.array([2]))[0, 1] <= 0.5


def test_thresholds_of_what_songs_at_hand_lack_are_those_of_renders() -> None:
    song, render = heard({"kick": 0.8}, {"cymbal": 0.2}), heard({"cymbal": 0.5}, {})
    row = FAMILIES.index("cymbal")
    assert thresholds([song], [], np.array([2]))[0, row] > 0.2
    assert 0.2 < thresholds([song], [render] * 3, np.array([2]))[0, row] <= 0.5
