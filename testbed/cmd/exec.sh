# exec: a command among the node's processes, mounts and addresses.

if help_wanted "${1:-}" || (($# == 0)); then
  echo "usage: testbed/testbed exec COMMAND..."
  echo "Runs the command inside the node, for example: testbed/testbed exec ctr -n k8s.io containers ls"
  exit
fi

need_root "entering the node"
cell_is_alive || fail "the cluster is not up: testbed/testbed up"
in_cell "$@"
