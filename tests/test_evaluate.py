# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures are the ones the rules promise, on answers worked out by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import soundfile

from bridge import evaluate
from bridge.cli.main import main
from bridge.errors import EarwireError, UsageError
from bridge.evaluate import Counts, pairs, pooled, score_drums, score_f0, score_notes, score_onsets
from bridge.evaluate.tables import show
from bridge.messages import line
from bridge.sinks.smf import SmfSink
from dsp.events import DRUM, EVENT, LABEL_ROW, NOTE_OFF, NOTE_ON, ONSET, PITCH
from dsp.units import RATE, hz
from models.render import Stroke, Tone, render

LATE = 0.01  # every decision of these tests [s]


def events(*rows: dict[str, Any]) -> np.ndarray:
    out = np.zeros(len(rows), EVENT)
    out["label"] = -1
    for n, row in enumerate(rows):
        out[n]["id"] = n + 1
        for key, value in row.items():
            out[n][key] = value
        out[n]["time"] = round(row["time"] * RATE)
        out[n]["emitted"] = out[n]["time"] + round(LATE * RATE)
    return out


def hits(*rows: tuple[float, str]) -> np.ndarray:
    return events(*({"kind": DRUM, "time": t, "label": LABEL_ROW[name]} for t, name in rows))


def notes(*rows: tuple[float, float, float]) -> np.ndarray:
    said = []
    for start, end, note in rows:
        said.append({"kind": NOTE_ON, "time": start, "number": note})
        said.append({"kind": NOTE_OFF, "time": end, "number": note, "ref": len(said)})
    return events(*said)


@pytest.fixture
def text(tmp_path: Path) -> Callable[[str], Path]:
    def write(content: str, suffix: str = ".txt") -> Path:
        path = tmp_path / f"truth{suffix}"
        path.write_text(content)
        return path

    return write


def test_onsets_close_together_are_one_on_both_sides(text: Any) -> None:
    truth = text("0.5\n0.52\n1.0 snare\n2.0\n# a remark\n")
    said = events(*({"kind": ONSET, "time": t} for t in (0.51, 0.53, 1.04, 3.0)))
    score = score_onsets(truth, said)
    assert score.counts["onsets"] == Counts(2, 1, 1)
    assert score.counts["onsets 25 ms"] == Counts(1, 2, 2)
    np.testing.assert_allclose(score.delays, [0.02, 0.05], atol=1e-4)
    assert abs(score.waited - LATE) < 1e-4


def test_hits_are_matched_by_family(text: Any) -> None:
    truth = text("0.5 \t KD \n0.5 \t HH\n0.505 \t HH\n1.0 \t SD\n1.5 \t CY\n")
    said = hits((0.5, "kick"), (0.52, "hat-open"), (0.97, "snare-rim"), (1.5, "tom-low"))
    counts = score_drums(truth, said).counts
    assert counts["kick"] == counts["hat"] == counts["snare"] == Counts(1, 0, 0)
    assert counts["snare 25 ms"] == Counts(0, 1, 1)
    assert counts["cymbal"] == Counts(0, 0, 1) and counts["tom"] == Counts(0, 1, 0)
    total = pooled([score_drums(truth, said)])["scores"]["micro of five"]
    assert (total["hit"], total["extra"], total["missed"]) == (3, 1, 1)
    assert total["f"] == 0.75


def test_a_snare_where_something_else_was_struck_is_neither_right_nor_wrong(text: Any) -> None:
    truth = text("0.5 SD\n1.0 OT\n2.0 OT\n")
    said = hits((0.5, "snare"), (1.02, "snare-side"), (1.5, "snare"), (2.0, "kick"))
    counts = score_drums(truth, said).counts
    assert counts["snare"] == Counts(1, 1, 0) and counts["kick"] == Counts(0, 1, 0)


def test_notes_need_the_right_semitone_and_sometimes_the_end(text: Any) -> None:
    truth = text("start,end,note\n0.5,1.0,60\n1.5,2.0,62\n2.5,3.0,64\n", ".csv")
    said = notes((0.53, 1.2, 60.3), (1.5, 2.08, 62), (2.5, 3.0, 65))
    counts = score_notes(truth, said).counts
    assert counts["notes"] == Counts(2, 1, 1)
    assert counts["notes 25 ms"] == Counts(1, 2, 2)
    assert counts["notes with offset"] == Counts(1, 2, 2)


def test_pitch_is_judged_on_every_frame(text: Any) -> None:
    times = np.arange(0, 2, evaluate.GRID)
    truth = text("\n".join(f"{t:.6f},{220.0 if t < 1 else 0}" for t in times), ".csv")
    grid = np.arange(0, 2, 0.01)
    said = events(*({"kind": PITCH, "time": t, "number": 220 if t < 0.5 else 440} for t in grid))
    measures = score_f0(truth, said).measures
    assert abs(measures["raw pitch accuracy"][0] - 0.5) < 0.02
    assert measures["raw chroma accuracy"][0] > 0.98 and measures["voicing false alarm"][0] > 0.98
    assert abs(measures["overall accuracy"][0] - 0.25) < 0.02
    assert score_f0(truth, said[:0]).measures["raw pitch accuracy"][0] == 0


def test_nothing_said_and_nothing_known_are_no_trouble(text: Any) -> None:
    for score in (score_onsets, score_drums, score_notes, score_f0):
        for content in ("", "0.5 0.6 60\n" if score is not score_drums else "0.5 KD\n"):
            result = pooled([score(text(content), events())])
            assert result["waited_ms"] == 0 and result["delay_ms"] is None
            assert json.dumps(result, allow_nan=False)


def test_files_are_pooled_not_averaged(text: Any) -> None:
    many = score_onsets(
        text("\n".join(map(str, range(1, 10)))), events(*({"kind": ONSET, "time": t} for t in range(1, 10)))
    )
    one = score_onsets(text("1"), events())
    result = pooled([many, one])["scores"]["onsets"]
    assert (result["hit"], result["missed"], result["f"]) == (9, 1, round(18 / 19, 4))


def test_our_own_lines_and_midi_files_are_annotations_too(tmp_path: Path) -> None:
    played = np.concatenate([hits((0.5, "kick"), (0.9, "ride")), notes((1.0, 1.5, 60), (1.6, 2.0, 64))])
    played["id"] = range(1, len(played) + 1)
    played["ref"][played["kind"] == NOTE_OFF] += 2
    lines = tmp_path / "x.jsonl"
    lines.write_text('{"kind":"start"}\n' + "".join(line(e) + "\n" for e in played))
    sink = SmfSink(tmp_path / "x.mid")
    sink.write(played)
    sink.close({})
    for path in (lines, tmp_path / "x.mid"):
        assert pooled([score_drums(path, played)])["scores"]["micro of five"]["f"] == 1
        assert pooled([score_notes(path, played)])["scores"]["notes with offset"]["f"] == 1
        assert pooled([score_onsets(path, played)])["scores"]["onsets"]["f"] == 1


@pytest.mark.parametrize("content", ("0.5 0.6", "zero\n0.5 KD\none KD", "0.5"))
def test_an_annotation_that_is_none_says_where(text: Any, content: str) -> None:
    with pytest.raises(EarwireError, match=r"truth\.txt"):
        score_drums(text(content), events())
    with pytest.raises(EarwireError, match=r"truth\.txt"):
        score_notes(text("0.5 0.6 snare\n"), events())


def test_broken_files_are_errors_of_ours(tmp_path: Path) -> None:
    for name in ("x.mid", "x.jsonl", "x.txt"):
        (tmp_path / name).write_bytes(b"MThd\xff\xfe{")
        with pytest.raises(EarwireError, match=name):
            score_drums(tmp_path / name, events())


def test_layouts_are_found(tmp_path: Path) -> None:
    for name in ("a/drums.flac", "a/class.txt", "a/subclass.txt", "a/mix.flac", "b/drums.flac", "deep/x.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for name in ("deep/x.mid", "a/stem_04_01_voice.flac", "a/Song_STEM_04.csv", "a/Song_STEM_05.csv"):
        (tmp_path / name).write_bytes(b"")

    def names(*args: str) -> list[tuple[str, str]]:
        return [(p.name, p.truth.name) for p in pairs(tmp_path, *args)]

    assert names("drums") == [("a/drums", "class.txt"), ("deep/x", "x.mid")]
    assert names("drums", "mix", "subclass") == [("a/mix", "subclass.txt")]
    assert names("f0") == [("a/stem_04_01_voice", "Song_STEM_04.csv"), ("deep/x", "x.mid")]
    with pytest.raises(UsageError, match="no recording"):
        pairs(tmp_path / "b", "drums")
    with pytest.raises(UsageError, match="no such folder"):
        pairs(tmp_path / "c", "drums")


def test_the_command_scores_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strokes = [Stroke(0.5 + 0.5 * n, "kick", 0.9) for n in range(6)]
    soundfile.write(tmp_path / "x.wav", render(strokes, 4.0), RATE)
    (tmp_path / "x.txt").write_text("".join(f"{s.time} {s.label}\n" for s in strokes))
    assert main(["evaluate", "onsets", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["scores"]["onsets"]["f"] == 1 and result["files"][0]["name"] == "x"
    assert 0 < result["delay_ms"]["median"] <= result["waited_ms"] + 5
    assert main(["evaluate", "onsets", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "1.000" in shown and "delay: median" in shown
    (tmp_path / "y.wav").write_text("no sound")
    (tmp_path / "y.txt").write_text("1\n")
    assert main(["evaluate", "onsets", str(tmp_path)]) == 1
    assert "y.wav" in capsys.readouterr().err


def test_what_is_known_of_another_task_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "x.wav", render([Stroke(0.5, "kick", 0.9)], 1.0), RATE)
    (tmp_path / "x.txt").write_text("0.5 kick\n")
    for name in "yz":
        (tmp_path / f"{name}.wav").write_bytes(b"")
        (tmp_path / f"{name}.txt").write_text("0.5 1.0 60\n")
    assert main(["evaluate", "drums", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert [file["name"] for file in json.loads(out)["files"]] == ["x"]
    assert err.splitlines()[-1].startswith("earwire: 2 left out") and "y.txt" in err and "z.txt" not in err
    (tmp_path / "x.txt").unlink()
    assert main(["evaluate", "drums", str(tmp_path)]) == 1
    assert "y.txt" in (err := capsys.readouterr().err) and "z.txt" in err


@pytest.mark.parametrize(
    "options, said",
    [
        (["b.wav", "-o", "two.mid"], "two.mid is one file, and 2 are to be written"),
        (["b.wav", "--events", "two.jsonl"], "two.jsonl is one file, and 2 are to be written"),
        (["-o", "out.wav"], "out.wav: that is no name of a .mid file"),
        (["--events", "out.mid"], "out.mid: that is no name of a .jsonl file"),
        (["-o", "-"], "a MIDI file does not go to stdout"),
    ],
)
def test_a_place_that_makes_no_sense_is_refused(
    options: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["transcribe", "a.wav", *options]) == 2
    assert said in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_the_command_transcribes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tones = [Tone(0.5 * n, 0.5 * n + 0.4, 52 + 2 * n, 0.8) for n in range(1, 5)]
    sound = render(tones, 3.0)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in "ab":
        soundfile.write(tmp_path / folder / "x.wav", sound, RATE)
    (tmp_path / "bad.wav").write_bytes(b"")
    files = [str(tmp_path / "a/x.wav"), str(tmp_path / "bad.wav"), str(tmp_path / "b/x.wav")]
    out = tmp_path / "out"
    assert main(["transcribe", *files, "-p", "guitar", "-o", str(out), "--events", str(out)]) == 1
    assert "bad.wav: is empty" in capsys.readouterr().err
    assert sorted(p.name for p in out.iterdir()) == ["a-x.jsonl", "a-x.mid", "b-x.jsonl", "b-x.mid"]
    assert (out / "a-x.jsonl").read_text().splitlines()[1:] == (out / "b-x.jsonl").read_text().splitlines()[
        1:
    ]
    played = [m.note for m in mido.MidiFile(out / "a-x.mid") if m.type == "note_on"]
    assert set(played) >= {54, 56, 58, 60}
    assert main(["transcribe", files[0], "-q", "-p", "guitar"]) == 0
    assert (tmp_path / "a/x.mid").is_file() and capsys.readouterr().out == ""
    assert main(["transcribe", files[0], "-p", "guitar"]) == 0
    assert "" not in capsys.readouterr().err.splitlines()  # no room is left for a bar that nobody sees
    soundfile.write(tmp_path / "slow.wav", sound[:4000], 4_000)
    assert main(["transcribe", str(tmp_path / "slow.wav")]) == 1
    assert "4000 Hz is outside" in capsys.readouterr().err
    assert main(["transcribe", files[0], files[0]]) == 2
    assert main(["transcribe", files[0], "-o", files[0]]) == 2
    assert "would be replaced" in capsys.readouterr().err


def test_a_table_of_pitch(capsys: pytest.CaptureFixture[str]) -> None:
    score = evaluate.Score({}, {"raw pitch accuracy": (0.91, 10.0)}, [0.008], 0.009)
    assert hz(69) == 440
    show({"task": "f0", "preset": "voice", "files": [{"name": "x", "seconds": 1.0}], **pooled([score])})
    assert "0.910" in capsys.readouterr().out
