# SPDX-License-Identifier: GPL-3.0-or-later
"""libjack: clients and their ports, and what JACK calls."""
