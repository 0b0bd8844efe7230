# Ports and processes of this host.

# free_port: a port of this host on which nothing listens, below those the kernel hands out by itself.
free_port() {
  local port
  while :; do
    port=$((20000 + SRANDOM % 10000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
}

# process_is NAME PID: a number may be another process's by now.
process_is() { [[ -r /proc/$2/comm && $(<"/proc/$2/comm") == "$1" ]]; }
