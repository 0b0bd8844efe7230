# Neo4j as processes: a writable community server with optional TLS, and on request one whose databases are read-only.

if [[ $EUID -eq 0 ]]; then
  PLACE=/var/lib/whimbrel/neo4j-$ID
else
  PLACE=/tmp/whimbrel-$EUID/neo4j-$ID
fi
HEAP=128m
# What Neo4j's own launcher opens; without it the server dies at its first page.
OPENED=(--add-opens=java.base/java.nio=ALL-UNNAMED --add-opens=java.base/java.io=ALL-UNNAMED
  --add-opens=java.base/sun.nio.ch=ALL-UNNAMED --add-opens=java.base/java.util.concurrent=ALL-UNNAMED)
# The serial collector and the first compiler only: half the memory and a faster start.
SMALL=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1)
# What is measured runs as Java chooses, with more memory.
if [[ ${WHIMBREL_TESTBED_JVM:-small} == default ]]; then
  HEAP=1g
  SMALL=()
fi

# locked COMMAND ARG...: one change of these servers at a time.
locked() {
  mkdir -p "$(dirname "$PLACE")"
  # /tmp is everyone's: a folder that someone else made is not used.
  [[ -O $(dirname "$PLACE") ]] || fail "$(dirname "$PLACE") belongs to somebody else"
  take_lock "$PLACE.lock"
  "$@" 8>&-
}

neo4j_up() {
  LIBRARY=$(jars server)
  if runs writer; then
    say "Neo4j runs already"
    return
  fi
  stop_servers
  rm -rf "$PLACE"
  mkdir -p "$PLACE"
  make_secrets
  make_server writer
  start_server writer
  say "Neo4j $(version) is on port $(<"$PLACE/writer/bolt.port")"
}

# A server whose databases take no writes, which must be noticed before anything is tried.
neo4j_reader() {
  neo4j_up
  if runs reader; then
    say "the reader runs already"
    return
  fi
  stop_server reader KILL
  rm -rf "$PLACE/reader"
  make_server reader
  # Its database is made by a first start that may write.
  start_server reader
  stop_server reader TERM
  echo "server.databases.default_to_read_only=true" >>"$PLACE/reader/conf/base.conf"
  : >"$PLACE/reader/logs/neo4j.log"
  start_server reader
  say "the reader is on port $(<"$PLACE/reader/bolt.port")"
}

# A server that can export its graph.
neo4j_apoc() {
  neo4j_up
  LIBRARY=$(jars apoc)
  if runs apoc; then
    say "the one with APOC runs already"
    return
  fi
  stop_server apoc KILL
  rm -rf "$PLACE/apoc"
  make_server apoc
  # Procedures are looked for in this folder only.
  cp "$LIBRARY"/apoc-*.jar "$PLACE/apoc/plugins/"
  echo "dbms.security.procedures.unrestricted=apoc.*" >>"$PLACE/apoc/conf/base.conf"
  start_server apoc
  say "the one with APOC is on port $(<"$PLACE/apoc/bolt.port")"
}

make_secrets() (
  umask 077
  cd "$PLACE" || exit
  openssl rand -hex 16 >password
  certificate_authority ca "testbed Neo4j"
  # Another authority, for the test that a server signed by a stranger is refused.
  certificate_authority stranger "a stranger"
  signed ca server /CN=localhost "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
  # Netty reads PKCS #8 only.
  openssl pkcs8 -topk8 -nocrypt -in server.key -out server.pk8
)

# make_server NAME: a home with a password and settings.
make_server() {
  local home=$PLACE/$1
  mkdir -p "$home"/{conf,data,logs,plugins,import,run,certificates/bolt}
  cp "$PLACE/server.pk8" "$home/certificates/bolt/private.key"
  cp "$PLACE/server.crt" "$home/certificates/bolt/public.crt"
  settings >"$home/conf/base.conf"
  cp "$home/conf/base.conf" "$home/conf/neo4j.conf"
  admin "$home" dbms set-initial-password "$(<"$PLACE/password")" >"$home/logs/password.log" 2>&1 ||
    fail "no password was set: $(tail -n 3 "$home/logs/password.log")"
}

# Small transaction logs and no waiting at the end; TLS for whoever asks for it.
settings() {
  cat <<EOF
server.directories.import=import
server.default_listen_address=127.0.0.1
server.bolt.thread_pool_min_size=1
server.bolt.tls_level=OPTIONAL
dbms.ssl.policy.bolt.enabled=true
dbms.ssl.policy.bolt.base_directory=certificates/bolt
dbms.ssl.policy.bolt.client_auth=NONE
server.https.enabled=false
server.memory.pagecache.size=32m
dbms.usage_report.enabled=false
db.tx_log.rotation.retention_policy=1 files
db.tx_log.rotation.size=1m
internal.server.bolt.thread_pool_shutdown_wait_time=0s
internal.server.bolt.connection_shutdown_wait_time=0s
EOF
}

# admin HOME ARG...: neo4j-admin.
admin() {
  local home=$1
  shift
  NEO4J_HOME=$home NEO4J_CONF=$home/conf java -Xmx64m "${SMALL[@]}" "${OPENED[@]}" -cp "$LIBRARY/*" \
    org.neo4j.cli.AdminTool "$@"
}

# start_server NAME: on free ports; those it had before, if it had some, since clients know them.
start_server() {
  local home=$PLACE/$1 connector port
  cp "$home/conf/base.conf" "$home/conf/neo4j.conf"
  for connector in bolt http; do
    port=$(cat "$home/$connector.port" 2>/dev/null || free_port)
    echo "server.$connector.listen_address=127.0.0.1:$port" >>"$home/conf/neo4j.conf"
    echo "server.$connector.advertised_address=127.0.0.1:$port" >>"$home/conf/neo4j.conf"
    echo "$port" >"$home/$connector.port"
  done
  say "starting the $1"
  setsid java -Xms32m -Xmx$HEAP "${SMALL[@]}" -Xss512k "${OPENED[@]}" -cp "$LIBRARY/*" \
    org.neo4j.server.CommunityEntryPoint "--home-dir=$home" "--config-dir=$home/conf" \
    >"$home/logs/console.log" 2>&1 </dev/null &
  echo $! >"$home/run/pid"
  until_true 180 answers_or_ended "$1" || true
  runs "$1" || fail "Neo4j did not start: $(tail -n 3 "$home/logs/neo4j.log" "$home/logs/console.log" 2>/dev/null)"
}

# Not by its arguments: in its first moments the process is still the shell that becomes the server.
answers_or_ended() { runs "$1" || [[ ! -e /proc/$(<"$PLACE/$1/run/pid") ]]; }

# runs NAME: the process is there, says that it is started, and its port answers.
runs() {
  alive "$1" && grep -qs 'Started\.$' "$PLACE/$1/logs/neo4j.log" &&
    (exec 3<>"/dev/tcp/127.0.0.1/$(<"$PLACE/$1/bolt.port")") 2>/dev/null
}

# alive NAME: a number may be another process's by now.
alive() {
  local pid=$PLACE/$1/run/pid
  [[ -s $pid ]] && tr '\0' ' ' 2>/dev/null <"/proc/$(<"$pid")/cmdline" | grep -qF -- "--home-dir=$PLACE/$1 "
} 2>/dev/null

stop_servers() {
  local name
  for name in apoc reader writer; do
    stop_server "$name" KILL
  done
}

# stop_server NAME SIGNAL
stop_server() {
  alive "$1" || return 0
  local pid
  pid=$(<"$PLACE/$1/run/pid")
  kill "-$2" "$pid"
  until_true 30 test ! -e "/proc/$pid" || fail "process $pid does not end"
}

# The writer dies as it would in a power cut, and comes back on its own data and port.
neo4j_crash() {
  LIBRARY=$(jars server)
  stop_server writer KILL
  : >"$PLACE/writer/logs/neo4j.log"
  start_server writer
}

neo4j_down() {
  if [[ -d $PLACE ]]; then
    stop_servers
    rm -rf "$PLACE"
  fi
  rm -f "$PLACE.lock"
  rmdir --ignore-fail-on-non-empty "$(dirname "$PLACE")"
  say "nothing of Neo4j is left"
}

neo4j_env() {
  runs writer || fail "Neo4j does not run: testbed/neo4j up"
  cat <<EOF
export WHIMBREL_TEST_NEO4J_HOST=localhost
export WHIMBREL_TEST_NEO4J_PORT=$(<"$PLACE/writer/bolt.port")
export WHIMBREL_TEST_NEO4J_HTTP_PORT=$(<"$PLACE/writer/http.port")
export WHIMBREL_TEST_NEO4J_USER=neo4j
export WHIMBREL_TEST_NEO4J_PASSWORD=$(<"$PLACE/password")
export WHIMBREL_TEST_NEO4J_CA=$PLACE/ca.crt
export WHIMBREL_TEST_NEO4J_STRANGER_CA=$PLACE/stranger.crt
export WHIMBREL_TEST_NEO4J_HOME=$(neo4j_home)
EOF
  [[ ! -s $PLACE/reader/bolt.port ]] || echo "export WHIMBREL_TEST_NEO4J_READER_PORT=$(<"$PLACE/reader/bolt.port")"
  [[ ! -s $PLACE/apoc/bolt.port ]] || cat <<EOF
export WHIMBREL_TEST_NEO4J_APOC_PORT=$(<"$PLACE/apoc/bolt.port")
export WHIMBREL_TEST_NEO4J_APOC_HTTP_PORT=$(<"$PLACE/apoc/http.port")
EOF
}

neo4j_status() {
  runs writer || { echo "Neo4j $ID: down"; exit 1; }
  echo "Neo4j $ID: up on port $(<"$PLACE/writer/bolt.port"), $(du -sh "$PLACE" | cut -f1) in $PLACE"
  runs reader && echo "  reader on port $(<"$PLACE/reader/bolt.port")"
  runs apoc && echo "  with APOC on port $(<"$PLACE/apoc/bolt.port")"
  return 0
}

version() { basename "$(find "$LIBRARY" -name 'neo4j-bootcheck-*.jar')" .jar | sed 's/.*-//'; }

# The folder with the jars of neo4j-migrations, the tool whose history we read and write.
neo4j_migrations() { jars migrations; }
