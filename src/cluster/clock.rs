//! A second clock: that of the API server. Who deletes by age asks it too, since his own may be wrong.

use super::{Acting, ReadError};
use http::{Request, header::DATE};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use kube::client::Body;

/// What time it is for the API server, by the date of its answer; none if it says none.
///
/// # Errors
/// No answer.
pub async fn api_server_time(own: &Acting) -> Result<Option<Timestamp>, ReadError> {
    let request = Request::get("/version").body(Body::empty()).expect("a path and no body");
    let answer = own.client().send(request).await.map_err(|error| ReadError::Unavailable(Box::new(error)))?;
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
    Ok(date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_an_instant() {
        let parsed = DateTimeParser::new().parse_timestamp("Sat, 28 Nov 2026 20:45:05 GMT").unwrap();
        assert_eq!(parsed, "2026-11-28T20:45:05Z".parse().unwrap());
    }
}
