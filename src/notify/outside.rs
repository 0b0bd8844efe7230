//! Names to addresses, without those that lead back to the operator's own pod or node.

use hyper_util::client::legacy::connect::dns::Name;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::Service;

/// What a name that has no other address is refused with.
#[derive(Debug, thiserror::Error)]
#[error("a loopback or link-local address")]
struct NearOnly;

/// The system's resolver, filtered. A name is looked at when it is resolved, so that none can change in between.
#[derive(Clone)]
pub(super) struct Outside {
    /// Loopback is fine: only for tests.
    pub(super) near: bool,
}

impl Service<Name> for Outside {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let near = self.near;
        Box::pin(async move {
            let all = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let far: Vec<SocketAddr> = all.filter(|address| near || !is_near(address.ip())).collect();
            if far.is_empty() { Err(io::Error::other(NearOnly)) } else { Ok(far.into_iter()) }
        })
    }
}

/// Whether an error is ours.
pub(super) fn refused(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NearOnly>())
}

/// Whether only this machine, or nobody, is behind an address: loopback, link-local (where clouds keep credentials),
/// unspecified, multicast.
pub(super) fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_near() {
        for near in [
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::",
        ] {
            assert!(is_near(near.parse().unwrap()), "{near}");
        }
        for far in ["10.96.0.1", "192.168.1.1", "93.184.216.34", "fd00::1", "2606:2800::1"] {
            assert!(!is_near(far.parse().unwrap()), "{far}");
        }
    }
}
