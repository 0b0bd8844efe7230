# tools: programs the tests use, built once.

if help_wanted "$@" || (($# != 1)); then
  echo "usage: testbed/testbed tools NAME"
  echo "Builds the tool if needed and prints its path. Names: ${TOOLS[*]}"
  exit
fi

tool "$1"
