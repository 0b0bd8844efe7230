//! Elasticsearch and OpenSearch: which indices take the place of which is a person's to decide, request by request; the
//! script names what they need.

use super::ByHand;

/// Comments only: nothing runs by pasting it.
pub(super) fn script(input: &ByHand<'_>) -> Option<String> {
    let search = input.spec.elasticsearch.as_ref().or(input.spec.opensearch.as_ref())?;
    let (repository, snapshot) = input.backup.path.split_once('/')?;
    Some(format!(
        "{}\n# It is snapshot {snapshot} in repository {repository} of {}, of the indices {}.\n# The requests that put an index back are in docs/engines/elasticsearch.md, \"By hand\"; nothing is run by this script.\n",
        input.head(),
        search.url,
        search.indices.join(", ")
    ))
}
