# Keys, certificates and tokens of one cluster, made anew at every `up` and deleted with the run folder.

# make_pki: fills $RUN/pki. Elliptic keys: making RSA keys would cost a second each.
make_pki() (
  umask 077
  mkdir -p "$RUN/pki"
  cd "$RUN/pki" || exit
  ec_key sa
  certificate_authority ca "testbed $ID"
  # The apiserver's self-made certificate would cover only its advertise address.
  signed ca apiserver /CN=kube-apiserver "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,\
DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$NODE_IP,IP:$API_IP"
  # The apiserver shows this one to the kubelet for `kubectl logs` and `exec`.
  signed ca apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client "extendedKeyUsage=clientAuth"
  : >tokens.csv
  account admin admin system:masters
  account controller-manager system:kube-controller-manager
  account scheduler system:kube-scheduler
  account kubelet "system:node:$NODE" system:nodes
  account kube-proxy system:kube-proxy
  account provisioner testbed:provisioner
  # For curl, which would show a token given as an argument in the list of processes.
  sed -n 's/^\([^,]*\),admin,.*/Authorization: Bearer \1/p' tokens.csv >admin.header
)

# In the older format: the apiserver does not find the public half of an elliptic key in PKCS #8.
ec_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

# certificate_authority NAME COMMON_NAME: NAME.key and NAME.crt.
certificate_authority() {
  ec_key "$1"
  openssl req -x509 -new -key "$1.key" -days 365 -subj "/CN=$2" -out "$1.crt"
}

# signed AUTHORITY NAME SUBJECT EXTENSION: NAME.key, and NAME.crt signed by the authority.
signed() {
  ec_key "$2"
  openssl req -new -key "$2.key" -subj "$3" |
    openssl x509 -req -CA "$1.crt" -CAkey "$1.key" -CAcreateserial -days 365 \
      -extfile <(printf '%s\n' "$4") -out "$2.crt" 2>/dev/null
}

# account NAME USER [GROUP]: a token for the user and NAME.conf, a kubeconfig with it.
account() {
  local token
  token=$(openssl rand -hex 20)
  printf '%s,%s,%s%s\n' "$token" "$2" "$2" "${3:+,$3}" >>tokens.csv
  cat >"$1.conf" <<EOF
apiVersion: v1
kind: Config
clusters:
  - name: testbed
    cluster: {server: "https://$NODE_IP:6443", certificate-authority-data: $(base64 -w0 ca.crt)}
users:
  - name: $1
    user: {token: $token}
contexts:
  - name: testbed
    context: {cluster: testbed, user: $1}
current-context: testbed
EOF
}
