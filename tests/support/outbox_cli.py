"""The command line on an outbox of the laboratory."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from agent_config import METER
from store_lab import Lab

from agent.cli import main

CONFIG = (
    """\
[gateway]
id = "dng-hc-01"
data_dir = "{data}"
runtime_dir = "{runtime}"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
tls = false
[outbox]
max_bytes = 20_000_000
retention_days = 30.0
"""
    + METER
)

Run = Callable[..., tuple[int, str, str]]


def runner(lab: Lab, capsys: pytest.CaptureFixture[str], folder: Path) -> Run:
    """`run("outbox", "status")` with a configuration that means the laboratory: exit code, stdout, stderr."""

    def run(*arguments: Any, lang: str = "en") -> tuple[int, str, str]:
        config = folder / "agent.toml"
        with suppress(PermissionError):  # who may read one folder only needs no configuration
            config.write_text(CONFIG.format(data=lab.data, runtime=lab.runtime), encoding="utf-8")
        with pytest.raises(SystemExit) as caught:
            main(["--lang", lang, "--config", str(config), *map(str, arguments)])
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


def found(run: Run, *arguments: Any) -> Any:
    """What a verb gives as JSON, whatever its exit code."""
    return json.loads(run(*arguments, "--json")[1])
