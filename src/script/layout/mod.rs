//! Layouts: how a file name says what a script is. The one door for all of them.

mod cypher;
mod cypher_dated;
mod flyway;
mod http;
mod not_built;
mod up_down;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Dialect, ScriptError, Version};

/// How the files of a source are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Layout {
    /// `V1_2__text.sql`, `U1_2__text.sql`, `R__text.sql`
    Flyway,
    /// `V001-text-up.sql`, `V001-text-down.sql`
    UpDown,
    /// `1_text.up.sql`, `1_text.down.sql` (golang-migrate, sqlx). Not built yet.
    NumberUpDown,
    /// `1_text.sql` with up and down parts. Not built yet.
    Goose,
    /// `V001__text.cypher`, `U001__text.cypher`, `R1__text.cypher` (neo4j-migrations)
    Cypher,
    /// `2026-01-31-001-text.cypher`, `2026-01-31-001-text-down.cypher`
    CypherDated,
    /// `V1_2__text.http`, `U1_2__text.http` (elasticsearch-evolution)
    Http,
    /// `.redis` commands. Not built yet.
    Redis,
    /// `.s3.yaml` and `.kafka.yaml` operations. Not built yet.
    Ops,
}

/// What a file name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Script { version: Version, description: String },
    Undo { version: Version },
    Repeatable { description: String },
}

impl Layout {
    /// All layouts, the built ones first.
    pub const ALL: [Layout; 9] = [
        Layout::Flyway,
        Layout::UpDown,
        Layout::Cypher,
        Layout::CypherDated,
        Layout::Http,
        Layout::NumberUpDown,
        Layout::Goose,
        Layout::Redis,
        Layout::Ops,
    ];

    /// The language of the files, of a built layout.
    pub fn dialect(self) -> Option<Dialect> {
        match self {
            Layout::Flyway | Layout::UpDown => Some(Dialect::Postgresql),
            Layout::Cypher | Layout::CypherDated => Some(Dialect::Cypher),
            Layout::Http => Some(Dialect::Http),
            _ => None,
        }
    }

    /// Why files of this layout are nothing for a target that takes `wanted`.
    pub fn in_another_language(self, wanted: Dialect) -> Option<ScriptError> {
        let found = self.dialect().filter(|found| *found != wanted)?;
        Some(ScriptError::OtherLanguage { layout: self, found, wanted })
    }

    /// The word that the API uses.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Flyway => "Flyway",
            Layout::UpDown => "UpDown",
            Layout::NumberUpDown => "NumberUpDown",
            Layout::Goose => "Goose",
            Layout::Cypher => "Cypher",
            Layout::CypherDated => "CypherDated",
            Layout::Http => "Http",
            Layout::Redis => "Redis",
            Layout::Ops => "Ops",
        }
    }

    /// The names of a built layout, for messages. `None`: not built.
    fn shapes(self) -> Option<&'static str> {
        match self {
            Layout::Flyway => Some(flyway::SHAPES),
            Layout::UpDown => Some(up_down::SHAPES),
            Layout::Cypher => Some(cypher::SHAPES),
            Layout::CypherDated => Some(cypher_dated::SHAPES),
            Layout::Http => Some(http::SHAPES),
            _ => None,
        }
    }

    /// The names of all built layouts, for messages.
    pub(super) fn shapes_of_built() -> String {
        Self::shapes_where(|_| true)
    }

    /// The names of the built layouts of a language, for messages.
    pub(super) fn shapes_in(dialect: Dialect) -> String {
        Self::shapes_where(|layout| layout.dialect() == Some(dialect))
    }

    fn shapes_where(wanted: impl Fn(Layout) -> bool) -> String {
        let one = |layout: Layout| Some(format!("{} ({layout})", layout.shapes()?));
        Layout::ALL
            .into_iter()
            .filter(|layout| wanted(*layout))
            .filter_map(one)
            .collect::<Vec<_>>()
            .join(" or ")
    }

    /// What `file` is in this layout.
    ///
    /// # Errors
    /// [`ScriptError::LayoutNotBuilt`] and [`ScriptError::UnknownFile`].
    pub(super) fn read(self, file: &str) -> Result<Name, ScriptError> {
        if cypher::is_callback(file) {
            return Err(ScriptError::Callback { file: file.to_owned() });
        }
        let name = match self {
            Layout::Flyway => flyway::read(file),
            Layout::UpDown => up_down::read(file),
            Layout::Cypher => cypher::read(file),
            Layout::CypherDated => cypher_dated::read(file),
            Layout::Http => http::read(file),
            _ => return Err(ScriptError::LayoutNotBuilt { layout: self, file: None }),
        };
        let shapes = || self.shapes().map(str::to_owned).unwrap_or_else(Layout::shapes_of_built);
        name.ok_or_else(|| ScriptError::UnknownFile { file: file.to_owned(), shapes: shapes() })
    }

    /// The layout that knows `file`, built or not.
    fn of_file(file: &str) -> Option<Layout> {
        let built = |layout: &Layout| layout.read(file).is_ok();
        Layout::ALL.into_iter().find(built).or_else(|| not_built::of_file(file))
    }

    /// The one layout of all the files; names that none knows are answered with those of `dialect`.
    ///
    /// # Errors
    /// Files no layout knows, two layouts, or a layout that is not built.
    pub(super) fn recognise<'a>(
        files: impl Iterator<Item = &'a str>,
        dialect: Dialect,
    ) -> Result<Layout, Vec<ScriptError>> {
        let mut first: Option<(Layout, &str)> = None;
        let mut errors = Vec::new();
        for file in files {
            if cypher::is_callback(file) {
                errors.push(ScriptError::Callback { file: file.to_owned() });
                continue;
            }
            match (Layout::of_file(file), first) {
                (None, _) => {
                    let (file, shapes) = (file.to_owned(), Layout::shapes_in(dialect));
                    errors.push(ScriptError::UnknownFile { file, shapes });
                }
                (Some(layout), None) => first = Some((layout, file)),
                (Some(second), Some((first, first_file))) if first != second => {
                    let (first_file, second_file) = (first_file.to_owned(), file.to_owned());
                    return Err(vec![ScriptError::MixedLayouts { first, first_file, second, second_file }]);
                }
                (Some(_), Some(_)) => {}
            }
        }
        match first {
            Some((layout, file)) if layout.shapes().is_none() => {
                Err(vec![ScriptError::LayoutNotBuilt { layout, file: Some(file.to_owned()) }])
            }
            Some((layout, _)) if errors.is_empty() => Ok(layout),
            _ => Err(errors),
        }
    }
}

/// The text is no layout's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no layout")]
pub struct LayoutError(String);

impl FromStr for Layout {
    type Err = LayoutError;

    fn from_str(text: &str) -> Result<Self, LayoutError> {
        Layout::ALL
            .into_iter()
            .find(|layout| layout.name() == text)
            .ok_or_else(|| LayoutError(text.to_owned()))
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Words of a description, or `None` when it has characters that would garble a listing or a message.
fn description(text: &str, between: char) -> Option<String> {
    let sound = !text.is_empty() && !text.chars().any(char::is_control);
    sound.then(|| text.replace(between, " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_travel() {
        for layout in Layout::ALL {
            assert_eq!(layout.name().parse(), Ok(layout));
            assert_eq!(serde_json::to_string(&layout).unwrap(), format!("{:?}", layout.name()));
        }
        assert_eq!("flyway".parse::<Layout>().unwrap_err().to_string(), "\"flyway\" is no layout");
    }

    #[test]
    fn every_layout_is_recognised_by_a_name() {
        let files = [
            ("V1__a.sql", Layout::Flyway),
            ("R__views.sql", Layout::Flyway),
            ("V001-add-tags-up.sql", Layout::UpDown),
            ("000001_init.up.sql", Layout::NumberUpDown),
            ("20260131120000_init.sql", Layout::Goose),
            ("V001__a.cypher", Layout::Cypher),
            ("2025-01-15-001-add-index.cypher", Layout::CypherDated),
            ("V001__a.http", Layout::Http),
            ("V1__a.redis", Layout::Redis),
            ("V1__a.redis.yaml", Layout::Redis),
            ("V1__a.s3.yaml", Layout::Ops),
            ("V1__a.kafka.yaml", Layout::Ops),
        ];
        for (file, layout) in files {
            assert_eq!(Layout::of_file(file), Some(layout), "{file}");
        }
        for file in [
            "README.md",
            ".gitkeep",
            "V1_a.sql",
            "v1__a.sql",
            "V1__a.SQL",
            "V1__a\n.sql",
            "kustomization.yaml",
        ] {
            assert_eq!(Layout::of_file(file), None, "{file}");
        }
    }
}
