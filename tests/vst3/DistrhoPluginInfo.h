// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#define DISTRHO_PLUGIN_BRAND "earwire"
#define DISTRHO_PLUGIN_NAME "Lookahead"
#define DISTRHO_PLUGIN_URI "urn:earwire:test:lookahead"
#define DISTRHO_PLUGIN_CLAP_ID "earwire.test.lookahead"

#define DISTRHO_PLUGIN_HAS_UI 0
#define DISTRHO_PLUGIN_IS_RT_SAFE 1
#define DISTRHO_PLUGIN_NUM_INPUTS CHANNELS
#define DISTRHO_PLUGIN_NUM_OUTPUTS CHANNELS
#define DISTRHO_PLUGIN_WANT_LATENCY 1
