# SPDX-License-Identifier: GPL-3.0-or-later
"""The wheel: what a user installs holds all it needs, and nothing that is not theirs."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser

import pytest

from tests.conftest import ROOT

FLOORS = ("bridge", "dsp", "models", "presets")
DATA = (".toml", ".npz", ".onnx", ".ogg", ".lua", ".html", ".js", ".css")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of a clean copy, so that no earlier build shows through."""
    copy = tmp_path_factory.mktemp("source")
    for floor in FLOORS:
        shutil.copytree(ROOT / floor, copy / floor, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    (copy / "tests").mkdir()  # must not be taken along
    (copy / "tests" / "__init__.py").write_text("")
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(copy / "dist"),
        str(copy),
    ]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (copy / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Folder of programs of a fresh environment that holds the wheel; libraries are borrowed from ours."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=False)
    paths = sysconfig.get_paths(vars={"base": str(home), "platbase": str(home)})
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
    ]
    place = ["--ignore-installed", "--no-warn-script-location", "--prefix", str(home)]
    subprocess.run([*pip, *place, str(wheel)], check=True)
    # A path file adds our libraries; path files among them, such as that of these sources, are not followed.
    with open(os.path.join(paths["purelib"], "borrowed.pth"), "w") as file:
        file.write(sysconfig.get_path("purelib") + "\n")
    return paths


def run(installed, folder, *args):
    """Run the installed command in `folder` with the fresh environment's Python."""
    name = "python.exe" if os.name == "nt" else "python"
    python = os.path.join(installed["scripts"], name)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    start = "import sys; from bridge.cli.main import main; sys.exit(main())"
    return subprocess.run(
        [python, "-c", start, *args], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_the_wheel_holds_all_modules_and_data_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for floor in FLOORS:
        for path in (ROOT / floor).rglob("*"):
            ours = path.relative_to(ROOT).as_posix()
            if path.suffix in (".py", *DATA) and "__pycache__" not in ours:
                assert ours in names, ours
    assert {name.split("/")[0] for name in names} == {*FLOORS, "earwire-0.1.0.dist-info"}


def test_the_wheel_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as archive:
        meta = Parser().parsestr(archive.read("earwire-0.1.0.dist-info/METADATA").decode())
        points = archive.read("earwire-0.1.0.dist-info/entry_points.txt").decode()
        assert b"GNU GENERAL PUBLIC LICENSE" in archive.read("earwire-0.1.0.dist-info/licenses/LICENSE")
    assert (meta["Name"], meta["Version"]) == ("earwire", "0.1.0")
    assert (meta["License-Expression"], meta["Requires-Python"]) == ("GPL-3.0-or-later", ">=3.11")
    assert "earwire = bridge.cli.main:main" in points


def test_the_installed_command_works_from_an_empty_folder(installed, tmp_path):
    done = run(installed, tmp_path, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "earwire 0.1.0\n", "")
    done = run(installed, tmp_path, "presets", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["name"] for row in json.loads(done.stdout)] == [
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
    ]
    assert list(tmp_path.iterdir()) == []


def test_it_is_the_wheel_that_runs_not_these_sources(installed, tmp_path):
    python = os.path.join(installed["scripts"], "python.exe" if os.name == "nt" else "python")
    code = "import bridge, dsp, models, presets as p; print(*(m.__file__ for m in (bridge, dsp, models, p)), sep='\\n')"
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    for path in done.stdout.splitlines():
        assert os.path.realpath(path).startswith(os.path.realpath(installed["purelib"])), path


def test_the_program_is_where_programs_are(installed):
    assert shutil.which("earwire", path=installed["scripts"])
