# SPDX-License-Identifier: GPL-3.0-or-later
"""What a musician chooses: which keys there are, and the TOML they are set in."""

from bridge.preset.files import load, shipped, text
from bridge.preset.reader import note_number, osc_target
from bridge.preset.settings import (
    Channels,
    MidiSettings,
    OscSettings,
    PluginSettings,
    Preset,
    SourceSettings,
    VelocitySettings,
    as_table,
    instruments,
    keys,
    notes_of,
)

__all__ = [
    "Channels", "MidiSettings", "OscSettings", "PluginSettings", "Preset", "SourceSettings", "VelocitySettings",
    "as_table", "instruments", "keys", "load", "note_number", "notes_of", "osc_target", "shipped", "text",
]  # fmt: skip
