# Kubernetes itself: the multi-call program, and links that call its parts by name.

KUBE_VERSION=1.35.4

# kube_folder: prints the folder with `kube` and one link per part, built when needed.
kube_folder() {
  local key version=k8s.io/component-base/version
  key=$(go_key "$TESTBED/kube" -- "$KUBE_VERSION")
  cached kubernetes "$key" build_kube \
    "-X $version.gitVersion=v$KUBE_VERSION -X $version.gitMajor=1 -X $version.gitMinor=${KUBE_VERSION:2:2}"
}

build_kube() {
  local ldflags=$1 folder=$2 part
  say "Kubernetes $KUBE_VERSION: about 1,300 packages, 5 to 10 minutes on two cores the first time"
  build_go_program kube "$TESTBED/kube" "$ldflags" "$folder"
  for part in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl provisioner; do
    ln -s kube "$folder/$part"
  done
}

# kubectl ARGS...: the cluster's own kubectl with the cluster's own file, whatever is installed and set otherwise.
kubectl() { "$KUBE/kubectl" --kubeconfig "$KUBECONFIG_FILE" "$@"; }
