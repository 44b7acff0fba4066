//! What is done inside the server. Times are the server's own, so the clocks of the processes do not matter.

use std::ops::Index;

use redis::Script;

/// The time to live of an entry that stays until it is removed.
pub(super) const NO_EXPIRY: &str = "-1";

/// Which script.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name(usize);

pub(super) const PUT: Name = Name(0);
pub(super) const GET: Name = Name(1);
pub(super) const LIST: Name = Name(2);
pub(super) const REMOVE: Name = Name(3);
pub(super) const ACQUIRE: Name = Name(4);
pub(super) const RELEASE: Name = Name(5);
pub(super) const HIT: Name = Name(6);

/// The scripts, each with its digest, by which the server knows it.
#[derive(Debug)]
pub(super) struct Scripts([Script; 7]);

impl Default for Scripts {
    fn default() -> Self {
        let with_time = |body: &str| Script::new(&format!("{TIME}{body}"));
        Self([
            with_time(PUT_BODY),
            with_time(GET_BODY),
            with_time(LIST_BODY),
            with_time(REMOVE_BODY),
            Script::new(ACQUIRE_BODY),
            Script::new(RELEASE_BODY),
            Script::new(HIT_BODY),
        ])
    }
}

impl Index<Name> for Scripts {
    type Output = Script;

    fn index(&self, name: Name) -> &Script {
        &self.0[name.0]
    }
}

// KEYS of a collection: the hash of values, the sorted set of expiries in milliseconds. An entry without an end has the
// largest whole number that a score holds exactly.
const TIME: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local never = 9007199254740991
";

// ARGV: id, value, time to live in milliseconds or -1. Entries that ended are swept here too, a bounded number each
// time, so a collection that nobody lists does not grow; and it ends as a whole with its last entry.
const PUT_BODY: &str = "
local id, value, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local expiry = redis.call('ZSCORE', KEYS[2], id)
local same = expiry and tonumber(expiry) > now and redis.call('HGET', KEYS[1], id) == value
redis.call('HSET', KEYS[1], id, value)
redis.call('ZADD', KEYS[2], ttl < 0 and never or now + ttl, id)
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)) do
  redis.call('HDEL', KEYS[1], ended)
  redis.call('ZREM', KEYS[2], ended)
end
local last = tonumber(redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2])
for _, key in ipairs(KEYS) do
  if last == never then redis.call('PERSIST', key) else redis.call('PEXPIREAT', key, last) end
end
return same and 0 or 1
";

// ARGV: id.
const GET_BODY: &str = "
local expiry = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not expiry or tonumber(expiry) <= now then return false end
return redis.call('HGET', KEYS[1], ARGV[1])
";

// Values are read in bounded groups, because a call has a bounded number of arguments.
const LIST_BODY: &str = "
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now, '+inf')
local entries = {}
for first = 1, #ids, 1000 do
  local group = {}
  for place = first, math.min(first + 999, #ids) do group[#group + 1] = ids[place] end
  for place, value in ipairs(redis.call('HMGET', KEYS[1], unpack(group))) do
    if value then
      entries[#entries + 1] = group[place]
      entries[#entries + 1] = value
    end
  end
end
return entries
";

// ARGV: id.
const REMOVE_BODY: &str = "
local expiry = redis.call('ZSCORE', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return expiry and tonumber(expiry) > now and 1 or 0
";

// ARGV: holder, time to live in milliseconds.
const ACQUIRE_BODY: &str = "
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
";

// ARGV: holder.
const RELEASE_BODY: &str = "
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return redis.status_reply('OK')
";

// ARGV: limit, window in milliseconds. Gives whether it is allowed, what is used, and what is left of the window when it
// is not. A counter without an end (someone else wrote it) counts as ended.
const HIT_BODY: &str = "
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local left = redis.call('PTTL', KEYS[1])
local used = left < 0 and 0 or tonumber(redis.call('GET', KEYS[1]) or 0)
if left < 0 then
  left = window
  redis.call('SET', KEYS[1], 0, 'PX', window)
end
if used >= limit then return { 0, used, left } end
redis.call('INCR', KEYS[1])
return { 1, used + 1, 0 }
";
