# image: builds images (once per content) and loads them into the cluster when it is up.

if help_wanted "$@"; then
  echo "usage: testbed/testbed image [NAME...]"
  echo "Builds the images, loads them into the cluster if it is up, and prints the archives' paths."
  echo "Names: ${IMAGES[*]}; without a name: all but whimbrel."
  exit
fi

(($#)) || set -- "${IMAGES[@]/whimbrel/}"
for name in "$@"; do
  [[ -n $name ]] || continue
  archives=$(image_archives "$name")
  while read -r archive; do
    if cell_is_alive; then
      load_archive "$archive"
      say "loaded $name: $archive"
    fi
    echo "$archive"
  done <<<"$archives"
done
