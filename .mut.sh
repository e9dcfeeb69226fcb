# usage: .mut.sh file 'old' 'new' tests...
f=$1; o=$2; n=$3; shift 3
python3 - "$f" "$o" "$n" <<'P'
import sys
from pathlib import Path
f,o,n=sys.argv[1:4]
t=Path(f).read_text(); assert t.count(o)>=1,("not found",o); Path(f).write_text(t.replace(o,n,1))
P
echo "== $f: $o -> $n"; timeout 300 /work/main/.venv/bin/python -m pytest -q -x "$@" 2>&1 | grep -E "^(FAILED|ERROR)|passed|failed" | cut -c1-150
git checkout -q $f
