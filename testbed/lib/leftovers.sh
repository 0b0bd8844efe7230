# Taking a cluster down from whatever state it is in: each step removes what is there and does not mind what is not.

# remove_cluster: ends the processes and removes every trace.
remove_cluster() {
  kill_cell
  remove_network
  remove_cgroups
  rm -rf "$RUN" "$DATA"
  rmdir --ignore-fail-on-non-empty /var/lib/whimbrel 2>/dev/null || true
}

# kill_cell: ends every process in the cluster's network. The cell's first process is one of them, and the kernel ends
# the rest, containers and shims, together with it. By network, not by a recorded number: this also finds a cell that
# was interrupted before it could record anything.
kill_cell() {
  until_true 20 no_process_is_left || fail "these processes do not end although they were killed:" \
    "$(ip netns pids "$NETNS" | tr '\n' ' ')"
}

no_process_is_left() {
  local pids
  [[ -e /run/netns/$NETNS ]] || return 0
  mapfile -t pids < <(ip netns pids "$NETNS")
  ((${#pids[@]})) || return 0
  kill -KILL "${pids[@]}" 2>/dev/null || true
  return 1
}

# remove_network: the pair of interfaces and the host's routes go with the namespace, when no process is left in it.
remove_network() {
  if [[ -e /run/netns/$NETNS ]]; then
    ip netns del "$NETNS"
  fi
  if ip link show "$LINK" >/dev/null 2>&1; then
    ip link del "$LINK" || true
  fi
}

# remove_cgroups: deepest first. A container's last process may need a moment to leave its group.
remove_cgroups() {
  until_true 10 cgroups_are_gone || fail "cgroups of the cluster are still in use: $(cgroup_folders | head -n 1)"
}

cgroups_are_gone() {
  local folder
  while read -r folder; do
    find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done < <(cgroup_folders)
  [[ -z $(cgroup_folders) ]]
}

cgroup_folders() {
  local root
  for root in $(cgroup_roots); do
    [[ ! -d $root/$CGROUP ]] || echo "$root/$CGROUP"
  done
}
