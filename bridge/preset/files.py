# SPDX-License-Identifier: GPL-3.0-or-later
"""The TOML a musician edits, read and checked at the door. Nothing in it is ever executed."""

import dataclasses
import re
import tomllib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from bridge.errors import PresetError
from bridge.preset import toml_lines
from bridge.preset.reader import Origin, Reader, dotted, nearest, show
from bridge.preset.settings import Preset

MAX_BYTES = 64 * 1024  # a preset is a page of text; what is longer is something else


def _shipped_files() -> dict[str, Any]:
    folder = resources.files("presets")
    return {f.name.removesuffix(".toml"): f for f in folder.iterdir() if f.name.endswith(".toml")}


def shipped() -> list[str]:
    """Names of the presets that come with the product, the default first."""
    return sorted(_shipped_files(), key=lambda name: (name != "drums", name))


def text(name_or_path: str | Path) -> str:
    """The TOML of a preset as its author wrote it, comments and all."""
    return _read(name_or_path)[0]


def _read(name_or_path: str | Path) -> tuple[str, str, Path | None]:
    """Text, how to call it in an error, and its file if it is the user's own."""
    name = str(name_or_path)
    files = _shipped_files()
    if isinstance(name_or_path, str) and name in files:
        return files[name].read_text("utf-8"), f"preset {name}", None
    hint = "earwire presets lists those that come with it; a preset of your own is given as the path of its .toml file"
    try:
        path = Path(name).expanduser()
        if not path.is_file():
            if path.suffix == ".toml" or len(path.parts) > 1:
                raise PresetError(f"{show(name)} is not a file", hint)
            raise PresetError(f"no preset is called {show(name)}" + nearest(name, files), hint)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError, RuntimeError) as error:  # unreadable, a zero byte in the name, no home for ~
        reason = error.strerror if isinstance(error, OSError) else None
        raise PresetError(f"{show(name)} cannot be read: {reason or error}", hint) from None
    if len(data) > MAX_BYTES:
        raise PresetError(f"is longer than {MAX_BYTES // 1024} kB, so it is no preset", hint, path=path)
    try:
        return data.decode("utf-8-sig"), name, path
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise PresetError(
            "is not UTF-8 text", "save it as UTF-8 in your editor", path=path, line=line
        ) from None


def _parse(toml: str, shown: str) -> dict[str, Any]:
    hint = 'a line reads  key = value  ; text stands in "quotes", a table begins with [its name]'
    try:
        return tomllib.loads(toml)
    except RecursionError:
        raise PresetError("is nested too deeply", path=shown) from None
    except ValueError as error:  # also what int() and dates refuse
        match = re.fullmatch(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)", str(error), re.DOTALL)
        if match is None:
            raise PresetError("holds a value that TOML cannot read", hint, path=shown) from None
        line = int(match[2]) if match[2] else toml.count("\n") + 1
        raise PresetError(f"not TOML: {match[1][:100]}", hint, path=shown, line=line) from None


class _Override(NamedTuple):
    key: tuple[str, ...]
    value: Any


def _override(assignment: str) -> _Override:
    """A ``KEY=VALUE`` of the command line; a value that is not TOML is a number like .5, or text."""
    name, equals, toml = assignment.partition("=")
    key = tuple(part.strip() for part in name.split("."))
    if not equals or not all(key):
        raise PresetError(f"{show(assignment)} is not KEY=VALUE, such as drums.decision_ms=20", path="--set")
    toml = toml.strip()
    if len(toml) > MAX_BYTES:
        raise PresetError("the value is too long", path="--set", key=dotted(key))
    try:
        table = tomllib.loads(f"value = {toml}")
    except (ValueError, RecursionError):
        short = re.fullmatch(r"[+-]?(\d+\.|\.\d+)", toml)
        return _Override(key, float(toml) if short else toml)
    return _Override(key, table["value"] if len(table) == 1 else toml)


def _put(table: dict[str, Any], override: _Override) -> None:
    *parents, last = override.key
    for depth, name in enumerate(parents, 1):
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            place = dotted(override.key[:depth])
            raise PresetError(f"{place} holds no keys of its own", path="--set", key=dotted(override.key))
    table[last] = override.value


def load(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Preset:
    """A preset, checked.

    Parameters
    ----------
    name_or_path
        Name of a shipped preset, or path of a TOML file.
    overrides
        ``KEY=VALUE`` texts, applied in order. KEY is dotted; VALUE is TOML, or a
        bare word or note name.

    Raises
    ------
    PresetError
        Names the file, the line, the key and the nearest thing that would do.
    """
    toml, shown, file = _read(name_or_path)
    table = _parse(toml, shown)
    given = [_override(assignment) for assignment in overrides]
    for override in given:
        _put(table, override)
    try:
        lines = toml_lines.key_lines(toml)
        origin = Origin(
            shown,
            folder=file.parent if file else Path(),
            lines=lines,
            overridden=tuple(override.key for override in given),
        )
        preset = Reader(origin).preset(table)
    except RecursionError:
        raise PresetError("is nested too deeply", path=shown) from None
    name = preset.name or (file.stem if file else str(name_or_path))
    return dataclasses.replace(preset, name=name, file=file)
