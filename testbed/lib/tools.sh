# Tools the tests use, each built once and found in the cache.

TOOLS=(kubectl helm kubeconform schemas kstatus argohealth whimbrel)
HELM_VERSION=v3.22.0
KUBECONFORM_VERSION=v0.8.0

# tool NAME: prints the path of the tool (for `schemas`: kubeconform's -schema-location).
tool() {
  local folder
  case $1 in
    kubectl) folder=$(kube_folder) ;;
    helm) folder=$(go_tool helm helm.sh/helm/v3/cmd/helm "$HELM_VERSION") ;;
    kubeconform) folder=$(go_tool kubeconform github.com/yannh/kubeconform/cmd/kubeconform "$KUBECONFORM_VERSION") ;;
    schemas)
      folder=$(schemas)
      echo "$folder/{{ .Group }}/{{ .ResourceKind }}_{{ .ResourceAPIVersion }}.json"
      return
      ;;
    # The very program that is in the image.
    whimbrel)
      whimbrel_program
      return
      ;;
    kstatus | argohealth) folder=$(go_program "$1" "$TESTBED/tools/$1") ;;
    *) fail "no tool is called '$1': ${TOOLS[*]}" ;;
  esac
  echo "$folder/$1"
}

# schemas: prints the folder of kubeconform's schemas, made from the description in Kubernetes' own module, since the
# place kubeconform downloads them from is not a package registry.
schemas() {
  local key
  key=$(digest_of "$TESTBED/tools/schemas.jq" -- "$KUBE_VERSION")
  cached schemas "$key" build_schemas
}

build_schemas() {
  local folder=$1 swagger group kind version definition
  swagger=$(cd "$TESTBED/kube" && go list -m -f '{{.Dir}}' k8s.io/kubernetes)/api/openapi-spec/swagger.json
  say "making kubeconform's schemas of Kubernetes $KUBE_VERSION"
  jq -f "$TESTBED/tools/schemas.jq" "$swagger" >"$folder/definitions.json"
  jq -r '.definitions | to_entries[] | .key as $name | .value."x-kubernetes-group-version-kind"[]?
    | [(if .group == "" then .version else .group end), (.kind | ascii_downcase), .version, $name] | @tsv' "$swagger" |
    while IFS=$'\t' read -r group kind version definition; do
      mkdir -p "$folder/$group"
      # shellcheck disable=SC2016
      printf '{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "../definitions.json#/definitions/%s"}\n' \
        "$definition" >"$folder/$group/${kind}_$version.json"
    done
}
