//! Whether the disks have room for a second copy of the indices, as the server itself decides it.

use serde_json::Value;

use crate::engine::EngineError;
use crate::engine::search::client::Client;

/// Of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Disk {
    total: u64,
    free: u64,
}

impl Client {
    /// Why there is no room for as much again as the target's primary shards have; none: there is.
    pub(super) async fn lacks_room(&self) -> Result<Option<String>, EngineError> {
        let path = format!(
            "/{}/_stats/store?expand_wildcards=all&ignore_unavailable=true&filter_path=_all.primaries.store.size_in_bytes",
            self.settings.indices()
        );
        let needed = self.expect(self.read(&path).await)?.number_at("/_all/primaries/store/size_in_bytes");
        let nodes = self.expect(self.read("/_cat/allocation?format=json&bytes=b").await)?;
        let path = "/_cluster/settings?include_defaults=true&filter_path=*.cluster.routing.allocation.disk";
        let settings = self.expect(self.read(path).await)?;
        Ok(lacks(needed, &disks(&nodes.body), low(&settings.body)))
    }
}

fn disks(nodes: &Value) -> Vec<Disk> {
    let number = |node: &Value, name: &str| node[name].as_str().and_then(|text| text.parse().ok());
    let of =
        |node: &Value| Some(Disk { total: number(node, "disk.total")?, free: number(node, "disk.avail")? });
    nodes.as_array().into_iter().flatten().filter_map(of).collect()
}

/// From where on a node gets no further shard; none: it may be filled up.
fn low(settings: &Value) -> Option<String> {
    let setting = |name: &str| {
        let at = |kind: &&str| settings.pointer(&format!("/{kind}/cluster/routing/allocation/disk/{name}"));
        ["transient", "persistent", "defaults"].iter().find_map(at).and_then(Value::as_str)
    };
    if setting("threshold_enabled") == Some("false") {
        None
    } else {
        setting("watermark/low").map(str::to_owned)
    }
}

fn lacks(needed: u64, disks: &[Disk], low: Option<String>) -> Option<String> {
    let usable =
        |disk: &Disk| disk.free.saturating_sub(low.as_deref().map_or(0, |low| reserve(low, disk.total)));
    let room: u64 = disks.iter().map(usable).sum();
    // A server that tells of no disk is no reason to refuse.
    if disks.is_empty() || needed <= room {
        return None;
    }
    let why = low.map(|low| format!(" below cluster.routing.allocation.disk.watermark.low ({low})"));
    Some(format!(
        "the copies need {needed} bytes, and its {} nodes have {room} bytes of room for them{}. Free some, or add a node",
        disks.len(),
        why.unwrap_or_default()
    ))
}

/// How many bytes of `total` must stay free: `85%` and `0.85` say how much may be used, `10gb` how much stays.
fn reserve(low: &str, total: u64) -> u64 {
    let used = low.strip_suffix('%').map(|part| part.parse::<f64>().map(|it| it / 100.0)).or_else(|| {
        let is_ratio = low.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        is_ratio.then(|| low.parse::<f64>())
    });
    if let Some(Ok(used)) = used {
        // Sizes of disks are far below what an f64 counts exactly.
        return (total as f64 * (1.0 - used.clamp(0.0, 1.0))).round() as u64;
    }
    let text = low.to_ascii_lowercase();
    let digits = text.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
    let number: f64 = text[..digits].parse().unwrap_or_default();
    let unit = match &text[digits..] {
        "kb" => 1u64 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        "tb" => 1 << 40,
        "pb" => 1 << 50,
        _ => 1,
    };
    (number * unit as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_much_as_the_watermark_leaves() {
        let nodes = json!([
            {"node": "one", "disk.total": "1000", "disk.avail": "400"},
            {"node": "two", "disk.total": "1000", "disk.avail": "100"},
            {"node": "UNASSIGNED", "disk.total": null, "disk.avail": null},
        ]);
        let disks = disks(&nodes);
        assert_eq!(disks.len(), 2);
        let settings = json!({
            "transient": {"cluster": {"routing": {"allocation": {"disk": {"watermark": {"low": "80%"}}}}}},
            "defaults": {"cluster": {"routing": {"allocation": {"disk": {"threshold_enabled": "true", "watermark": {"low": "85%"}}}}}},
        });
        assert_eq!(lacks(200, &disks, low(&settings)), None);
        assert_eq!(
            lacks(201, &disks, low(&settings)).unwrap(),
            "the copies need 201 bytes, and its 2 nodes have 200 bytes of room for them below cluster.routing.allocation.disk.watermark.low (80%). Free some, or add a node"
        );
        let off = json!({"defaults": {"cluster": {"routing": {"allocation": {"disk": {"threshold_enabled": "false", "watermark": {"low": "85%"}}}}}}});
        assert_eq!(lacks(500, &disks, low(&off)), None);
        assert!(lacks(501, &disks, low(&off)).unwrap().contains("have 500 bytes of room for them. Free"));
        assert_eq!(lacks(5, &[], None), None);
        assert_eq!(
            (reserve("0.75", 1000), reserve("10kb", 1 << 20), reserve("500b", 1000)),
            (250, 10 << 10, 500)
        );
    }
}
