# SPDX-License-Identifier: GPL-3.0-or-later
"""The README speaks of what there is: commands, keys, addresses, events, files and ports."""

import importlib
import json
import re
import shlex
import socket
import tomllib
from queue import SimpleQueue

import numpy as np
import pytest

from bridge import preset as presets
from bridge.cli import main as cli
from bridge.errors import EarwireError
from bridge.messages import TABLE, osc, read
from bridge.midi.departure import declared
from bridge.preset import load
from bridge.remote import TAKEN, OscRemote
from bridge.sinks.osc import message
from dsp.events import BEAT, EVENT, KINDS, LABELS
from dsp.units import HOP, RATE, ms
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")
PAGES = [README, (ROOT / "ARCHITECTURE.md").read_text("utf-8"), (ROOT / "CHANGELOG.md").read_text("utf-8")]
PROSE = re.sub(r"```.*?```|<!--.*?-->", "", README, flags=re.DOTALL)
SPOKEN = [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", PROSE)]


def blocks(language: str) -> list[str]:
    """What stands in the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def shell_lines() -> list[str]:
    return [line.strip() for block in blocks("sh") for line in block.splitlines() if line.strip()]


def words(line: str) -> list[str]:
    """Arguments of the `earwire` in a shell line, pipes and redirections left out."""
    parts = shlex.split(line, comments=True)
    parts = parts[parts.index("earwire") + 1 :]
    ends = [parts.index(mark) for mark in ("|", ">", "&&") if mark in parts]
    return parts[: min(ends)] if ends else parts


def commands() -> list[str]:
    shown = [line for line in shell_lines() if "earwire" in shlex.split(line, comments=True)]
    spoken = [text for text in SPOKEN if text.startswith("earwire ")]
    return sorted({*shown, *spoken})


def parsed(argv: list[str]) -> object:
    """The options of a command line, as its own command reads them."""
    command = cli.find(argv[0])
    parser = cli.Parser(prog=f"earwire {command.name}", conflict_handler="resolve", allow_abbrev=False)
    if command.preset:
        cli.add_preset(parser)
    importlib.import_module(f"bridge.cli.{command.name}").configure(parser)
    return parser.parse_args(argv[1:])


def known_keys() -> set[str]:
    return {row.key for row in iter(presets.keys())}


def test_there_are_commands_to_check():
    assert len(commands()) > 25 and len(shell_lines()) >= len(blocks("sh"))


@pytest.mark.parametrize("line", commands())
def test_every_command_shown_is_understood(line, monkeypatch):
    monkeypatch.setattr("bridge.kit.pages.notes", lambda name: {})  # kits that the reader is told to make
    argv = words(line)
    if "--help" in argv:
        cli.find(argv[0])
        return
    args = parsed(argv)
    name = getattr(args, "preset", None)
    if name and name != "mine.toml":
        load(name, getattr(args, "set", []))
    elif name:
        load("voice", getattr(args, "set", []))  # which the line before has copied
    if re.match(r"(file|jack|device|stdin)", source := getattr(args, "source", "") or "") is None:
        assert source == ""


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"\bmake (\w+)", "\n".join([*SPOKEN, *shell_lines()])))
    assert {"demo", "test", "lint"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_every_key_exists():
    tables = {key.partition(".")[0] for key in known_keys() if re.match(r"\w+\.", key)}
    named = {
        text.partition("=")[0].strip()
        for text in SPOKEN
        if re.match(rf"({'|'.join(tables)})\.[a-z_.]+\b", text) and not text.endswith(".jsonl")
    }
    assert len(named) > 15
    assert named <= known_keys()


def test_every_override_is_accepted():
    overrides = [
        text.removeprefix("--set ") for said in SPOKEN for text in re.findall(r"--set \S+=\S+", said)
    ]
    assert overrides
    load("drums", overrides)


def test_the_presets_shown_load(tmp_path):
    for number, toml in enumerate(blocks("toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(toml, "utf-8")
        preset = load(path)
        if preset.plugins:
            from bridge.plugins import PluginChain

            assert PluginChain(preset.plugins, RATE).delay < RATE / 100
    names = {"drums", "voice", "guitar", "bass", "piano", "winds-strings", "mix"}
    assert names | {"clock", "harmony", "visuals"} == set(presets.shipped())
    assert set(presets.shipped()) <= set(SPOKEN)


def test_every_osc_address_exists():
    out = {"/earwire/status"}
    for kind in TABLE:
        for row in range(len(LABELS)):
            event = np.zeros(1, EVENT)
            event["kind"], event["label"] = kind, row
            out |= {address for address, _ in osc(event[0])}
    out.add("/earwire/drum/xy")
    into = {f"/earwire/{name}" for name in (*TAKEN, "tap")}
    named = set(re.findall(r"`(/earwire/[\w/-]+)`", README))
    assert named <= out | into
    general = {address for address in out if not address.startswith("/earwire/drum/")}
    assert general <= named and into <= named


def test_the_osc_commands_are_taken():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    taken: SimpleQueue[tuple[str, str]] = SimpleQueue()
    said: SimpleQueue[str] = SimpleQueue()
    remote = OscRemote(str(port), "earwire", taken, said.put)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for name in ("correct", "undo", "preset", "panic"):
                assert f"/earwire/{name}" in SPOKEN
                sender.sendto(message(f"/earwire/{name}", ["snare"]).dgram, ("127.0.0.1", port))
                assert taken.get(timeout=5) == (name, "snare")
            for name in ("half", "double", "nudge", "lock"):
                sender.sendto(message(f"/earwire/{name}", []).dgram, ("127.0.0.1", port))
                assert taken.get(timeout=5) == (name, "")
            sender.sendto(message("/earwire/tap", []).dgram, ("127.0.0.1", port))
            tapped, when = taken.get(timeout=5)
            assert tapped == "tap" and when.isdecimal()
            for name in ("pannic", "pannic", "panic"):  # what is not taken is said, once
                sender.sendto(message(f"/earwire/{name}", []).dgram, ("127.0.0.1", port))
            assert taken.get(timeout=5) == ("panic", "") and taken.empty()
            assert "'/earwire/pannic' is not understood" in said.get(timeout=5) and said.empty()
    finally:
        remote.close()


def test_the_event_lines_are_real():
    (text,) = blocks("json")
    start, *events, end = text.strip().splitlines()
    assert json.loads(start)["kind"] == "start" and json.loads(end)["kind"] == "end"
    preset = load(json.loads(start)["preset"])
    assert json.loads(start)["constant"] == declared(preset, ms(HOP))
    assert json.loads(start)["mode"] == preset.mode
    for line in events:
        event = read(line)
        assert event is not None and (event["time"] <= event["emitted"] or event["kind"] == BEAT)
        assert json.loads(line)["kind"] in KINDS


def test_the_latencies_declared_are_declared():
    rows = re.findall(
        r"^\| ((?:`[\w-]+`(?:, )?)+) \| .*? \| (\d+) ms \| ([\d.]+) ms \|", README, re.MULTILINE
    )
    assert len(rows) == 5
    for names, waits, constant in rows:
        for name in re.findall(r"`([\w-]+)`", names):
            kinds = declared(load(name))
            kind = "drum" if "drum" in kinds else "note_on"
            assert round(1000 * kinds[kind]) == int(waits)
            assert round(1000 * kinds[kind] + ms(HOP), 1) == float(constant)


def test_links_and_pictures_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page):
            assert target.startswith("https://") or (ROOT / target).is_file(), target
    headings = {
        re.sub(r"[^\w -]", "", h).lower().replace(" ", "-")
        for h in re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings


def test_the_architecture_names_files_that_exist():
    for path in re.findall(r"`((?:bridge|dsp|models|tests|sources|sinks)/[\w/*]+\.py)", PAGES[1]):
        path = path.replace("yours", "onset")  # the one to be written
        assert (ROOT / path).is_file() or (ROOT / "bridge" / path).is_file(), path


def test_the_version_is_the_one_of_the_changelog():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", PAGES[2], re.MULTILINE)


def test_a_command_that_is_not_one_would_be_noticed():
    with pytest.raises(EarwireError):
        parsed(words("earwire run --nonsense"))
    with pytest.raises(EarwireError):
        parsed(words("earwire runn"))
