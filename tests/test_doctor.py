# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine offers, and what the doctor says of it, on machines we do not have too."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bridge import devices, doctor
from bridge.cli.main import main
from bridge.devices import LOOPBACK, Device, Found, Jack, JackPort, MidiPort
from bridge.doctor import Finding, Machine, diagnose

NOTHING = Found(Jack(False), (), (), {})
SERVED = Jack(True, True, "default", 48_000, 64, 65)
MICROPHONE = Device(0, "Built-in Microphone", "Core Audio", 1, 0, 48_000, (44_100, 48_000), False, True)
BLACKHOLE = Device(1, "BlackHole 2ch", "Core Audio", 2, 2, 48_000, (44_100, 48_000), True, False)
VERSIONS = {"numba": "0.68.1"}

STUDIO = Machine(
    "linux",
    NOTHING._replace(jack=SERVED),
    governors=frozenset({"performance"}),
    priority_limit=95,
    memory_limit=-1,
    cached=40,
    versions=VERSIONS,
)


def levels(machine):
    findings = diagnose(machine)
    assert len({finding.key for finding in findings}) == len(findings)
    for finding in findings:
        assert finding.level in ("ok", "warn", "bad")
        assert bool(finding.mend) == (finding.level != "ok"), finding
        assert "\n" not in finding.what + finding.mend
    return {finding.key: finding.level for finding in findings}


def mends(machine, key):
    (finding,) = (finding for finding in diagnose(machine) if finding.key == key)
    return finding.mend


def test_a_good_studio_is_well():
    assert set(levels(STUDIO).values()) == {"ok"}
    assert {"jack", "realtime", "governor", "memlock", "loopback", "midi"} <= levels(STUDIO).keys()


def test_a_bare_linux_is_told_what_to_install():
    bare = Machine(
        "linux",
        NOTHING._replace(trouble={"devices": "PortAudio library not found"}),
        sequencer=False,
        realtime=False,
        priority_limit=0,
        memory_limit=8 << 20,
        governors=frozenset({"powersave"}),
        processors=1,
        cache_writable=False,
        versions=VERSIONS,
    )
    said = levels(bare)
    assert {key for key, level in said.items() if level == "bad"} == {"inputs"}
    assert {key for key, level in said.items() if level == "warn"} == {
        "jack", "loopback", "midi", "realtime", "memlock", "governor", "processors", "kernel-cache",
    }  # fmt: skip
    assert "apt install libportaudio2" in mends(bare, "inputs")
    assert "apt install jackd2" in mends(bare, "jack")
    assert "modprobe snd-seq" in mends(bare, "midi")
    assert "usermod -aG audio" in mends(bare, "realtime")
    assert "rtprio 95\\n" in mends(bare, "realtime")
    assert "cpupower frequency-set" in mends(bare, "governor")


def test_macos_and_windows_are_led_to_a_loopback_device():
    mac = Machine("darwin", NOTHING._replace(devices=(MICROPHONE,)), versions=VERSIONS)
    assert {key for key, level in levels(mac).items() if level != "ok"} == {"loopback"}
    assert "brew install blackhole-2ch" in mends(mac, "loopback")
    assert "realtime" not in levels(mac)
    mac = replace(mac, found=mac.found._replace(devices=(MICROPHONE, BLACKHOLE)))
    assert set(levels(mac).values()) == {"ok"}
    windows = Machine("win32", NOTHING._replace(devices=(MICROPHONE,)), versions=VERSIONS)
    assert {key for key, level in levels(windows).items() if level != "ok"} == {"loopback", "midi"}
    assert "vb-audio.com" in mends(windows, "loopback")
    assert "loopMIDI" in mends(windows, "midi")
    port = MidiPort("loopMIDI Port 1", "Windows MultiMedia", "play")
    windows = replace(windows, found=windows.found._replace(midi=(port,)))
    assert levels(windows)["midi"] == "ok"


def test_pipewire_stands_in_for_jack():
    found = NOTHING._replace(jack=Jack(True), devices=(MICROPHONE,))
    machine = replace(STUDIO, found=found, servers=frozenset({"pipewire", "pulseaudio"}), pipewire_jack=True)
    assert set(levels(machine).values()) == {"ok"}
    machine = replace(machine, pipewire_jack=False)
    assert levels(machine)["pipewire"] == "warn"
    assert "pipewire-jack" in mends(machine, "pipewire")
    assert "pulseaudio" in levels(replace(machine, servers=frozenset({"pulseaudio"})))


@pytest.mark.parametrize(
    "jack, key, level",
    [
        (SERVED._replace(period=128), "jack-period", None),
        (SERVED._replace(period=1024), "jack-period", "warn"),
        (SERVED._replace(priority=0), "jack-realtime", "warn"),
        (SERVED._replace(rate=44_100), "jack-rate", "ok"),
        (Jack(True, others=("studio",)), "jack", "warn"),
        (Jack(False), "jack", "warn"),
    ],
)
def test_the_server_is_judged(jack, key, level):
    said = levels(replace(STUDIO, found=NOTHING._replace(jack=jack)))
    assert said.get(key) == level


def test_another_servers_name_is_told():
    machine = replace(STUDIO, found=NOTHING._replace(jack=Jack(True, others=("studio",))))
    assert any("JACK_DEFAULT_SERVER=studio" in finding.what for finding in diagnose(machine))


def test_many_servers_stay_within_the_terminal(monkeypatch, capsys):
    servers = tuple(f"studio-{number}" for number in range(12))
    found = NOTHING._replace(jack=Jack(True, others=servers))
    monkeypatch.setattr("bridge.cli.devices.look", lambda: found)
    monkeypatch.setattr("bridge.cli.doctor.examine", lambda: replace(STUDIO, found=found))
    monkeypatch.setenv("COLUMNS", "80")
    for command in ("devices", "doctor"):
        assert main([command]) == 0
        said = capsys.readouterr().out
        assert all(f"{server}" in said for server in servers)
        assert all(len(line) <= 80 for line in said.splitlines() if "->" not in line)


def test_nobody_is_sent_to_a_package_index():
    broken = replace(STUDIO, python=(3, 10, 4), versions={"numba": ""})
    broken = replace(broken, found=broken.found._replace(trouble={"midi": "not installed"}))
    for key in ("python", "packages", "midi"):
        assert re.search(r"checkout: uv tool install .*--python 3\.12 \. ", mends(broken, key))


def test_a_wrong_python_or_a_missing_package_is_bad():
    assert levels(replace(STUDIO, python=(3, 10, 4)))["python"] == "bad"
    assert levels(replace(STUDIO, wide=False))["python"] == "bad"
    assert levels(replace(STUDIO, versions={"numba": "", "numpy": "2.0"}))["packages"] == "bad"


@pytest.mark.parametrize(
    "name, loops",
    [
        ("BlackHole 16ch", True),
        ("CABLE Output (VB-Audio Virtual Cable)", True),
        ("Loopback Audio", True),
        ("Monitor of Built-in Audio Analog Stereo", True),
        ("alsa_output.pci.analog-stereo.monitor", True),
        ("Stereo Mix (Realtek)", True),
        ("Soundflower (2ch)", True),
        ("VoiceMeeter Out B1", True),
        ("Built-in Microphone", False),
        ("Scarlett 2i2 USB", False),
        ("system", False),
    ],
)
def test_loopback_devices_are_known_by_name(name, loops):
    assert bool(LOOPBACK.search(name)) == loops


def test_systems_that_break_are_reported_and_nothing_falls(monkeypatch):
    def broken(*_):
        raise OSError("PortAudio library\nnot found.")

    monkeypatch.setattr(devices, "look_at_portaudio", broken)
    monkeypatch.setattr(devices, "look_at_midi", broken)
    monkeypatch.setattr(devices, "library", lambda: None)
    found = devices.look()
    assert found.trouble == dict.fromkeys(("devices", "midi"), "PortAudio library not found")
    assert not found.jack.installed
    assert (found.devices, found.midi) == ((), ())


# Modules as they are on a machine that lacks the library below them.
BARE = """
import sys, ctypes
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("sounddevice", "rtmidi"):
            raise OSError(name + " library not found")
sys.meta_path.insert(0, Missing())
class Library(ctypes.CDLL):
    def __init__(self, name, *args, **kwargs):
        if "jack" in str(name):
            raise OSError("no libjack")
        super().__init__(name, *args, **kwargs)
ctypes.CDLL = Library
from bridge.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["devices", "doctor"])
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_the_commands_answer_on_any_machine(command, bare, flags):
    """No server, no sound card, even no libraries: exit 0, nothing on stderr, no server started."""
    start = ["-c", BARE] if bare else ["-m", "bridge.cli.main"]
    done = subprocess.run(
        [sys.executable, *start, command, *flags],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "JACK_DEFAULT_SERVER": "no-such-server", "XDG_RUNTIME_DIR": "/nonexistent"},
        cwd=Path(__file__).parent.parent,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if not flags:
        assert "Traceback" not in done.stdout
        assert len(done.stdout.splitlines()) > 3
        return
    said = json.loads(done.stdout)
    if command == "devices":
        assert said.keys() == {"jack", "devices", "midi", "trouble"}
        assert not said["jack"]["running"]
        assert said["jack"]["installed"] is not bare
        assert bool(said["trouble"]) == bare
    else:
        assert said.keys() == {"system", "ok", "warn", "bad", "findings"}
        keys = [finding["key"] for finding in said["findings"]]
        assert {"python", "packages", "kernel-cache", "jack", "inputs", "loopback", "midi"} <= set(keys)
        assert said["ok"] + said["warn"] + said["bad"] == len(keys)
        assert all(finding.keys() == set(Finding._fields) for finding in said["findings"])


def test_a_long_list_is_shown_in_the_words_run_takes(monkeypatch, capsys):
    ports = (
        JackPort("ardour:Drums/audio_out 1", "audio", "hear", False),
        JackPort("synth:midi in", "midi", "play", False),
    )
    found = Found(
        SERVED._replace(ports=ports, others=("studio",)),
        (MICROPHONE, BLACKHOLE, Device(2, "Speakers", "Core Audio", 0, 2, 48_000, (), False, False)),
        (MidiPort("IAC Bus 1", "CoreMIDI", "play"), MidiPort("Pedal", "CoreMIDI", "hear")),
        {},
    )
    monkeypatch.setattr("bridge.cli.devices.look", lambda: found)
    assert main(["devices"]) == 0
    said = capsys.readouterr().out
    assert "--source 'jack:ardour:Drums/audio_out 1'" in said
    assert "--source 'device:BlackHole 2ch'" in said
    assert "2 channels, 48000 Hz, loopback" in said
    assert "1 channel, 48000 Hz, default" in said
    assert "--midi 'IAC Bus 1'" in said
    assert "--midi-in 'Pedal'" in said
    assert "JACK_DEFAULT_SERVER=studio" in said
    assert "Speakers" not in said
    assert main(["devices", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["jack"]["ports"][0] == ports[0]._asdict()
    assert said["devices"][1] == {**BLACKHOLE._asdict(), "rates": [44_100, 48_000]}


def test_c_libraries_are_hushed_and_stderr_comes_back(capfd):
    with devices.hushed():
        os.write(2, b"ALSA lib: no such thing\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_governors_are_read_per_processor(tmp_path):
    assert doctor._governors(tmp_path / "none") == frozenset()
    for number, governor in enumerate(("performance", "powersave")):
        folder = tmp_path / f"cpu{number}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(governor + "\n")
    assert doctor._governors(tmp_path) == {"performance", "powersave"}


def test_sound_servers_are_known_by_their_sockets(tmp_path):
    assert doctor._servers({"XDG_RUNTIME_DIR": str(tmp_path)}) == frozenset()
    (tmp_path / "pipewire-0").touch()
    (tmp_path / "pulse").mkdir()
    (tmp_path / "pulse" / "native").touch()
    assert doctor._servers({"XDG_RUNTIME_DIR": str(tmp_path)}) == {"pipewire", "pulseaudio"}


@pytest.mark.jack
def test_a_running_server_is_found(jack_server, earwire):
    listed = earwire("devices", "--json")
    assert (listed.returncode, listed.stderr) == (0, "")
    said = json.loads(listed.stdout)
    jack = said["jack"]
    assert (jack["running"], jack["rate"], jack["period"], jack["server"]) == (True, 48_000, 64, jack_server)
    assert jack_server not in jack["others"]
    port = {"name": "system:capture_1", "type": "audio", "use": "hear", "physical": True}
    assert port in jack["ports"]
    assert not any("earwire" in port["name"] for port in jack["ports"])
    assert "--source 'jack:system:capture_1'" in earwire("devices").stdout
    findings = {
        row["key"]: row["level"] for row in json.loads(earwire("doctor", "--json").stdout)["findings"]
    }
    assert findings["jack"] == findings["loopback"] == findings["midi"] == "ok"


@pytest.mark.jack
def test_a_server_of_another_name_is_told(jack_server, earwire):
    said = json.loads(earwire("devices", "--json", env={"JACK_DEFAULT_SERVER": "no-such-server"}).stdout)
    assert not said["jack"]["running"]
    assert jack_server in said["jack"]["others"]
