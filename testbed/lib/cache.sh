# The build cache: one folder per built thing and content of its inputs, safe when two checkouts build at once.

# digest_of [FILE|FOLDER]... [-- WORD...]: one hash over the files' names and contents and the words.
digest_of() {
  local path
  {
    while (($#)) && [[ $1 != -- ]]; do
      path=$1
      shift
      (cd "$(dirname "$path")" && find "$(basename "$path")" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
    done
    printf '%s\n' "$@"
  } | sha256sum | cut -c1-16
}

# cached NAME KEY BUILD...: prints the folder of this thing; when it is not there yet, runs `BUILD... FOLDER` first.
# The folder appears by rename, so what is there is complete; the lock lets the second builder wait for the first. Not to be
# called in a condition: there bash would go on after the build's first failed command.
cached() (
  name=$1 key=$2
  shift 2
  folder=$CACHE/$name/$key
  if [[ ! -d $folder ]]; then
    mkdir -p "$CACHE/$name" "$CACHE/locks"
    exec 9>"$CACHE/locks/$name-$key"
    flock -n 9 || { say "waiting for another checkout that builds $name" && flock 9; }
    if [[ ! -d $folder ]]; then
      rm -rf "$folder.part"
      mkdir "$folder.part"
      "$@" "$folder.part" >&2 9>&-
      mv -T "$folder.part" "$folder"
    fi
  fi
  # `prune` goes by this time.
  touch -c "$folder"
  printf '%s\n' "$folder"
)
