//! What a verify step or a preflight entry asks, and what it expects.

use crate::api::{
    Duration,
    bounds::{MESSAGE, NAME, STATEMENT, STEP_NAME, URL},
    error::{ApiError, exactly_one},
    words::words,
};
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// A check: exactly one form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.query), has(self.http)].filter(x, x).size() == 1")
    .message("a check is exactly one of query, http"))]
pub struct Check {
    /// Asks a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<QueryCheck>,
    /// Asks services, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// How long an answer that can't be judged is asked for again; default 2m.
    #[serde(default = "two_minutes")]
    pub within: Duration,
}

/// A check before anything is touched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.query), has(self.http)].filter(x, x).size() == 1")
    .message("a check is exactly one of query, http"))]
pub struct Preflight {
    /// Name, unique among the checks: a DNS label of at most 40 characters.
    #[schemars(length(min = 1, max = STEP_NAME), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Asks a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<QueryCheck>,
    /// Asks services, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// How long an answer that can't be judged is asked for again; default 2m.
    #[serde(default = "two_minutes")]
    pub within: Duration,
}

fn two_minutes() -> Duration {
    Duration::from_secs(120)
}

/// What a check does, as a real union.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckForm {
    /// Asks a target.
    Query(QueryCheck),
    /// Asks services.
    Http(HttpCheck),
}

impl TryFrom<&Check> for CheckForm {
    type Error = ApiError;

    fn try_from(check: &Check) -> Result<Self, ApiError> {
        exactly_one(
            "a check",
            "form",
            [check.query.clone().map(Self::Query), check.http.clone().map(Self::Http)],
        )
    }
}

impl TryFrom<&Preflight> for CheckForm {
    type Error = ApiError;

    fn try_from(check: &Preflight) -> Result<Self, ApiError> {
        exactly_one(
            &format!("preflight {}", check.name),
            "form",
            [check.query.clone().map(Self::Query), check.http.clone().map(Self::Http)],
        )
    }
}

/// A read-only statement on a target and what it must give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueryCheck {
    /// A DatabaseTarget of the plan's namespace.
    #[schemars(length(min = 1))]
    pub target: String,
    /// The statement, in the engine's language; it runs read-only.
    #[schemars(length(min = 1, max = STATEMENT))]
    pub statement: String,
    /// What it must give.
    pub expect: QueryExpect,
}

/// What a query must give: the first column of the first row, or the number of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.equals), has(self.atLeast), has(self.atMost), has(self.rows)].filter(x, x).size() == 1")
    .message("expect is exactly one of equals, atLeast, atMost, rows"))]
pub struct QueryExpect {
    /// This value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<IntOrString>,
    /// A number that is not less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<IntOrString>,
    /// A number that is not more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<IntOrString>,
    /// This many rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub rows: Option<i64>,
}

/// Requests to services, with cookies and captured values within the check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// The requests, in order.
    #[schemars(length(min = 1))]
    pub steps: Vec<HttpRequest>,
}

words! {
    /// An HTTP method.
    pub enum HttpMethod {
        /// GET
        Get = "GET",
        /// HEAD
        Head = "HEAD",
        /// POST
        Post = "POST",
        /// PUT
        Put = "PUT",
        /// PATCH
        Patch = "PATCH",
        /// DELETE
        Delete = "DELETE",
    }
}

/// One request and what its answer must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequest {
    /// GET, HEAD, POST, PUT, PATCH or DELETE.
    pub method: HttpMethod,
    /// Where to.
    #[schemars(length(min = 1, max = URL))]
    pub url: String,
    /// Headers; default none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "headers")]
    pub headers: BTreeMap<String, String>,
    /// Body as JSON; default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_json")]
    pub json: Option<serde_json::Value>,
    /// What the answer must be.
    pub expect: HttpExpect,
    /// Values of the answer that later requests use as `${name}`; default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub capture: Vec<Capture>,
}

fn headers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "additionalProperties": { "type": "string", "maxLength": MESSAGE } })
}

fn any_json(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// A value of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Capture {
    /// Name by which later requests use it.
    #[schemars(length(min = 1, max = NAME), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// JSONPath (RFC 9535) into the answer.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
}

/// What an answer must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpExpect {
    /// The status code.
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// Values in the body; default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ValueExpect>,
}

/// What one value of an answer must be: exactly one of equals, exists, count.
///
/// Exactly one by counting fields: so deep in lists a CEL rule would cost more than the API server grants the whole kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 2, "maxProperties" = 2))]
pub struct ValueExpect {
    /// JSONPath (RFC 9535) into the answer.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// The one value at the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<IntOrString>,
    /// Whether there is any value at the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exists: Option<bool>,
    /// How many values there are at the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<Count>,
}

/// How many there must be: exactly one of equals, atLeast, atMost.
///
/// Exactly one by counting fields: so deep in lists a CEL rule would cost more than the API server grants the whole kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Count {
    /// So many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub equals: Option<i64>,
    /// Not fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub at_least: Option<i64>,
    /// Not more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub at_most: Option<i64>,
}

/// A whole number, or a text; a number with a fraction is written as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A whole number.
    Int(i64),
    /// A text.
    String(String),
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::String(text) => f.write_str(text),
        }
    }
}

impl JsonSchema for IntOrString {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "IntOrString".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true })
    }
}
