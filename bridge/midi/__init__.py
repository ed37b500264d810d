# SPDX-License-Identifier: GPL-3.0-or-later
"""MIDI on its way out: what leaves, when, and through which port."""
