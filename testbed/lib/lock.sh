# One change at a time.

# take_lock FILE: waits for the lock and holds it, as file descriptor 8, until the command ends. Its holder may delete the
# file; whoever waited for the deleted one notices that the name means another file now, and begins again.
take_lock() {
  while :; do
    exec 8>"$1"
    flock 8
    [[ ! /proc/self/fd/8 -ef $1 ]] || return 0
  done
}
