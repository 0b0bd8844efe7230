# Go programs: those of this folder and those of other modules, built once per content.

# go_key ARG...: as `digest_of`, and over what the compiler is.
go_key() {
  local compiler
  command -v go >/dev/null || fail "Go 1.25 or newer is needed and not in PATH (Debian 12's own is too old): https://go.dev/dl"
  compiler=$(go env GOVERSION GOARCH)
  digest_of "$@" "$compiler"
}

# go_program NAME SOURCE [LDFLAGS]: prints the folder that holds the program NAME built from the folder SOURCE.
go_program() {
  local key
  key=$(go_key "$2" -- "${3:-}")
  cached "$1" "$key" build_go_program "$1" "$2" "${3:-}"
}

build_go_program() {
  local name=$1 source=$2 ldflags=$3 folder=$4
  say "building $name (once; later runs take it from the cache)"
  (cd "$source" && CGO_ENABLED=0 GOFLAGS=-buildvcs=false \
    go build -v -trimpath -ldflags "-s -w $ldflags" -o "$folder/$name" . 2>&1) | show_packages "$name"
}

# go_tool NAME PACKAGE VERSION: prints the folder that holds the program NAME of another module.
go_tool() {
  local key
  key=$(go_key -- "$2" "$3")
  cached "$1" "$key" build_go_tool "$1" "$2" "$3"
}

build_go_tool() {
  local name=$1 package=$2 version=$3 folder=$4
  say "building $name $version (once; later runs take it from the cache)"
  CGO_ENABLED=0 GOBIN=$folder GOFLAGS=-buildvcs=false \
    go install -v -trimpath -ldflags '-s -w' "$package@$version" 2>&1 | show_packages "$name"
}

# show_packages NAME: reads what `go build -v` prints, one package a line, and shows every hundredth; errors in full.
show_packages() {
  local line count=0
  while IFS= read -r line; do
    if [[ $line =~ ^[a-z0-9.-]+(/[^\ ]*)?$ ]]; then
      count=$((count + 1))
      ((count % 100)) || say "building $1: $count packages compiled, now $line"
    elif [[ $line != go:\ downloading* ]]; then
      printf '%s\n' "$line" >&2
    fi
  done
}
