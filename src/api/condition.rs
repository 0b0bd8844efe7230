//! Conditions by the rules of the Kubernetes API conventions.

use super::{
    Time,
    bounds::{CONDITION_MESSAGE, cut},
    contract,
    reason::{ConditionType, Reason},
    words::words,
};
use schemars::{Schema, SchemaGenerator, json_schema};

/// One condition, as every Kubernetes tool knows it.
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

words! {
    /// What a condition says.
    pub enum Status {
        /// Yes.
        True,
        /// No.
        False,
        /// Not yet known, or not yet reached.
        Unknown,
    }
}

/// Sets one condition; `now` becomes its `lastTransitionTime` only when its status flips or it is new.
///
/// A reason that `contract::legal` does not know there is a bug of the caller, found by debug builds.
///
/// Returns whether anything changed: an unchanged status is not written. The message is cut to its bound of 32 KiB.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: ConditionType,
    status: Status,
    reason: Reason,
    message: &str,
    observed_generation: i64,
    now: &Time,
) -> bool {
    debug_assert!(
        contract::legal(type_, status).contains(&reason),
        "{type_}={status}/{reason} is not in the contract"
    );
    let new = |last_transition_time| Condition {
        type_: type_.to_string(),
        status: status.to_string(),
        reason: reason.to_string(),
        message: cut(message, CONDITION_MESSAGE),
        observed_generation: Some(observed_generation),
        last_transition_time,
    };
    let Some(old) = conditions.iter_mut().find(|c| c.type_ == type_.as_str()) else {
        conditions.push(new(now.clone()));
        return true;
    };
    let since = if old.status == status.as_str() { old.last_transition_time.clone() } else { now.clone() };
    let changed = new(since);
    if *old == changed {
        return false;
    }
    *old = changed;
    true
}

/// Takes a condition away: Reconciling and Stalled are absent rather than False, as kstatus wants it.
///
/// Returns whether it was there.
pub fn remove(conditions: &mut Vec<Condition>, type_: ConditionType) -> bool {
    let before = conditions.len();
    conditions.retain(|c| c.type_ != type_.as_str());
    conditions.len() != before
}

/// The condition of a type, if it is there.
pub fn get(conditions: &[Condition], type_: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == type_.as_str())
}

/// The schema of a list of conditions: keyed by type, bounded as metav1 bounds it.
pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": { "type": "string", "maxLength": 316 },
                "status": { "type": "string", "enum": Status::ALL },
                "reason": { "type": "string", "minLength": 1, "maxLength": 1024 },
                "message": { "type": "string", "maxLength": CONDITION_MESSAGE },
                "observedGeneration": { "type": "integer", "format": "int64" },
                "lastTransitionTime": { "type": "string", "format": "date-time" },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut all = Vec::new();
        let mut ready = |status, reason, message: &str, generation, second| {
            let changed =
                set(&mut all, ConditionType::Ready, status, reason, message, generation, &at(second));
            (changed, all[0].last_transition_time.clone(), all.len())
        };
        assert_eq!(ready(Status::Unknown, Reason::Progressing, "a", 1, 10), (true, at(10), 1));
        assert_eq!(ready(Status::Unknown, Reason::Progressing, "a", 1, 11), (false, at(10), 1));
        assert_eq!(ready(Status::Unknown, Reason::Paused, "b", 1, 12), (true, at(10), 1));
        assert_eq!(ready(Status::Unknown, Reason::Paused, "b", 2, 13), (true, at(10), 1));
        assert_eq!(ready(Status::True, Reason::Succeeded, "c", 2, 14), (true, at(14), 1));
    }

    #[test]
    fn a_message_over_its_bound_is_cut_so_that_the_status_can_be_written() {
        let mut all = Vec::new();
        let long = "ä".repeat(40_000);
        set(&mut all, ConditionType::Stalled, Status::True, Reason::Held, &long, 1, &at(1));
        assert_eq!(all[0].message.chars().count(), 32 * 1024);
        assert!(all[0].message.ends_with('…'));
    }

    #[test]
    fn removed_is_absent() {
        let mut all = Vec::new();
        set(&mut all, ConditionType::Reconciling, Status::True, Reason::Queued, "x", 1, &at(1));
        assert!(get(&all, ConditionType::Reconciling).is_some());
        assert!(remove(&mut all, ConditionType::Reconciling));
        assert!(!remove(&mut all, ConditionType::Reconciling));
        assert_eq!(all, []);
    }
}
