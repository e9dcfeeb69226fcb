# Removing. Configuration and data stay unless told; so does the user, to whom they belong.

uninstall() {
  [ "$(id -u)" = 0 ] || fail "only root may uninstall: sudo $0" "phải có quyền root: sudo $0"
  only_one
  waiting=$(count_waiting)
  if [ -n "$purge" ] && [ -z "$yes" ]; then
    fail "--purge removes /etc/oc-agent and $DATA; readings that were not delivered yet: $waiting. \
If that is wanted: --purge --yes. Nothing was changed" \
      "--purge xóa /etc/oc-agent và $DATA; số giá trị đo chưa gửi: $waiting. \
Nếu đúng ý bạn: --purge --yes. Chưa thay đổi gì"
  fi
  if [ -z "$image" ] && [ -e "$UNIT" ]; then systemctl stop oc-agent; fi
  if [ -e "$UNIT" ]; then systemctl --quiet disable oc-agent; fi
  remove_files
  if [ -z "$image" ]; then
    rm -f "$KEEP_JOURNAL"
    systemctl daemon-reload
    systemctl reset-failed oc-agent 2>/dev/null || :
    udevadm control --reload >/dev/null 2>&1 || :
  fi
  rm -f "$BASE/venv"
  rm -rf --one-file-system "$BASE"
  if [ -n "$purge" ]; then
    purge_all
  else
    t "oc-agent is removed. /etc/oc-agent and $DATA stay; readings not delivered yet: $waiting." \
      "Đã gỡ oc-agent. Giữ lại /etc/oc-agent và $DATA; số giá trị đo chưa gửi: $waiting."
  fi
}

purge_all() {
  rm -rf --one-file-system /etc/oc-agent "$DATA" /run/oc-agent "$UNIT.d"
  if [ -z "$image" ]; then systemctl daemon-reload; fi
  if id oc-agent >/dev/null 2>&1; then userdel oc-agent; fi
  t "oc-agent, its configuration, its data and its user are removed." \
    "Đã gỡ oc-agent cùng cấu hình, dữ liệu và người dùng của nó."
}

# readings that are accepted and neither delivered nor lost
count_waiting() {
  for where in '' "$DATA"; do
    # shellcheck disable=SC2086 # no argument where it is empty
    if $BASE/venv/bin/oc-agent --config "$CONFIG" outbox status --json $where 2>/dev/null | "$BASE/venv/bin/python" -I -c '
import json, sys
print(json.load(sys.stdin)["account"]["stored"])' 2>/dev/null; then
      return
    fi
  done
  if [ -e "$DATA/outbox.db" ]; then t "unknown" "không rõ"; else echo 0; fi
}
