# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: each shipped one, each key, and everything that can be wrong with one."""

import dataclasses
import json
import random
import re
import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import pytest

from bridge import preset as presets
from bridge.errors import EarwireError, PresetError
from bridge.preset import Preset, load, note_number, osc_target
from bridge.preset.reader import Origin, Reader
from bridge.preset.toml_lines import key_lines
from dsp.events import LABELS
from tests.conftest import ROOT, environment

SHIPPED = (
    "drums",
    "bass",
    "clock",
    "guitar",
    "harmony",
    "mix",
    "piano",
    "visuals",
    "voice",
    "winds-strings",
)
KEYS = {row.key: row for row in presets.keys()}  # noqa: SIM118 - a function, not a dict's


@pytest.fixture
def write(tmp_path):
    """Saves a preset and says where."""

    def save(content: str | bytes, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return save


def refused(path, *overrides: str) -> PresetError:
    with pytest.raises(PresetError) as caught:
        load(path, overrides)
    return caught.value


# Shipped presets.


def test_shipped_presets_are_these_and_drums_comes_first():
    assert tuple(presets.shipped()) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_preset_says_what_it_is_for_and_survives_a_round_trip(name, write):
    preset = load(name)
    assert preset.name == name and preset.file is None
    assert 10 < len(preset.description) < 80
    table = json.loads(json.dumps(presets.as_table(preset)))
    assert Reader(Origin()).preset(table) == preset
    assert load(write(presets.text(name), f"{name}.toml")) == preset


@pytest.mark.parametrize("name", SHIPPED)
def test_every_key_of_a_shipped_preset_is_explained_beside_it(name):
    for line in re.sub(r"(?s)\[drums\.map\].*?\n\n", "", presets.text(name)).splitlines():
        if re.match(r"[a-z_]+ *=", line) and not line.startswith(("description", "mode", "enabled = false")):
            assert re.search(r" # .{8}", line), line


@pytest.mark.parametrize("name", SHIPPED)
def test_ranges_named_in_comments_are_the_ranges(name):
    section = ""
    for line in presets.text(name).splitlines():
        if header := re.match(r"\[([a-z.]+)\]", line):
            section = header[1]
        pair, span = re.match(r"([a-z_]+) *=", line), re.search(r"[ ,;](-?[\d.]+\.\.[\d.]+)\b", line)
        if pair and span:
            assert KEYS[f"{section}.{pair[1]}"].range.startswith(span[1].rstrip(".")), line


def test_shipped_presets_do_what_their_names_say():
    drums, bass, clock, guitar, harmony, mix, piano, visuals, voice, winds = map(load, SHIPPED)
    assert (drums.onset.decision_ms, drums.drums.decision_ms, drums.notes.enabled) == (8, 12, False)
    assert drums.onset.enabled and drums.drums.enabled and drums.mode == "constant"
    for line in (bass, guitar, voice):
        assert line.notes.enabled and not line.drums.enabled and not line.onset.enabled
    assert (voice.notes.low, voice.notes.high, voice.midi.bend_range) == (36, 84, 12)
    assert (guitar.notes.low, guitar.notes.high) == (40, 88)
    assert (bass.notes.low, bass.notes.high) == (28, 67)
    for many in (mix, piano, winds):
        assert many.notes.enabled and many.notes.lines == "many" and not many.drums.enabled
    assert (piano.notes.low, piano.notes.high) == (21, 108)
    assert {line.notes.lines for line in (bass, guitar, voice, visuals)} == {"one"}
    assert visuals.onset.enabled and visuals.drums.enabled and visuals.notes.enabled
    assert clock.clock.enabled and clock.beat.enabled and not clock.drums.enabled
    assert load("drums", ["clock.enabled=true"]).beat.enabled, "a clock needs the beat"
    assert harmony.chord.enabled and harmony.key.enabled and harmony.beat.enabled
    assert visuals.chord.enabled and visuals.beat.enabled and visuals.key.enabled and not drums.beat.enabled
    assert visuals.osc.targets == ("127.0.0.1:9000",) and visuals.osc.level


# Every key.


def fields(kind=Preset):
    types = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(types[field.name]):
            yield from fields(types[field.name])
        else:
            yield kind, field, types[field.name]


@pytest.mark.parametrize("kind, field, hint", list(fields()), ids=lambda x: getattr(x, "__name__", ""))
def test_every_setting_is_described_and_its_default_is_allowed(kind, field, hint):
    if field.metadata.get("key", "") is None:
        return
    assert field.metadata["doc"]
    if "low" in field.metadata:
        assert hint in (int, float)
        assert field.metadata["low"] <= field.default <= field.metadata["high"]
    elif "options" in field.metadata:
        assert field.default in field.metadata["options"]
    else:
        assert hint in (bool, str) or kind in (
            Preset,
            presets.SourceSettings,
            presets.OscSettings,
            presets.PluginSettings,
        )


@pytest.mark.parametrize("key", [k for k, row in KEYS.items() if re.match(r"-?[\d.]+\.\.", row.range)])
def test_every_number_is_held_within_its_range(key):
    low, high = (float(x) for x in re.match(r"(-?[\d.]+)\.\.(-?[\d.]+)", KEYS[key].range).groups())
    quiet = ["drums.enabled=false", "notes.low=21", "notes.high=96", "velocity.low=0", "velocity.high=1"]
    for value in (low, high):
        if (key, value) in (("notes.low", high), ("notes.high", low)):
            continue
        table = presets.as_table(load("drums", [*quiet, f"{key}={value:g}"]))
        for part in key.split("."):
            table = table[part]
        assert table == value
    for value, nearest in ((low - 1, low), (high + 1, high), ("-inf", low), ("inf", high)):
        error = refused("drums", f"{key}={value}")
        assert error.key == key and f"the nearest is {nearest:g}" in str(error)
    for value in ("nan", "true", '"loud"', "[]", "{}", "2026-01-01", "07:30:00"):
        assert "is not a number" in str(refused("drums", f"{key}={value}"))


@pytest.mark.parametrize("key", [k for k, row in KEYS.items() if row.range == "true or false"])
def test_every_switch_takes_true_and_false_only(key):
    group, name = key.split(".")
    for value in (True, False):
        preset = load("drums", [f"{key}={str(value).lower()}"])
        assert getattr(getattr(preset, group), name) is value
    for value in ("1", "yes", "[]"):
        assert "neither true nor false" in str(refused("drums", f"{key}={value}"))


def test_what_is_left_out_keeps_its_default(write):
    assert load(write("")) == dataclasses.replace(Preset(), name="mine")
    assert load(write("[drums]\ndecision_ms = 20")).drums.sensitivity == Preset().drums.sensitivity


def test_name_is_the_file_s_unless_given(write):
    path = write('name = "Kit in the cellar"')
    assert load(path).name == "Kit in the cellar" and load(path).file == path
    assert load(str(write("", "cellar.toml"))).name == "cellar"


def test_a_preset_saved_with_a_byte_order_mark_and_windows_line_ends_is_read(write):
    path = write(b"\xef\xbb\xbf[drums]\r\ndecision_ms = 30\r\n\r\nsensitivity = 2\r\n")
    assert refused(path).line == 4
    assert load(path, ["drums.sensitivity=1"]).drums.decision_ms == 30


def test_notes_go_by_number_or_name():
    assert note_number("C4") == 60 and note_number("E1") == 28 and note_number("C-1") == 0
    assert note_number("f#3") == note_number("Gb3") == note_number("F♯3") == 54
    assert [note_number(x) for x in ("H1", "E", "E11", "1E", "", "E#b1")] == [None] * 6
    assert load("voice", ["notes.low=E3"]).notes.low == 52
    assert "C4" not in str(refused("voice", "notes.low=H3")) and "'H3' is not a number" in str(
        refused("voice", "notes.low=H3")
    )


def test_drum_map_starts_from_general_midi(write):
    preset = load(write('[drums.map]\nkick = "C2"\nsnare-rim = 41'))
    assert preset.drum_notes == {label.name: label.note for label in LABELS} | {"kick": 36, "snare-rim": 41}
    assert load("drums", ["drums.map.kick=35"]).drum_notes["kick"] == 35
    error = refused(write("[drums.map]\n\nsnar = 38"))
    assert error.line == 3 and error.key == "drums.map.snar" and "did you mean snare?" in str(error)


def test_channels_are_mix_or_a_list_counted_from_one(write):
    assert load(write("")).source.channels == "mix"
    assert load("drums", ["source.channels=[2, 1]"]).source.channels == (2, 1)
    assert load("drums", ["source.channels=3"]).source.channels == (3,)
    for bad in ("[0]", "[1, 1]", "[]", "left", "[true]", "[1.5]", '["1"]', "-1"):
        assert "mix" in str(refused("drums", f"source.channels={bad}"))


def test_osc_targets_are_host_and_port():
    assert osc_target("127.0.0.1:9000") == ("127.0.0.1", 9000)
    assert osc_target("[::1]:57120") == ("::1", 57120)
    assert load("drums", ["osc.targets=localhost:9000"]).osc.targets == ("localhost:9000",)
    assert load("drums", ['osc.targets=["a:1", "[::1]:2"]']).osc.targets == ("a:1", "[::1]:2")
    for bad in ("localhost", ":9000", "a:0", "a:65536", "a:x", "a b:1", "a:-1", "a:٣"):
        assert refused("drums", f"osc.targets={bad}").key == "osc.targets[1]"


def test_plugins_are_a_chain_with_parameters(write):
    path = write(
        '[[plugins]]\nname = "NoiseGate"\n[plugins.parameters]\nthreshold_db = -40\n'
        '[[plugins]]\npath = "gate.vst3"\nparameters = {on = true, mode = "soft"}\n'
    )
    gate, vst = load(path).plugins
    assert gate.name == "NoiseGate" and gate.parameters == {"threshold_db": -40.0}
    assert vst.path == str(path.parent / "gate.vst3") and vst.parameters == {"on": True, "mode": "soft"}
    error = refused(write('[[plugins]]\nname = "A"\n\n[[plugins]]\nname = "B"\npath = "b.vst3"'))
    assert error.line == 4 and "either a name or a path" in str(error)
    error = refused(write('[[plugins]]\nname = "A"\n[[plugins]]\nnam = "B"'))
    assert (error.line, error.key) == (4, "plugins[2].nam")


# Rules between keys.


def test_low_stays_below_high():
    assert "not below notes.high" in str(refused("voice", "notes.low=60", "notes.high=60"))
    assert "above velocity.high" in str(refused("voice", "velocity.low=0.6", "velocity.high=0.5"))
    assert load("voice", ["velocity.low=0.5", "velocity.high=0.5"]).velocity.high == 0.5


def test_a_stroke_is_decided_no_later_than_its_name():
    assert load("drums", ["drums.decision_ms=5"]).onset.decision_ms == 5
    assert load("drums", ["drums.decision_ms=5", "drums.enabled=false"]).onset.decision_ms == 8


# Errors.

WRONG = (
    ("[drums]\n\ndecison_ms = 12", 3, "drums.decison_ms", "no such key; did you mean decision_ms?"),
    ("[drums]\ndecision_ms = 400", 2, "drums.decision_ms", "400 is outside 3..60 ms; the nearest is 60"),
    ("drums = {decision_ms = 1}", 1, "drums.decision_ms", "1 is outside 3..60 ms; the nearest is 3"),
    ("drums.decision_ms = 1", 1, "drums.decision_ms", "the nearest is 3"),
    ("\n[midi]\ndrum_channel = 1.5", 3, "midi.drum_channel", "not a whole number; the nearest is 2"),
    ("\n\n[drms]\n", 3, "drms", "did you mean drums?"),
    ('mode = "fast"', 1, "mode", "'fast' is not known here; it is constant or fastest"),
    ("\ndrums = 3", 2, "drums", "3 stands where a table of keys belongs"),
    ("plugins = 3", 1, "plugins", "each plugin begins with [[plugins]]"),
    ("plugins = [3]", 1, "plugins[1]", "3 stands where a table of keys belongs"),
    ('[osc]\ntargets = [\n  "a:1",\n  "b",\n]', 4, "osc.targets[2]", "'b' is not HOST:PORT"),
    ('name = "a\\nb"', 1, "name", "printable"),
    ("name = 1", 1, "name", "1 is not text"),
    ('"dr\\u001bums" = 1', None, "'dr\\x1bums'", "no such key"),
    (
        "[midi]\ndrum_channel = 0x" + "f" * 9000,
        2,
        "midi.drum_channel",
        "a number this large is outside 1..16",
    ),
    ("[velocity]\ncurve = 1e999", 2, "velocity.curve", "inf is outside 0.25..4; the nearest is 4"),
    ("[velocity]\ncurve = 1e308", 2, "velocity.curve", "the nearest is 4"),
    ("[drums.map]\nkick = 1.5", 2, "drums.map.kick", "not a whole number"),
    ("[drums.map]\nkick = []", 2, "drums.map.kick", "a list is not a number"),
    ("drums.map = 1", 1, "drums.map", "stands where a table"),
)


@pytest.mark.parametrize("toml, line, key, message", WRONG, ids=[row[0][:30] for row in WRONG])
def test_what_is_wrong_is_named_with_its_line_and_what_would_do(write, toml, line, key, message):
    path = write(toml)
    error = refused(path)
    assert (error.key, error.path) == (key, str(path)) and message in str(error)
    if line is not None:
        assert error.line == line and f"{path}, line {line}" in str(error)


BROKEN = (
    (b"a = = 1", 1, "not TOML"),
    (b"\n[drums\n", 2, "not TOML"),
    (b"\n\na = 2026-13-45", 3, "not TOML"),
    (b"a = [" * 5000, None, ""),
    (b"a = " + b"[" * 20_000, None, "nested too deeply"),
    (b"a = " + b"9" * 9000, None, ""),
    (b"[a]\n[a]\n", 2, "not TOML"),
    (b"[drums]\n\nx = '\xff\xfe'", 3, "not UTF-8"),
    (b"\xff\xfe[\x00d\x00", 1, "not UTF-8"),
    (bytes(range(256)), None, ""),
    (b"\x00" * 100, 1, "not TOML"),
    (b"#" * 10_000_000, None, "longer than 64 kB"),
)


@pytest.mark.parametrize("content, line, message", BROKEN, ids=range(len(BROKEN)))
def test_what_is_not_a_preset_at_all_is_refused_calmly(write, content, line, message):
    error = refused(write(content))
    assert message in str(error) and len(str(error)) < 400
    if line is not None:
        assert error.line == line


def test_what_cannot_be_found_is_named(tmp_path):
    assert "did you mean drums?" in str(refused("drumz"))
    assert "is not a file" in str(refused(tmp_path / "none.toml"))
    assert "is not a file" in str(refused(tmp_path))
    assert "is not a file" in str(refused("none.toml"))
    for odd in ("a\0b", "", "x" * 5000, "~nobody-at-all/x.toml"):
        assert isinstance(refused(odd), EarwireError)


OVERRIDES = (
    "drums.decision_ms",
    "=1",
    "drums.=1",
    ".=1",
    "",
    "drums",
    "mode.x=1",
    "drums.map.kick.x=1",
    "plugins.x=1",
)


@pytest.mark.parametrize("assignment", OVERRIDES)
def test_an_override_that_makes_no_sense_is_refused(assignment):
    assert "--set" in str(refused("drums", assignment))


def test_a_number_may_be_set_as_people_write_it():
    assert load("drums", ["drums.sensitivity=.7"]).drums.sensitivity == 0.7
    assert load("drums", ["drums.decision_ms=20."]).drums.decision_ms == 20


def test_overrides_are_blamed_before_the_file():
    error = refused("drums", "drums.decision_ms=400")
    assert error.line is None and str(error).startswith("drums.decision_ms (--set): 400 is outside")


def test_overrides_take_toml_and_bare_words_and_the_last_one_wins():
    assert load("drums", ["mode=fastest"]).mode == load("drums", ['mode="fastest"']).mode == "fastest"
    assert load("drums", ["drums.decision_ms=20", "drums.decision_ms = 30"]).drums.decision_ms == 30
    assert load("drums", ['plugins=[{name="Gain", parameters={gain_db=3}}]']).plugins[0].parameters == {
        "gain_db": 3
    }
    assert refused("drums", "mode=constant\n[drums]\nx=1").key == "mode"


# Fuzzing: seeded, so that what fails once fails again.

VALUES = (
    *(
        "nan",
        "-inf",
        "1e999",
        "-0.0",
        "0x" + "f" * 400,
        "9" * 40,
        "true",
        "''",
        '"E1"',
        "[]",
        "{}",
        "[[[[]]]]",
    ),
    *(
        "1979-05-27T07:32:00Z",
        "1979-05-27",
        "07:32:00",
        '"""\na"b"""',
        "'''\n'''",
        "{a={b={c=[1,{}]}}}",
        '"\\u0007"',
    ),
    *("[1, 'a', {}]", '"' + "x" * 1000 + '"', "-1", "1e-320", "[nan]", "{x=1,y=2}", "[" * 60 + "]" * 60),
)


def mutated(seed: int) -> bytes:
    rng = random.Random(seed)
    lines = presets.text(rng.choice(SHIPPED)).splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    for _ in range(rng.randint(1, 3)):
        row = rng.randrange(len(lines))
        match rng.randrange(10):
            case 0:
                lines[row] = lines[row].partition("=")[0] + "= " + rng.choice(VALUES)
            case 1:
                lines.insert(row, rng.choice(lines))
            case 2:
                del lines[row]
                lines = lines or [""]
            case 3:
                at = rng.randrange(len(lines[row]) + 1)
                lines[row] = lines[row][:at] + rng.choice('[]{}="\\.#\t\x00\x7fé,') + lines[row][at:]
            case 4:
                lines.insert(row, rng.choice(list(KEYS)) + " = " + rng.choice(VALUES))
            case 5:
                lines.insert(row, f"[{rng.choice(list(KEYS)).strip('[]')}]")
            case 6:
                key = lines[row][: rng.randint(1, 12)]
                lines[row] = key[::-1] + lines[row][len(key) :]
            case 7:
                lines.insert(
                    row, f"[[{rng.choice(['plugins', 'drums', 'plugins.parameters', 'osc.targets'])}]]"
                )
    data = "\n".join(lines).encode()
    if rng.random() < 0.15:
        at = rng.randrange(len(data) + 1)
        data = data[:at] + rng.randbytes(rng.randint(1, 8)) + data[at:]
    return data


def test_a_mutated_preset_is_read_or_refused_never_more(write):
    outcomes = {"read": 0, "refused": 0}
    for seed in range(1000):
        path = write(mutated(seed))
        try:
            load(path)
            outcomes["read"] += 1
        except PresetError as error:
            outcomes["refused"] += 1
            assert str(error).isprintable() and len(str(error)) < 600 and str(path) in str(error)
            if error.key:
                assert error.line is not None and error.line <= path.read_bytes().count(b"\n") + 1
    assert min(outcomes.values()) > 50, outcomes


def test_mutated_overrides_are_taken_or_refused_never_more():
    rng = random.Random(1)
    for _ in range(300):
        key = rng.choice([*KEYS, "plugins.0.name", "drums.map", "a.b.c", "drums"])
        try:
            load(rng.choice(SHIPPED), [f"{key}={rng.choice(VALUES)}"])
        except PresetError as error:
            assert "--set" in str(error) and str(error).isprintable()


# Lines.


def test_lines_of_keys_are_found_wherever_toml_lets_them_stand():
    toml = (
        'a = """\n[not.a.header]\nb = 1\n"""\n'  # 1
        "'q.x' = {m = 1, n = [\n1,\n# ]\n2]}\n"  # 5
        '[t."u v".w]\n'  # 9
        "c.d = 07:32:00 # [x]\n"  # 10
        "[[rows]]\nk = 1.5\n[[rows]]\nk = [{z = 1},\n {z = 2}]\n"  # 11
        "[rows.sub]\nk = '''a\n'''\nlast = 1"  # 16
    )
    tomllib.loads(toml)
    assert key_lines(toml) == {
        ("a",): 1,
        ("q.x",): 5,
        ("q.x", "m"): 5,
        ("q.x", "n"): 5,
        ("q.x", "n", 0): 6,
        ("q.x", "n", 1): 8,
        ("t",): 9,
        ("t", "u v"): 9,
        ("t", "u v", "w"): 9,
        ("t", "u v", "w", "c"): 10,
        ("t", "u v", "w", "c", "d"): 10,
        ("rows",): 11,
        ("rows", 0): 11,
        ("rows", 0, "k"): 12,
        ("rows", 1): 13,
        ("rows", 1, "k"): 14,
        ("rows", 1, "k", 0): 14,
        ("rows", 1, "k", 0, "z"): 14,
        ("rows", 1, "k", 1): 15,
        ("rows", 1, "k", 1, "z"): 15,
        ("rows", 1, "sub"): 16,
        ("rows", 1, "sub", "k"): 17,
        ("rows", 1, "sub", "last"): 19,
    }


# The start-up path.


def test_reading_a_preset_loads_no_heavy_library():
    heavy = ("librosa", "onnxruntime", "pedalboard", "rich", "scipy.signal", "sklearn", "sounddevice")
    code = f"import sys, bridge.cli.main, bridge.preset; print([m for m in {heavy} if m in sys.modules])"
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env=environment(), cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
