# Where things are: everything that belongs to this checkout's cluster carries its id, so that two do not meet.

# TESTBED and CHECKOUT are set by the command that reads this file.
ID=${WHIMBREL_TESTBED_ID:-$(printf %s "$CHECKOUT" | sha256sum | cut -c1-8)}
[[ $ID =~ ^[a-z0-9]{1,8}$ ]] || fail "WHIMBREL_TESTBED_ID is '$ID': it must be 1 to 8 small letters and digits."

# Built things, shared by all checkouts, keyed by the content they are built from.
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/whimbrel

# Small and short-lived: sockets, process ids, configuration, logs. Not XDG_RUNTIME_DIR: sudo changes it between two
# calls, and `down` would look elsewhere than `up`.
RUN=/run/whimbrel/$ID
# Large: unpacked images, container file systems, volumes. On many machines /run is a small tmpfs.
DATA=/var/lib/whimbrel/$ID

# Names the kernel knows the cluster by. An interface name has at most 15 characters.
NETNS=whimbrel-$ID
CGROUP=whimbrel-$ID
LINK=whb-$ID

KUBECONFIG_FILE=$RUN/kubeconfig
