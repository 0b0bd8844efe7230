# The programs of search servers. Maven Central has each server without its modules, and the modules as libraries: what belongs
# together is put together here, with the descriptors that the real distributions have.

OPENSEARCH_VERSION=2.19.6
ELASTICSEARCH_VERSION=7.17.29
EVOLUTION_VERSION=0.6.1

# search_home: the folder with the programs of $PRODUCT, fetched once for all checkouts.
search_home() {
  "$TESTBED/install-deps" search
  local version=${PRODUCT^^}_VERSION
  cached "$PRODUCT" "$(digest_of "$TESTBED/lib/search_programs.sh" "$TESTBED/servers/module.pom" -- "${!version}")" "build_$PRODUCT"
}

build_opensearch() {
  say "fetching OpenSearch $OPENSEARCH_VERSION"
  server org.opensearch.distribution.integ-test-zip opensearch "$OPENSEARCH_VERSION" "$1"
  local group=org.opensearch.plugin
  opensearch_module "$1" reindex $group:reindex-client org.opensearch.index.reindex.ReindexPlugin
  opensearch_module "$1" lang-painless $group:lang-painless org.opensearch.painless.PainlessPlugin
  opensearch_module "$1" mapper-extras $group:mapper-extras-client org.opensearch.index.mapper.MapperExtrasPlugin
  opensearch_module "$1" analysis-common $group:analysis-common org.opensearch.analysis.common.CommonAnalysisPlugin lang-painless
  opensearch_module "$1" ingest-common $group:ingest-common org.opensearch.ingest.common.IngestCommonPlugin lang-painless
  # What these two may do under the server's security manager, as their distribution says it.
  local reindex='permission java.net.SocketPermission "*", "connect"; permission java.net.NetPermission "getProxySelector";'
  local painless='permission java.lang.RuntimePermission "createClassLoader";
    permission java.lang.RuntimePermission "getClassLoader";
    permission java.lang.RuntimePermission "accessDeclaredMembers";'
  echo "grant { $reindex };" >"$1/modules/reindex/plugin-security.policy"
  echo "grant { $painless };" >"$1/modules/lang-painless/plugin-security.policy"
}

# Without painless: Maven Central has it for no Elasticsearch of this line.
build_elasticsearch() {
  say "fetching Elasticsearch $ELASTICSEARCH_VERSION"
  server org.elasticsearch.distribution.integ-test-zip elasticsearch "$ELASTICSEARCH_VERSION" "$1"
  local group=org.elasticsearch.plugin
  elasticsearch_module "$1" reindex $group:reindex-client org.elasticsearch.reindex.ReindexPlugin
  elasticsearch_module "$1" mapper-extras $group:mapper-extras-client org.elasticsearch.index.mapper.MapperExtrasPlugin
  local reindex='permission java.net.SocketPermission "*", "connect"; permission java.net.NetPermission "getProxySelector";'
  echo "grant { $reindex };" >"$1/modules/reindex/plugin-security.policy"
}

# artifact FOLDER GROUP ARTIFACT VERSION TYPE: the artifact and all that it needs at run time.
artifact() {
  mkdir -p "$1"
  sed -e "s/GROUP/$2/; s/ARTIFACT/$3/; s/VERSION/$4/; s/TYPE/$5/; s/MODULE/$3-$5/" "$TESTBED/servers/module.pom" >"$1/pom.xml"
  mvn --quiet --batch-mode --no-transfer-progress --file "$1/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DoutputDirectory="$1/lib" -DincludeScope=runtime 2>&1 | sed $'s/\e\\[[0-9;]*m//g; /^$/d' >&2
}

# server GROUP NAME VERSION FOLDER: the server of a zip, put into the folder.
server() {
  artifact "$4/fetch" "$1" "$2" "$3" zip
  unzip -q "$4/fetch/lib/$2-$3.zip" -d "$4/fetch"
  mv "$4/fetch/$2-$3/"* "$4"
  rm -rf "$4/fetch"
}

# module FOLDER NAME GROUP:ARTIFACT VERSION: modules/NAME without what the server's own lib/ has; two of one class would be refused.
module() {
  local fetch=$1/fetch-$2 jar name
  artifact "$fetch" "${3%:*}" "${3#*:}" "$4" jar
  mkdir -p "$1/modules/$2"
  for jar in "$fetch/lib/"*.jar; do
    name=$(basename "$jar" | sed -E 's/-[0-9][0-9A-Za-z.]*(-[a-z]+)?\.jar$//')
    compgen -G "$1/lib/$name-[0-9]*.jar" >/dev/null || mv "$jar" "$1/modules/$2"
  done
  rm -rf "$fetch"
}

# opensearch_module FOLDER NAME GROUP:ARTIFACT CLASS [EXTENDED]
opensearch_module() {
  module "$1" "$2" "$3" "$OPENSEARCH_VERSION"
  cat >"$1/modules/$2/plugin-descriptor.properties" <<EOT
description=$2
version=$OPENSEARCH_VERSION
name=$2
classname=$4
java.version=11
opensearch.version=$OPENSEARCH_VERSION
custom.foldername=
extended.plugins=${5:-}
has.native.controller=false
EOT
}

# elasticsearch_module FOLDER NAME GROUP:ARTIFACT CLASS
elasticsearch_module() {
  module "$1" "$2" "$3" "$ELASTICSEARCH_VERSION"
  cat >"$1/modules/$2/plugin-descriptor.properties" <<EOT
description=$2
version=$ELASTICSEARCH_VERSION
name=$2
classname=$4
java.version=1.8
elasticsearch.version=$ELASTICSEARCH_VERSION
type=isolated
extended.plugins=
has.native.controller=false
EOT
}

# evolution_home: the folder with elasticsearch-evolution compiled into a program, fetched once for all checkouts.
evolution_home() {
  "$TESTBED/install-deps" search
  cached evolution "$(digest_of "$TESTBED/tools/evolution" -- "$EVOLUTION_VERSION")" build_evolution
}

build_evolution() {
  say "fetching elasticsearch-evolution"
  cp "$TESTBED/tools/evolution/"* "$1"
  mvn --quiet --batch-mode --no-transfer-progress --file "$1/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
    -DoutputDirectory="$1/lib" -DincludeScope=runtime >&2
  # Version 2.8 of the plugin does not look at a parent that nothing needs. A repository of its own: there the file is found.
  mvn --quiet --batch-mode --no-transfer-progress org.apache.maven.plugins:maven-dependency-plugin:2.8:get -Dtransitive=false \
    -Dartifact="com.senacor.elasticsearch.evolution:elasticsearch-evolution-core:$EVOLUTION_VERSION" -Dmaven.repo.local="$1/repository" >&2
  find "$1/repository/com/senacor" -name '*.jar' -exec mv {} "$1/lib" \;
  rm -rf "$1/repository"
  javac -cp "$1/lib/*" -d "$1" "$1/Evolve.java"
}
