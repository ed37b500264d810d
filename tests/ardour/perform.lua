-- SPDX-License-Identifier: GPL-3.0-or-later
-- ardour7-lua perform.lua FOLDER NAME SECONDS: play, and record on "listener"; print what latency the recorded
-- port publishes, and where on the timeline the recording lies [samples].

local folder, name, seconds = arg[1], arg[2], tonumber(arg[3])
local function wait(s) ARDOUR.LuaAPI.usleep(math.floor(s * 1000000)) end

AudioEngine:set_backend("JACK", "", "")
local session = assert(load_session(folder, name), "the session cannot be loaded")
local listener
for route in session:get_routes():iter() do
  if route:name() == "listener" then listener = route end
end
listener:to_track():rec_enable_control():set_value(1, PBD.GroupControlDisposition.NoGroup)
session:goto_start(false)
wait(1)
session:maybe_enable_record(false)
wait(0.3)
print("latency", listener:input():midi(0):public_latency_range(false).max)
session:request_roll(ARDOUR.TransportRequestSource.TRS_UI)

local patience = 3 * seconds
while session:transport_sample() < seconds * 48000 and patience > 0 do
  wait(0.1)
  patience = patience - 0.1
end
session:request_stop(false, false, ARDOUR.TransportRequestSource.TRS_UI)
wait(1)
session:disable_record(false, false)
wait(0.3)
for region in listener:to_track():playlist():region_list():iter() do
  print("recorded", region:position():samples(), region:start():samples(), region:length():samples())
end
session:save_state("", false, false, false, false, false)
close_session()
