//! `whimbrel crd`: the CRDs and their review, printed, written, or compared with what is committed.

use crate::api::{contract, crd, review};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The side file of the review, beside the page that is generated from it.
const NOTES: &str = "api-review.yaml";
const PAGE: &str = "api-review.md";
const CONDITIONS: &str = "conditions.md";

/// Prints the CRDs as YAML documents, or keeps the files that are generated from the types.
#[derive(clap::Args, Debug)]
pub(super) struct CrdArgs {
    /// Writes the CRDs into this folder instead of printing them.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Also writes `conditions.md` and, from the `api-review.yaml` in it, `api-review.md` into this folder.
    #[arg(long, value_name = "DIR", requires = "dir")]
    review: Option<PathBuf>,
    /// Writes nothing; fails if a file is not what would be written. Folders: `crds` and `docs` unless said.
    #[arg(long)]
    check: bool,
}

/// Why the CRDs could not be kept.
#[derive(Debug, thiserror::Error)]
enum CrdError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A CRD could not be written as YAML.
    #[error("a CRD as YAML: {0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
    /// The review's notes do not fit the CRDs.
    #[error("the review's notes: {0}")]
    Review(#[from] review::ReviewError),
    /// Committed files are not what the types say.
    #[error("not as the types say: {}; run `make crds`", .0.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
    Drift(Vec<PathBuf>),
}

/// Does what the arguments say; what fails is told on stderr.
pub(super) fn run(args: &CrdArgs) -> ExitCode {
    match generate(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(args: &CrdArgs) -> Result<(), CrdError> {
    let mut files = Vec::new();
    for one in crd::crds() {
        files.push((crd::file_name(&one), crd::yaml(&one)?));
    }
    let (default_dir, default_docs) = (PathBuf::from("crds"), PathBuf::from("docs"));
    let (dir, docs) = match (&args.dir, &args.review) {
        (None, None) if args.check => (Some(&default_dir), Some(&default_docs)),
        (dir, docs) => (dir.as_ref(), docs.as_ref()),
    };
    let Some(dir) = dir else {
        print!("{}", files.iter().map(|(_, text)| format!("---\n{text}")).collect::<String>());
        return Ok(());
    };
    let mut wanted: Vec<(PathBuf, String)> =
        files.into_iter().map(|(name, text)| (dir.join(name), text)).collect();
    if let Some(docs) = docs {
        let notes = read(&docs.join(NOTES))?;
        wanted.push((docs.join(PAGE), review::page(&crd::crds(), &notes)?));
        wanted.push((docs.join(CONDITIONS), contract::page()));
    }
    if args.check { check(wanted) } else { write(wanted) }
}

fn check(wanted: Vec<(PathBuf, String)>) -> Result<(), CrdError> {
    let mut drifted = Vec::new();
    for (path, text) in wanted {
        if read(&path)? != text {
            drifted.push(path);
        }
    }
    if drifted.is_empty() { Ok(()) } else { Err(CrdError::Drift(drifted)) }
}

fn write(wanted: Vec<(PathBuf, String)>) -> Result<(), CrdError> {
    for (path, text) in wanted {
        fs::write(&path, text).map_err(|source| CrdError::File { path: path.clone(), source })?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, CrdError> {
    fs::read_to_string(path).map_err(|source| CrdError::File { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(dir: &Path, check: bool) -> CrdArgs {
        CrdArgs { dir: Some(dir.into()), review: None, check }
    }

    #[test]
    fn what_is_committed_is_what_the_types_say() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        generate(&CrdArgs { dir: Some(root.join("crds")), review: Some(root.join("docs")), check: true })
            .unwrap();
    }

    #[test]
    fn drift_names_the_files_and_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        generate(&args(dir.path(), false)).unwrap();
        generate(&args(dir.path(), true)).unwrap();
        let plan = dir.path().join("migrationplans.yaml");
        fs::write(&plan, "edited").unwrap();
        let error = generate(&args(dir.path(), true)).unwrap_err().to_string();
        assert_eq!(error, format!("not as the types say: {}; run `make crds`", plan.display()));
        assert_eq!(fs::read_to_string(&plan).unwrap(), "edited");
    }
}
