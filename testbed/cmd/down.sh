# down: the cluster and everything of it is gone; the build cache stays.

if help_wanted "$@"; then
  echo "usage: testbed/testbed down"
  echo "Takes the cluster down without a trace, whatever state it is in. The build cache stays."
  exit
fi

need_root "a cluster"
mkdir -p /run/whimbrel
take_lock "/run/whimbrel/$ID.lock"
remove_cluster
rm -f "/run/whimbrel/$ID.lock"
say "nothing of the cluster is left"
