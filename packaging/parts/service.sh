# The service: from one version to the other, on trial, and back.

state() {
  systemctl show --value --property "$1" oc-agent
}

runs() {
  if [ -n "$image" ]; then return 1; fi
  case $(state ActiveState) in active | activating | reloading | deactivating) ;; *) return 1 ;; esac
}

# $configured: absent, good or bad, as version $1 sees it. Files of LoadCredential= are there only while the service runs.
check_configuration() {
  configured=absent
  if [ ! -e "$CONFIG" ]; then return; fi
  configured=good
  if complaints=$(runuser -u oc-agent -- "$1/bin/oc-agent" --lang "$tongue" --config "$CONFIG" check 2>&1 >/dev/null); then
    return
  fi
  runuser -u oc-agent -- "$1/bin/oc-agent" --config "$CONFIG" check --json 2>/dev/null | "$1/bin/python" -I -c '
import json, sys
found = json.load(sys.stdin)["problems"]
sys.exit(any("/run/credentials/" not in problem["what"] for problem in found) or not found)' 2>/dev/null || configured=bad
}

# a service that runs must not be ended by a configuration that the other version does not take
refuse_what_would_stop() {
  if [ $configured = good ] || [ $configured = absent ] || ! runs; then return; fi
  t "$complaints" "$complaints" >&2
  t "error: version $version does not accept $CONFIG (above). Nothing was changed; the service still runs." \
    "lỗi: bản $version không chấp nhận $CONFIG (xem trên). Chưa thay đổi gì; dịch vụ vẫn đang chạy." >&2
  if [ "$(pointed_to venv)" != "$(basename "$target")" ] && [ "$(pointed_to previous)" != "$(basename "$target")" ]; then
    remove_folder "$target"
  fi
  exit 78
}

# the version to go back to: empty where there is none
fallback() {
  other=$(pointed_to trial)
  [ -n "$other" ] || other=$(pointed_to venv)
  if [ "$other" != "$(basename "$target")" ] && [ -e "$BASE/versions/$other/complete" ]; then echo "$other"; fi
}

# Exchange the version in use for $target; back where it does not become ready, or does not stay so.
bring_into_use() {
  trap '' HUP INT TERM # a line that drops must not end this half-way
  trap 'came_to_nothing $?' EXIT
  ran=''
  if runs; then ran=yes; fi
  back=$(fallback)
  if [ ! -L "$BASE/trial" ]; then drop_copy; fi
  if [ -n "$back" ]; then point trial "$back"; fi
  if is_to_run; then systemctl start network-online.target 2>/dev/null || :; fi # waiting for it is not the new version's fault
  stop_service
  keep_copy
  put_files "$target"
  if [ ! -L "$BASE/venv" ]; then systemctl --quiet enable oc-agent; fi
  point venv "$(basename "$target")"
  if is_to_run; then
    since=$(date +%s)
    start_service
    if ! becomes_ready; then give_up; fi
  fi
  if [ -n "$back" ]; then mv -T "$BASE/trial" "$BASE/previous"; fi
  rm -f "$BASE/trial"
  drop_copy
  remove_other_versions
  sync -f "$BASE"
  trap - HUP INT TERM EXIT
  t "oc-agent $version is installed." "Đã cài oc-agent $version."
}

is_to_run() {
  if [ -n "$image" ] || [ $configured != good ]; then return 1; fi
  [ -n "${ran-}" ] || systemctl --quiet is-enabled oc-agent
}

# the version is in use, and was not changed
start_if_wanted() {
  if ! is_to_run || [ "$(state ActiveState)" = active ]; then return; fi
  since=$(date +%s)
  back=''
  start_service
  if ! becomes_ready; then give_up; fi
}

# What was read and is not on the card yet is in /run: it outlives this stop as it does a restart.
stop_service() {
  if ! runs; then return; fi
  mkdir -p "$(dirname $KEEP_JOURNAL)"
  printf '[Service]\nRuntimeDirectoryPreserve=yes\n' >"$KEEP_JOURNAL"
  systemctl daemon-reload
  systemctl stop oc-agent
}

start_service() {
  rm -f "$KEEP_JOURNAL"
  systemctl daemon-reload
  systemctl reset-failed oc-agent 2>/dev/null || :
  systemctl start --no-block oc-agent
}

uptime_s() {
  cut -d. -f1 /proc/uptime # the clock may be set meanwhile
}

# whether it is ready within $ready_within, and then stays so for $steady_for; $why says what happened
becomes_ready() {
  t "Waiting until oc-agent is ready ..." "Đang chờ oc-agent sẵn sàng ..."
  end=$(($(uptime_s) + ready_within))
  until [ "$(state ActiveState)" = active ]; do
    if has_ended; then return 1; fi
    if [ "$(uptime_s)" -ge "$end" ]; then
      why=$(t "it is not ready after $ready_within s" "sau $ready_within giây vẫn chưa sẵn sàng")
      return 1
    fi
    sleep 0.2
  done
  end=$(($(uptime_s) + steady_for))
  while [ "$(uptime_s)" -le "$end" ]; do # at least, though in whole seconds
    if has_ended; then return 1; fi
    case $(state ActiveState) in active | reloading) ;; *) return 1 ;; esac
    sleep 0.2
  done
}

has_ended() {
  code=$(state ExecMainStatus)
  why=$(t "it ended with code $code" "nó đã dừng với mã $code")
  case $(state SubState)/$(state NRestarts) in
    failed/* | auto-restart*) ;; # between two starts it counts as activating
    */0) return 1 ;;
  esac
}

give_up() {
  t "oc-agent $version does not run: $why." "oc-agent $version không chạy được: $why." >&2
  journalctl --no-pager --quiet --output=cat -u oc-agent --since "@$since" -n 15 2>/dev/null | sed 's/^/    /' >&2 || :
  log="journalctl -u oc-agent --since @$since"
  trap - EXIT
  if [ -z "$back" ]; then
    fail "there is no other version to go back to. The log: $log" "không có bản nào khác để quay về. Nhật ký: $log"
  fi
  return_to "$back"
  fail "back at version ${back%%-*}. The log of $version: $log" "đã quay về bản ${back%%-*}. Nhật ký của bản $version: $log"
}

# a step has failed, the card is full for example
came_to_nothing() {
  trap - EXIT
  if [ "$1" != 0 ] && [ -n "$back" ]; then
    t "Something failed (see above); going back to version ${back%%-*}." \
      "Có bước bị lỗi (xem trên); đang quay về bản ${back%%-*}." >&2
    return_to "$back"
  fi
  exit "$1"
}

# what an interrupted upgrade has left: back to the version that was there
end_trial() {
  back=$(pointed_to trial)
  target=$BASE/versions/$back
  read_release "$target"
  check_configuration "$target"
  find_outbox
  since=$(date +%s)
  return_to "$back"
  t "Back at version $version." "Đã quay về bản $version."
}

return_to() {
  stop_service
  restore_copy "$1"
  put_files "$BASE/versions/$1"
  point venv "$1"
  rm -f "$BASE/trial"
  remove_other_versions
  start_service
  becomes_ready || t "Version ${1%%-*} does not run either: $why." "Bản ${1%%-*} cũng không chạy được: $why." >&2
}

say_next_step() {
  if [ -n "$image" ]; then
    t "It starts when the image is booted and $CONFIG is there." "Nó sẽ chạy khi ảnh đĩa khởi động và có $CONFIG."
    return
  fi
  case $configured in
    absent)
      t "Next: sudo oc-agent init, or write $CONFIG after /etc/oc-agent/agent.example.toml;
then: sudo systemctl start oc-agent" \
        "Tiếp theo: sudo oc-agent init, hoặc viết $CONFIG theo mẫu /etc/oc-agent/agent.example.toml;
rồi: sudo systemctl start oc-agent"
      ;;
    bad)
      t "$complaints" "$complaints" >&2
      t "It was not started: mend $CONFIG, sudo oc-agent check; then: sudo systemctl start oc-agent" \
        "Dịch vụ chưa chạy: hãy sửa $CONFIG, sudo oc-agent check; rồi: sudo systemctl start oc-agent" >&2
      ;;
    good)
      if runs; then
        t "It runs: sudo oc-agent status" "Dịch vụ đang chạy: sudo oc-agent status"
      else
        t "It is disabled, so it was not started: sudo systemctl enable --now oc-agent" \
          "Dịch vụ đang bị tắt (disabled) nên chưa chạy: sudo systemctl enable --now oc-agent"
      fi
      ;;
  esac
}
