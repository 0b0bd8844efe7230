//! Setting keys of a ConfigMap, and their old values on the way back, which the frozen program holds.

use super::super::driver::Driver;
use super::super::seam::{Cluster, World};
use super::super::walk::{Fact, Walk};
use super::call::Facts;
use crate::program::Op;
use std::collections::BTreeMap;

impl<W: World> Driver<W> {
    /// Sets the keys.
    pub(super) async fn configure(
        &self,
        walk: &Walk,
        op: &Op,
        namespace: &str,
        name: &str,
        set: &BTreeMap<String, String>,
    ) -> Facts {
        let keys = set.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        self.set_keys(walk, op, namespace, name, &keys).await
    }

    /// Puts the old values back; a key that was not there is removed.
    pub(super) async fn deconfigure(
        &self,
        walk: &Walk,
        op: &Op,
        namespace: &str,
        name: &str,
        old: &BTreeMap<String, Option<String>>,
    ) -> Facts {
        self.set_keys(walk, op, namespace, name, old).await
    }

    async fn set_keys(
        &self,
        walk: &Walk,
        op: &Op,
        namespace: &str,
        name: &str,
        keys: &BTreeMap<String, Option<String>>,
    ) -> Result<Vec<Fact>, super::Stop> {
        let mut failures = 0;
        loop {
            self.boundary(walk, op)?;
            let set = match self.world.cluster().flags(namespace, name).await {
                Ok(flags) if keys.iter().all(|(key, value)| flags.data.get(key) == value.as_ref()) => {
                    return Ok(Vec::new());
                }
                Ok(flags) => self.world.cluster().set_flags(namespace, name, &flags.version, keys).await,
                Err(error) => Err(error),
            };
            match set {
                // Written over the version that was read: there is nothing to look at again.
                Ok(()) => return Ok(Vec::new()),
                Err(error) => self.wait_out(op, error, &mut failures).await?,
            }
        }
    }
}
