//! Which node of a cluster has the store, and which others there are to ask.

use redis::{
    ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value,
};

use super::url::Kind;
use super::{Seat, astray};

/// How often one node may name another one.
const MAX_HOPS: usize = 4;
/// Most nodes that are remembered.
const MAX_KNOWN: usize = 100;

impl Seat {
    /// A node that does not have the slot tells who has. Those of the URL are asked first, then the one that had it, then the others.
    pub(super) async fn find_owner(
        &self,
        present: Option<&ConnectionAddr>,
        known: &[ConnectionAddr],
    ) -> RedisResult<ConnectionAddr> {
        let mut failed = astray("no node of the cluster was asked");
        let seeds = self.servers.iter().map(ConnectionInfo::addr);
        for seed in seeds.chain(present).chain(known) {
            let mut address = seed.clone();
            for _ in 0..MAX_HOPS {
                let asked: RedisResult<Value> = self
                    .ask(self.node(address.clone()), redis::cmd("EXISTS").arg(&self.probe))
                    .await;
                let Err(cause) = asked else { return Ok(address) };
                match cause.kind() {
                    // The slot is on its way to another node, and this one's until it has arrived.
                    ErrorKind::Server(ServerErrorKind::Ask) => return Ok(address),
                    ErrorKind::Server(ServerErrorKind::Moved) => {
                        address = self.named_in(&cause, &address).ok_or(cause)?;
                    }
                    _ => {
                        failed = cause;
                        break;
                    }
                }
            }
        }
        Err(failed)
    }

    /// The nodes that the one at `asked` knows, so that the store is found when all of the URL are gone. None where it is
    /// no cluster.
    ///
    /// # Errors
    /// When the node cannot be asked, or may not tell.
    pub(super) async fn known_to(&self, asked: &ConnectionAddr) -> RedisResult<Vec<ConnectionAddr>> {
        if self.kind != Kind::Cluster {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        // Of each range of slots the first and the last one, then the nodes that have it.
        let ranges: Vec<Vec<Value>> = self.ask(self.node(asked.clone()), &command).await?;
        let mut known = Vec::new();
        for node in ranges.into_iter().flat_map(|range| range.into_iter().skip(2)) {
            let mut fields = Vec::from_redis_value(node)?.into_iter();
            let mut next = || fields.next().unwrap_or(Value::Nil);
            let (host, port) = (next(), next());
            let host: Option<String> = Option::from_redis_value(host)?;
            let address = self.at(host_of(&host.unwrap_or_default(), asked), u16::from_redis_value(port)?);
            if known.len() < MAX_KNOWN && !known.contains(&address) {
                known.push(address);
            }
        }
        Ok(known)
    }

    /// The node that `MOVED` names.
    fn named_in(&self, moved: &RedisError, asked: &ConnectionAddr) -> Option<ConnectionAddr> {
        let (named, _) = moved.redirect_node()?;
        let (host, port) = named.rsplit_once(':')?;
        Some(self.at(host_of(host, asked), port.parse().ok()?))
    }
}

/// A node without a host is where the one is that was asked.
fn host_of(named: &str, asked: &ConnectionAddr) -> String {
    match (named, asked) {
        ("" | "?", ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. }) => host.clone(),
        _ => named.to_owned(),
    }
}
