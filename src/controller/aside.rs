//! What restores have put aside, dropped when its time is over: under the lock that restores and swaps take, in a target
//! that nobody holds, and only what says by itself that it is that run's.

use super::aside_files;
use super::looking;
use super::operator::Operator;
use super::retention::{FAILED_AGAIN, NOW, SOON, Seen, due, number, tell, write};
use super::target::Error;
use super::targets::OpenTarget;
use crate::api::target::{AsideStatus, Deleted, Retention};
use crate::api::{
    EventReason, Time,
    bounds::{STRING, cut},
};
use crate::backup::aside_until;
use crate::cluster::events::Severity;
use crate::cluster::lease;
use crate::engine::{Engine, EngineError, Fence};
use crate::words;
use jiff::Timestamp;
use kube::ResourceExt as _;
use std::time::Duration;

/// One look. Gives when the next one is due, if something was done or waits to be.
pub(super) async fn tend(operator: &Operator, seen: &Seen) -> Result<Option<Duration>, Error> {
    if seen.busy.is_some() {
        return Ok(None);
    }
    let begun = |aside: &AsideStatus| aside.dropping_since.is_some() && aside.not_dropped.is_none();
    if let Some(place) = seen.status.aside.iter().position(begun) {
        return drop(operator, seen, place).await.map(Some);
    }
    let Some(retention) = seen.object.spec.backup.retention else { return Ok(None) };
    // The oldest first.
    let Some(place) = seen.status.aside.iter().rposition(|aside| goes(&retention, aside, seen.now)) else {
        return Ok(None);
    };
    let mut new = seen.status.clone();
    new.aside[place].dropping_since = Some(Time(seen.now));
    new.aside[place].not_dropped = None;
    write(operator, seen, new).await?;
    Ok(Some(NOW))
}

/// Whether its time is over; of one that could not be dropped, whether it is time for another try.
fn goes(retention: &Retention, aside: &AsideStatus, now: Timestamp) -> bool {
    let tried = aside.dropping_since.as_ref();
    aside.at.0 <= now
        && aside_until(retention, aside) <= now
        && (tried.is_none() || due(tried, FAILED_AGAIN, now))
}

/// Drops it, and notes what became of it.
async fn drop(operator: &Operator, seen: &Seen, place: usize) -> Result<Duration, Error> {
    let aside = &seen.status.aside[place];
    let mut new = seen.status.clone();
    let (severity, reason, note) = match try_drop(operator, seen, aside).await {
        Ok(None) => return Ok(SOON),
        Ok(Some(names)) => {
            let why = match names.as_slice() {
                [] => "it was not there".to_owned(),
                names => format!("its time was over; dropped: {}", names.join(", ")),
            };
            let what = words::what(aside);
            let note = format!("{what} is gone: {why}");
            new.aside.remove(place);
            let deleted = Deleted {
                what,
                id: aside.run_uid.clone(),
                run: aside.run.clone(),
                at: Time(Timestamp::now()),
                bytes: None,
                why: cut(&why, STRING),
            };
            words::gone(&mut new, deleted);
            (Severity::Normal, EventReason::AsideDropped, note)
        }
        Err(why) => {
            let note = format!("{} is not dropped: {why}", words::what(aside));
            new.aside[place].not_dropped = Some(cut(&why, STRING));
            (Severity::Warning, EventReason::RetentionBlocked, note)
        }
    };
    let once = aside.run_uid.clone();
    write(operator, seen, new).await?;
    tell(operator, seen, severity, reason, &note, &once).await;
    Ok(NOW)
}

/// Drops the databases of the run, in a target that no run of any cluster holds; none: a Job is at it.
async fn try_drop(
    operator: &Operator,
    seen: &Seen,
    aside: &AsideStatus,
) -> Result<Option<Vec<String>>, String> {
    let run = number(&aside.run).ok_or_else(|| format!("{} is not the name of a run", aside.run))?;
    let open = OpenTarget::of(operator, seen.object.clone()).await.map_err(|error| error.to_string())?;
    let look = open.engine.look().await.map_err(|error| error.to_string())?;
    if let Some(claim) = look.claim {
        return Err(format!(
            "run {} of {} (cluster {}) holds the target",
            claim.run, claim.plan, claim.cluster
        ));
    }
    if let Some(offline) = open.offline() {
        return aside_files::drop(operator, seen, &offline, aside, run).await;
    }
    let token = match looking::known_key(&open) {
        None => 0,
        Some(key) => {
            let found = lease::look(operator.own(), &operator.namespace, &key).await;
            found.map_err(|error| error.to_string())?.token
        }
    };
    let namespace = seen.object.namespace().unwrap_or_default();
    let plan = aside.run.rsplit_once('-').map_or("", |(plan, _)| plan);
    let fence = Fence {
        target: format!("{namespace}/{}", seen.object.name_any()),
        run_uid: aside.run_uid.clone(),
        run,
        plan: format!("{namespace}/{plan}"),
        cluster: operator.cluster.clone(),
        token,
    };
    open.engine.drop_aside(&fence, run).await.map(Some).map_err(|error| match error {
        EngineError::NotRestorable { reason, .. } => reason,
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    #[test]
    fn what_is_aside_goes_when_its_time_is_over_and_what_was_refused_an_hour_later_again() {
        let now = Timestamp::now();
        let ago = |hours: i64| Time(now - SignedDuration::from_hours(hours));
        let keep = Retention { keep_last: None, keep_for: Some(crate::api::Duration::from_secs(48 * 3600)) };
        let mut aside = AsideStatus {
            name: "wb_1_r1".into(),
            run: "shop-1".into(),
            run_uid: "r1".into(),
            at: ago(49),
            dropping_since: None,
            not_dropped: None,
        };
        assert!(goes(&keep, &aside, now));
        aside.at = ago(47);
        assert!(!goes(&keep, &aside, now));
        aside.at = ago(-1);
        assert!(!goes(&keep, &aside, now), "dated in the future");
        let year = Retention { keep_last: Some(1), keep_for: None };
        aside.at = ago(6 * 24);
        assert!(!goes(&year, &aside, now));
        aside.at = ago(8 * 24);
        assert!(goes(&year, &aside, now));
        aside.not_dropped = Some("a slot is in it".into());
        aside.dropping_since = Some(ago(0));
        assert!(!goes(&year, &aside, now));
        aside.dropping_since = Some(ago(1));
        assert!(goes(&year, &aside, now));
    }
}
