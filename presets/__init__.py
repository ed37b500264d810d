# SPDX-License-Identifier: GPL-3.0-or-later
"""TOML a musician can read and edit; `bridge.preset` reads it."""
