# The program of MinIO: for the process that `testbed/minio` starts, and for the image of a server in a pod.

# What the tests were written against. The module has no version tags that Go knows.
MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c

# minio_program: prints the path of the static program, built once from the Go module proxy for all checkouts.
minio_program() {
  local built
  built=$(go_tool minio github.com/minio/minio "$MINIO_VERSION")
  echo "$built/minio"
}
