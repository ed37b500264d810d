# SPDX-License-Identifier: GPL-3.0-or-later
"""Where sound comes from: JACK, a device, a file, stdin."""
