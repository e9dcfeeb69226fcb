# Texts in English and Vietnamese. A terminal that has gone away (ssh) ends nothing.

choose_language() {
  tongue=en
  case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in vi*) tongue='vi' ;; esac
}

t() {
  if [ "$tongue" = vi ]; then set -- "$2"; fi
  printf '%s\n' "$1" 2>/dev/null || :
}

fail() {
  t "error: $1" "lỗi: $2" >&2
  exit 1
}

# what is wrong is collected, and told at once
problems=0
problem() {
  problems=$((problems + 1))
  printf '  * ' >&2
  t "$1" "$2" >&2
}

give_up_if_wrong() {
  [ "$problems" = 0 ] || fail "nothing was changed; $problems problem(s), see above" \
    "chưa thay đổi gì; có $problems vấn đề, xem ở trên"
}
