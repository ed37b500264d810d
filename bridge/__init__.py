# SPDX-License-Identifier: GPL-3.0-or-later
"""Top floor: devices, MIDI, OSC, takes and the command line."""
