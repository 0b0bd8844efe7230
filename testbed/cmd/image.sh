# image: builds images (once per content) and loads them into the cluster when it is up.

if help_wanted "$@"; then
  echo "usage: testbed/testbed image [NAME...]"
  echo "Builds the images, loads them into the cluster if it is up, and prints their references, one a line."
  echo "Names: ${IMAGES[*]}; without a name: all but whimbrel."
  echo "WHIMBREL_IMAGE_FEATURES: cargo features for whimbrel, such as those of fault tests."
  exit
fi

(($#)) || set -- "${IMAGES[@]/whimbrel/}"
for name in "$@"; do
  [[ -n $name ]] || continue
  folders=$(image_folders "$name")
  while read -r folder; do
    reference=$(<"$folder/reference")
    if cell_is_alive; then
      load_archive "$folder/image.tar"
      say "loaded $reference"
    else
      say "built $reference: $folder/image.tar"
    fi
    echo "$reference"
  done <<<"$folders"
done
