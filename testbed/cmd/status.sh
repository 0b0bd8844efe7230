# status: whether the cluster is up, where it is, and what it uses.

if help_wanted "$@"; then
  echo "usage: testbed/testbed status"
  echo "Says whether the cluster is up, where its files are and which pods run. Fails when it is not up."
  exit
fi

if ! cell_is_alive; then
  echo "cluster $ID: down"
  exit 1
fi
use_address "$(<"$RUN/address")"
KUBE=$(kube_folder)
cat <<EOF
cluster $ID: $([[ -e $RUN/up ]] && echo up || echo "not ready")
  node        $NODE_IP, first process $(<"$RUN/init.pid")
  pods        $POD_NET
  services    $SERVICE_NET
  kubeconfig  $KUBECONFIG_FILE
  logs        $RUN/logs (audit.log: every request)
  data        $DATA, $(du -sh "$DATA" 2>/dev/null | cut -f1)
EOF
kubectl get pods --all-namespaces
