# Addresses: every cluster has a number of its own, and its networks follow from the number.
#
#   link      198.18.x.y/30   host end and node end of the pair of interfaces (the range is set aside for benchmarks)
#   pods      10.208.0.0/14 -> one /24
#   services  10.212.0.0/14 -> one /24
#
# The host has routes to pods and services, so a test on the host reaches them as a pod would.

ADDRESSES=1024

# use_address NUMBER: sets what follows from the number.
use_address() {
  local high=$(($1 / 256)) low=$(($1 % 256))
  local link=198.18.$(($1 / 64)).
  HOST_IP=$link$((($1 % 64) * 4 + 1))
  NODE_IP=$link$((($1 % 64) * 4 + 2))
  LINK_NET=$link$((($1 % 64) * 4))/30
  POD_NET=10.$((208 + high)).$low.0/24
  SERVICE_NET=10.$((212 + high)).$low.0/24
  API_IP=10.$((212 + high)).$low.1
  DNS_IP=10.$((212 + high)).$low.10
}

# claim_address: chooses a free number, beginning at the hash of the id, and records it in the run folder. The lock
# keeps two checkouts from choosing the same one; a cluster that is gone has no record any more.
claim_address() {
  local try number
  (
    flock 9
    for ((try = 0; try < ADDRESSES; try++)); do
      number=$(((16#$(printf %s "$ID" | sha256sum | cut -c1-6) + try) % ADDRESSES))
      if address_is_free "$number"; then
        echo "$number" >"$RUN/address"
        exit
      fi
    done
    fail "all $ADDRESSES address ranges of the testbed are taken: ip route"
  ) 9>/run/whimbrel/lock
  use_address "$(<"$RUN/address")"
}

# address_is_free NUMBER: no other cluster has it and no route of the host leads into its networks.
address_is_free() (
  use_address "$1"
  ! grep -qsx "$1" /run/whimbrel/*/address || exit 1
  for net in "$LINK_NET" "$POD_NET" "$SERVICE_NET"; do
    [[ -z $(ip -4 route show root "$net") ]] || exit 1
  done
)
