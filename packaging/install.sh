#!/bin/sh
# Install, upgrade, go back or remove oc-agent, without internet. For Debian 12 and 13 and Raspberry Pi OS.
# What it does and why: README.md beside this file. Interrupted at any point it is run again, and what it makes is whole.
set -eu
umask 022
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
HERE=$(dirname "$(readlink -f "$0")")

BASE=/opt/oc-agent
CONFIG=/etc/oc-agent/agent.toml
DATA=/var/lib/oc-agent
UNIT=/etc/systemd/system/oc-agent.service
KEEP_JOURNAL=/run/systemd/system/oc-agent.service.d/install.conf
LOCK=/run/oc-agent-install.lock

# shellcheck source=packaging/parts/talk.sh
. "$HERE/parts/talk.sh"
# shellcheck source=packaging/parts/checks.sh
. "$HERE/parts/checks.sh"
# shellcheck source=packaging/parts/versions.sh
. "$HERE/parts/versions.sh"
# shellcheck source=packaging/parts/files.sh
. "$HERE/parts/files.sh"
# shellcheck source=packaging/parts/outbox.sh
. "$HERE/parts/outbox.sh"
# shellcheck source=packaging/parts/service.sh
. "$HERE/parts/service.sh"
# shellcheck source=packaging/parts/uninstall.sh
. "$HERE/parts/uninstall.sh"

usage() {
  t "usage: sudo ./install.sh [--lang vi|en] [--image] [--ready-within SECONDS] [--steady-for SECONDS]
       sudo ./install.sh --check
       sudo /opt/oc-agent/install.sh --rollback
       sudo /opt/oc-agent/install.sh --uninstall [--purge [--yes]]
  --check         only say what is wrong with this machine or this bundle
  --image         into an image whose systemd does not run: nothing is started
  --ready-within  an upgrade that is not ready by then is undone (60)
  --steady-for    ... or that does not stay ready for so long (10)
  --rollback      back to the version before this one
  --uninstall     remove the program; configuration and data stay
  --purge         those too, and what was not delivered is lost; wants --yes" \
    "cách dùng: sudo ./install.sh [--lang vi|en] [--image] [--ready-within GIÂY] [--steady-for GIÂY]
       sudo ./install.sh --check
       sudo /opt/oc-agent/install.sh --rollback
       sudo /opt/oc-agent/install.sh --uninstall [--purge [--yes]]
  --check         chỉ báo máy này hoặc gói này sai ở đâu
  --image         cài vào ảnh đĩa chưa khởi động systemd: không chạy gì cả
  --ready-within  bản mới không sẵn sàng trong thời gian này thì quay về bản cũ (60)
  --steady-for    ... hoặc không chạy ổn định được chừng này (10)
  --rollback      quay về bản trước
  --uninstall     gỡ chương trình; giữ cấu hình và dữ liệu
  --purge         xóa cả cấu hình và dữ liệu, kể cả dữ liệu chưa gửi; cần thêm --yes"
}

misused() {
  usage >&2
  exit 2
}

seconds() {
  case $1 in '' | *[!0-9]*) misused ;; *) echo "$1" ;; esac
}

main() {
  mode=install image='' purge='' yes='' ready_within=60 steady_for=10
  choose_language
  while [ $# -gt 0 ]; do
    case $1 in
      --lang)
        case ${2-} in vi | en) tongue=$2 ;; *) misused ;; esac
        shift
        ;;
      --image) image=yes ;;
      --ready-within | --steady-for)
        found=$(seconds "${2-}") || misused
        if [ "$1" = --ready-within ]; then ready_within=$found; else steady_for=$found; fi
        shift
        ;;
      --check | --rollback | --uninstall) mode=${1#--} ;;
      --purge) purge=yes ;;
      --yes) yes=yes ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) misused ;;
    esac
    shift
  done
  [ -z "$purge$yes" ] || [ "$mode" = uninstall ] || misused
  cd /
  case $mode in
    check)
      check_all
      t "Nothing is wrong: sudo ./install.sh" "Mọi thứ đều ổn: sudo ./install.sh"
      ;;
    install) install_bundle ;;
    rollback) roll_back ;;
    uninstall) uninstall ;;
  esac
}

install_bundle() {
  check_all
  only_one
  put_user "$HERE/system"
  make_version
  check_configuration "$target"
  refuse_what_would_stop
  refuse_outbox_that_is_newer
  check_room_for_outbox
  if is_in_use; then
    t "oc-agent $version is installed already." "oc-agent $version đã được cài từ trước."
    start_if_wanted
  else
    bring_into_use
  fi
  put_conveniences
  say_next_step
}

roll_back() {
  check_basics
  give_up_if_wrong
  only_one
  if [ -L "$BASE/trial" ]; then
    end_trial
    return
  fi
  target=$BASE/versions/$(pointed_to previous)
  if [ ! -e "$target/complete" ] || ! "$target/bin/oc-agent" --version >/dev/null 2>&1; then
    fail "there is no version before this one on this machine" "trên máy này không còn bản trước"
  fi
  read_release "$target"
  check_configuration "$target"
  refuse_what_would_stop
  refuse_outbox_that_is_newer
  bring_into_use
  put_conveniences
  say_next_step
}

main "$@"
