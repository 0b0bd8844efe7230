# PostgreSQL as processes: a primary with TLS, a pooler in transaction mode, a standby on request.

# Short, because the sockets' paths may have at most 107 characters.
if [[ $EUID -eq 0 ]]; then
  PLACE=/var/lib/whimbrel/pg-$ID
else
  PLACE=/tmp/whimbrel-$EUID/pg-$ID
fi
SUPERUSER=testbed
# A user that proves itself by its certificate instead of a password.
CERTIFICATE_USER=testbed_certificate

# locked COMMAND: one change of these servers at a time.
locked() {
  mkdir -p "$(dirname "$PLACE")"
  # /tmp is everyone's: a folder that someone else made is not used.
  [[ -O $(dirname "$PLACE") ]] || fail "$(dirname "$PLACE") belongs to somebody else"
  take_lock "$PLACE.lock"
  "$1" 8>&-
}

# as_server COMMAND...: PostgreSQL refuses to run as root.
as_server() {
  if [[ $EUID -eq 0 ]]; then
    runuser -u postgres -- "$@"
  else
    "$@"
  fi
}

find_programs() {
  "$TESTBED/install-deps" postgres
  PG_BIN=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin | sort -V | tail -n 1)
  PGBOUNCER=$(command -v pgbouncer || echo /usr/sbin/pgbouncer)
}

postgres_up() {
  find_programs
  if primary_runs && pooler_runs; then
    say "PostgreSQL runs already"
    return
  fi
  stop_all
  rm -rf "$PLACE"
  mkdir -p "$PLACE"
  make_server_files
  [[ $EUID -ne 0 ]] || chown -R postgres: "$PLACE"
  say "making a database cluster in $PLACE"
  as_server "$PG_BIN/initdb" --pgdata="$PLACE/data" --username="$SUPERUSER" --pwfile="$PLACE/password" --no-sync \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 >"$PLACE/initdb.log"
  server_settings | as_server tee -a "$PLACE/data/postgresql.conf" >/dev/null
  access_rules | as_server tee "$PLACE/data/pg_hba.conf" >/dev/null
  start_on_free_port data
  start_pooler
  say "PostgreSQL $("$PG_BIN/postgres" --version | awk '{print $3}') is on port $(<"$PLACE/data.port"), its pooler on $(<"$PLACE/pooler.port")"
}

make_server_files() (
  umask 077
  cd "$PLACE" || exit
  mkdir sockets
  openssl rand -hex 16 >password
  certificate_authority ca "testbed PostgreSQL"
  # Another authority, for the test that a server signed by a stranger is refused.
  certificate_authority stranger "a stranger"
  signed ca server /CN=localhost "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
  signed ca client "/CN=$CERTIFICATE_USER" "extendedKeyUsage=clientAuth"
)

# fsync: the data dies with the tests. max_prepared_transactions and wal_level: tests meet prepared transactions and
# replication slots, which must stop a plan.
server_settings() {
  cat <<EOF
listen_addresses = 'localhost'
unix_socket_directories = '$PLACE/sockets'
max_connections = 200
ssl = on
ssl_ca_file = '$PLACE/ca.crt'
ssl_cert_file = '$PLACE/server.crt'
ssl_key_file = '$PLACE/server.key'
password_encryption = 'scram-sha-256'
fsync = off
full_page_writes = off
wal_level = logical
max_prepared_transactions = 10
log_line_prefix = '%m [%p] %q%u@%d %a '
log_connections = on
log_lock_waits = on
EOF
}

access_rules() {
  cat <<EOF
local   all         all                                  scram-sha-256
hostssl all         $CERTIFICATE_USER  localhost         cert
host    all         all                localhost         scram-sha-256
host    replication all                localhost         scram-sha-256
EOF
}

# start_on_free_port FOLDER: starts the server in $PLACE/FOLDER and records the port in FOLDER.port. Somebody may take a
# port between looking and starting, so a failed start is tried again on another one.
start_on_free_port() {
  local try port
  for try in {1..20}; do
    port=$(free_port)
    echo "port = $port" | as_server tee "$PLACE/$1/port.conf" >/dev/null
    grep -q "^include 'port.conf'" "$PLACE/$1/postgresql.conf" ||
      echo "include 'port.conf'" | as_server tee -a "$PLACE/$1/postgresql.conf" >/dev/null
    if as_server "$PG_BIN/pg_ctl" start --pgdata="$PLACE/$1" --log="$PLACE/$1.log" --silent --wait --timeout=60 \
      >/dev/null 2>&1; then
      echo "$port" >"$PLACE/$1.port"
      return
    fi
    grep -q 'could not create any TCP/IP sockets\|Address already in use' "$PLACE/$1.log" || break
  done
  fail "PostgreSQL did not start: $(tail -n 3 "$PLACE/$1.log")"
}

# start_pooler: PgBouncer in transaction mode and without TLS, so it is also the server that refuses TLS.
start_pooler() {
  local port
  port=$(free_port)
  pooler_settings "$port" | as_server tee "$PLACE/pooler.ini" >/dev/null
  printf '"%s" "%s"\n' "$SUPERUSER" "$(<"$PLACE/password")" | as_server tee "$PLACE/pooler.users" >/dev/null
  as_server "$PGBOUNCER" --daemon --quiet "$PLACE/pooler.ini"
  echo "$port" >"$PLACE/pooler.port"
  until_true 10 pooler_runs || fail "the pooler did not start: $PLACE/pooler.log"
}

pooler_settings() {
  cat <<EOF
[databases]
* = host=127.0.0.1 port=$(<"$PLACE/data.port")
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $1
unix_socket_dir =
auth_type = scram-sha-256
auth_file = $PLACE/pooler.users
pool_mode = transaction
ignore_startup_parameters = extra_float_digits,options
logfile = $PLACE/pooler.log
pidfile = $PLACE/pooler.pid
EOF
}

replica_up() {
  postgres_up
  if server_runs replica; then
    say "the replica runs already"
    return
  fi
  [[ $EUID -ne 0 ]] || chown -R postgres: "$PLACE"
  rm -rf "$PLACE/replica"
  # -R writes the connection, password included, into the standby's own settings.
  PGPASSWORD=$(<"$PLACE/password") as_server "$PG_BIN/pg_basebackup" --pgdata="$PLACE/replica" --write-recovery-conf \
    --checkpoint=fast --no-sync --host=127.0.0.1 --port="$(<"$PLACE/data.port")" --username="$SUPERUSER"
  start_on_free_port replica
  say "the replica is on port $(<"$PLACE/replica.port")"
}

server_runs() { [[ -d $PLACE/$1 ]] && as_server "$PG_BIN/pg_ctl" status --pgdata="$PLACE/$1" >/dev/null 2>&1; }

primary_runs() { [[ -s $PLACE/data.port ]] && server_runs data; }

pooler_runs() {
  [[ -s $PLACE/pooler.pid && -s $PLACE/pooler.port ]] && process_is pgbouncer "$(<"$PLACE/pooler.pid")" &&
    (exec 3<>"/dev/tcp/127.0.0.1/$(<"$PLACE/pooler.port")") 2>/dev/null
}

stop_all() {
  local folder pid
  for folder in replica data; do
    if server_runs "$folder"; then
      as_server "$PG_BIN/pg_ctl" stop --pgdata="$PLACE/$folder" --mode=immediate --silent
    fi
  done
  if [[ -s $PLACE/pooler.pid ]]; then
    pid=$(<"$PLACE/pooler.pid")
    if process_is pgbouncer "$pid"; then
      kill -KILL "$pid"
      until_true 10 test ! -e "/proc/$pid"
    fi
  fi
}

postgres_down() {
  if [[ -d $PLACE ]]; then
    find_programs
    stop_all
    rm -rf "$PLACE"
  fi
  rm -f "$PLACE.lock"
  rmdir --ignore-fail-on-non-empty "$(dirname "$PLACE")"
  say "nothing of PostgreSQL is left"
}

postgres_env() {
  [[ -s $PLACE/data.port ]] || fail "PostgreSQL does not run: testbed/postgres up"
  local password port
  password=$(<"$PLACE/password")
  port=$(<"$PLACE/data.port")
  cat <<EOF
export WHIMBREL_TEST_POSTGRES='postgres://$SUPERUSER:$password@localhost:$port/postgres'
export WHIMBREL_TEST_POSTGRES_HOST=localhost
export WHIMBREL_TEST_POSTGRES_PORT=$port
export WHIMBREL_TEST_POSTGRES_USER=$SUPERUSER
export WHIMBREL_TEST_POSTGRES_PASSWORD=$password
export WHIMBREL_TEST_POSTGRES_SOCKETS=$PLACE/sockets
export WHIMBREL_TEST_POSTGRES_LOG=$PLACE/data.log
export WHIMBREL_TEST_POSTGRES_CA=$PLACE/ca.crt
export WHIMBREL_TEST_POSTGRES_STRANGER_CA=$PLACE/stranger.crt
export WHIMBREL_TEST_POSTGRES_CERTIFICATE_USER=$CERTIFICATE_USER
export WHIMBREL_TEST_POSTGRES_CERTIFICATE=$PLACE/client.crt
export WHIMBREL_TEST_POSTGRES_CERTIFICATE_KEY=$PLACE/client.key
export WHIMBREL_TEST_POSTGRES_POOLER_PORT=$(<"$PLACE/pooler.port")
EOF
  [[ ! -s $PLACE/replica.port ]] || echo "export WHIMBREL_TEST_POSTGRES_REPLICA_PORT=$(<"$PLACE/replica.port")"
}

postgres_status() {
  find_programs
  primary_runs || { echo "PostgreSQL $ID: down"; exit 1; }
  echo "PostgreSQL $ID: up on port $(<"$PLACE/data.port"), $(du -sh "$PLACE" | cut -f1) in $PLACE"
  pooler_runs && echo "  pooler on port $(<"$PLACE/pooler.port")"
  server_runs replica && echo "  replica on port $(<"$PLACE/replica.port")"
  return 0
}
