//! The values of a step's variables: read as the plan's account at every compile, and hashed with the operator's key.

use super::looking::{Refused, source_refused};
use super::operator::Operator;
use crate::api::MigrationPlan;
use crate::api::plan::{Step, VariableSource};
use crate::cluster::{Acting, source};
use crate::program::Filling;
use crate::script::{Value, Values};
use ring::hmac;
use std::collections::BTreeMap;

/// Reads the values of every step that has variables.
pub(super) async fn read(
    operator: &Operator,
    acting: &Acting,
    plan: &MigrationPlan,
    namespace: &str,
) -> Result<BTreeMap<String, Filling>, Refused> {
    let steps = plan.spec.steps().into_iter().map(|(_, step)| step);
    let steps: Vec<&Step> = steps.filter(|step| !step.variables.is_empty()).collect();
    if steps.is_empty() {
        return Ok(BTreeMap::new());
    }
    // Without the key nothing may be compiled: a plain digest of a password can be guessed.
    let key = tokio::fs::read(&operator.hmac_key_file).await.map_err(|error| {
        let file = operator.hmac_key_file.display();
        Refused::new("SourceNotReady", format!("the operator's key for hashes of values, {file}: {error}"))
    })?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let mut fillings = BTreeMap::new();
    for step in steps {
        let values = values(acting, namespace, step).await?;
        let mac = mac(&key, &plan.metadata.uid.clone().unwrap_or_default(), &step.name, &values);
        fillings.insert(step.name.clone(), Filling { values: Values::new(values), mac });
    }
    Ok(fillings)
}

async fn values(acting: &Acting, namespace: &str, step: &Step) -> Result<BTreeMap<String, Value>, Refused> {
    let mut values = BTreeMap::new();
    for variable in &step.variables {
        let at = |why: String| format!("step {}, variable {}: {why}", step.name, variable.name);
        let from = VariableSource::try_from(variable)
            .map_err(|error| Refused::new("InvalidSpec", at(error.to_string())))?;
        let text = source::variable(acting, namespace, &from).await.map_err(|error| {
            let refused = source_refused(&step.name, &error);
            Refused { message: at(error.to_string()), ..refused }
        })?;
        if text.contains('\0') {
            return Err(Refused::new("InvalidSpec", at("no database takes text with a zero byte".into())));
        }
        let secret = matches!(from, VariableSource::Secret(_));
        values.insert(variable.name.clone(), Value { text, secret });
    }
    Ok(values)
}

/// Bound to plan and step: the same password elsewhere has another hash. Lengths stand before what they measure.
fn mac(key: &hmac::Key, plan_uid: &str, step: &str, values: &BTreeMap<String, Value>) -> String {
    let mut context = hmac::Context::with_key(key);
    let named = values.iter().flat_map(|(name, value)| [name.as_str(), value.text.as_str()]);
    for part in [plan_uid, step].into_iter().chain(named) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    format!("hmac-sha256:{}", hex::encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: &[u8], step: &str, values: &[(&str, &str)]) -> String {
        let value = |text: &str| Value { text: text.to_owned(), secret: true };
        let values = values.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect();
        mac(&hmac::Key::new(hmac::HMAC_SHA256, key), "uid", step, &values)
    }

    #[test]
    fn a_hash_says_that_values_are_the_same_and_nothing_else() {
        let one = hash(b"key", "users", &[("a", "1"), ("b", "2")]);
        assert_eq!(one, hash(b"key", "users", &[("b", "2"), ("a", "1")]));
        for other in [
            hash(b"other", "users", &[("a", "1"), ("b", "2")]),
            hash(b"key", "orders", &[("a", "1"), ("b", "2")]),
            hash(b"key", "users", &[("a", "2"), ("b", "1")]),
            hash(b"key", "users", &[("a", "1b2")]),
        ] {
            assert_ne!(one, other);
        }
    }
}
