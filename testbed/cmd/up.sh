# up: from nothing, or from the ruins of an earlier cluster, to a Ready node with DNS and storage.

if help_wanted "$@"; then
  echo "usage: testbed/testbed up"
  echo "Brings the cluster up and prints its kubeconfig's path. A cluster that is up already is left alone."
  echo "With CLUSTER=current it only checks that the cluster of your KUBECONFIG answers."
  exit
fi

check_current_cluster() {
  command -v kubectl >/dev/null || fail "CLUSTER=current needs kubectl in PATH."
  command kubectl get --raw /readyz --request-timeout=10s >/dev/null ||
    fail "CLUSTER=current: the cluster of KUBECONFIG (${KUBECONFIG:-~/.kube/config}) does not answer."
  say "using the cluster of KUBECONFIG"
  echo "${KUBECONFIG:-$HOME/.kube/config}"
}

node_is_ready() {
  [[ $(kubectl --request-timeout=5s get node "$NODE" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) == True ]]
}

dns_is_ready() {
  [[ $(kubectl --request-timeout=5s get deployment coredns -n kube-system -o 'jsonpath={.status.readyReplicas}' 2>/dev/null) == 1 ]]
}

cluster_is_up() { cell_is_alive && [[ -e $RUN/up ]] && node_is_ready; }

api_is_ready() { kubectl --request-timeout=5s get --raw /readyz >/dev/null 2>&1; }

bring_up() {
  local name folder folders=() loading
  for name in "${BASE_IMAGES[@]}"; do
    folder=$(image_folders "$name")
    folders+=("$folder")
  done
  remove_cluster
  mkdir -p "$RUN/logs" "$DATA"
  claim_address
  make_pki
  cp "$RUN/pki/admin.conf" "$KUBECONFIG_FILE"
  write_config
  say "starting the node: $NODE_IP, pods $POD_NET, services $SERVICE_NET"
  export RUN DATA KUBE NODE NODE_IP SERVICE_NET
  start_cell
  (
    until_true 30 in_cell test -S /run/containerd/containerd.sock
    for folder in "${folders[@]}"; do load_archive "$folder/image.tar"; done
  ) &
  loading=$!
  until_true 90 api_is_ready || fail "the API server did not get ready: $RUN/logs/kube-apiserver.log"
  say "the API server is ready"
  apply_addons
  wait "$loading" || fail "the first images could not be loaded: $RUN/logs/containerd.log"
  until_true 90 node_is_ready || fail "the node did not get ready: $RUN/logs/kubelet.log"
  say "the node is ready"
  until_true 90 dns_is_ready || fail "DNS did not get ready: testbed/testbed status"
  touch "$RUN/up"
}

if [[ ${CLUSTER:-} == current ]]; then
  check_current_cluster
  exit
fi

need_root "a cluster"
"$TESTBED/install-deps" cluster
mkdir -p /run/whimbrel
# One `up` or `down` of this cluster at a time.
take_lock "/run/whimbrel/$ID.lock"
KUBE=$(kube_folder)
if cluster_is_up; then
  say "the cluster is up already"
else
  bring_up 8>&-
  say "the cluster is up"
fi
echo "$KUBECONFIG_FILE"
