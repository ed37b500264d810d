# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: each row of INTERFACE answers, and nothing that goes wrong ever shouts."""

import json
import os
import re
import subprocess
import sys
import types

import pytest

import bridge.errors
from bridge import patch
from bridge import preset as presets
from bridge.cli import main as cli
from bridge.errors import DeviceError, EarwireError, JackError, PresetError, UsageError
from bridge.run import Meters
from bridge.view import LiveView
from tests.conftest import ROOT, command, environment

COMMANDS = ("run", "transcribe", "tag", "kit", "demo", "devices", "presets", "doctor", "bench", "evaluate")


@pytest.fixture
def probe(monkeypatch):
    """Puts a command of our own in the place of `demo`."""

    def stand_in(execute, configure=lambda parser: None):
        module = types.SimpleNamespace(execute=execute, configure=configure)
        monkeypatch.setitem(sys.modules, "bridge.cli.demo", module)

    return stand_in


def raising(error):
    def execute(*args):
        raise error

    return execute


# What every user meets.


def test_commands_are_those_of_the_interface():
    assert tuple(c.name for c in cli.COMMANDS) == COMMANDS


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_no_command_gets_a_short_friendly_help(argv, capsys):
    assert cli.main(argv) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.count("\n") < 25 and all(len(line) <= 80 for line in out.splitlines())
    assert all(re.search(rf"^  {name} +\w", out, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    assert cli.main([name, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.startswith(f"usage: earwire {name}")
    if name in ("run", "transcribe", "tag"):
        assert "--preset" in out and "--set" in out
    if name not in ("run", "transcribe", "demo", "bench"):
        assert "--json" in out


def test_help_waits_for_no_library():
    heavy = (
        "librosa",
        "onnxruntime",
        "pedalboard",
        "rich",
        "rtmidi",
        "scipy.signal",
        "sklearn",
        "sounddevice",
    )
    code = (
        "import sys\nfrom bridge.cli.main import main\n"
        f"for name in {COMMANDS}:\n    assert main([name, '--help']) == 0\n"
        f"    print(name, *(m for m in {heavy} if m in sys.modules), file=sys.stderr)"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False)
    assert tuple(done.stderr.splitlines()) == COMMANDS


def test_version_names_the_product(capsys):
    assert cli.main(["--version"]) == 0
    assert re.fullmatch(r"earwire (\d+\.\d+\.\d+\S*|\(not installed\))\n", capsys.readouterr().out)


# Mistakes on the command line.

MISTAKES = (
    (["transcrib"], "no command is called 'transcrib'; did you mean transcribe?"),
    (["RUN"], "did you mean run?"),
    (["xyzzy"], "no command is called 'xyzzy'"),
    (["\x1b[2J"], r"'\x1b[2J'"),
    (["--preset", "drums"], "stands before the command"),
    (["presets", "--nonsense"], "--nonsense"),
    (["presets", "a", "b"], "b"),
    (["run", "--set"], "expected one argument"),
    (["run", "--pre", "drums"], "--pre"),
)


@pytest.mark.parametrize("argv, message", MISTAKES, ids=[" ".join(row[0]) for row in MISTAKES])
def test_a_mistake_is_answered_in_two_lines_and_exit_2(argv, message, capsys):
    assert cli.main(argv) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and len(lines) == 2 and lines[0].startswith("earwire: ") and message in lines[0]
    assert "--help" in lines[1]


@pytest.mark.parametrize("name", ["run", "transcribe"])
def test_a_wrong_preset_is_named_before_anything_starts(name, capsys, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[drums]\ndecison_ms = 12\n")
    file = [str(tmp_path / "x.wav")] if name == "transcribe" else []
    assert cli.main([name, *file, "-p", str(path)]) == 1
    err = capsys.readouterr().err
    assert err.startswith(
        f"earwire: drums.decison_ms ({path}, line 2): no such key; did you mean decision_ms?\n"
    )
    assert cli.main([name, *file, "--set", "drums.decision_ms=400"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("earwire: drums.decision_ms (--set): 400 is outside 3..60 ms; the nearest is 60")


@pytest.mark.parametrize(
    "options, code, said",
    [
        (["--osc", "nowhere"], 1, "--osc: 'nowhere' is not HOST:PORT"),
        (["--osc-in", "99999"], 2, "--osc-in: "),
        (["--name", "my ear"], 2, "--name 'my ear'"),
    ],
)
def test_options_of_run_are_checked_before_anything_opens(options, code, said, monkeypatch, capsys):
    monkeypatch.setattr("bridge.patch.open_source", lambda *_: pytest.fail("a source was opened"))
    assert cli.main(["run", "--source", "jack", *options]) == code
    assert said in capsys.readouterr().err


def test_a_file_without_the_word_file_is_recognised(tmp_path, capsys):
    path = tmp_path / "groove.ogg"
    path.write_bytes(b"")
    for spec in (path, f"{path},fast"):
        assert cli.main(["run", "--source", str(spec), "--midi", "none"]) == 2
        assert f"for the file say --source file:{spec}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "servers, hint",
    [
        ([], "plug one in; or start a JACK server"),
        (["studio"], "plug one in; or use JACK: JACK_DEFAULT_SERVER=studio"),
    ],
)
def test_with_nothing_to_hear_jack_is_named_too(servers, hint, monkeypatch):
    monkeypatch.setattr("bridge.jack.client.running", lambda: False)
    monkeypatch.setattr("bridge.devices.jack_servers", lambda: servers)
    monkeypatch.setattr("bridge.sources.device.DeviceSource", raising(DeviceError("no input", "plug one in")))
    with pytest.raises(DeviceError) as raised:
        patch.open_source("", presets.load("drums"), "earwire")
    assert raised.value.hint.startswith(hint)


@pytest.mark.jack
def test_a_pattern_that_no_port_fits_is_said(jack_server):
    (line,) = patch.unmatched("jack:nothinglikeit", "virtual:Synth")
    assert (
        line.startswith("--source jack:nothinglikeit: no port is called that") and "system:capture_1" in line
    )
    (line,) = patch.unmatched("jack:CAPTURE", "jack:nobody")
    assert line.startswith("--midi jack:nobody")
    assert patch.unmatched("jack", "jack") == patch.unmatched("", "") == []


# The first start.

COMPILING = """
import os, signal, sys, time
from numba.core import event
from bridge.warm import PATIENCE, compiling
before = signal.getsignal(signal.SIGINT)
with compiling():
    event.start_event("numba:compile")
    event.end_event("numba:compile")
assert signal.getsignal(signal.SIGINT) is before
with compiling():
    event.start_event("numba:compile")
    time.sleep(PATIENCE)
    event.start_event("numba:compile")
    event.end_event("numba:compile")
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    time.sleep(20)
"""


@pytest.mark.linux
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_compiling_is_told_where_it_takes_a_while_and_ends_at_once(name):
    run = [sys.executable, "-c", COMPILING, name]
    done = subprocess.run(run, env=environment(), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "earwire: compiling for this processor, once: a minute or two",
        "earwire: stopped; what is compiled so far is kept",
    ]


# The view.


def test_the_latency_shown_is_that_of_the_preset_in_use():
    session = types.SimpleNamespace(
        preset=presets.load("drums"), path_ms=1.3, meters=Meters(), engine=types.SimpleNamespace(beyond=0)
    )
    view = LiveView(session)
    view._header = {"ports": {"source": ["ear:in_1"]}}
    assert "latency 13.3 ms constant" in view._picture().plain
    session.preset = presets.load("drums", ["drums.decision_ms=20", "mode=fastest"])
    assert "latency 21.3 ms fastest" in view._picture().plain
    session.preset = presets.load("voice")
    assert "latency 46.3 ms constant" in view._picture().plain


# Errors of the tree, and errors of ours.


def error_classes():
    return [c for c in vars(bridge.errors).values() if isinstance(c, type) and issubclass(c, EarwireError)]


@pytest.mark.parametrize("kind", error_classes(), ids=lambda c: c.__name__)
def test_every_error_is_said_calmly_with_what_to_do(kind, probe, capsys):
    probe(raising(kind("the cable is cut", "mend the cable")))
    assert cli.main(["demo"]) == (2 if kind is UsageError else 1)
    assert capsys.readouterr().err == "earwire: the cable is cut\n  mend the cable\n"


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = re.findall(r"^( +)(\w+Error) ", bridge.errors.__doc__ + " ", re.MULTILINE)
    drawn = [("    ", "EarwireError"), *drawn] if drawn[0][1] != "EarwireError" else drawn
    assert {name for _, name in drawn} == {c.__name__ for c in error_classes()}
    parents = {}
    for indent, name in drawn:
        parents[len(indent)] = name
        if name != "EarwireError":
            assert getattr(bridge.errors, name).__base__.__name__ == parents[len(indent) - 2]


def test_errors_tell_where():
    assert str(PresetError("is wrong")) == "is wrong"
    assert str(PresetError("is wrong", path="a.toml", line=3, key="x.y")) == "x.y (a.toml, line 3): is wrong"
    assert JackError("gone", "start it").hint == "start it" and JackError("gone").exit_code == 1


@pytest.fixture
def state(monkeypatch, tmp_path):
    monkeypatch.setattr("platformdirs.user_state_path", lambda name: tmp_path / name)
    return tmp_path / "earwire" / "reports"


def test_an_error_of_ours_is_one_calm_line_and_a_report(probe, capsys, state):
    probe(raising(ZeroDivisionError("deep inside")))
    assert cli.main(["demo"]) == 1
    out, err = capsys.readouterr()
    (report,) = state.iterdir()
    assert out == "" and "Traceback" not in err and "deep inside" not in err
    assert (
        err.splitlines()[0]
        == f"earwire: something went wrong inside (ZeroDivisionError); a report is in {report}"
    )
    text = report.read_text("utf-8")
    assert "Traceback" in text and "deep inside" in text and "command line: ['demo']" in text


def test_a_report_goes_to_the_temporary_folder_where_it_must(probe, capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("platformdirs.user_state_path", lambda name: tmp_path / "file")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    probe(raising(RuntimeError()))
    assert cli.main(["demo"]) == 1
    (report,) = (tmp_path / "temporary").iterdir()
    assert str(report) in capsys.readouterr().err


def test_a_module_that_is_missing_is_an_error_of_ours_too(monkeypatch, capsys, state):
    monkeypatch.setitem(sys.modules, "bridge.cli.demo", None)
    assert cli.main(["demo"]) == 1
    assert "something went wrong inside" in capsys.readouterr().err and list(state.iterdir())


def test_ctrl_c_is_quiet(probe, capsys):
    probe(raising(KeyboardInterrupt()))
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr() == ("", "")


def test_what_a_command_returns_is_the_exit_code(probe):
    probe(lambda args: 0)
    assert cli.main(["demo"]) == 0
    probe(lambda args: None)
    assert cli.main(["demo"]) == 0
    probe(lambda args: 1)
    assert cli.main(["demo"]) == 1


@pytest.mark.linux
@pytest.mark.parametrize("argv", [["presets", "--keys"], ["presets", "--help"], []])
def test_a_reader_that_leaves_is_not_an_error(argv):
    process = subprocess.Popen(
        command(*argv), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(30) == 0
    process.stderr.close()


@pytest.mark.linux
def test_a_full_disk_is_said_without_a_traceback(tmp_path):
    with open("/dev/full", "w") as full:
        env = environment(XDG_STATE_HOME=str(tmp_path))
        done = subprocess.run(
            command("presets"), env=env, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1 and list(tmp_path.iterdir()) == []
    assert (
        done.stderr
        == "earwire: cannot write: No space left on device\n  make room on the disk, and try again\n"
    )


# earwire presets.


def test_presets_are_listed_for_people_and_for_scripts(capsys):
    assert cli.main(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == presets.shipped()
    assert cli.main(["presets", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == presets.shipped()
    assert [row["name"] for row in rows if row["default"]] == ["drums"]
    assert all(set(row) == {"name", "description", "default"} for row in rows)


@pytest.mark.parametrize("name", presets.shipped())
def test_a_preset_is_shown_as_written_so_that_it_can_be_edited(name, capsys, tmp_path):
    assert cli.main(["presets", name]) == 0
    path = tmp_path / f"{name}.toml"
    path.write_text(capsys.readouterr().out, "utf-8")
    assert presets.load(path) == presets.load(name)
    assert cli.main(["presets", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(presets.as_table(presets.load(name))))


def test_every_key_is_listed_and_can_be_set(capsys):
    assert cli.main(["presets", "--keys", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"drums.decision_ms", "notes.low", "osc.targets", "drums.map.kick", "mode"} <= {
        r["key"] for r in rows
    }
    for row in rows:
        assert row["doc"] and row["range"]
        if not row["key"].startswith(("plugins", "[[", "name", "description")):
            presets.load("drums", [f"{row['key']}={json.dumps(row['default'])}"])


def test_the_command_runs_as_a_program_from_any_folder(earwire, tmp_path):
    done = earwire("presets", "voice", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "" and "bend_range = 12" in done.stdout
    done = earwire("presets", "voic", cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("earwire: no preset is called 'voic'; did you mean voice?\n")


@pytest.mark.jack
@pytest.mark.linux
def test_the_session_has_a_jack_server_of_its_own(jack_server):
    assert os.environ["JACK_DEFAULT_SERVER"] == jack_server
    done = subprocess.run(["jack_bufsize"], capture_output=True, text=True, check=False, timeout=20)
    assert "64" in done.stdout.split()
