//! A lane's database server, by its own tools.

use std::process::Command;

/// The lane's database server.
pub(crate) struct Database {
    pub(crate) address: String,
    pub(crate) password: String,
}

impl Database {
    /// What statements answer, each in a transaction of its own.
    pub(crate) fn sql(&self, database: &str, statements: &[&str]) -> String {
        let mut arguments =
            vec!["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"];
        arguments.extend(statements.iter().flat_map(|statement| ["--command", *statement]));
        self.tool("psql", database, &arguments)
    }

    /// The user's data and schema, without Whimbrel's own and without the line that pg_dump makes up each time.
    pub(crate) fn dump(&self) -> String {
        self.dump_of("shop")
    }

    /// The same of another database on the server.
    pub(crate) fn dump_of(&self, database: &str) -> String {
        let text = self.tool("pg_dump", database, &["--exclude-schema=whimbrel"]);
        text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
    }

    fn tool(&self, tool: &str, database: &str, arguments: &[&str]) -> String {
        let output = Command::new(tool)
            .args(["--host", &self.address, "--username", "admin"])
            .args(arguments)
            .arg(database)
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "10")
            .output()
            .unwrap_or_else(|error| panic!("{tool}: {error}"));
        assert!(output.status.success(), "{tool} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}
