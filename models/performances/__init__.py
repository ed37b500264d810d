# SPDX-License-Identifier: GPL-3.0-or-later
"""Sound the demo plays, and what was played; made by `models.render`."""
