# shellcheck shell=bash
# What the runs of the examples share. The one that sources it says where it is by `namespace` and `plan`, and, if a person
# watches it, by `mode=show`.

# Whoever takes one of these names for a loop asks another namespace from then on.
readonly namespace plan
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

fail() {
  printf '\nFAILED: %s\n' "$*" >&2
  {
    ours get mplan,mrun,dbt,pods || :
    ours get mplan "$plan" --output jsonpath='{.status.message}{"\n"}' || :
  } >&2
  exit 1
}

kube() { "$kubectl" "$@"; }
# The same in the plan's namespace.
ours() { kube --namespace "$namespace" "$@"; }

# install IMAGE...: a cluster with these images beside the operator's own, and the operator.
install() {
  say "a cluster, the images, the operator from its packaged chart"
  KUBECONFIG=$("$checkout/testbed/testbed" up)
  export KUBECONFIG
  kubectl=$("$checkout/testbed/testbed" tools kubectl)
  helm=$("$checkout/testbed/testbed" tools helm)
  "$checkout/testbed/testbed" image "$@" >/dev/null
  image=$("$checkout/testbed/testbed" image whimbrel)
  local folder
  folder=$(mktemp -d)
  "$helm" package --destination "$folder" "$checkout/charts/whimbrel" >/dev/null
  "$helm" upgrade --install whimbrel "$folder"/whimbrel-*.tgz --namespace whimbrel --create-namespace --wait \
    --timeout 3m --set image.repository="${image%:*}" --set image.tag="${image##*:}"
  rm -r "$folder"
}

# secret NAMESPACE NAME KEY=VALUE...: by standard input, so that no value stands in the arguments of a process.
secret() {
  local home=$1 name=$2 pair
  shift 2
  {
    printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\nstringData:\n' "$name" "$home"
    for pair; do printf '  %s: "%s"\n' "${pair%%=*}" "${pair#*=}"; done
  } | kube apply --filename - >/dev/null
}

new_password() { head -c 18 /dev/urandom | base64 | tr '+/' 'ab'; }

# Where a person looks: the tree of the newest run until it has ended.
live_tree() { if [[ ${mode:-check} == show && -t 1 ]]; then "$whimbrel" status --namespace "$namespace" "$plan" --watch --timeout 10m || :; fi; }

# A person reads what an act came to before the next one begins.
next_act() { if [[ ${mode:-check} == show && -t 0 ]]; then read -r -p $'\nEnter for the next act '; fi; }

# apply FILE: applies a plan, shows it live until its run has ended. `patience` is how often it looks, twice a second; 5 minutes.
apply() {
  local generation
  kube apply --filename "$here/$1" >/dev/null
  live_tree
  generation=$(ours get mplan "$plan" --output jsonpath='{.metadata.generation}')
  for _ in $(seq "${patience:-600}"); do
    if [[ $(ours get mplan "$plan" --output jsonpath='{.status.observedGeneration}/{.status.conditions[?(@.type=="Finished")].status}') == "$generation/True" ]]; then
      ours get mplan "$plan"
      return
    fi
    sleep 0.5
  done
  fail "$1: the plan did not end in time"
}

# ended REASON: how the newest run ended, by the plan's conditions.
ended() {
  local reason
  reason=$(ours get mplan "$plan" --output jsonpath='{.status.conditions[?(@.type=="Finished")].reason}')
  [[ $reason == "$1" ]] || fail "the plan ended $reason, not $1"
  printf 'ended as it should: %s\n' "$reason"
}

# is WHAT EXPECTED FOUND
is() { [[ $2 == "$3" ]] || fail "$1 is $3, not $2"; printf '%s: %s\n' "$1" "$3"; }

# same WHAT BEFORE NOW
same() {
  [[ $2 == "$3" ]] || { diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") | head -20; fail "$1 is not what it was before the run"; }
  printf 'as before: %s\n' "$1"
}
