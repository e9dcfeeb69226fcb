# Files outside of /opt/oc-agent. Each is written beside its place and renamed, and only where it differs.

put() {
  if cmp -s "$1" "$2"; then return; fi
  mkdir -p "$(dirname "$2")"
  cp "$1" "$2.new"
  chmod 644 "$2.new"
  mv -T "$2.new" "$2"
}

SYSUSERS=/usr/lib/sysusers.d/oc-agent.conf
TMPFILES=/usr/lib/tmpfiles.d/oc-agent.conf
RULES=/etc/udev/rules.d/99-oc-agent-serial.rules
COMMAND=/usr/local/bin/oc-agent
COMPLETION=/usr/local/share/bash-completion/completions/oc-agent
MAN=/usr/local/share/man

put_user() {
  put "$1/oc-agent.sysusers" $SYSUSERS
  put "$1/oc-agent.tmpfiles" $TMPFILES
  systemd-sysusers $SYSUSERS
  systemd-tmpfiles --create $TMPFILES
}

# whether the files of version $1 are those in place
files_are_of() {
  cmp -s "$1/system/oc-agent.service" "$UNIT" && cmp -s "$1/system/99-oc-agent-serial.rules" $RULES
}

put_files() {
  put_user "$1/system"
  put "$1/system/oc-agent.service" "$UNIT"
  put "$1/system/99-oc-agent-serial.rules" $RULES
  if [ -n "$image" ]; then return; fi
  systemctl daemon-reload
  if command -v udevadm >/dev/null; then
    { udevadm control --reload && udevadm trigger --subsystem-match=tty; } >/dev/null 2>&1 || :
  fi
}

# The command, its completion and its pages, of the version in use. None of them stops an installation.
put_conveniences() {
  put "$BASE/venv/agent.example.toml" /etc/oc-agent/agent.example.toml
  ln -sfn venv/install.sh "$BASE/install.sh"
  mkdir -p /usr/local/bin
  if [ -L $COMMAND ] || [ ! -e $COMMAND ]; then
    ln -sfn "$BASE/venv/bin/oc-agent" $COMMAND
  else
    t "$COMMAND is not of this installer; it stays." "$COMMAND không do bộ cài này tạo; giữ nguyên."
  fi
  scratch=$(mktemp)
  if "$BASE/venv/bin/oc-agent" completion bash >"$scratch" 2>/dev/null; then put "$scratch" $COMPLETION; fi
  rm -f "$scratch"
  remove_pages
  (cd "$BASE/venv/share/man" 2>/dev/null && find . -type f) | while read -r page; do
    mkdir -p "$(dirname "$MAN/$page")"
    ln -sfn "$BASE/venv/share/man/${page#./}" "$MAN/${page#./}"
  done
}

remove_pages() {
  if [ -d $MAN ]; then find $MAN -type l -lname "$BASE/*" -delete; fi
}

remove_files() {
  remove_pages
  if [ -L $COMMAND ]; then rm -f $COMMAND; fi
  rm -f $COMPLETION "$UNIT" $RULES $SYSUSERS $TMPFILES /etc/oc-agent/agent.example.toml
}
