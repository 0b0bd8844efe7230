# Images without a registry: built here, kept in the cache as OCI archives, imported into the cluster's containerd.
#
# Each image is a function image_NAME that prints a folder of the cache with `image.tar` and `reference`, the image's name;
# the digest of what it is made from is the folder's key.

# Raised when this file makes the same inputs into something else: a part of every key.
LAYOUT=1

# The images every cluster starts with; the others are built and loaded when asked for.
BASE_IMAGES=(pause coredns)
IMAGES=(pause coredns debian postgresql opensearch neo4j minio demo-app whimbrel)

COREDNS_VERSION=1.13.1
POSTGRESQL_VERSION=15
NEO4J_VERSION=5
MINIO_TAG=2026
DEMO_APP_TAGS=(1.0 2.0 broken writes)

# image_folders NAME: prints the folders of an image, one per tag, built when needed.
image_folders() {
  case $1 in
    pause | coredns | debian | postgresql | opensearch | neo4j | minio | demo-app | whimbrel) "image_${1//-/_}" ;;
    *) fail "no image is called '$1': ${IMAGES[*]}" ;;
  esac
}

image_pause() {
  local built
  built=$(go_program pause "$TESTBED/images/pause")
  one_program_image pause localhost/pause:1 "$built/pause" 65535
}

image_coredns() {
  local built
  built=$(go_program coredns "$TESTBED/coredns")
  one_program_image coredns "localhost/coredns:$COREDNS_VERSION" "$built/coredns" 65532
}

# The tag is linked into the program: four versions of one thing that behave differently.
image_demo_app() {
  local tag built
  for tag in "${DEMO_APP_TAGS[@]}"; do
    built=$(go_program demo-app "$TESTBED/images/demo-app" "-X main.version=$tag")
    one_program_image "demo-app-$tag" "localhost/demo-app:$tag" "$built/demo-app" 65532
  done
}

# The same server as `testbed/minio` starts, in a pod. Nothing is in it but the program: whoever runs it makes its buckets.
image_minio() {
  local program
  program=$(minio_program)
  one_program_image minio "localhost/minio:$MINIO_TAG" "$program" 65532
}

# one_program_image NAME REFERENCE PROGRAM USER: an image with nothing but a static program.
one_program_image() {
  local writer key
  writer=$(image_writer)
  key=$(digest_of "$3" "$writer" -- "$LAYOUT" "$2" "$4")
  cached "image-$1" "$key" build_one_program "$writer" "$2" "$3" "$4"
}

build_one_program() {
  "$1" -reference "$2" -program "$3" -user "$4" -output "$5/image.tar"
  echo "$2" >"$5/reference"
}

image_writer() {
  local built
  built=$(go_program mkoci "$TESTBED/tools/mkoci")
  echo "$built/mkoci"
}

image_debian() {
  local writer key
  writer=$(image_writer)
  key=$(digest_of "$TESTBED/images/debian" "$writer" -- "$LAYOUT")
  cached image-debian "$key" build_debian "$writer"
}

build_debian() {
  local writer=$1 folder=$2
  need_root "debootstrap"
  say "building localhost/debian:bookworm-slim with debootstrap, about a minute"
  "$TESTBED/images/debian/build" "$folder/root.tar"
  "$writer" -reference localhost/debian:bookworm-slim -root "$folder/root.tar" -command bash -output "$folder/image.tar"
  echo localhost/debian:bookworm-slim >"$folder/reference"
  rm "$folder/root.tar"
}

image_postgresql() {
  local base key
  base=$(image_debian)
  key=$(digest_of "$TESTBED/images/postgresql" -- "$LAYOUT" "$(basename "$base")")
  cached image-postgresql "$key" build_postgresql "$base/image.tar"
}

build_postgresql() {
  build_from_dockerfile "localhost/postgresql:$POSTGRESQL_VERSION" "$TESTBED/images/postgresql/Dockerfile" \
    "$TESTBED/images/postgresql" "$2" --base "$1"
}

# The same server as `testbed/search` starts, in a pod.
image_opensearch() {
  local base home key
  base=$(image_debian)
  home=$(PRODUCT=opensearch search_home)
  key=$(digest_of "$TESTBED/images/opensearch" -- "$LAYOUT" "$(basename "$base")" "$(basename "$home")")
  cached image-opensearch "$key" build_opensearch_image "$base/image.tar" "$home"
}

build_opensearch_image() {
  local context=$3/context
  mkdir "$context"
  cp -r "$2" "$context/home"
  chmod -R a+rX "$context/home"
  cp "$TESTBED/images/opensearch/entrypoint" "$context"
  build_from_dockerfile "localhost/opensearch:$OPENSEARCH_VERSION" "$TESTBED/images/opensearch/Dockerfile" "$context" "$3" --base "$1"
  rm -rf "$context"
}

# The same server as `testbed/neo4j apoc` starts, in a pod.
image_neo4j() {
  local base lib key
  base=$(image_debian)
  lib=$(jars apoc)
  key=$(digest_of "$TESTBED/images/neo4j" -- "$LAYOUT" "$(basename "$base")" "$(basename "$lib")")
  cached image-neo4j "$key" build_neo4j_image "$base/image.tar" "$lib"
}

build_neo4j_image() {
  local context=$3/context
  mkdir "$context"
  cp -r "$TESTBED/images/neo4j/." "$context"
  cp -r "$2" "$context/lib"
  mkdir "$context/labs"
  mv "$context"/lib/apoc-*.jar "$context/labs"
  chmod -R a+rX "$context"
  build_from_dockerfile "localhost/neo4j:$NEO4J_VERSION" "$TESTBED/images/neo4j/Dockerfile" "$context" "$3" --base "$1"
  rm -rf "$context"
}

# The project's own Dockerfile, with a program that cargo compiled here: inside, it would compile everything again.
image_whimbrel() {
  local program key
  program=$(whimbrel_program)
  key=$(digest_of "$program" "$CHECKOUT/Dockerfile" -- "$LAYOUT")
  cached image-whimbrel "$key" build_whimbrel "$program" "localhost/whimbrel:${key:0:12}"
}

build_whimbrel() {
  local program=$1 reference=$2 folder=$3 context
  context=$folder/context
  install -D "$program" "$context/whimbrel"
  install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$context/etc/ssl/certs/ca-certificates.crt"
  build_from_dockerfile "$reference" "$CHECKOUT/Dockerfile" "$context" "$folder" --build-arg PROGRAM=prebuilt
  rm -rf "$context"
}

# whimbrel_program: prints the path of the static program, compiled with the features in WHIMBREL_IMAGE_FEATURES, if any; once
# for the same source.
whimbrel_program() {
  local key folder
  key=$(digest_of "$CHECKOUT/src" "$CHECKOUT/Cargo.toml" "$CHECKOUT/Cargo.lock" "$CHECKOUT/rust-toolchain.toml" -- \
    "$LAYOUT" "${WHIMBREL_IMAGE_FEATURES:-}" "$(rustc -vV)")
  folder=$(cached whimbrel-program "$key" compile_whimbrel)
  echo "$folder/whimbrel"
}

# All checkouts share the compiled dependencies, and the lock keeps one from taking another's program. Cargo does not tell the
# checkouts apart and believes in modification times: files that are older than what another checkout compiled would pass for
# compiled, so what is ours is always compiled.
compile_whimbrel() (
  host=$(rustc -vV | sed -n 's/^host: //p')
  target=$CACHE/target/image
  mkdir -p "$target" "$CACHE/locks"
  exec 9>"$CACHE/locks/target-image"
  flock 9
  say "compiling the static program (minutes the first time)"
  cd "$CHECKOUT" || exit
  where=(--profile image --target "$host" --target-dir "$target")
  cargo clean --quiet "${where[@]}" --package whimbrel 9>&-
  RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked "${where[@]}" \
    --bin whimbrel --features "${WHIMBREL_IMAGE_FEATURES:-}" 9>&-
  touch "$target"
  cp "$target/$host/image/whimbrel" "$1"
)

# build_from_dockerfile REFERENCE DOCKERFILE CONTEXT FOLDER [--base ARCHIVE] [OPTION...]: runs buildah without a daemon or a
# registry. Its storage is in the folder and goes at the end, so builds do not meet.
build_from_dockerfile() {
  local reference=$1 dockerfile=$2 context=$3 folder=$4 base=
  shift 4
  if [[ ${1:-} == --base ]]; then
    base=$2
    shift 2
  fi
  need_root "buildah"
  say "building $reference from its Dockerfile"
  mkdir "$folder/work"
  cat >"$folder/work/storage.conf" <<EOF
[storage]
driver = "overlay"
runroot = "$folder/work/run"
graphroot = "$folder/work/graph"
EOF
  cat >"$folder/work/build" <<'EOF'
set -euo pipefail
base=$1 reference=$2 dockerfile=$3 context=$4 archive=$5
shift 5
[[ -z $base ]] || buildah pull --quiet "oci-archive:$base" >/dev/null
buildah bud --quiet --pull-never --layers=false "$@" --tag "$reference" --file "$dockerfile" "$context" >/dev/null
buildah push --quiet --disable-compression "$reference" "oci-archive:$archive:$reference"
EOF
  # In a mount namespace of its own, because buildah leaves mounts behind when it is interrupted.
  CONTAINERS_STORAGE_CONF=$folder/work/storage.conf BUILDAH_ISOLATION=chroot TMPDIR=$folder/work \
    unshare --mount --propagation private \
    bash "$folder/work/build" "$base" "$reference" "$dockerfile" "$context" "$folder/image.tar" "$@"
  rm -rf "$folder/work"
  echo "$reference" >"$folder/reference"
}

# load_archive FILE: imports an archive into the cluster's containerd; it keeps the names that stand in the archive.
load_archive() {
  in_cell ctr --namespace k8s.io images import - <"$1" >/dev/null
}
