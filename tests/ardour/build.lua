-- SPDX-License-Identifier: GPL-3.0-or-later
-- ardour7-lua build.lua FOLDER NAME HEARS SAYS: a session whose audio track "player" plays into the port HEARS
-- and whose MIDI track "listener" hears the port SAYS.

local folder, name, hears, says = arg[1], arg[2], arg[3], arg[4]

AudioEngine:set_backend("JACK", "", "")
local session = assert(create_session(folder, name, 48000), "the session cannot be created")
local last, normal = ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal
local one = ARDOUR.ChanCount(ARDOUR.DataType("midi"), 1)
local player = session:new_audio_track(1, 1, nil, 1, "player", last, normal, true):front()
local listener =
  session:new_midi_track(one, one, true, ARDOUR.PluginInfo(), nil, nil, 1, "listener", last, normal, true):front()

player:output():disconnect_all(nil)
assert(player:output():audio(0):connect(hears) == 0, "no connection to " .. hears)
listener:input():disconnect_all(nil)
assert(listener:input():midi(0):connect(says) == 0, "no connection from " .. says)
session:save_state("", false, false, false, false, false)
close_session()
