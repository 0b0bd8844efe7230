//! Checksums: the same text gives the same one, whatever editor or checkout wrote its line ends.

use sha2::{Digest, Sha256};

/// Whimbrel's checksum of a script: `sha256:<64 hex>` over its text without a byte order mark and with `\r\n` as
/// `\n`.
///
/// A lone `\r` stays: no checkout makes or removes one, so it is content.
pub fn checksum(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut hash = Sha256::new();
    let mut lines = text.split("\r\n");
    hash.update(lines.next().unwrap_or_default());
    for line in lines {
        hash.update("\n");
        hash.update(line);
    }
    named(hash)
}

/// The digest of a bundle, from the name and checksum of each of its files, undo files included.
///
/// It is the checksum of the listing that `sha256sum` prints for the files in the order of their names, so that a
/// person can pin a source with `LC_ALL=C sha256sum *.sql | sha256sum` (for files without `\r\n` and byte order mark).
pub(super) fn digest<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut files: Vec<_> = files.collect();
    files.sort_unstable();
    let mut hash = Sha256::new();
    for (file, checksum) in files {
        hash.update(checksum.strip_prefix("sha256:").unwrap_or(checksum));
        hash.update("  ");
        hash.update(file);
        hash.update("\n");
    }
    named(hash)
}

fn named(hash: Sha256) -> String {
    format!("sha256:{}", hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        // printf 'SELECT 1;\nSELECT 2;\n' | sha256sum
        let golden = "sha256:82efb67f3010c6eb7ead02e4f6d9550633dbc1407f99aa487468e7b2567aebbc";
        for text in
            ["SELECT 1;\nSELECT 2;\n", "SELECT 1;\r\nSELECT 2;\r\n", "\u{feff}SELECT 1;\r\nSELECT 2;\n"]
        {
            assert_eq!(checksum(text), golden, "{text:?}");
        }
        assert_eq!(checksum(""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn what_is_content_counts() {
        let plain = checksum("SELECT 1;\n");
        for text in ["SELECT 1;", "SELECT 1; \n", "SELECT\r1;\n", "SELECT 1;\n\u{feff}", "SELECT 1;\r\r\n"] {
            assert_ne!(checksum(text), plain, "{text:?}");
        }
    }

    #[test]
    fn golden_digest() {
        // printf 'SELECT 1;\n' > V1__a.sql; printf 'SELECT 2;\n' > U1__a.sql; LC_ALL=C sha256sum *.sql | sha256sum
        let (v, u) = (checksum("SELECT 1;\n"), checksum("SELECT 2;\n"));
        let golden = "sha256:837beeb2be12615d55138e734319d4ccffbd666a1b02556c49557677f8a26d24";
        assert_eq!(digest([("V1__a.sql", v.as_str()), ("U1__a.sql", &u)].into_iter()), golden);
        assert_eq!(digest([("U1__a.sql", u.as_str()), ("V1__a.sql", &v)].into_iter()), golden);
        assert_ne!(digest([("U1__a.sql", v.as_str()), ("V1__a.sql", &u)].into_iter()), golden);
    }
}
