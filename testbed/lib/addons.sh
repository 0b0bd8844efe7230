# What a cluster has besides the bare API: DNS and storage classes.

apply_addons() {
  sed "s/@DNS_IP@/$DNS_IP/; s/@COREDNS_VERSION@/$COREDNS_VERSION/" "$TESTBED/manifests/coredns.yaml" |
    cat - <(echo ---) "$TESTBED/manifests/storage.yaml" |
    kubectl apply --server-side -f - >/dev/null
}
