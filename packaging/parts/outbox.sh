# An older version cannot read an outbox whose schema a newer one has raised. Where the schema will change, a copy is kept
# until the new version has proved itself. What only the newer file holds is never thrown away.

# runs in the new version as the user of the service: files that SQLite makes belong to it
asked() {
  runuser -u oc-agent -- "$target/bin/python" -I -c "$1" "$CONFIG"
}

# $outbox: the file that the configuration means; empty where there is none
find_outbox() {
  outbox=''
  if [ "$configured" != good ]; then return; fi
  outbox=$(asked 'import sys; from pathlib import Path; from agent.configuration import load_configuration
print(Path(load_configuration(Path(sys.argv[1])).settings.gateway.data_dir) / "outbox.db")' 2>/dev/null) || outbox="$DATA/outbox.db"
  if [ ! -e "$outbox" ]; then outbox=''; fi
}

# the schema of the file, 0 where it cannot be told
schema_of_outbox() {
  runuser -u oc-agent -- "$target/bin/python" -I -c 'import sqlite3, sys, urllib.parse
with sqlite3.connect("file:" + urllib.parse.quote(sys.argv[1]) + "?mode=ro", uri=True, timeout=5) as file:
    print(file.execute("PRAGMA user_version").fetchone()[0])' "$outbox" 2>/dev/null || echo 0
}

# the schema that version $1 knows
schema_known_to() {
  sed -n 's/^schema=//p' "$BASE/versions/$1/release"
}

will_change_schema() {
  [ -n "$outbox" ] && [ -n "$(fallback)" ] && [ "$(schema_known_to "$(fallback)")" -lt "$schema" ]
}

kept_copy() {
  echo "$outbox.before-upgrade"
}

check_room_for_outbox() {
  if ! will_change_schema || [ -e "$(kept_copy)" ]; then return; fi
  need=$(($(du -k "$outbox" | cut -f1) + 65536))
  room=$(free_kb "$(dirname "$outbox")")
  [ "$room" -ge "$need" ] || fail "the new version changes the outbox; a copy of it needs $((need / 1024)) MB, \
$((room / 1024)) MB are free in $(dirname "$outbox"). Nothing was changed" \
    "bản mới đổi cấu trúc outbox; bản sao của nó cần $((need / 1024)) MB, $(dirname "$outbox") chỉ còn \
$((room / 1024)) MB. Chưa thay đổi gì"
}

refuse_outbox_that_is_newer() {
  find_outbox
  if [ -z "$outbox" ]; then return; fi
  is=$(schema_of_outbox)
  [ "$is" -le "$schema" ] || fail "$outbox has schema $is, version $version reads up to $schema: it would not start" \
    "$outbox có cấu trúc $is, bản $version chỉ đọc được đến $schema: bản đó sẽ không chạy được"
}

# the service is stopped; a copy that is there already is older than what a trial has changed
keep_copy() {
  if ! will_change_schema || [ -e "$(kept_copy)" ] || [ "$(schema_of_outbox)" -ge "$schema" ]; then return; fi
  copy=$(kept_copy)
  if [ -s "$outbox-wal" ]; then cp -p "$outbox-wal" "$copy-wal"; fi
  cp -p "$outbox" "$copy.part"
  sync -f "$copy.part"
  mv -T "$copy.part" "$copy"
  sync -f "$copy"
}

drop_copy() {
  if [ -n "$outbox" ]; then rm -f "$(kept_copy)" "$(kept_copy)-wal" "$(kept_copy).part"; fi
}

# the service is stopped; $1: the version that is to read the file again
restore_copy() {
  if [ -z "$outbox" ]; then return; fi
  copy=$(kept_copy)
  if [ -e "$copy" ] && [ "$(schema_of_outbox)" -gt "$(schema_known_to "$1")" ]; then
    newer=$outbox.newer-$(date +%s)
    if [ -s "$outbox-wal" ]; then mv -T "$outbox-wal" "$newer-wal"; fi
    mv -T "$outbox" "$newer"
    rm -f "$outbox-shm" "$outbox-wal"
    if [ -e "$copy-wal" ]; then mv -T "$copy-wal" "$outbox-wal"; fi
    mv -T "$copy" "$outbox"
    sync -f "$outbox"
    t "The outbox is the one from before; what the new version read meanwhile is in $newer (docs/outbox.md)." \
      "Outbox trở lại như trước; những gì bản mới đã đọc nằm trong $newer (docs/outbox.md)."
  fi
  drop_copy
}
