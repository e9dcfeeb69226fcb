# What must be true before anything is changed.

NEED_KB=81920

check_all() {
  check_basics
  if check_files; then
    read_release "$HERE"
    check_python
  fi
  check_disk
  give_up_if_wrong
}

check_basics() {
  [ "$(id -u)" = 0 ] || problem "only root may install: sudo $0" "phải có quyền root: sudo $0"
  for tool in systemctl systemd-sysusers systemd-tmpfiles flock runuser sha256sum; do
    command -v "$tool" >/dev/null || problem "there is no $tool: Debian 12 or 13, or Raspberry Pi OS, is needed" \
      "không có $tool: cần Debian 12, 13 hoặc Raspberry Pi OS"
  done
  [ -r /proc/uptime ] || problem "/proc is not mounted" "chưa gắn /proc"
  systemd=$(systemctl --version 2>/dev/null | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
  [ "${systemd:-0}" -ge 252 ] || problem "systemd is ${systemd:-missing}; 252 or newer is needed" \
    "systemd là ${systemd:-không có}; cần 252 trở lên"
  [ -n "$image" ] || [ -d /run/systemd/system ] || problem "systemd does not run here; into an image: --image" \
    "systemd không chạy ở đây; nếu cài vào ảnh đĩa thì thêm --image"
  if [ -e "$BASE/venv" ] && [ ! -L "$BASE/venv" ]; then
    problem "$BASE/venv was not made by this installer: stop oc-agent and move it away" \
      "$BASE/venv không do bộ cài này tạo ra: hãy dừng oc-agent và dời nó đi"
  fi
}

check_files() {
  if [ ! -r "$HERE/SHA256SUMS" ]; then
    problem "$HERE is not an unpacked bundle: tar xzf oc-agent-….tar.gz" \
      "$HERE không phải gói đã giải nén: tar xzf oc-agent-….tar.gz"
    return 1
  elif ! damaged=$(cd "$HERE" && LC_ALL=C sha256sum --check --strict --quiet SHA256SUMS 2>&1); then
    problem "the bundle is damaged, copy it again: $damaged" "gói bị hỏng, hãy chép lại: $damaged"
    return 1
  fi
}

# `release` of a bundle or of an installed version: version, arch, multiarch, pythons, schema
read_release() {
  version='' arch='' multiarch='' pythons='' schema=''
  # shellcheck source=/dev/null
  . "$1/release" # of a bundle whose hashes were checked, or of our own folder
}

# shellcheck disable=SC2154 # multiarch, arch, pythons: of the release
check_python() {
  python='' seen='' wanted="python3"
  for one in $pythons; do wanted="$wanted python$one"; done
  for name in $wanted; do
    path=$(command -v "$name") || continue
    if ! found=$(probe "$path" 2>&1); then
      seen="$seen
      $name: $(printf '%s' "$found" | tail -n 1)"
      continue
    fi
    seen="$seen
      $name: Python $found"
    case " $pythons " in *" ${found%% *} "*) ;; *) continue ;; esac
    [ "${found#* }" = "$multiarch" ] || continue
    python=$(readlink -f "$path")
    python_version=${found%% *}
    return
  done
  problem "no Python that this bundle ($arch) has wheels for: $pythons on $multiarch. Here:${seen:- none}" \
    "không có Python nào hợp với gói này ($arch): cần $pythons trên $multiarch. Máy này có:${seen:- không có}"
}

probe() {
  "$1" -I -c 'import ctypes, sqlite3, ssl, sys, sysconfig, venv
print("%d.%d" % sys.version_info[:2], sysconfig.get_config_var("MULTIARCH"))'
}

check_disk() {
  there=$BASE
  while [ ! -d "$there" ]; do there=$(dirname "$there"); done
  room=$(free_kb "$there")
  [ "$room" -ge "$NEED_KB" ] || problem "$there has $((room / 1024)) MB free; $((NEED_KB / 1024)) MB are needed" \
    "$there còn trống $((room / 1024)) MB; cần $((NEED_KB / 1024)) MB"
}

free_kb() {
  df -Pk "$1" | awk 'NR == 2 { print $4 }'
}

only_one() {
  exec 9>"$LOCK"
  flock -n 9 || fail "another installation runs" "một lần cài đặt khác đang chạy"
}
