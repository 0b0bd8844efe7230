//! Who we are at a server, and where that comes from.

use std::fmt;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::EngineError;

/// Where credentials come from: asked at every connect, since passwords rotate in the middle of a run.
pub type CredentialsSource<T = Credentials> =
    Arc<dyn Fn() -> BoxFuture<'static, Result<T, CredentialsError>> + Send + Sync>;

/// A source that always gives the same: for who lives no longer than they do, as a Job.
pub fn fixed_credentials<T: Clone + Send + Sync + 'static>(credentials: T) -> CredentialsSource<T> {
    Arc::new(move || std::future::ready(Ok(credentials.clone())).boxed())
}

/// Role and password. Its `Debug` shows the role only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The role that logs in.
    pub user: String,
    /// Its password; not looked at when the server asks for none.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why there are no credentials, as a part of a sentence: `Secret aether/pg-admin has no key password`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CredentialsError(pub String);

/// Asks the source; without an answer there is no login at `at`.
pub(super) async fn ask<T>(source: &CredentialsSource<T>, at: &str) -> Result<T, EngineError> {
    source()
        .await
        .map_err(|error| EngineError::Authentication { at: at.to_owned(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let credentials = Credentials { user: "app".to_owned(), password: "it's a secret".to_owned() };
        assert_eq!(format!("{credentials:?}"), "Credentials { user: \"app\", .. }");
    }

    #[tokio::test]
    async fn without_credentials_there_is_no_login_and_the_reason_is_said() {
        let source: CredentialsSource = Arc::new(|| {
            async { Err(CredentialsError("Secret aether/pg-admin has no key password".to_owned())) }.boxed()
        });
        assert_eq!(
            ask(&source, "aether/db (db:5432/db)").await.unwrap_err().to_string(),
            "aether/db (db:5432/db): no login: Secret aether/pg-admin has no key password. Check the Secret in spec.credentials."
        );
    }
}
