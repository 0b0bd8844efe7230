//! A Neo4j of the testbed for each lane with a graph: for the first the one that all tests have, for every other its own.

use crate::http::Http;
use crate::lane::CHECKOUT;
use std::collections::BTreeMap;
use std::process::Command;

/// How one of them is reached.
pub(crate) struct Server {
    /// The variables of the testbed.
    variables: BTreeMap<String, String>,
    /// What the testbed calls it, where it is ours to take down.
    own: Option<String>,
}

impl Server {
    /// The one of lane `number`.
    pub(crate) fn of_lane(number: usize) -> Self {
        if number == 1 {
            return Self { variables: std::env::vars().collect(), own: None };
        }
        let all = std::env::var("WHIMBREL_TESTBED_ID").expect("WHIMBREL_TESTBED_ID names the testbed");
        // As `make down` makes them out.
        let id = format!("{}{number}", &all[..7]);
        testbed(&id, "up");
        let said = testbed(&id, "env");
        let variables = said.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { variables, own: Some(id) }
    }

    /// A variable by what stands behind `WHIMBREL_TEST_NEO4J_`.
    pub(crate) fn get(&self, name: &str) -> &str {
        let value = self.variables.get(&format!("WHIMBREL_TEST_NEO4J_{name}"));
        value.unwrap_or_else(|| panic!("{name} is not known: eval \"$(testbed/neo4j env)\""))
    }

    /// Its HTTP interface.
    pub(crate) fn http(&self) -> Http {
        let port = self.get("HTTP_PORT").parse().expect("a port");
        let (user, password) = (self.get("USER").to_owned(), self.get("PASSWORD").to_owned());
        Http { host: "127.0.0.1".to_owned(), port, user, password }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(id) = &self.own {
            testbed(id, "down");
        }
    }
}

fn testbed(id: &str, command: &str) -> String {
    let testbed = Command::new(format!("{CHECKOUT}/testbed/neo4j"))
        .arg(command)
        .env("WHIMBREL_TESTBED_ID", id)
        .output();
    let output = testbed.expect("the testbed starts");
    assert!(output.status.success(), "testbed/neo4j {command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("variables are text")
}
