# The programs of Neo4j: jars from Maven Central, and the launchers that Neo4j's distribution has.

# jars NAME: the folder of what neo4j.d/NAME.xml names, resolved once by Maven and kept.
jars() {
  local pom=$TESTBED/neo4j.d/$1.xml key
  "$TESTBED/install-deps" neo4j
  key=$(digest_of "$pom")
  cached "neo4j-$1" "$key" resolve "$pom"
}

resolve() {
  say "fetching what $(basename "$1") names"
  mvn -q -B -ntp -f "$1" dependency:copy-dependencies -DincludeScope=runtime "-DoutputDirectory=$2"
}

# neo4j_home: a folder as the distribution has it, bin and lib, with the launchers that the image has as well.
neo4j_home() {
  local lib
  lib=$(jars server)
  cached neo4j-home "$(digest_of "$TESTBED/images/neo4j" -- "$lib")" build_neo4j_home "$lib"
}

build_neo4j_home() {
  mkdir -p "$2/bin" "$2/plugins"
  ln -s "$1" "$2/lib"
  cp "$TESTBED/images/neo4j/neo4j" "$TESTBED/images/neo4j/neo4j-admin" "$2/bin"
}
