# prune: built things that nobody used for two weeks.

if help_wanted "$@"; then
  echo "usage: testbed/testbed prune"
  echo "Deletes what is in the build cache ($CACHE) and was not used for two weeks."
  exit
fi

[[ -d $CACHE ]] || exit 0
find "$CACHE" -mindepth 2 -maxdepth 2 -type d -mtime +14 -print -exec rm -rf {} +
du -sh "$CACHE" >&2
