-- Wireshark and tshark: what gcs processes say to each other over UDP, as ../wire.md has it.
--   wireshark -X lua_script:docs/wireshark/gcs.lua        tshark -X lua_script:docs/wireshark/gcs.lua -i lo -Y gcs
-- Any UDP datagram that begins like one of gcs is taken for one, whatever its port.
-- Frames do not say which stack they are of: set it with -o gcs.stack:total+uniform (the default), as `gcs-cat --list-stacks`
-- names them. How many members a view has is learned from its heartbeats; until then slots are not shown.

local gcs = Proto("gcs", "gcs process groups")

local kinds = { [0xC5] = "frame", [0xC6] = "control", [0xC7] = "transport", [0xC8] = "closed group" }
local bodies = {
  [10] = "JOIN", [11] = "MEMBER_LIST", [12] = "MEMBER_JOINED", [13] = "REFUSE", [14] = "RELEASE",
  [20] = "PREPARE", [21] = "PROMISE", [22] = "REJECT", [23] = "ACCEPT", [24] = "ACCEPTED", [25] = "DECIDE", [26] = "LEAVE", [27] = "SLOW",
  [30] = "STATE_PULL", [31] = "STATE_PIECE", [32] = "STATE_DONE",
}

local f = {
  magic = ProtoField.uint8("gcs.magic", "What it is", base.HEX, kinds),
  version = ProtoField.uint8("gcs.version", "Version"),
  kind = ProtoField.uint8("gcs.frame.kind", "Kind: the layer that it is of, 255 for messages"),
  layer = ProtoField.string("gcs.frame.layer", "Layer"),
  unreliable = ProtoField.bool("gcs.frame.unreliable", "Outside of the stream", 8, nil, 0x01),
  patient = ProtoField.bool("gcs.frame.patient", "Nobody waits for its acknowledgement", 8, nil, 0x02),
  sender = ProtoField.uint16("gcs.frame.sender", "Made by rank"),
  header = ProtoField.uint16("gcs.frame.header", "Length of the header"),
  tag = ProtoField.uint64("gcs.frame.group_epoch", "Group tag xor epoch", base.HEX),
  view = ProtoField.uint64("gcs.frame.view", "View number"),
  seq = ProtoField.uint64("gcs.reliable.seq", "Number in its sender's stream"),
  row = ProtoField.uint64("gcs.reliable.held", "Held without gaps"),
  reliable = ProtoField.uint8("gcs.reliable.what", "What", base.DEC, { [1] = "ACK", [2] = "SYNC", [3] = "NACK" }),
  stream = ProtoField.uint16("gcs.reliable.stream", "Missing in the stream of rank"),
  first = ProtoField.uint64("gcs.reliable.first", "First missing"),
  count = ProtoField.uint32("gcs.reliable.count", "How many"),
  sent_at = ProtoField.uint64("gcs.heartbeat.sent_at", "Sent at, ns of the sender's clock"),
  suspects = ProtoField.uint64("gcs.heartbeat.suspects", "Hears nothing from", base.HEX),
  gone = ProtoField.uint64("gcs.heartbeat.gone", "Whose process is gone", base.HEX),
  echo = ProtoField.uint64("gcs.heartbeat.echo", "Latest received"),
  order_rank = ProtoField.uint16("gcs.sequencer.rank", "Now comes rank"),
  order_upto = ProtoField.uint64("gcs.sequencer.upto", "Up to its frame"),
  fec_seq = ProtoField.uint64("gcs.fec.seq", "Number among its sender's covered frames"),
  fec_first = ProtoField.uint64("gcs.fec.first", "First frame of the block"),
  fec_k = ProtoField.uint8("gcs.fec.k", "Frames of the block"),
  fec_m = ProtoField.uint8("gcs.fec.m", "Parity frames"),
  fec_index = ProtoField.uint8("gcs.fec.index", "This one"),
  lateral_seq = ProtoField.uint64("gcs.lateral.seq", "Number among its sender's covered frames"),
  lateral_of = ProtoField.uint8("gcs.lateral.of", "Combines a frame of rank"),
  stream_seq = ProtoField.uint64("gcs.bimodal.seq", "Number in its sender's stream"),
  bimodal = ProtoField.uint8("gcs.bimodal.what", "What", base.DEC, { [1] = "DIGEST", [2] = "ASK" }),
  round = ProtoField.uint32("gcs.bimodal.round", "Round"),
  run_from = ProtoField.uint16("gcs.bimodal.from", "Frames of rank"),
  run_first = ProtoField.uint64("gcs.bimodal.first", "First"),
  run_count = ProtoField.uint16("gcs.bimodal.count", "How many"),
  flow = ProtoField.uint8("gcs.flow.what", "What", base.DEC, { [0] = "ADVERT", [1] = "REQUEST" }),
  taken = ProtoField.uint64("gcs.flow.taken", "Bytes taken"),
  window = ProtoField.uint64("gcs.flow.window", "Window, bytes"),
  content = ProtoField.uint8("gcs.pack.content", "Content", base.DEC,
    { [0] = "WHOLE", [1] = "FIRST", [2] = "MIDDLE", [3] = "LAST" }),
  payload = ProtoField.bytes("gcs.payload", "Payload"),
  group = ProtoField.uint64("gcs.control.group", "Group tag", base.HEX),
  from = ProtoField.uint64("gcs.control.incarnation", "Sender's incarnation", base.HEX),
  body = ProtoField.string("gcs.control.message", "Message"),
  counter = ProtoField.uint64("gcs.seal.counter", "Counter of who sends it"),
  seal_tag = ProtoField.bytes("gcs.seal.tag", "Tag"),
  sealed = ProtoField.bytes("gcs.sealed", "Encrypted"),
  key = ProtoField.bytes("gcs.sealed.key", "Who seals: the first bytes of its public key"),
  body_bytes = ProtoField.bytes("gcs.control.body", "Body, a protocol buffer"),
}
gcs.fields = f

local e = {
  version = ProtoExpert.new("gcs.other_version", "another version", expert.group.UNDECODED, expert.severity.WARN),
  short = ProtoExpert.new("gcs.truncated", "too short", expert.group.MALFORMED, expert.severity.ERROR),
}
gcs.experts = e

gcs.prefs.stack = Pref.string("Stack", "total+uniform", "The stack's name in the catalogue")

-- The layers of a named stack, from the bottom.
local function layers()
  local words = {}
  for word in gcs.prefs.stack:gmatch("[^+]+") do words[word] = true end
  local list = words.encrypted and { "seal", "heartbeat" } or { "heartbeat" }
  local function add(name, wanted) if wanted then list[#list + 1] = name end end
  add("fec", words.fec)
  add("lateral", words.lateral)
  if words.bimodal or words["best-effort"] then
    add(words.bimodal and "bimodal" or "besteffort", true)
    add("pack-gaps", true)
    add("check-messages", words.check)
    return list
  end
  add("reliable", true)
  add("check-stream", words.check)
  add("sequencer", words.total)
  add("slots", words["total-slots"])
  add("uniform", words.uniform)
  add("check-order", words.check and (words.total or words["total-slots"]))
  add("causal", words.causal)
  add("compress", words.compressed)
  add("flow", true)
  add("pack", true)
  add("check-messages", words.check)
  return list
end

local function slot_len(layer, n)
  local lens = {
    seal = 24, fec = 16, lateral = 37, bimodal = 8, besteffort = 8, ["pack-gaps"] = 1,
    reliable = 8 * (n + 1), slots = 8, causal = 4 * n, compress = 1, pack = 1,
  }
  return lens[layer] or 0
end

local function header_len(n)
  local len = 24
  for _, layer in ipairs(layers()) do len = len + slot_len(layer, n) end
  return len
end

-- By group, epoch and view: how many members it has.
local members = {}
function gcs.init() members = {} end

-- A heartbeat's length tells how many members there are, as both its header and its payload grow with them.
local function learn(view, kind, len)
  if members[view] or kind ~= 0 then return end
  for n = 1, 64 do
    if header_len(n) + 25 + 8 * n == len then members[view] = n end
  end
end

local payloads = {}

-- What fec and lateral say begins in their slot.
local repairs = {}

function repairs.fec(slot, tree)
  tree:add_le(f.fec_first, slot(0, 8))
  tree:add(f.fec_k, slot(8, 1))
  tree:add(f.fec_m, slot(9, 1))
  tree:add(f.fec_index, slot(10, 1))
  return string.format("PARITY %d of %d", slot(10, 1):uint() + 1, slot(9, 1):uint())
end

function repairs.lateral(slot, tree)
  local n = slot(0, 1):uint()
  for i = 0, n - 1 do
    local id = slot(1 + 4 * i, 4)
    tree:add(f.lateral_of, id(3, 1)):append_text(", its frame " .. id(0, 3):le_uint())
  end
  return "REPAIR of " .. n
end

function payloads.heartbeat(tvb, tree, n)
  tree:add_le(f.sent_at, tvb(1, 8))
  tree:add_le(f.suspects, tvb(9, 8))
  tree:add_le(f.gone, tvb(17, 8))
  for r = 0, n - 1 do tree:add_le(f.echo, tvb(25 + 8 * r, 8)):append_text(" of rank " .. r) end
  return "BEAT"
end

function payloads.reliable(tvb, tree)
  tree:add(f.reliable, tvb(0, 1))
  local what = tvb(0, 1):uint()
  if what == 3 and tvb:len() >= 4 then
    tree:add_le(f.stream, tvb(1, 2))
    for i = 0, tvb(3, 1):uint() - 1 do
      tree:add_le(f.first, tvb(4 + 12 * i, 8))
      tree:add_le(f.count, tvb(12 + 12 * i, 4))
    end
  end
  return ({ "ACK", "SYNC", "NACK" })[what] or "?"
end

function payloads.bimodal(tvb, tree)
  tree:add(f.bimodal, tvb(0, 1))
  tree:add_le(f.round, tvb(1, 4))
  for i = 0, tvb(5, 1):uint() - 1 do
    local run = tvb(6 + 12 * i, 12)
    tree:add_le(f.run_from, run(0, 2))
    tree:add_le(f.run_first, run(2, 8))
    tree:add_le(f.run_count, run(10, 2))
  end
  return tvb(0, 1):uint() == 1 and "DIGEST" or "ASK"
end

function payloads.sequencer(tvb, tree)
  for at = 0, tvb:len() - 10, 10 do
    tree:add_le(f.order_rank, tvb(at, 2))
    tree:add_le(f.order_upto, tvb(at + 2, 8))
  end
  return "ORDER"
end

function payloads.flow(tvb, tree, n)
  tree:add(f.flow, tvb(0, 1))
  if tvb(0, 1):uint() == 1 then
    tree:add_le(f.window, tvb(1, 8))
    return "REQUEST"
  end
  for r = 0, n - 1 do tree:add_le(f.taken, tvb(1 + 8 * r, 8)):append_text(" of rank " .. r) end
  return "ADVERT"
end

local function frame(tvb, pinfo, tree)
  if tvb:len() < 24 then return tree:add_proto_expert_info(e.short) end
  local kind = tvb(2, 1):uint()
  tree:add(f.kind, tvb(2, 1))
  tree:add(f.unreliable, tvb(3, 1))
  tree:add(f.patient, tvb(3, 1))
  tree:add_le(f.sender, tvb(4, 2))
  -- Since version 2.
  local header = tvb(6, 2):le_uint()
  if header > 0 then tree:add_le(f.header, tvb(6, 2)) end
  tree:add_le(f.tag, tvb(8, 8))
  tree:add_le(f.view, tvb(16, 8))
  local view = tvb(8, 16):bytes():tohex()
  learn(view, kind, tvb:len())
  local list, n = layers(), members[view]
  if list[1] == "seal" and tvb:len() >= 48 then
    tree:add_le(f.counter, tvb(24, 8))
    tree:add(f.seal_tag, tvb(32, 16))
    tree:add(f.sealed, tvb(48))
    pinfo.cols.info = string.format("sealed, of rank %d, view %s", tvb(4, 2):le_uint(), tvb(16, 8):le_uint64())
    return
  end
  local name = kind == 255 and "messages" or list[kind + 1] or "?"
  tree:add(f.layer, tvb(2, 1), name):set_generated()
  local info = string.format("%s of rank %d, view %s", name, tvb(4, 2):le_uint(), tvb(16, 8):le_uint64())
  if not n or tvb:len() < header_len(n) then
    pinfo.cols.info = info
    local at = header >= 24 and header or 24
    return at < tvb:len() and tree:add(f.payload, tvb(at))
  end
  local at = 24
  for _, layer in ipairs(list) do
    local len = slot_len(layer, n)
    if layer == "reliable" then
      tree:add_le(f.seq, tvb(at, 8))
      for r = 0, n - 1 do tree:add_le(f.row, tvb(at + 8 + 8 * r, 8)):append_text(" of rank " .. r) end
    elseif repairs[layer] and layer == name then
      local ok, what = pcall(repairs[layer], tvb(at, len):tvb(), tree)
      pinfo.cols.info = info .. ": " .. (ok and what or "?")
      if not ok then tree:add_proto_expert_info(e.short) end
      return tree:add(f.payload, tvb(at + len))
    elseif layer == "fec" or layer == "lateral" then
      tree:add_le(f[layer .. "_seq"], tvb(at, 8))
    elseif layer == "bimodal" or layer == "besteffort" then
      tree:add_le(f.stream_seq, tvb(at, 8))
    elseif (layer == "pack" or layer == "pack-gaps") and kind == 255 then
      tree:add(f.content, tvb(at, 1))
    end
    at = at + len
  end
  if name == "slots" then
    -- It has no payload.
    info = info .. ": SKIP"
  elseif at < tvb:len() then
    local payload, show = tvb(at):tvb(), payloads[name]
    if show then
      local ok, what = pcall(show, payload, tree, n)
      if ok then info = info .. ": " .. what else tree:add_proto_expert_info(e.short) end
    else
      tree:add(f.payload, tvb(at))
    end
  end
  pinfo.cols.info = info
end

-- A number of a protocol buffer, 7 bits a byte: it, and where it ends.
local function varint(tvb, at)
  local value, scale = 0, 1
  for i = at, math.min(at + 9, tvb:len() - 1) do
    local byte = tvb(i, 1):uint()
    value, scale = value + (byte % 128) * scale, scale * 128
    if byte < 128 then return value, i + 1 end
  end
  error("varint")
end

-- Calls `visit` with the number and the bytes of each field.
local function fields(tvb, visit)
  local at = 0
  while at < tvb:len() do
    local key, start = varint(tvb, at)
    local wire, len = key % 8, nil
    if wire == 0 then
      local _, stop = varint(tvb, start)
      len = stop - start
    elseif wire == 1 then
      len = 8
    elseif wire == 2 then
      len, start = varint(tvb, start)
    elseif wire == 5 then
      len = 4
    else
      error("wire type")
    end
    visit((key - wire) / 8, start, len)
    at = start + len
  end
end

local function control(tvb, pinfo, tree)
  local message = "?"
  fields(tvb, function(number, start, len)
    if number == 1 then
      tree:add_le(f.group, tvb(start, len))
    elseif number == 2 then
      local id = tvb(start, len):tvb()
      fields(id, function(part, from, size)
        if part == 3 then tree:add_le(f.from, id(from, size)) end
      end)
    elseif bodies[number] then
      message = bodies[number]
      tree:add(f.body, tvb(start, len), message)
      if len > 0 then tree:add(f.body_bytes, tvb(start, len)) end
    end
  end)
  pinfo.cols.info = message
end

function gcs.dissector(tvb, pinfo, root)
  local tree = root:add(gcs, tvb())
  pinfo.cols.protocol = "GCS"
  tree:add(f.magic, tvb(0, 1))
  tree:add(f.version, tvb(1, 1))
  local magic, version = tvb(0, 1):uint(), tvb(1, 1):uint()
  if version < 1 or version > 2 then
    tree:add_proto_expert_info(e.version)
    pinfo.cols.info = kinds[magic] .. " of version " .. version
  elseif magic == 0xC5 then
    frame(tvb, pinfo, tree)
  elseif magic == 0xC6 then
    if not pcall(control, tvb(2):tvb(), pinfo, tree) then tree:add_proto_expert_info(e.short) end
  elseif magic == 0xC8 then
    if tvb:len() >= 20 and tvb(2, 1):uint() == 2 then
      tree:add(f.key, tvb(4, 8))
      tree:add_le(f.counter, tvb(12, 8))
      tree:add(f.sealed, tvb(20))
      pinfo.cols.info = "SEALED"
    else
      pinfo.cols.info = "INTRODUCTION"
    end
  else
    pinfo.cols.info = tvb:len() > 2 and tvb(2, 1):uint() % 2 == 1 and "ANSWER" or "PROBE"
  end
  return tvb:len()
end

gcs:register_heuristic("udp", function(tvb, pinfo, root)
  if tvb:len() < 3 or not kinds[tvb(0, 1):uint()] then return false end
  if tvb(1, 1):uint() < 1 or tvb(1, 1):uint() > 2 then return false end
  gcs.dissector(tvb, pinfo, root)
  return true
end)
