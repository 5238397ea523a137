-- Every change of a catalog on Redis, each in one step that nobody sees half of.
--
-- KEYS, all of one repository and so on one node of a cluster:
--   names    sorted by text: name \0 cid           the current entry of each name
--   history  sorted by text: name \0 number \0 cid  all entries of each name, oldest first
--   order    by number: name \0 cid                 all entries in the order of insertion
--   words    sorted by text: token \0 name          what a search finds
--   counter  the last number given to an entry
--   schemas  sorted by text: name \0 rank \0 version
--   shapes   sorted by text: name \0 shape \0 rank \0 version
-- Beside them <base>:entry:<cid> and <base>:schema:<name>@<version> are the records. One entry record may stand for
-- several names with the same content: the latest fills the hash, the others are JSON in its field "also".
--
-- ARGV: operation, base, and what the operation takes.

local names, history, order, words, counter, schemas, shapes = unpack(KEYS)
local operation, base = ARGV[1], ARGV[2]

local function entry_key(cid)
  return base .. ':entry:' .. cid
end

-- All records with this content, by name.
local function load_records(cid)
  local flat = redis.call('HGETALL', entry_key(cid))
  local latest = {}
  for i = 1, #flat, 2 do
    latest[flat[i]] = flat[i + 1]
  end
  if not latest.name then
    return {}
  end
  local records = latest.also and cjson.decode(latest.also) or {}
  latest.also = nil
  records[latest.name] = latest
  return records
end

local function save_records(cid, records)
  local latest
  for _, record in pairs(records) do
    if not latest or tonumber(record.seq) > tonumber(latest.seq) then
      latest = record
    end
  end
  redis.call('DEL', entry_key(cid))
  if not latest then
    return
  end
  records[latest.name] = nil
  local flat = {}
  for field, value in pairs(latest) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  if next(records) then
    flat[#flat + 1] = 'also'
    flat[#flat + 1] = cjson.encode(records)
  end
  redis.call('HSET', entry_key(cid), unpack(flat))
end

local function current(name)
  local found = redis.call('ZRANGEBYLEX', names, '[' .. name .. '\0', '(' .. name .. '\1', 'LIMIT', 0, 1)[1]
  return found and string.sub(found, #name + 2)
end

-- CIDs of all entries of a name, oldest first.
local function versions(name)
  local found = redis.call('ZRANGEBYLEX', history, '[' .. name .. '\0', '(' .. name .. '\1')
  for i, member in ipairs(found) do
    found[i] = string.sub(member, #name + 19)
  end
  return found
end

local function history_member(name, number, cid)
  return name .. '\0' .. string.format('%016d', number) .. '\0' .. cid
end

local function number_of(name, cid)
  return redis.call('ZSCORE', order, name .. '\0' .. cid)
end

local function add_place(name, number, cid)
  redis.call('ZADD', order, number, name .. '\0' .. cid)
  redis.call('ZADD', history, 0, history_member(name, number, cid))
end

local function remove_place(name, cid)
  local number = number_of(name, cid)
  redis.call('ZREM', order, name .. '\0' .. cid)
  redis.call('ZREM', history, history_member(name, number, cid))
  return number
end

-- Tokens by which a search finds a name at one of its entries. A record may be missing where the server evicts keys.
local function tokens_of(name, cid, name_words)
  local record = load_records(cid)[name]
  return string.gmatch(name_words .. '\n' .. (record and record.words or ''), '[^\n]+')
end

-- Take a name from its current entry; the search forgets it.
local function lift(name, name_words)
  local cid = current(name)
  if cid then
    redis.call('ZREM', names, name .. '\0' .. cid)
    for token in tokens_of(name, cid, name_words) do
      redis.call('ZREM', words, token .. '\0' .. name)
    end
  end
  return cid
end

-- Put a name on one of its entries; the search finds it there.
local function place(name, cid, name_words)
  redis.call('ZADD', names, 0, name .. '\0' .. cid)
  for token in tokens_of(name, cid, name_words) do
    redis.call('ZADD', words, 0, token .. '\0' .. name)
  end
end

local operations = {}

-- The entries that a range of a lookup names, as lists of fields in the given order; False for what a record lacks.
function operations.read(command, lookup, low, high, limit, ...)
  local fields, rows = { ... }, {}
  for i, member in ipairs(redis.call(command, lookup, low, high, 'LIMIT', 0, limit)) do
    local name, cid = string.match(member, '^[^%z]+'), string.match(member, '[^%z]+$')
    local row = redis.call('HMGET', entry_key(cid), 'name', unpack(fields))
    if table.remove(row, 1) ~= name then
      local record = load_records(cid)[name] or {}
      for place, field in ipairs(fields) do
        row[place] = record[field] or false
      end
    end
    rows[i] = row
  end
  return rows
end

-- One field of an entry.
function operations.field(name, cid, field)
  local record = load_records(cid)[name]
  return record and record[field]
end

-- The same as read for names in the order given, each at its current entry.
function operations.read_names(count, ...)
  local arguments = { ... }
  local rows = {}
  for i = 1, count do
    local range = { '[' .. arguments[i] .. '\0', '(' .. arguments[i] .. '\1' }
    rows[i] = operations.read('ZRANGEBYLEX', names, range[1], range[2], 1, unpack(arguments, count + 1))[1] or {}
  end
  return rows
end

-- name, cid, tokens of the name, then fields and values. Returns the CID that the name had before, or ''.
function operations.insert(name, cid, name_words, ...)
  -- the first change: a server without memory refuses it, and so all
  local number = redis.call('INCR', counter)
  local before = lift(name, name_words)
  local records = load_records(cid)
  local old = records[name]
  local record, fields = {}, { ... }
  for i = 1, #fields, 2 do
    record[fields[i]] = fields[i + 1]
  end
  if before == cid then
    number = number_of(name, cid)
    record.created = old and old.created or record.created
  else
    if number_of(name, cid) then
      remove_place(name, cid)
    end
    add_place(name, number, cid)
  end
  record.seq = string.format('%d', number)
  records[name] = record
  save_records(cid, records)
  place(name, cid, name_words)
  return before and before ~= cid and before or ''
end

-- name, cid or '' for all, tokens of the name. Returns how many entries are gone.
function operations.delete(name, only, name_words)
  local all = versions(name)
  lift(name, name_words)
  local removed, left = 0, nil
  for _, cid in ipairs(all) do
    if only == '' or only == cid then
      local records = load_records(cid)
      remove_place(name, cid)
      records[name] = nil
      save_records(cid, records)
      removed = removed + 1
    else
      left = cid
    end
  end
  if left then
    place(name, left, name_words)
  end
  return removed
end

-- old name, new name, tokens of both.
function operations.rename(old, new, old_words, new_words)
  local all, cid = versions(old), current(old)
  if not cid then
    return 'missing'
  end
  if current(new) then
    return 'taken'
  end
  lift(old, old_words)
  for _, version in ipairs(all) do
    add_place(new, remove_place(old, version), version)
    local records = load_records(version)
    if records[old] then
      records[old].name = new
      records[new], records[old] = records[old], nil
      save_records(version, records)
    end
  end
  place(new, cid, new_words)
  return 'done'
end

local function highest(key, prefix)
  local found = redis.call('ZREVRANGEBYLEX', key, '(' .. prefix .. '\1', '[' .. prefix .. '\0', 'LIMIT', 0, 1)[1]
  return found and string.match(found, '[^%z]+$')
end

local function next_version(name)
  local latest = highest(schemas, name)
  if not latest then
    return '1.0.0'
  end
  local major, minor, patch = string.match(latest, '^(%d+)%.(%d+)%.(%d+)')
  return major .. '.' .. minor .. '.' .. string.format('%d', patch + 1)
end

-- name, version or '' for the next, its rank, '1' to reuse a schema of this shape, an identifier of this call, shape,
-- record, time. Returns the version, or '' if it is there with another record.
function operations.publish(name, version, rank, reuse, call, shape, record, created)
  local done = redis.call('GET', base .. ':call:' .. call)
  if done then -- a client asks again, because the answer was lost
    return done
  end
  if version == '' and reuse == '1' then
    local found = highest(shapes, name .. '\0' .. shape)
    if found then
      return found
    end
  end
  if version == '' then
    version = next_version(name)
    local major, minor, patch = string.match(version, '^(%d+)%.(%d+)%.(%d+)$')
    rank = string.format('%015d.%015d.%015d~', major, minor, patch)
  end
  local key = base .. ':schema:' .. name .. '@' .. version
  local there = redis.call('HGET', key, 'record')
  if there then
    return there == record and version or ''
  end
  redis.call('HSET', key, 'pk', name .. '@' .. version, 'name', name, 'version', version, 'shape', shape,
    'record', record, 'created', created)
  redis.call('ZADD', schemas, 0, name .. '\0' .. rank .. '\0' .. version)
  redis.call('ZADD', shapes, 0, name .. '\0' .. shape .. '\0' .. rank .. '\0' .. version)
  redis.call('SET', base .. ':call:' .. call, version, 'EX', 600)
  return version
end

return operations[operation](unpack(ARGV, 3))
