# SPDX-License-Identifier: GPL-3.0-or-later
"""What many tests share: a JACK server of our own, and the command as a user would start it."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
_count = itertools.count()


def _wait(name: str, seconds: int) -> bool:
    """Whether the server called `name` answers in time."""
    env = {**os.environ, "JACK_DEFAULT_SERVER": name, "JACK_NO_START_SERVER": "1"}
    wait = ["jack_wait", "-w", "-t", str(seconds)]
    return subprocess.run(wait, env=env, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def jack(period: int = 64, rate: int = 48_000, name: str = "") -> Iterator[str]:
    """A private JACK server on the dummy driver; yields its name, which may be that of one that has gone.

    While it runs, JACK clients of this process and of its children go to it.
    """
    name = name or f"earwire-test-{os.getpid()}-{next(_count)}"
    driver = ["-d", "dummy", "-r", str(rate), "-p", str(period)]
    env = {**os.environ, "JACK_NO_AUDIO_RESERVATION": "1"}
    # Where realtime scheduling is not allowed, an ordinary server does.
    for scheduling in (["--realtime", "-P", "70"], ["--no-realtime"]):
        server = subprocess.Popen(
            ["jackd", "-n", name, *scheduling, *driver],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the test run must not reach it first
        )
        if _wait(name, 10):
            break
        server.kill()
        server.wait()
    else:
        raise RuntimeError("jackd does not start")
    asked = {"JACK_DEFAULT_SERVER": name, "JACK_NO_START_SERVER": "1"}
    before = {key: os.environ.get(key) for key in asked}
    os.environ.update(asked)
    try:
        yield name
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="session")
def jack_server() -> Iterator[str]:
    """Name of a JACK server at 48 kHz with a period of 64, one for the whole session."""
    with jack() as name:
        yield name


def command(*args: object) -> list[str]:
    """The command line that starts `earwire` from these sources, installed or not."""
    return [sys.executable, "-m", "bridge.cli.main", *map(str, args)]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "", **more}


@pytest.fixture(scope="session", autouse=True)
def _state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Reports of errors that tests provoke must not pile up in somebody's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def earwire() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs a command to its end: ``earwire("presets", "--json").stdout``."""

    def run(*args: object, timeout: float = 120, env: dict[str, str] | None = None, **options: Any) -> Any:
        return subprocess.run(
            command(*args),
            env=environment(**(env or {})),
            check=False,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=timeout,
            **options,
        )

    return run


@pytest.fixture
def start_earwire() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a command and leaves it running; whatever still runs after the test is stopped."""
    running: list[subprocess.Popen[str]] = []

    def start(*args: object, env: dict[str, str] | None = None, **options: Any) -> Any:
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        } | options
        process = subprocess.Popen(
            command(*args), env=environment(**(env or {})), text=True, encoding="utf-8", **options
        )
        running.append(process)
        return process

    yield start
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        except ValueError:  # the test has closed a pipe
            process.wait(10)
