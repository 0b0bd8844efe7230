# load: OCI archives into the cluster's containerd, under the names they carry.

if help_wanted "$@" || (($# == 0)); then
  echo "usage: testbed/testbed load FILE..."
  echo "Loads OCI archives (buildah push ... oci-archive:FILE:NAME, docker save) into the cluster."
  exit
fi

need_root "loading an image"
cell_is_alive || fail "the cluster is not up: testbed/testbed up"
for archive in "$@"; do
  [[ -r $archive ]] || fail "no such file: $archive"
  load_archive "$archive"
  say "loaded $archive"
done
