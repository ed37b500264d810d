# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers a musician may turn: each says its range, unit and meaning where it is used."""

from dataclasses import field
from typing import Any


def number(default: float, low: float, high: float, unit: str, doc: str) -> Any:
    """A dataclass field that holds a number within [low, high]."""
    return field(default=default, metadata={"low": low, "high": high, "unit": unit, "doc": doc})


def switch(default: bool, doc: str) -> Any:
    """A dataclass field that is on or off."""
    return field(default=default, metadata={"doc": doc})


def choice(default: str, options: tuple[str, ...], doc: str) -> Any:
    """A dataclass field that holds one of a few words."""
    return field(default=default, metadata={"options": options, "doc": doc})
