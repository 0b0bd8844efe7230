# The cell: the namespaces a cluster lives in. Its first process is the root of all others, so killing that one kills
# containers and shims too, and the kernel drops the cell's mounts. Only names on the host stay, and `down` removes them.

NODE=node

# start_cell: makes the network and the cgroups and starts the first process of the cell.
start_cell() {
  make_network
  make_cgroups
  # shellcheck disable=SC2094
  setsid nsenter --net="/run/netns/$NETNS" \
    unshare --mount --propagation private --pid --fork --kill-child=KILL --uts --ipc \
    "$TESTBED/cell/init" >"$RUN/logs/init.log" 2>&1 </dev/null &
  until_true 10 test -s "$RUN/init.pid" || fail "the cell did not start: $RUN/logs/init.log"
}

# in_cell COMMAND...: runs a command among the cell's processes, mounts and addresses.
in_cell() { nsenter --target "$(<"$RUN/init.pid")" --mount --net --pid --uts --ipc -- "$@"; }

# cell_is_alive: whether the recorded first process still is the one that was recorded. Process numbers come round
# again; the number with its start time does not.
cell_is_alive() {
  local pid
  [[ -s $RUN/init.pid && -s $RUN/init.started ]] || return 1
  pid=$(<"$RUN/init.pid")
  [[ -r /proc/$pid/stat && $(started "$pid") == "$(<"$RUN/init.started")" ]]
}

# started PID: the process's start in clock ticks since boot.
started() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

make_network() {
  local inside=(ip -n "$NETNS")
  ip netns add "$NETNS"
  "${inside[@]}" link set lo up
  ip link add "$LINK" type veth peer name eth0 netns "$NETNS"
  ip addr add "$HOST_IP/30" dev "$LINK"
  ip link set "$LINK" up
  "${inside[@]}" addr add "$NODE_IP/30" dev eth0
  "${inside[@]}" link set eth0 up
  # Without a default route the kernel refuses service addresses before iptables could translate them.
  "${inside[@]}" route add default via "$HOST_IP"
  ip route add "$POD_NET" via "$NODE_IP"
  ip route add "$SERVICE_NET" via "$NODE_IP"
  ip netns exec "$NETNS" sysctl -qw net.ipv4.ip_forward=1
}

# make_cgroups: the kubelet wants its root to exist in every hierarchy, with every controller the hierarchy has.
make_cgroups() {
  local root file controller
  for root in $(cgroup_roots); do
    mkdir -p "$root/$CGROUP"
    if [[ $root == /sys/fs/cgroup ]]; then
      # v2 alone: a group has the controllers its parent hands down. (Beside v1, it is mounted elsewhere and has none to use.)
      for controller in $(<"$root/cgroup.controllers"); do
        echo "+$controller" >"$root/cgroup.subtree_control"
      done
    fi
    for file in cpuset.cpus cpuset.mems; do
      # v1: a cpuset is unusable until it is filled.
      if [[ -e $root/$file && -w $root/$CGROUP/$file ]]; then
        cat "$root/$file" >"$root/$CGROUP/$file"
      fi
    done
  done
}

# cgroup_roots: the mount points of the cgroup hierarchies, one (v2) or many (v1).
cgroup_roots() { findmnt -rn -t cgroup,cgroup2 -o TARGET | sort -u; }
