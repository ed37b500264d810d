# SPDX-License-Identifier: GPL-3.0-or-later
"""How the models are made, and the performances they are measured on."""
