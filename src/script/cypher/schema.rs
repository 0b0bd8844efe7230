//! What a schema statement makes or drops, in the words of `SHOW CONSTRAINTS` and `SHOW INDEXES`: by them it is seen
//! whether it happened, also after a crash.

use super::super::split::{Statement, Token, TokenKind};

/// A constraint or an index as the server lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// A constraint, else an index.
    pub constraint: bool,
    /// As it is listed, without backticks; absent where the server makes one up.
    pub name: Option<String>,
    /// The column `type`: `UNIQUENESS`, `NODE_KEY`, `RANGE`, `FULLTEXT` …
    pub kind: String,
    /// On relationships, else on nodes.
    pub relationships: bool,
    /// Labels or relationship types; empty for a look-up index.
    pub labels: Vec<String>,
    /// Properties in order.
    pub properties: Vec<String>,
}

/// What a schema statement does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It makes something.
    Create {
        /// What.
        object: Object,
        /// With IF NOT EXISTS.
        if_not_exists: bool,
    },
    /// It drops something by its name.
    Drop {
        /// A constraint, else an index.
        constraint: bool,
        /// Its name.
        name: String,
        /// With IF EXISTS.
        if_exists: bool,
    },
    /// A form that is not known here: the server's answer is all there is.
    Other,
}

impl Change {
    /// What it makes.
    pub fn made(&self) -> Option<&Object> {
        match self {
            Self::Create { object, .. } => Some(object),
            Self::Drop { .. } | Self::Other => None,
        }
    }
}

/// Reads the tokens of a statement, from its verb on. `None`: it is no schema statement.
pub(super) fn change(statement: &Statement, text: &str, from: usize) -> Option<Change> {
    let mut reader = Reader { text, tokens: &statement.tokens, at: from };
    if reader.word("CREATE") {
        reader.create()
    } else if reader.word("DROP") {
        reader.drop()
    } else {
        None
    }
}

#[derive(Clone)]
struct Reader<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
}

const INDEX_KINDS: [&str; 6] = ["RANGE", "TEXT", "POINT", "FULLTEXT", "VECTOR", "LOOKUP"];

impl Reader<'_> {
    fn create(&mut self) -> Option<Change> {
        // CREATE (n) and CREATE p = (n) make data.
        let or_replace = self.word("OR") && self.word("REPLACE");
        if self.word("CONSTRAINT") {
            return Some(self.clone().constraint().filter(|_| !or_replace).unwrap_or(Change::Other));
        }
        let kind = INDEX_KINDS.into_iter().find(|kind| self.word(kind)).unwrap_or("RANGE");
        self.word("INDEX").then(|| self.index(kind).filter(|_| !or_replace).unwrap_or(Change::Other))
    }

    fn drop(&mut self) -> Option<Change> {
        let constraint = self.word("CONSTRAINT");
        if !constraint && !self.word("INDEX") {
            return None;
        }
        Some(self.dropped(constraint).unwrap_or(Change::Other))
    }

    fn dropped(&mut self, constraint: bool) -> Option<Change> {
        let name = self.name()?;
        let if_exists = self.word("IF");
        let whole = if if_exists { self.word("EXISTS") && self.ended() } else { self.ended() };
        whole.then_some(Change::Drop { constraint, name, if_exists })
    }

    fn constraint(&mut self) -> Option<Change> {
        let (name, if_not_exists) = self.named();
        self.must("FOR")?;
        let (variable, labels, relationships) = self.pattern()?;
        self.must("REQUIRE")?;
        let properties = self.properties(&variable)?;
        let what = self.requirement(relationships)?;
        let object =
            Object { constraint: true, name, kind: what.to_owned(), relationships, labels, properties };
        Some(Change::Create { object, if_not_exists })
    }

    fn requirement(&mut self, relationships: bool) -> Option<&'static str> {
        self.must("IS")?;
        if self.word("NOT") {
            self.must("NULL")?;
            return Some(by(relationships, "RELATIONSHIP_PROPERTY_EXISTENCE", "NODE_PROPERTY_EXISTENCE"));
        }
        if self.word("TYPED") || (self.word(":") && self.word(":")) {
            return Some(by(relationships, "RELATIONSHIP_PROPERTY_TYPE", "NODE_PROPERTY_TYPE"));
        }
        let _ = self.word("NODE") || self.word("RELATIONSHIP") || self.word("REL");
        if self.word("UNIQUE") {
            return Some(by(relationships, "RELATIONSHIP_UNIQUENESS", "UNIQUENESS"));
        }
        self.must("KEY")?;
        Some(by(relationships, "RELATIONSHIP_KEY", "NODE_KEY"))
    }

    fn index(&mut self, kind: &str) -> Option<Change> {
        let (name, if_not_exists) = self.named();
        self.must("FOR")?;
        if kind == "LOOKUP" {
            return self.lookup(name, if_not_exists);
        }
        let (variable, labels, relationships) = self.pattern()?;
        self.must("ON")?;
        let properties = if kind == "FULLTEXT" {
            self.must("EACH")?;
            self.list(&variable, "[", "]")?
        } else {
            self.list(&variable, "(", ")")?
        };
        let object =
            Object { constraint: false, name, kind: kind.to_owned(), relationships, labels, properties };
        Some(Change::Create { object, if_not_exists })
    }

    /// `FOR (n) ON EACH labels(n)`, `FOR ()-[r]-() ON [EACH] type(r)`
    fn lookup(&mut self, name: Option<String>, if_not_exists: bool) -> Option<Change> {
        let relationships = self.symbols("()").is_some();
        let object = Object {
            constraint: false,
            name,
            kind: "LOOKUP".to_owned(),
            relationships,
            labels: Vec::new(),
            properties: Vec::new(),
        };
        Some(Change::Create { object, if_not_exists })
    }

    fn named(&mut self) -> (Option<String>, bool) {
        let name = if self.is("FOR") || self.is("IF") { None } else { self.name() };
        let if_not_exists = self.word("IF") && self.word("NOT") && self.word("EXISTS");
        (name, if_not_exists)
    }

    /// `(n:A)`, `(n:A|B)`, `()-[r:T]-()`, with an arrow on either side: variable, labels, whether of relationships.
    fn pattern(&mut self) -> Option<(String, Vec<String>, bool)> {
        if self.symbols("()").is_some() {
            let _ = self.symbols("<");
            self.symbols("-[")?;
            let (variable, labels) = self.labelled()?;
            self.symbols("]-")?;
            let _ = self.symbols(">");
            self.symbols("()")?;
            return Some((variable, labels, true));
        }
        self.symbols("(")?;
        let (variable, labels) = self.labelled()?;
        self.symbols(")")?;
        Some((variable, labels, false))
    }

    fn labelled(&mut self) -> Option<(String, Vec<String>)> {
        let variable = self.name()?;
        self.symbols(":")?;
        let mut labels = vec![self.name()?];
        while self.symbols("|").is_some() {
            labels.push(self.name()?);
        }
        Some((variable, labels))
    }

    /// `n.a` or `(n.a, n.b)`
    fn properties(&mut self, variable: &str) -> Option<Vec<String>> {
        if self.is("(") { self.list(variable, "(", ")") } else { Some(vec![self.property(variable)?]) }
    }

    fn list(&mut self, variable: &str, open: &str, close: &str) -> Option<Vec<String>> {
        self.symbols(open)?;
        let mut properties = vec![self.property(variable)?];
        while self.symbols(",").is_some() {
            properties.push(self.property(variable)?);
        }
        self.symbols(close)?;
        Some(properties)
    }

    fn property(&mut self, variable: &str) -> Option<String> {
        (self.name()? == variable).then_some(())?;
        self.symbols(".")?;
        self.name()
    }

    /// A name, out of its backticks where it is in some.
    fn name(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at)?;
        let text = &self.text[token.range.clone()];
        let name = match token.kind {
            TokenKind::Word => text.to_owned(),
            TokenKind::Quoted => text[1..text.len() - 1].replace("``", "`"),
            _ => return None,
        };
        self.at += 1;
        Some(name)
    }

    fn is(&self, word: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|token| {
            matches!(token.kind, TokenKind::Word | TokenKind::Symbol)
                && self.text[token.range.clone()].eq_ignore_ascii_case(word)
        })
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.is(word);
        self.at += usize::from(found);
        found
    }

    fn must(&mut self, word: &str) -> Option<()> {
        self.word(word).then_some(())
    }

    /// All of these one-byte symbols, or none of them.
    fn symbols(&mut self, symbols: &str) -> Option<()> {
        let start = self.at;
        for symbol in symbols.chars() {
            if !self.word(symbol.encode_utf8(&mut [0; 4])) {
                self.at = start;
                return None;
            }
        }
        Some(())
    }

    fn ended(&self) -> bool {
        self.at == self.tokens.len()
    }
}

fn by(relationships: bool, of_relationships: &'static str, of_nodes: &'static str) -> &'static str {
    if relationships { of_relationships } else { of_nodes }
}

#[cfg(test)]
mod tests {
    use super::super::lexer::{Item, scan};
    use super::*;

    fn read(text: &str) -> Option<Change> {
        let Some(Ok(Item::Statement(statement))) = scan(text).next() else { panic!("{text}") };
        change(&statement, text, 0)
    }

    fn object(text: &str) -> (Option<String>, String, bool, String, String) {
        match read(text) {
            Some(Change::Create { object, .. }) => (
                object.name,
                object.kind,
                object.relationships,
                object.labels.join("|"),
                object.properties.join(","),
            ),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_is_made() {
        for (text, name, kind, relationships, labels, properties) in [
            (
                "CREATE CONSTRAINT c IF NOT EXISTS FOR (u:User) REQUIRE u.id IS UNIQUE",
                "c",
                "UNIQUENESS",
                false,
                "User",
                "id",
            ),
            (
                "create constraint `my c` for (n:`A B`) require (n.a, n.`b``c`) is node key",
                "my c",
                "NODE_KEY",
                false,
                "A B",
                "a,b`c",
            ),
            (
                "CREATE CONSTRAINT c FOR ()-[r:R]-() REQUIRE r.x IS NOT NULL",
                "c",
                "RELATIONSHIP_PROPERTY_EXISTENCE",
                true,
                "R",
                "x",
            ),
            (
                "CREATE CONSTRAINT c FOR ()<-[r:R]-() REQUIRE r.x IS REL UNIQUE",
                "c",
                "RELATIONSHIP_UNIQUENESS",
                true,
                "R",
                "x",
            ),
            (
                "CREATE CONSTRAINT c FOR (n:A) REQUIRE n.x IS :: STRING",
                "c",
                "NODE_PROPERTY_TYPE",
                false,
                "A",
                "x",
            ),
            ("CREATE INDEX i FOR (n:A) ON (n.a, n.b)", "i", "RANGE", false, "A", "a,b"),
            (
                "CREATE TEXT INDEX i IF NOT EXISTS FOR ()-[r:R]->() ON (r.a) OPTIONS {}",
                "i",
                "TEXT",
                true,
                "R",
                "a",
            ),
            ("CREATE FULLTEXT INDEX i FOR (n:A|B) ON EACH [n.a, n.b]", "i", "FULLTEXT", false, "A|B", "a,b"),
            (
                "CREATE VECTOR INDEX i FOR (n:A) ON (n.e) OPTIONS {indexConfig: {`vector.dimensions`: 3}}",
                "i",
                "VECTOR",
                false,
                "A",
                "e",
            ),
            ("CREATE LOOKUP INDEX i FOR (n) ON EACH labels(n)", "i", "LOOKUP", false, "", ""),
        ] {
            let expected = (
                Some(name.to_owned()),
                kind.to_owned(),
                relationships,
                labels.to_owned(),
                properties.to_owned(),
            );
            assert_eq!(object(text), expected, "{text}");
        }
        assert_eq!(object("CREATE CONSTRAINT FOR (n:A) REQUIRE n.x IS UNIQUE").0, None);
        assert_eq!(object("CREATE INDEX IF NOT EXISTS FOR (n:A) ON (n.x)").0, None);
    }

    #[test]
    fn what_is_dropped() {
        let drop = |constraint, name: &str, if_exists| {
            Some(Change::Drop { constraint, name: name.to_owned(), if_exists })
        };
        assert_eq!(read("DROP CONSTRAINT c IF EXISTS"), drop(true, "c", true));
        assert_eq!(read("drop index `i x`"), drop(false, "i x", false));
    }

    #[test]
    fn forms_that_are_not_known_are_schema_all_the_same() {
        for text in [
            "CREATE CONSTRAINT ON (n:A) ASSERT n.x IS UNIQUE",
            "CREATE INDEX ON :A(x)",
            "DROP CONSTRAINT ON (n:A) ASSERT n.x IS UNIQUE",
            "CREATE OR REPLACE INDEX i FOR (n:A) ON (n.x)",
        ] {
            assert_eq!(read(text), Some(Change::Other), "{text}");
        }
    }

    #[test]
    fn data_is_no_schema() {
        for text in
            ["CREATE (n:Constraint)", "CREATE (index)", "MATCH (n) RETURN n", "CREATE p = (a)-[:R]->(b)"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
