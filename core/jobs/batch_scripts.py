"""What becomes of a batch when one of its jobs ends, in Lua: a part of each script that ends jobs (core.jobs.compaction, claim_scripts).

``advance`` counts the end and submits the item's next step, the same step once more, or the next item's first, with the end itself in one
step. Keys of jobs that it makes begin with the batch's, and share its hash tag. Where the queues lie on other nodes (a Cluster), the new
jobs are only recorded and named in the batch's list of those to be submitted: core.jobs.queue does the rest, and core.jobs.batches what a
worker that died did not.

A batch knows for each item at work the one job whose end counts: repeated scripts and late workers count nothing twice.
"""

ADVANCE = """
local PROGRESS_MS, LOG_ENTRIES = 500, 1000

local function append(batch, entry)
  local id = '1-' .. redis.call('HINCRBY', batch[3], 'seq', 1)
  redis.call('XADD', batch[2], 'MAXLEN', '~', LOG_ENTRIES, id, 'e', entry)
  redis.call('PUBLISH', batch[2], id .. ' ' .. entry)
end

local function submit_child(batch, number, step, attempt)
  local of = redis.call('HMGET', batch[3], 'id', 'together', 'priority', 'spec:' .. step, 'message:' .. step, 'unfinished_ms:' .. step,
    'once:' .. step, 'queue:' .. step, 'waiting:' .. step, 'messages:' .. step, 'wake:' .. step)
  local suffix = '.' .. number .. '.' .. step .. '.' .. attempt
  local id, job = of[1] .. suffix, batch[1] .. suffix
  local spec = '{"id":"' .. id .. '","payload":' .. (redis.call('HGET', batch[4], number) or 'null') .. ',' .. of[4]
  redis.call('HSET', batch[5], number, id)
  redis.call('HSET', job, 'spec', spec, 'input', '', 'unfinished_ms', of[6], 'state', 'queued', 'epoch', 0, 'deaths', 0)
  redis.call('PEXPIRE', job, of[6])
  if of[7] == '1' then redis.call('HSET', job, 'once', 1) end
  if of[2] ~= '1' then return redis.call('RPUSH', batch[6], id) end
  local message = '{"args":["' .. id .. '"],"message_id":"' .. id .. '","options":{"redis_message_id":"' .. id .. '"},' .. of[5]
  redis.call('HSET', of[10], id, message)
  redis.call(of[3] == '1' and 'LPUSH' or 'RPUSH', of[9], id)
  redis.call('PUBLISH', of[11], of[8])
end

local function tell(batch)
  local of = redis.call('HMGET', batch[3], 'completed', 'failed', 'total', 'told_ms', 'ended_ms')
  local all, time = of[1] + of[2] == tonumber(of[3]), redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  if not all and now - (of[4] or 0) < PROGRESS_MS then return end
  redis.call('HSET', batch[3], 'told_ms', now)
  append(batch, '{"type":"progress","status":' .. (all and '"success"' or '"running"') ..
    ',"total":' .. of[3] .. ',"completed":' .. of[1] .. ',"failed":' .. of[2] .. '}')
  if not all then return end
  append(batch, '{"type":"finished"}')
  redis.call('HSET', batch[1], 'state', 'finished')
  redis.call('DEL', batch[4], batch[5])
  for i = 1, 3 do redis.call('PEXPIRE', batch[i], of[5]) end
end

local function advance(batch, id, ended, again)
  local number, step, attempt = string.match(id, '%.(%d+)%.(%d+)%.(%d+)$')
  if not number or redis.call('HGET', batch[5], number) ~= id then return end
  if redis.call('HGET', batch[1], 'state') ~= 'running' then return redis.call('HDEL', batch[5], number) end
  local of = redis.call('HMGET', batch[3], 'steps', 'attempts:' .. step, 'begun', 'total', 'unfinished_ms')
  for i = 1, 6 do redis.call('PEXPIRE', batch[i], of[5]) end
  if ended == 'finished' and tonumber(step) < tonumber(of[1]) then return submit_child(batch, number, step + 1, 1) end
  if again and tonumber(attempt) < tonumber(of[2]) then return submit_child(batch, number, step, attempt + 1) end
  redis.call('HDEL', batch[4], number)
  redis.call('HDEL', batch[5], number)
  redis.call('HINCRBY', batch[3], ended == 'finished' and 'completed' or 'failed', 1)
  if tonumber(of[3]) < tonumber(of[4]) then submit_child(batch, redis.call('HINCRBY', batch[3], 'begun', 1), 1, 1) end
  tell(batch)
end
"""
