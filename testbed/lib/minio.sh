# MinIO as a process: TLS by an authority of its own, one root user, no bucket; the tests make theirs.

if [[ $EUID -eq 0 ]]; then
  PLACE=/var/lib/whimbrel/minio-$ID
else
  PLACE=/tmp/whimbrel-$EUID/minio-$ID
fi
MINIO_USER=testbed

# locked COMMAND: one change of this server at a time.
locked() {
  mkdir -p "$(dirname "$PLACE")"
  # /tmp is everyone's: a folder that someone else made is not used.
  [[ -O $(dirname "$PLACE") ]] || fail "$(dirname "$PLACE") belongs to somebody else"
  take_lock "$PLACE.lock"
  "$1" 8>&-
}

minio_up() {
  local program
  program=$(minio_program)
  if minio_runs; then
    say "MinIO runs already"
    return
  fi
  stop_minio
  rm -rf "$PLACE"
  mkdir -p "$PLACE/data" "$PLACE/certs/CAs"
  make_minio_files
  echo "$program" >"$PLACE/program"
  start_minio "$program"
  say "MinIO is on port $(<"$PLACE/port")"
}

make_minio_files() (
  umask 077
  cd "$PLACE" || exit
  openssl rand -hex 16 >password
  certificate_authority ca "testbed MinIO"
  # Another authority, for the test that a server signed by a stranger is refused.
  certificate_authority stranger "a stranger"
  signed ca server /CN=localhost "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
  cp server.crt certs/public.crt
  cp server.key certs/private.key
)

# Somebody may take a port between looking and starting, so a failed start is tried again on another one.
start_minio() {
  local try port
  for try in {1..20}; do
    port=$(free_port)
    MINIO_ROOT_USER=$MINIO_USER MINIO_ROOT_PASSWORD=$(<"$PLACE/password") MINIO_BROWSER=off MINIO_UPDATE=off \
      setsid "$1" server --certs-dir "$PLACE/certs" --address "127.0.0.1:$port" "$PLACE/data" \
      >"$PLACE/log" 2>&1 </dev/null &
    echo $! >"$PLACE/pid"
    echo "$port" >"$PLACE/port"
    until_true 30 minio_answers_or_ended || true
    if minio_runs; then
      return
    fi
    grep -qi 'address already in use\|port is already' "$PLACE/log" || break
  done
  fail "MinIO did not start: $(tail -n 3 "$PLACE/log")"
}

# Until it is what it will be, the process has another name.
minio_answers_or_ended() { minio_runs || [[ ! -e /proc/$(<"$PLACE/pid") ]]; }

minio_runs() {
  minio_lives && curl --silent --fail --max-time 5 --cacert "$PLACE/ca.crt" \
    "https://127.0.0.1:$(<"$PLACE/port")/minio/health/ready" >/dev/null
}

# A number may be another process's by now.
minio_lives() {
  [[ -s $PLACE/pid && -s $PLACE/port ]] && local pid && pid=$(<"$PLACE/pid") && [[ -r /proc/$pid/comm && $(<"/proc/$pid/comm") == minio ]]
}

stop_minio() {
  local pid
  if minio_lives; then
    pid=$(<"$PLACE/pid")
    kill -KILL "$pid"
    until_true 10 test ! -e "/proc/$pid"
  fi
}

minio_down() {
  if [[ -d $PLACE ]]; then
    stop_minio
    rm -rf "$PLACE"
  fi
  rm -f "$PLACE.lock"
  rmdir --ignore-fail-on-non-empty "$(dirname "$PLACE")"
  say "nothing of MinIO is left"
}

minio_env() {
  [[ -s $PLACE/port ]] || fail "MinIO does not run: testbed/minio up"
  cat <<EOF
export WHIMBREL_TEST_S3=https://127.0.0.1:$(<"$PLACE/port")
export WHIMBREL_TEST_S3_ACCESS_KEY=$MINIO_USER
export WHIMBREL_TEST_S3_SECRET_KEY=$(<"$PLACE/password")
export WHIMBREL_TEST_S3_CA=$PLACE/ca.crt
export WHIMBREL_TEST_S3_DATA=$PLACE/data
export WHIMBREL_TEST_S3_PROGRAM=$(<"$PLACE/program")
export WHIMBREL_TEST_S3_STRANGER_CA=$PLACE/stranger.crt
EOF
}
