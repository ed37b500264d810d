# SPDX-License-Identifier: GPL-3.0-or-later
"""The `earwire` command: picks a command, and answers calmly for whatever happens in it."""

import argparse
import errno
import importlib
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from bridge.errors import EarwireError, UsageError

FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows has no quota of its own


class Command(NamedTuple):
    name: str  # also the module that carries it out, bridge.cli.<name>
    doc: str
    preset: bool = False  # takes --preset and --set


COMMANDS = (
    Command("run", "listen, and play what is heard", preset=True),
    Command("transcribe", "turn sound files into MIDI files", preset=True),
    Command("tag", "say tempo, key and chords of sound files"),
    Command("kit", "teach it your own drums", preset=True),
    Command("demo", "see what it does, with nothing plugged in"),
    Command("devices", "list inputs and MIDI ports, as run takes them"),
    Command("presets", "list presets, or show one"),
    Command("doctor", "check this machine, and say what to mend"),
    Command("bench", "measure latency or load on this machine", preset=True),
    Command("evaluate", "score against recordings with known answers"),
)

HELP = """\
earwire listens to a DAW or a microphone and answers with MIDI, hits and labels.

usage: earwire COMMAND [options]

{commands}

to begin:
  earwire demo                      a first look, nothing to plug in
  earwire run                       drums from JACK or the default input
  earwire run -p voice --midi jack  sing, and play a synth
  earwire transcribe take.wav       writes take.mid

earwire COMMAND --help says more; earwire --version says which this is.
"""


class Parser(argparse.ArgumentParser):
    """Usage errors are raised like all others, so that they all look alike."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"{self.prog} --help says what it takes")


def add_preset(parser: argparse.ArgumentParser, usual: str = "drums") -> None:
    """The options `preset_of` reads: --preset, which is `usual` where it is left out, and --set."""
    parser.add_argument(
        "-p",
        "--preset",
        default=usual,
        metavar="P",
        help=f"a preset that comes with it, or a .toml file (default: {usual}; earwire presets lists them)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one key of the preset, such as drums.decision_ms=20; may be repeated",
    )


def preset_of(args: argparse.Namespace) -> Any:
    """The preset the options ask for."""
    from bridge.preset import load  # kernels are imported with it; --help need not wait for them

    return load(args.preset, args.set)


def help_text() -> str:
    rows = (f"  {command.name:<12}{command.doc}" for command in COMMANDS)
    return HELP.format(commands="\n".join(rows))


def version_text() -> str:
    try:
        return f"earwire {version('earwire')}"
    except PackageNotFoundError:  # run from a folder of sources
        return "earwire (not installed)"


def find(name: str) -> Command:
    """The command called `name`."""
    by_name = {command.name: command for command in COMMANDS}
    if name in by_name:
        return by_name[name]
    hint = "earwire --help lists the commands"
    if name.startswith("-"):
        raise UsageError(f"{name!a} stands before the command; options follow it", hint)
    close = get_close_matches(name[:60].lower(), by_name, n=1)
    raise UsageError(
        f"no command is called {name!a}" + (f"; did you mean {close[0]}?" if close else ""), hint
    )


def dispatch(argv: Sequence[str]) -> int:
    """Carry out one command line; errors of the tree pass through."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(help_text(), end="")
        return 0
    if argv[0] in ("-V", "--version"):
        print(version_text())
        return 0
    command = find(argv[0])
    module = importlib.import_module(f"bridge.cli.{command.name}")
    parser = Parser(
        prog=f"earwire {command.name}",
        description=command.doc[0].upper() + command.doc[1:] + ".",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        conflict_handler="resolve",
        allow_abbrev=False,
    )
    if command.preset:
        add_preset(parser)
    module.configure(parser)
    try:
        args = parser.parse_args(argv[1:])
    except SystemExit:  # --help has been printed; mistakes are raised
        return 0
    return int(module.execute(args) or 0)


def write_report(argv: Sequence[str], error: BaseException) -> Path | None:
    """Save what a developer needs to know about an error of ours; None if no folder can be written."""
    import numpy as np
    from platformdirs import user_state_path

    stamp = time.strftime("%Y%m%d-%H%M%S")
    lines = [
        f"{version_text()}, Python {platform.python_version()}, NumPy {np.__version__}, {platform.platform()}",
        f"command line: {list(argv)!r}",
        "",
        "".join(traceback.format_exception(error)),
    ]
    for folder in (user_state_path("earwire") / "reports", Path(tempfile.gettempdir())):
        path = folder / f"earwire-{stamp}-{os.getpid()}.txt"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines), "utf-8", errors="backslashreplace")
        except OSError:
            continue
        return path
    return None


def say(message: str, hint: str = "") -> None:
    """Speak to the person, never to the program that reads stdout."""
    try:
        print(f"earwire: {message}", file=sys.stderr)
        if hint:
            print(f"  {hint}", file=sys.stderr)
    except (OSError, ValueError):  # nobody listens
        pass


def hush(stream: Any) -> None:
    """Let nothing be written to a closed pipe when Python shuts down."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        pass


def surprised(argv: Sequence[str], error: Exception) -> int:
    """Own up to an error that is not the user's."""
    path = write_report(argv, error)
    what = f"something went wrong inside ({type(error).__name__})"
    say(f"{what}; a report is in {path}" if path else what, "please send it to us, with what you were doing")
    return 1


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line; return 0 done, 1 error, 2 usage. Nothing is raised."""
    argv = sys.argv[1:] if argv is None else list(argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # event lines are UTF-8 wherever we run
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = dispatch(argv)
        sys.stdout.flush()
        return code
    except EarwireError as error:
        say(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # whoever read us has heard enough
        hush(sys.stdout)
        return 0
    except OSError as error:
        if error.errno not in FULL:
            return surprised(argv, error)
        hush(sys.stdout)
        say(f"cannot write: {error.strerror or 'the disk is full'}", "make room on the disk, and try again")
        return 1
    except Exception as error:
        return surprised(argv, error)


if __name__ == "__main__":
    sys.exit(main())
