# Search servers as processes.

if [[ $EUID -eq 0 ]]; then
  PLACE=/var/lib/whimbrel/search-$ID
else
  PLACE=/tmp/whimbrel-$EUID/search-$ID
fi
# Small: the tests index hundreds of documents.
SEARCH_HEAP=${WHIMBREL_TESTBED_SEARCH_HEAP:-160m}

# locked COMMAND: one change of these servers at a time.
locked() {
  mkdir -p "$(dirname "$PLACE")"
  # /tmp is everyone's: a folder that someone else made is not used.
  [[ -O $(dirname "$PLACE") ]] || fail "$(dirname "$PLACE") belongs to somebody else"
  take_lock "$PLACE.lock"
  "$1" 8>&-
}

# Both servers refuse to run as root. In front of a command, without a shell between: the process that was started is the server.
if [[ $EUID -eq 0 ]]; then
  AS_NOBODY=(setpriv --reuid=nobody --regid=nogroup --clear-groups --)
else
  AS_NOBODY=(env)
fi

search_up() {
  if search_runs; then
    say "$PRODUCT runs already"
    return
  fi
  local home place=$PLACE-$PRODUCT try
  home=$(search_home)
  stop_search
  rm -rf "$place"
  mkdir -p "$place"/{config,data,logs,tmp,snapshots,keys}
  chmod 700 "$place"
  # The cache of root can't be read by nobody.
  cp -r "$home" "$place/home"
  cp -r "$home/config/." "$place/config"
  if [[ $PRODUCT == elasticsearch ]]; then
    make_search_keys "$place"
  fi
  [[ $EUID -ne 0 ]] || chown -R nobody:nogroup "$place"
  [[ $PRODUCT != elasticsearch ]] || make_keystore "$place"
  # Somebody may take a port between looking and starting, so a failed start is tried again on another one.
  for try in {1..5}; do
    start_search "$place"
    until_true 180 search_answers_or_ended || true
    ! search_runs || break
    stop_search
    grep -q 'BindHttpException\|BindTransportException\|Address already in use' "$place/console.log" || break
  done
  search_runs || fail "$PRODUCT did not start: $(tail -n 3 "$place/console.log")"
  say "$PRODUCT is on port $(<"$place/port")"
}

make_search_keys() (
  umask 077
  cd "$1/keys" || exit
  openssl rand -hex 16 >password
  certificate_authority ca "testbed search"
  # Another authority, for the test that a server signed by a stranger is refused.
  certificate_authority stranger "a stranger"
  signed ca server /CN=localhost "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
  cp server.crt server.key ca.crt "$1/config"
)

# make_keystore PLACE: the password of the user `elastic`; read from standard input, so that no list of processes shows it.
make_keystore() {
  local tool=("${AS_NOBODY[@]}" env "ES_PATH_CONF=$1/config" "ES_JAVA_OPTS=-Djava.io.tmpdir=$1/tmp" "ES_JAVA_HOME=$(java_home)"
    bash "$1/home/bin/elasticsearch-keystore")
  "${tool[@]}" create >/dev/null
  "${tool[@]}" add --stdin bootstrap.password <"$1/keys/password" >/dev/null
}

java_home() { dirname "$(dirname "$(readlink -f "$(command -v java)")")"; }

start_search() {
  local port
  port=$(free_port)
  echo "$port" >"$1/port"
  { search_settings "$1" "$port" && "${PRODUCT}_settings"; } >"$1/config/$PRODUCT.yml"
  # In a session of its own: Ctrl-C of who started it does not end it.
  (
    cd "$1/home" || exit
    "${AS_NOBODY[@]}" env "OPENSEARCH_PATH_CONF=$1/config" "ES_PATH_CONF=$1/config" "LIBFFI_TMPDIR=$1/tmp" \
    setsid java "-Xms$SEARCH_HEAP" "-Xmx$SEARCH_HEAP" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss1m \
    "-Djava.io.tmpdir=$1/tmp" -Djava.security.manager=allow -Djava.awt.headless=true -Dfile.encoding=UTF-8 \
    --add-opens=java.base/java.io=ALL-UNNAMED --add-opens=java.base/java.nio=ALL-UNNAMED \
    -Dio.netty.noUnsafe=true -Dio.netty.noKeySetOptimization=true -Dio.netty.recycler.maxCapacityPerThread=0 \
    -Dio.netty.allocator.numDirectArenas=0 -Dlog4j.shutdownHookEnabled=false -Dlog4j2.disable.jmx=true \
    -Dlog4j2.formatMsgNoLookups=true -Djna.nosys=true "$("${PRODUCT}_locale")" \
    "-D$(search_prefix).path.home=$1/home" "-D$(search_prefix).path.conf=$1/config" \
    "-D$(search_prefix).distribution.type=zip" "-D$(search_prefix).distribution.flavor=default" "-D$(search_prefix).bundled_jdk=false" \
    -cp "$1/home/lib/*" "$(search_main)" >"$1/console.log" 2>&1 8>&- 9>&- &
    echo $! >"$1/pid"
  )
}

search_prefix() { if [[ $PRODUCT == opensearch ]]; then echo opensearch; else echo es; fi; }

search_main() {
  if [[ $PRODUCT == opensearch ]]; then echo org.opensearch.bootstrap.OpenSearch; else echo org.elasticsearch.bootstrap.Elasticsearch; fi
}

opensearch_locale() { echo -Djava.locale.providers=SPI,CLDR; }
elasticsearch_locale() { echo -Djava.locale.providers=SPI,COMPAT; }

# search_settings PLACE PORT: the disk of a laptop is often fuller than the server likes; what is too large must be small enough for a test.
search_settings() {
  cat <<EOT
cluster.name: testbed
node.name: one
network.host: 127.0.0.1
http.port: $2
transport.port: 0
discovery.type: single-node
path.data: $1/data
path.logs: $1/logs
path.repo: ["$1/snapshots"]
cluster.routing.allocation.disk.threshold_enabled: false
node.store.allow_mmap: false
http.max_content_length: 2mb
EOT
}

opensearch_settings() { :; }

elasticsearch_settings() {
  cat <<EOT
xpack.security.enabled: true
xpack.security.http.ssl.enabled: true
xpack.security.http.ssl.key: server.key
xpack.security.http.ssl.certificate: server.crt
xpack.security.http.ssl.certificate_authorities: ca.crt
EOT
}

# search_url: without a password.
search_url() {
  local scheme=http
  [[ $PRODUCT != elasticsearch ]] || scheme=https
  echo "$scheme://localhost:$(<"$PLACE-$PRODUCT/port")"
}

# ask PATH: one GET. The password stands in a file and not among the arguments, which everyone may read.
ask() {
  local options=(--silent --fail --max-time 5)
  if [[ $PRODUCT == elasticsearch ]]; then
    printf 'user = "elastic:%s"\n' "$(<"$PLACE-elasticsearch/keys/password")" |
      curl "${options[@]}" --cacert "$PLACE-elasticsearch/keys/ca.crt" --config - "$(search_url)$1"
  else
    curl "${options[@]}" "$(search_url)$1"
  fi
}

search_process() { [[ -s $PLACE-$PRODUCT/pid ]] && process_is java "$(<"$PLACE-$PRODUCT/pid")"; }

search_answers() { ask '/_cluster/health?wait_for_status=yellow&timeout=1s' >/dev/null 2>&1; }

search_runs() { search_process && search_answers; }

# Not by its name: in its first moments the process is still the shell that becomes the server.
search_answers_or_ended() { search_answers || [[ ! -e /proc/$(<"$PLACE-$PRODUCT/pid") ]]; }

stop_search() {
  local pid
  search_process || return 0
  pid=$(<"$PLACE-$PRODUCT/pid")
  kill -KILL "$pid"
  until_true 10 test ! -e "/proc/$pid"
}

search_down() {
  stop_search
  rm -rf "$PLACE-$PRODUCT"
  say "nothing of $PRODUCT is left"
}

search_down_all() {
  for PRODUCT in opensearch elasticsearch; do
    search_down
  done
  rm -f "$PLACE.lock"
  rmdir --ignore-fail-on-non-empty "$(dirname "$PLACE")"
}

search_env() {
  local found=
  for PRODUCT in opensearch elasticsearch; do
    [[ -s $PLACE-$PRODUCT/port ]] || continue
    found=1
    echo "export WHIMBREL_TEST_${PRODUCT^^}='$(search_url)'"
    echo "export WHIMBREL_TEST_${PRODUCT^^}_SNAPSHOTS='$PLACE-$PRODUCT/snapshots'"
    if [[ $PRODUCT == elasticsearch ]]; then
      cat <<EOT
export WHIMBREL_TEST_ELASTICSEARCH_USER=elastic
export WHIMBREL_TEST_ELASTICSEARCH_PASSWORD=$(<"$PLACE-$PRODUCT/keys/password")
export WHIMBREL_TEST_ELASTICSEARCH_CA=$PLACE-$PRODUCT/keys/ca.crt
export WHIMBREL_TEST_ELASTICSEARCH_STRANGER_CA=$PLACE-$PRODUCT/keys/stranger.crt
EOT
    fi
  done
  [[ $found ]] || fail "no search server runs: testbed/search up"
}

search_status() {
  search_runs || { echo "$PRODUCT $ID: down"; exit 1; }
  echo "$PRODUCT $ID: up on port $(<"$PLACE-$PRODUCT/port"), $(du -sh "$PLACE-$PRODUCT" | cut -f1) in $PLACE-$PRODUCT"
}
