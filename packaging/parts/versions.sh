# Versions side by side; links say which one is what. Each link is exchanged in one step.
#   venv      the version in use           previous  the one before it, for --rollback
#   trial     while a new version is on trial: the one to go back to

# the folder name of the version that link $1 means; empty where there is none
pointed_to() {
  if [ -L "$BASE/$1" ]; then basename "$(readlink "$BASE/$1")"; fi
}

point() {
  ln -sfn "versions/$2" "$BASE/$1.new"
  mv -T "$BASE/$1.new" "$BASE/$1"
  sync -f "$BASE"
}

# Make the folder of this bundle for this Python. One without `complete` is what an interruption has left.
make_version() {
  bundle_id=$(sha256sum "$HERE/SHA256SUMS" | cut -c1-8)
  target=$BASE/versions/$version-$bundle_id-py$python_version
  if [ -e "$target/complete" ]; then return; fi
  t "Unpacking oc-agent $version ..." "Đang giải nén oc-agent $version ..."
  remove_folder "$target"
  mkdir -p "$BASE/versions"
  "$python" -I -m venv --without-pip "$target"
  bundled_pip install --quiet --no-index --no-deps --require-hashes --only-binary=:all: \
    --find-links "$HERE/wheels" --requirement "$HERE/requirements.txt"
  "$target/bin/oc-agent" --version >/dev/null
  cp -R "$HERE/system" "$HERE/parts" "$HERE/docs" "$HERE/install.sh" "$HERE/release" "$HERE/agent.example.toml" "$target/"
  chmod -R u=rwX,go=rX "$target"
  sync -f "$target"
  : >"$target/complete"
  sync -f "$target"
}

# no index, no configuration and no cache of this machine counts
bundled_pip() {
  PIP_CONFIG_FILE=/dev/null "$target/bin/python" -I -c 'import runpy, sys
sys.path.insert(0, sys.argv.pop(1)); runpy.run_module("pip", run_name="__main__")' \
    "$(echo "$HERE"/wheels/pip-*.whl)" --isolated --disable-pip-version-check --no-cache-dir "$@"
}

is_in_use() {
  [ "$(pointed_to venv)" = "$(basename "$target")" ] && [ ! -L "$BASE/trial" ] && files_are_of "$target"
}

# the version in use and the one before it stay
remove_other_versions() {
  for folder in "$BASE"/versions/*; do
    case $(basename "$folder") in
      "$(pointed_to venv)" | "$(pointed_to previous)") ;;
      *) remove_folder "$folder" ;;
    esac
  done
}

# `complete` goes first: what is half removed does not count as whole
remove_folder() {
  rm -f "$1/complete"
  rm -rf --one-file-system "$1"
}
