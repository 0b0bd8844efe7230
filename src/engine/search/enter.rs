//! Into the target: own index, lease, older requests, the other tool's lock, and only then the histories.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::client::Client;
use super::fence::{ID, Row, Watched, admit};
use super::lease::Held;
use super::session::SearchSession;
use super::settings::{Kept, Settings};
use super::store::{INDEX, Version};
use crate::engine::canceller::Cancelled;
use crate::engine::name::run_part;
use crate::engine::{BlockedBy, EngineError, Fence};

/// What elasticsearch-evolution calls its index unless it is told otherwise.
pub(super) const PEER: &str = "es_evolution";

static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// Enters, or leaves nothing behind: a lease that was taken is given up before the refusal is returned.
pub(super) async fn enter(
    settings: &Arc<Settings>,
    watched: &Arc<Watched>,
    fence: &Fence,
) -> Result<SearchSession, EngineError> {
    let client = Arc::new(Client::new(settings).await?);
    let server = client.server().await?;
    client.healthy().await?;
    refuse_foreign(&client).await?;
    client.make_index().await?;
    refuse_half_restored(&client, fence).await?;
    let holder = format!(
        "{}/{}/{:016x}/{}",
        fence.run_uid,
        fence.token,
        rand::random::<u64>(),
        SESSIONS.fetch_add(1, Ordering::Relaxed)
    );
    let taken = Instant::now();
    let (version, row) = client.take(fence, &holder, watched).await?;
    let held = Held::new(&client, watched, version, row, taken);
    match inside(&client, fence, &holder, &held).await {
        Ok(record) => Ok(SearchSession {
            client,
            fence: fence.clone(),
            held,
            record,
            identity: server.identity,
            owner: holder,
            cancelled: Cancelled::default(),
            now: Arc::default(),
        }),
        Err(refusal) => {
            let (version, row) = held.give_back().await;
            give_up(&client, version, &row).await;
            Err(refusal)
        }
    }
}

/// Before anything is taken, so that a refusal leaves the claim as it is. While another run holds it, that is what is said.
async fn refuse_half_restored(client: &Client, fence: &Fence) -> Result<(), EngineError> {
    if let Some((_, row)) = client.fence().await? {
        admit(&client.settings.at(), &row, fence)?;
    }
    client.refuse_half_restored(&fence.run_uid).await
}

async fn inside(
    client: &Client,
    fence: &Fence,
    owner: &str,
    held: &Held,
) -> Result<super::record::Record, EngineError> {
    older(client, fence).await?;
    if let Some((_, index)) = client.settings.evolution() {
        client.lock_peer(index, owner).await?;
    }
    let record = client.record(&fence.run_uid).await?;
    // What was read counts only if the lease held all the while.
    held.check(client)
        .await
        .map_err(|lost| EngineError::Lost { at: client.settings.at(), reason: lost.to_string() })?;
    Ok(record)
}

/// Requests of older sessions that the server still executes are waited for; a task is awaited by who goes on with its
/// script.
async fn older(client: &Client, fence: &Fence) -> Result<(), EngineError> {
    let running = client.running_like("wb/").await.map_err(|missed| client.error(missed))?;
    let by_query = |opaque: &str| opaque.starts_with(&format!("wb/{}/", run_part(&fence.run_uid)));
    let Some((id, opaque)) = running.into_iter().find(|(_, opaque)| !by_query(opaque)) else { return Ok(()) };
    let what = format!(
        "a request of an older session ({opaque}) still runs as task {id}; POST /_tasks/{id}/_cancel ends it"
    );
    Err(EngineError::Busy { at: client.settings.at(), by: BlockedBy::unnamed(what) })
}

/// The refusal stands whether this arrives or not: the lease ends by itself.
async fn give_up(client: &Client, version: Version, row: &Row) {
    if let Err(error) = client.put("give the lease up", INDEX, ID, Some(version), row).await {
        tracing::warn!(%error, "a lease was not given up");
    }
}

/// The other tool's history, and none of ours, where no history is declared as its own: whoever takes this for an empty
/// history applies every script a second time.
async fn refuse_foreign(client: &Client) -> Result<(), EngineError> {
    let tables = foreign(client).await?;
    if tables.is_empty() || !client.record("").await?.entries.is_empty() {
        return Ok(());
    }
    Err(EngineError::Foreign { at: client.settings.at(), tables })
}

/// Histories of the other tool that no declared one is.
pub(super) async fn foreign(client: &Client) -> Result<Vec<String>, EngineError> {
    let declared = client.settings.histories.iter().any(|history| match &history.kept {
        Kept::Evolution { index } => index == PEER,
        Kept::Own => false,
    });
    if declared || client.peer_rows(PEER).await?.applied.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![format!("{PEER} (elasticsearch-evolution)")])
}
