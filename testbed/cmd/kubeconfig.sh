# kubeconfig: where the file is that reaches the cluster.

if help_wanted "$@"; then
  echo "usage: export KUBECONFIG=\$(testbed/testbed kubeconfig)"
  exit
fi

if [[ ${CLUSTER:-} == current ]]; then
  echo "${KUBECONFIG:-$HOME/.kube/config}"
else
  [[ -e $RUN/up ]] || fail "the cluster is not up: testbed/testbed up"
  echo "$KUBECONFIG_FILE"
fi
