//! What an S3 service says, in one sentence: its code and message instead of a page of XML, the reason at the bottom of a
//! connection that failed, and what helps.

use crate::api::bounds::cut;
use crate::backup::BackupError;
use std::error::Error;

/// The most that is quoted.
const QUOTED: u32 = 300;

/// Codes of a service that the same again does not change, and what does.
const FOR_GOOD: &[(&str, &str)] = &[
    ("NoSuchBucket", "create it, or correct spec.backup.storage.s3.bucket"),
    ("InvalidAccessKeyId", "correct accessKey in the Secret of spec.backup.storage.s3.credentials"),
    ("SignatureDoesNotMatch", "correct secretKey in the Secret of spec.backup.storage.s3.credentials"),
    ("AccessDenied", "let this key list, get, put and delete below the prefix"),
    ("QuotaExceeded", "enlarge the bucket's quota, or let retention keep less"),
    ("XMinioAdminBucketQuotaExceeded", "enlarge the bucket's quota, or let retention keep less"),
    ("XMinioStorageFull", "enlarge the service's disks, or let retention keep less"),
    ("PermanentRedirect", "correct spec.backup.storage.s3.region"),
];

/// What became of a request.
pub(super) fn failed(bucket: &str, what: &str) -> impl Fn(object_store::Error) -> BackupError + use<> {
    let (bucket, what) = (bucket.to_owned(), what.to_owned());
    move |error| {
        let text = error.to_string();
        let code = between(&text, "<Code>", "</Code>");
        let known = code.and_then(|code| FOR_GOOD.iter().find(|(known, _)| *known == code));
        let said = match (code, known) {
            (Some(code), _) => {
                let message = between(&text, "<Message>", "</Message>").unwrap_or_default();
                format!("{code}: {}", message.trim_end_matches('.'))
            }
            (None, _) => deepest(&error),
        };
        let said = match known {
            Some((_, helps)) => format!("{}; {helps}", cut(&said, QUOTED)),
            None => cut(&said, QUOTED),
        };
        BackupError::Bucket { bucket: bucket.clone(), what: what.clone(), said, again: known.is_none() }
    }
}

/// Whether it is not the object that is missing but the bucket.
pub(super) fn is_no_bucket(error: &dyn Error) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.to_string().contains("NoSuchBucket") {
            return true;
        }
        next = error.source();
    }
    false
}

fn between<'t>(text: &'t str, from: &str, to: &str) -> Option<&'t str> {
    Some(text.split_once(from)?.1.split_once(to)?.0)
}

/// The reason of the reason: what is above it only says that a request failed.
fn deepest(error: &object_store::Error) -> String {
    let mut deepest: &dyn Error = error;
    while let Some(next) = deepest.source() {
        if next.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout) {
            return "it did not answer in time".to_owned();
        }
        deepest = next;
    }
    deepest.to_string().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn of_a_page_of_xml_code_and_message_are_kept_and_what_helps_is_said() {
        let page =
            "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist.</Message></Error>";
        let said = failed("backups", "aether/7/tas-1/attempt.json")(error(page));
        assert_eq!(
            said.to_string(),
            "bucket backups: aether/7/tas-1/attempt.json: NoSuchBucket: The specified bucket does not exist; create it, or correct spec.backup.storage.s3.bucket"
        );
        assert_eq!(said.exit_code(), crate::backup::EXIT_NEVER_AGAIN);
        let slow =
            failed("b", "k")(error("<Code>SlowDown</Code><Message>Reduce your request rate</Message>"));
        assert_eq!(slow.to_string(), "bucket b: k: SlowDown: Reduce your request rate");
        assert_eq!(slow.exit_code(), crate::backup::EXIT_FAILED);
        let lost = failed("b", "k")(error("connection refused"));
        assert_eq!(lost.to_string(), "bucket b: k: connection refused");
    }
}
