# SPDX-License-Identifier: GPL-3.0-or-later
"""Kits: strokes are cut, learned, kept as a page, taught to the running ear and put right while it listens."""
