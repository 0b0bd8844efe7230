# Images without a registry: built here, kept in the cache as OCI archives, imported into the cluster's containerd.
#
# Each image is a function image_NAME that prints its archive, and the digest of its inputs is its key in the cache.

# The images every cluster starts with; the others are built and loaded when asked for.
BASE_IMAGES=(pause coredns)
IMAGES=(pause coredns debian postgresql demo-app whimbrel)

COREDNS_VERSION=1.13.1
POSTGRESQL_VERSION=15
DEMO_APP_TAGS=(1.0 2.0 broken writes)

# image_archives NAME: prints the archives of an image, one per tag, built when needed.
image_archives() {
  case $1 in
    pause | coredns | debian | postgresql | demo-app | whimbrel) "image_${1//-/_}" ;;
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

# one_program_image NAME REFERENCE PROGRAM USER: an image with nothing but a static program.
one_program_image() {
  local writer key
  writer=$(image_writer)
  key=$(digest_of "$3" "$writer" -- "$2" "$4")
  archive "image-$1" "$key" build_one_program "$writer" "$2" "$3" "$4"
}

build_one_program() {
  "$1" -reference "$2" -program "$3" -user "$4" -output "$5/image.tar"
}

image_writer() {
  local built
  built=$(go_program mkoci "$TESTBED/tools/mkoci")
  echo "$built/mkoci"
}

# archive NAME KEY BUILD...: as `cached`, and prints the archive in the folder.
archive() {
  local folder
  folder=$(cached "$@")
  echo "$folder/image.tar"
}

image_debian() {
  local writer key
  writer=$(image_writer)
  key=$(digest_of "$TESTBED/images/debian" "$writer")
  archive image-debian "$key" build_debian "$writer"
}

build_debian() {
  local writer=$1 folder=$2
  need_root "debootstrap"
  say "building localhost/debian:bookworm-slim with debootstrap, about a minute"
  "$TESTBED/images/debian/build" "$folder/root.tar"
  "$writer" -reference localhost/debian:bookworm-slim -root "$folder/root.tar" -command bash -output "$folder/image.tar"
  rm "$folder/root.tar"
}

image_postgresql() {
  local base key
  base=$(image_debian)
  key=$(digest_of "$TESTBED/images/postgresql" -- "$base")
  archive image-postgresql "$key" build_from_dockerfile "localhost/postgresql:$POSTGRESQL_VERSION" "$base" \
    "$TESTBED/images/postgresql" "$TESTBED/images/postgresql/Dockerfile"
}

# build_from_dockerfile REFERENCE BASE_ARCHIVE CONTEXT DOCKERFILE [OPTION...] FOLDER: runs buildah without a daemon, a
# registry or a namespace of its own; storage and result are in the folder, so builds do not meet.
build_from_dockerfile() {
  local reference=$1 base=$2 context=$3 dockerfile=$4
  local folder=${*: -1} options=("${@:5:$#-5}")
  need_root "buildah"
  say "building $reference from $(basename "$(dirname "$dockerfile")")/$(basename "$dockerfile")"
  mkdir "$folder/work"
  cat >"$folder/work/storage.conf" <<EOF
[storage]
driver = "overlay"
runroot = "$folder/work/run"
graphroot = "$folder/work/graph"
EOF
  (
    export CONTAINERS_STORAGE_CONF=$folder/work/storage.conf BUILDAH_ISOLATION=chroot TMPDIR=$folder/work
    buildah pull --quiet "oci-archive:$base" >/dev/null
    buildah bud --quiet --pull-never --layers=false "${options[@]}" --tag "$reference" --file "$dockerfile" "$context" >/dev/null
    buildah push --quiet --disable-compression "$reference" "oci-archive:$folder/image.tar:$reference"
  )
  rm -rf "$folder/work"
}

# load_archive FILE: imports an archive into the cluster's containerd; it keeps the names that stand in the archive.
load_archive() {
  in_cell ctr --namespace k8s.io images import - <"$1" >/dev/null
}
