# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: one module a command, each with `configure(parser)` and `execute(args) -> int`."""
