"""Claims in Lua: each a step that happens whole or not at all (core.jobs.claims says what they are for)."""

from core.jobs.batch_scripts import ADVANCE

CLAIM = """
local job = redis.call('HMGET', KEYS[1], 'state', 'claim', 'spec', 'input', 'epoch', 'deaths', 'cancel', 'prompt', 'unfinished_ms')
if not job[1] then return {0, 'gone'} end
local epoch = tonumber(job[5])
if KEYS[2] and redis.call('HGET', KEYS[2], 'state') ~= 'running' then job[7] = '1' end
if job[2] ~= ARGV[2] then
  if job[1] == 'running' then return {0, 'held'} end
  if job[1] ~= 'queued' then return {0, 'ended'} end
  epoch = epoch + 1
  redis.call('HSET', KEYS[1], 'state', 'running', 'worker', ARGV[1], 'claim', ARGV[2], 'epoch', epoch)
  redis.call('PEXPIRE', KEYS[1], job[9])
end
return {epoch, job[3], job[4] or '', tonumber(job[6]), job[7] or '', job[8] or ''}
"""

# A Redis whose memory is full refuses what may need more, unless the script has removed something before: here a field that is never there.
# Nothing begins there, but what has begun goes on to its end, which gives memory back.
APPEND = """
redis.call('HDEL', KEYS[1], '')
local job = redis.call('HMGET', KEYS[1], 'claim', 'epoch', 'state')
if job[1] ~= ARGV[1] or job[3] ~= 'running' then return -1 end
local epoch, seq = job[2], tonumber(ARGV[2])
if seq > 1 then
  local before = epoch .. '-' .. (seq - 1)
  if not next(redis.call('XRANGE', KEYS[2], before, before)) then
    local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
    local of, at = string.match(last and last[1] or '0-0', '(%d+)-(%d+)')
    return of == epoch and tonumber(at) or 0
  end
end
for i = 5, #ARGV do
  local id = epoch .. '-' .. (seq + i - 5)
  local added = redis.pcall('XADD', KEYS[2], id, 'e', ARGV[i])
  if type(added) == 'table' and added.err then
    if not next(redis.call('XRANGE', KEYS[2], id, id)) then return added end
  else
    redis.call('PUBLISH', KEYS[2], id .. ' ' .. ARGV[i])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
if ARGV[4] ~= '0' then redis.call('HSET', KEYS[1], 'deaths', 0) end
if ARGV[4] == '1' then redis.call('HDEL', KEYS[1], 'begun') end
if ARGV[4] == '2' then redis.call('HSET', KEYS[1], 'begun', 1) end
return seq + #ARGV - 5
"""

HAND_BACK = """
redis.call('HDEL', KEYS[1], '')
local job = redis.call('HMGET', KEYS[1], 'claim', 'state')
if job[1] ~= ARGV[1] or job[2] ~= 'running' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'queued', 'worker', '', 'claim', '')
return 1
"""

RELEASE = """
redis.call('HDEL', KEYS[1], '')
local job = redis.call('HMGET', KEYS[1], 'state', 'worker', 'spec', 'begun', 'deaths', 'once', 'cancel')
if not job[1] then return {'gone'} end
if job[1] == 'queued' then return {'queued', job[3], tonumber(job[5]), job[7] or ''} end
if job[1] ~= 'running' then return {'ended'} end
if job[2] ~= ARGV[1] then return {'held'} end
if job[4] and job[6] and ARGV[2] == '1' then return {'begun', job[3]} end
redis.call('HSET', KEYS[1], 'state', 'queued', 'worker', '', 'claim', '')
return {'running', job[3], redis.call('HINCRBY', KEYS[1], 'deaths', 1), job[7] or ''}
"""

END = (
    ADVANCE
    + """
redis.call('HDEL', KEYS[1], '')
local job = redis.call('HMGET', KEYS[1], 'state', 'batch')
local state, is_batch = job[1], job[2]
if not state then return 'gone' end
if is_batch and (state ~= 'running' or ARGV[2] ~= 'cancelled') then return state end
if state == 'running' and ARGV[2] == 'cancelled' and not is_batch then
  redis.call('HSET', KEYS[1], 'cancel', 1)
  redis.call('PUBLISH', ARGV[5], ARGV[1])
end
if state ~= 'queued' and not is_batch then return state end
local id = redis.call('HINCRBY', KEYS[1], 'epoch', 1) .. '-1'
redis.call('XADD', KEYS[2], id, 'e', ARGV[3])
redis.call('HSET', KEYS[1], 'state', ARGV[2])
redis.call('HDEL', KEYS[1], 'input', 'prompt')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PUBLISH', KEYS[2], id .. ' ' .. ARGV[3])
if is_batch then
  redis.call('DEL', KEYS[6])
  redis.call('PEXPIRE', KEYS[5], ARGV[4])
  return 'batch'
end
advance({unpack(KEYS, 3)}, ARGV[1], ARGV[2], false)
return 'queued'
"""
)
