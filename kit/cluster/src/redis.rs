//! Presence and limits over Redis.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Value, cmd, pipe};
use tokio::time::timeout;
use wire::NodeId;

use crate::config::ClusterConfig;
use crate::{Cell, Crowd, Elsewhere, Here, Later, Limits, Presence};

/// How long Redis may take to answer, before it counts as gone.
const WITHIN: Duration = Duration::from_millis(250);

/// How long no limits are asked for after it did not answer: what is said waits for them.
const REST: Duration = Duration::from_secs(1);

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Notes how many are here, and tells what other nodes have noted in the last ten seconds.
const MEET: &str = "
local t = redis.call('TIME')
local now = tonumber(t[1])
redis.call('HSET', KEYS[1], ARGV[1], t[1] .. ' ' .. ARGV[2])
redis.call('EXPIRE', KEYS[1], 60)
local likes = redis.call('INCRBY', KEYS[2], ARGV[3])
redis.call('EXPIRE', KEYS[2], 604800)
local told = { tostring(likes) }
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local at, rest = string.match(all[i + 1], '^(%d+) (.*)$')
  if now - tonumber(at) > 10 then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= ARGV[1] then
    told[#told + 1] = rest
  end
end
return told";

/// The generic cell rate algorithm: milliseconds to wait, zero when one was taken.
const TAKE: &str = "
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000 + tonumber(t[2]) / 1000
local every, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = tonumber(redis.call('GET', KEYS[1]) or now)
if due < now then due = now end
local wait = due - (burst - 1) * every - now
if wait > 0 then return math.ceil(wait) end
due = due + every
redis.call('SET', KEYS[1], string.format('%.3f', due), 'PX', math.ceil(due - now) + 1)
return 0";

/// A connection to Redis that comes back by itself.
#[derive(Clone)]
pub struct Redis {
    connection: ConnectionManager,
    prefix: String,
    node: NodeId,
    /// When limits are asked for again.
    rests_until: Arc<Mutex<Option<Instant>>>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn connect(config: &ClusterConfig, node: NodeId) -> anyhow::Result<Self> {
        let client = Client::open(config.redis.url.as_str())?;
        let manner = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(Some(WITHIN))
            .set_number_of_retries(2)
            .set_max_delay(WITHIN);
        let connection = ConnectionManager::new_with_config(client, manner).await;
        Ok(Self {
            connection: connection.context("Redis does not answer; see `cluster.redis.url`")?,
            prefix: config.name.clone(),
            node,
            rests_until: Arc::default(),
        })
    }

    /// Keys in braces are kept together where Redis is many machines.
    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}:{kind}:{{{name}}}", self.prefix)
    }

    async fn try_meet(&self, rooms: &[Here]) -> anyhow::Result<Vec<Elsewhere>> {
        let mut pipe = pipe();
        for here in rooms {
            let told = serde_json::to_string(&(here.viewers, &here.people))?;
            pipe.cmd("EVAL")
                .arg(MEET)
                .arg(2)
                .arg(self.key("here", &here.room))
                .arg(self.key("likes", &here.room))
                .arg(self.node.to_string())
                .arg(told)
                .arg(here.likes);
        }
        let mut connection = self.connection.clone();
        let answers: Vec<Vec<String>> =
            timeout(WITHIN, pipe.query_async(&mut connection)).await??;
        Ok(answers.iter().map(|told| elsewhere(told)).collect())
    }

    fn rests_until(&self) -> MutexGuard<'_, Option<Instant>> {
        // It is whole between any two statements.
        (self.rests_until.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    async fn try_take(&self, cells: &[Cell]) -> anyhow::Result<Vec<Duration>> {
        let mut pipe = pipe();
        for cell in cells {
            pipe.cmd("EVAL")
                .arg(TAKE)
                .arg(1)
                .arg(self.key("limit", &cell.key))
                .arg(cell.every.as_secs_f64() * 1_000.0)
                .arg(cell.burst);
        }
        let mut connection = self.connection.clone();
        let waits: Vec<u64> = timeout(WITHIN, pipe.query_async(&mut connection)).await??;
        Ok(waits.into_iter().map(Duration::from_millis).collect())
    }
}

/// What a room's nodes have noted. What cannot be read counts as nothing.
fn elsewhere(told: &[String]) -> Elsewhere {
    let mut found = Elsewhere::default();
    let Some((likes, nodes)) = told.split_first() else {
        return found;
    };
    found.likes = likes.parse().unwrap_or_default();
    for node in nodes {
        let (viewers, people): (u64, Crowd) = serde_json::from_str(node).unwrap_or_default();
        found.viewers += viewers;
        found.people.count += people.count;
        found.people.some.extend(people.some);
    }
    found
}

fn tell_health(works: bool) {
    metrics::gauge!("barrage_redis_ok").set(f64::from(u8::from(works)));
}

impl Presence for Redis {
    fn meet(&self, rooms: Vec<Here>) -> Later<'_, anyhow::Result<Vec<Elsewhere>>> {
        Box::pin(async move {
            if rooms.is_empty() {
                return Ok(Vec::new());
            }
            let met = self.try_meet(&rooms).await;
            tell_health(met.is_ok());
            met
        })
    }

    fn forget_likes<'a>(&'a self, room: &'a str) -> Later<'a, ()> {
        Box::pin(async move {
            let mut connection = self.connection.clone();
            let key = self.key("likes", room);
            let forgotten: Result<Value, _> =
                cmd("DEL").arg(key).query_async(&mut connection).await;
            if let Err(error) = forgotten {
                tracing::warn!(%error, "likes of the last broadcast stay");
            }
        })
    }
}

impl Limits for Redis {
    fn take<'a>(&'a self, cells: &'a [Cell]) -> Later<'a, Vec<Duration>> {
        Box::pin(async move {
            let free = || vec![Duration::ZERO; cells.len()];
            if self
                .rests_until()
                .is_some_and(|until| Instant::now() < until)
            {
                return free();
            }
            match self.try_take(cells).await {
                Ok(waits) if waits.len() == cells.len() => waits,
                Ok(_) => free(),
                Err(error) => {
                    tracing::debug!(%error, "limits are each node's own for now");
                    tell_health(false);
                    *self.rests_until() = Some(Instant::now() + REST);
                    free()
                }
            }
        })
    }
}
