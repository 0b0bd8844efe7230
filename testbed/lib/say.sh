# What the user sees: one line per step, on standard error, so that standard output stays for answers.

# say TEXT...: a step that begins or ended, with the seconds since the command began.
say() { printf 'testbed: %4ss  %s\n' "$SECONDS" "$*" >&2; }

# fail TEXT...: what is wrong and what to do; ends the command.
fail() {
  printf 'testbed: %s\n' "$*" >&2
  exit 1
}

# help_wanted ARG...: whether one of the arguments asks for help.
help_wanted() {
  local argument
  for argument in "$@"; do
    [[ $argument == --help || $argument == -h ]] && return 0
  done
  return 1
}

# need_root WHAT: ends the command with a sentence when it is not run as root.
need_root() {
  [[ $EUID -eq 0 ]] || fail "$1 needs root (namespaces, cgroups, mounts): run it again under sudo." \
    "Without root: testbed/postgres and testbed/testbed tools."
}

# until_true SECONDS COMMAND...: repeats the command until it succeeds; fails when the seconds are over.
until_true() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}
