# SPDX-License-Identifier: GPL-3.0-or-later
"""earwire kit."""

import json

import numpy as np
import pytest
import soundfile

from bridge.cli import main as cli
from bridge.kit import pages
from dsp.units import RATE
from models.render import Stroke, render
from tests.kits import home, made

__all__ = ["home"]  # a fixture


def earwire(capsys, *argv):
    """Exit code, stdout and stderr of a command line."""
    code = cli.main(["kit", *map(str, argv)])
    return code, *capsys.readouterr()


def test_kits_are_listed_shown_exported_and_removed(capsys, tmp_path):
    code, out, err = earwire(capsys, "list")
    assert (code, out) == (0, "") and "earwire kit learn" in err
    pages.save(made(pads=("kick", "table", "snare")))
    code, out, _ = earwire(capsys, "list", "--json")
    assert json.loads(out) == [
        {
            "name": "mine",
            "pads": ["kick", "table", "snare"],
            "strokes": 12,
            "decision_ms": 12.0,
            "corrections": False,
        }
    ]
    code, out, _ = earwire(capsys, "show", "mine")
    assert code == 0 and "table" in out and "100% right" in out and "12 strokes" in out
    code, out, _ = earwire(capsys, "show", "mine", "--json")
    assert json.loads(out)["macro_f"] == 1
    assert earwire(capsys, "export", "mine", "-o", str(tmp_path / "out.npz"))[0] == 0
    assert (tmp_path / "out.npz").is_file()
    assert earwire(capsys, "remove", "mine")[0] == 0 and pages.names() == []


WRONG = [
    (["learn"], 2, "needs the name of a kit"),
    (["learn", "a b", "--pads", "kick"], 1, "cannot be the name"),
    (["learn", "mine", "--strokes", "0"], 2, "between 1 and 200"),
    (["learn", "mine", "--from", "nowhere"], 1, "no such folder"),
    (["learn", "mine"], 2, "which pads"),
    (["learn", "mine", "--pads", "kick,kick"], 2, "each pad once"),
    (["learn", "mine", "--pads", "ki/ck"], 1, "cannot be the name of a pad"),
    (["test", "mine"], 1, "no kit is called 'mine'"),
    (["show", "mine"], 1, "no kit is called 'mine'"),
    (["dance", "mine"], 2, "invalid choice"),
]


@pytest.mark.parametrize("argv, code, why", WRONG, ids=[why for *_, why in WRONG])
def test_what_makes_no_sense_is_said(capsys, argv, code, why):
    got, out, err = earwire(capsys, *argv)
    assert (got, out) == (code, "") and why in err


def sounds(folder, seed):
    """A file for each of three drums, struck ten times soft to loud; the snare clicks once more each time."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for drum in ("kick", "snare", "tom-low"):
        struck = [Stroke(0.4 + 0.6 * k + rng.uniform(0, 0.05), drum, 0.4 + 0.06 * k) for k in range(10)]
        if drum == "snare":
            struck += [Stroke(stroke.time + 0.075, "snare-side", 0.6) for stroke in struck]
        soundfile.write(folder / f"{drum}.wav", render(struck, 6.6, seed), RATE)
    return folder


def test_a_kit_learned_from_files_names_what_it_has_not_heard_and_no_echo(capsys, tmp_path):
    code, _, err = earwire(capsys, "learn", "mine", "--from", sounds(tmp_path / "lesson", 1))
    assert code == 0, err
    kit = pages.load("mine")
    assert [pad.name for pad in kit.pads] == ["kick", "snare", "tom-low", "echo-of-snare"]
    assert list(pages.notes("mine")) == ["kick", "snare", "tom-low"]
    code, out, err = earwire(capsys, "test", "mine", "--from", sounds(tmp_path / "trial", 2), "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["strokes"] == 30 and told["right"] >= 28 and told["extra"] <= 1
    code, out, _ = earwire(capsys, "list")
    assert "echo" not in out
    code, _, err = earwire(capsys, "learn", "mine", "--pads", "echo-of-kick")
    assert code == 1 and "take another" in err
