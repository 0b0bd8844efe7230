# Configuration files of the node's programs. Inside the cell they find their usual folders (/run, /var/lib/kubelet ...),
# so only what differs from the defaults stands here.

# write_config: fills $RUN/config.
write_config() {
  mkdir -p "$RUN/config/cni"
  containerd_config >"$RUN/config/containerd.toml"
  kubelet_config >"$RUN/config/kubelet.yaml"
  kube_proxy_config >"$RUN/config/kube-proxy.yaml"
  network_config >"$RUN/config/cni/10-testbed.conflist"
  cp "$TESTBED/manifests/audit-policy.yaml" "$RUN/config/audit-policy.yaml"
  # Nothing listens there: a look-up of a registry's name fails at once instead of after a timeout.
  echo 'nameserver 127.0.0.1' >"$RUN/config/resolv.conf"
}

# restrict_oom_score_adj: without CAP_SYS_RESOURCE runc can't lower the score, and every sandbox would die with
# "can't get final child's PID from pipe: EOF".
containerd_config() {
  cat <<EOF
version = 2
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt",
]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$RUN/config/cni"
    max_conf_num = 1
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
EOF
}

# failCgroupV1: kubelet 1.35 refuses the older hierarchy unless told. The eviction thresholds are low because the disk is
# the developer's own: pods shall not be evicted for what else lies on it.
kubelet_config() {
  cat <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $RUN/pki/ca.crt}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
enforceNodeAllocatable: []
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
clusterDNS: [$DNS_IP]
clusterDomain: cluster.local
resolvConf: $RUN/config/resolv.conf
oomScoreAdj: 0
failSwapOn: false
serializeImagePulls: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {nodefs.available: "1%", imagefs.available: "1%", memory.available: "100Mi"}
syncFrequency: 5s
nodeStatusUpdateFrequency: 5s
maxPods: 200
volumePluginDir: $DATA/lib/kubelet/volume-plugins
EOF
}

# conntrack: the limits are the whole machine's, not the namespace's; zero leaves them alone.
kube_proxy_config() {
  cat <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $RUN/pki/kube-proxy.conf}
mode: iptables
clusterCIDR: $POD_NET
hostnameOverride: $NODE
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {minSyncPeriod: 100ms}
EOF
}

network_config() {
  cat <<EOF
{
  "cniVersion": "1.0.0",
  "name": "testbed",
  "plugins": [
    {
      "type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": false, "hairpinMode": true,
      "ipam": {"type": "host-local", "ranges": [[{"subnet": "$POD_NET"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
EOF
}
