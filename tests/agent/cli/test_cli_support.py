"""`oc-agent support`: one archive with all that helps and nothing secret; what fails is told, the rest goes on."""

import base64
import hashlib
import io
import json
import os
import re
import stat
import tarfile
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from urllib.parse import quote

import pytest

from agent.cli import main
from agent.cli.messages import set_language
from agent.cli.support import archive, commands, parts
from agent.cli.support.commands import PartFailed, lines_of
from agent.cli.support.parts import Part, without_values
from agent.cli.support.scrubbing import REDACTED, Scrubber

PASSWORD = "S3cret/Bí mật"
KEY = "\n".join(("-----BEGIN PRIVATE KEY-----", "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgkeykeykeykey0001",
                 "c2hvcnR0YWls", "-----END PRIVATE KEY-----"))  # fmt: skip
USER = "broker-login-7"
PLANTED = {
    "password": PASSWORD,
    "password, for an address": quote(PASSWORD, safe=""),
    "password, in base64": base64.b64encode(PASSWORD.encode()).decode().rstrip("="),
    "password, escaped": json.dumps(PASSWORD)[1:-1],
    "first line of the key": "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgkeykeykeykey0001",
    "last line of the key": "c2hvcnR0YWls",
    "user name": USER,
    "password in an address": "hunter2hunter2",
    "password in a comment": "oldpassword99",
    "password in a drop-in": "dropin-pass-1",
    "variable of ours": "environment-token-5",
    "variable of the unit": "unit-env-value-6",
    "key of a link": "bGlua2tleQlinkkeyLINKKEY",
    "another key in the journal": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2",
    "its last line": "d3h5eg",
    "bearer": "eyJhbGciOi.abc.def",
}
JOURNAL = f"""\
2026-11-25T10:00:02 gw oc-agent[7]: login as {USER} with {PASSWORD} refused
2026-11-25T10:00:02 gw oc-agent[7]: url mqtts://me:hunter2hunter2@ioc.example.vn:8883/ broke
2026-11-25T10:00:02 gw oc-agent[7]: {json.dumps({"password": PASSWORD})} {quote(PASSWORD, safe="")}
2026-11-25T10:00:02 gw oc-agent[7]: basic {base64.b64encode(PASSWORD.encode()).decode()}
2026-11-25T10:00:02 gw curl[8]: Authorization: Bearer eyJhbGciOi.abc.def
2026-11-25T10:00:01 gw oc-agent[7]: -----END PRIVATE KEY-----
2026-11-25T10:00:01 gw oc-agent[7]: d3h5eg==
2026-11-25T10:00:01 gw oc-agent[7]: QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2
2026-11-25T10:00:01 gw oc-agent[7]: -----BEGIN PRIVATE KEY-----
2026-11-25T10:00:00 gw oc-agent[7]: meter-1 on /dev/ttyUSB0: no reply within 0.5 s to 01 04 00 00 00 02 71 CB
"""
COMMANDS = {
    "journalctl": f"cat <<'END'\n{JOURNAL}END",
    "systemctl": "echo '[Service]'; echo 'Environment=BROKER_THING=unit-env-value-6'; echo 'User=oc-agent'",
    "dmesg": "echo 'mmc0: timeout'; echo 'audit: nothing'",
    "timedatectl": "exit 3",
}


Made = tuple[dict[str, object], dict[str, bytes], str]
"""What the verb said as JSON, what is in the archive, and its talk."""


@pytest.fixture
def _played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The words of other verbs are played: they take seconds."""
    monkeypatch.setattr(parts, "_verb", lambda *_, **__: lambda: iter(["{}\n"]))
    _surround(monkeypatch, tmp_path)
    yield
    set_language("en")


def _surround(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The system's commands are played, so that the same is told on every machine."""
    (folder / "bin").mkdir()
    for name, script in COMMANDS.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("SOME_TOKEN", "environment-token-5")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One whole archive, with the real verbs."""
    folder = tmp_path_factory.mktemp("support")
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch:
        _surround(monkeypatch, folder)
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as caught:
            main(["--config", str(_configuration(folder)), "support", "--output", str(folder), "--json"])
    assert caught.value.code == 0
    told = json.loads(out.getvalue())
    assert not [path for path in folder.iterdir() if path.name.endswith(".partial")]
    return told, _contents(told["file"]), err.getvalue()


@pytest.fixture
def config(tmp_path: Path, _played: None) -> Path:
    return _configuration(tmp_path)


def _configuration(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    (folder / "conf.d").mkdir(parents=True)
    for name, text in (
        ("mqtt.password", PASSWORD + "\n"),
        ("gw.key", KEY),
        ("gw.pem", "x"),
        ("link.key", PLANTED["key of a link"]),
    ):
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o600)
    (folder / "agent.toml").write_text(
        f'[gateway]\nid = "dng-hc-01"\ndata_dir = "{tmp_path}"\nruntime_dir = "{tmp_path}"\n'
        '[site]\noc = "oc"\n'
        f'[uplink]\nhost = "127.0.0.1"\nport = 1\nusername = "{USER}"\npassword_file = "mqtt.password"\n'
        'cert_file = "gw.pem"\nkey_file = "gw.key"\n'
        "# password = oldpassword99\n# see https://me:hunter2hunter2@wiki.example.vn/page\n"
        '[[link]]\nname = "plc"\nkind = "modbus"\ntransport = "tls"\nhost = "192.0.2.10"\n'
        f'ca_file = "{folder}/gw.pem"\ncert_file = "{folder}/gw.pem"\nkey_file = "{folder}/link.key"\n'
        f'[[device]]\nname = "the {PASSWORD} one"\nlink = "plc"\nprofile = "eastron/sdm120"\n',
        encoding="utf-8",
    )
    (folder / "conf.d" / "x.toml").write_text('[uplink]\npassword = """\ndropin-pass-1"""\n', encoding="utf-8")
    return folder / "agent.toml"


def _support(config: Path, capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["--config", str(config), "support", *argv])
    assert caught.value.code == 0
    return capsys.readouterr()


def _contents(path: str) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        found = {info.name.partition("/")[2]: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
        assert {info.mode for info in tar.getmembers()} == {0o600}
    return found


def test_no_secret_is_in_the_archive_wherever_it_was_planted(made: Made) -> None:
    told, contents, err = made
    everything = b"\n".join((*contents.values(), *map(str.encode, contents), err.encode(), json.dumps(told).encode()))
    assert [name for name, secret in PLANTED.items() if secret.encode() in everything] == []


def test_the_archive_is_for_its_owner_and_named_after_the_gateway(made: Made) -> None:
    path = Path(str(made[0]["file"]))
    assert re.fullmatch(r"oc-agent-support-dng-hc-01-\d{8}T\d{6}Z\.tar\.gz", path.name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_needed_to_help_is_in_the_archive(made: Made) -> None:
    told = {name: data.decode() for name, data in made[1].items()}
    assert "config/conf.d/x.toml" in told
    for kept in ('id = "dng-hc-01"', 'host = "127.0.0.1"', 'password_file = "mqtt.password"', 'host = "192.0.2.10"'):
        assert kept in told["config/agent.toml"]
    assert f"username = {REDACTED}" in told["config/agent.toml"]
    assert "no reply within 0.5 s to 01 04 00 00 00 02 71 CB" in told["journal.txt"]
    assert "@ioc.example.vn:8883/ broke" in told["journal.txt"]
    assert f"Environment={REDACTED}\nUser=oc-agent\n" in told["unit.txt"]
    assert told["kernel-log.txt"] == "mmc0: timeout\n"
    assert "oc-agent " in told["versions.txt"]
    assert json.loads(told["check.json"])["ok"] is False
    assert "ports" in json.loads(told["ports.json"])
    assert "PRETTY_NAME" in told["os-release.txt"]


def test_a_part_that_fails_is_told_and_the_others_go_on(made: Made) -> None:
    report, contents, err = made
    manifest = json.loads(contents["manifest.json"])
    assert manifest["parts"] == report["parts"]
    by_name = {part["name"]: part for part in manifest["parts"]}
    assert "code 3" in by_name["clock.txt"]["error"]
    assert contents["clock.txt.error.txt"].decode() == by_name["clock.txt"]["error"] + "\n"
    assert "clock.txt: failed: ended with code 3" in err
    assert by_name["journal.txt"]["error"] == ""
    for name, data in contents.items():
        if name in by_name:
            assert hashlib.sha256(data).hexdigest() == by_name[name]["sha256"]
    files = {name for name in contents if not name.endswith(".error.txt")} - {"manifest.json"}
    assert {name for name, part in by_name.items() if part["bytes"] or not part["error"]} == files


def test_stdout_is_the_path_and_nothing_else(config: Path, tmp_path: Path, capsys) -> None:
    out, _ = _support(config, capsys, "--output", str(tmp_path))
    assert [out] == [f"{path}\n" for path in tmp_path.glob("*.tar.gz")]


def test_what_will_be_in_it_and_what_not_is_said_before(config: Path, tmp_path: Path, capsys) -> None:
    out, err = _support(config, capsys, "--list")
    assert (err, list(tmp_path.glob("*.gz"))) == ("", [])
    assert "journal of the service, 2 days" in out
    assert "Taken out: passwords" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    names = {part["name"] for part in json.loads(_support(config, capsys, "--list", "--json")[0])["parts"]}
    assert {"config/agent.toml", "check.json", "journal.txt"} <= names


def test_a_secret_that_may_not_be_read_is_told(config: Path, tmp_path: Path, capsys) -> None:
    (config.parent / "mqtt.password").unlink()
    _, err = _support(config, capsys, "--output", str(tmp_path))
    assert f"{config.parent / 'mqtt.password'} cannot be read" in err


def test_a_configuration_that_is_no_toml_is_scrubbed_all_the_same(config: Path, tmp_path: Path, capsys) -> None:
    config.write_text('[uplink]\npassword = "hunter2hunter2\nusername = broker-login-7\n[[[\n', encoding="utf-8")
    contents = _contents(_support(config, capsys, "--output", str(tmp_path))[0].strip())
    assert b"hunter2" not in contents["config/agent.toml"]
    assert b"[[[" in contents["config/agent.toml"]


def test_an_archive_never_replaces_a_file_and_none_is_left_behind_by_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError), archive.new_archive(path, "a"):
        pass
    assert path.read_text(encoding="utf-8") == "mine"
    with pytest.raises(KeyboardInterrupt), archive.new_archive(tmp_path / "b.tar.gz", "b"):
        raise KeyboardInterrupt
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["a.tar.gz"]


def test_a_folder_that_cannot_be_written_is_an_error(config: Path, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--config", str(config), "support", "--output", str(tmp_path / "no")])
    assert caught.value.code == 1
    assert "it cannot be written" in capsys.readouterr().err


def test_readings_stay_out_of_the_state() -> None:
    status = {"links": [{"devices": [{"points": [{"point": "voltage", "value": 231.5, "age_s": 2}]}]}], "values": [1]}
    told = json.loads("".join(without_values(iter([json.dumps(status)]))))
    assert told == {"links": [{"devices": [{"points": [{"point": "voltage", "age_s": 2}]}]}]}
    with pytest.raises(PartFailed):
        list(without_values(iter(['{"value": 231.5'])))


def test_a_part_has_a_limit_and_says_where_it_was_cut(tmp_path: Path) -> None:
    part = Part(name="long.txt", what="", lines=lambda: (f"line {i}\n" for i in range(10**9)), max_bytes=1000)
    with archive.new_archive(tmp_path / "a.tar.gz", "a") as packing:
        packed = packing.add(part, Scrubber({}))
    assert (packed.bytes, packed.cut) == (1000, True)
    assert len(_contents(str(tmp_path / "a.tar.gz"))["long.txt"]) == 1000


def test_a_command_that_hangs_is_ended_with_all_that_it_started() -> None:
    began = time.monotonic()
    got = []
    with pytest.raises(PartFailed, match="took longer than"):
        got.extend(lines_of(["sh", "-c", "echo first; sleep 45 & sleep 45"], 1.0))
    assert got == ["first\n"]
    assert time.monotonic() - began < 40


def test_a_command_that_is_not_there_is_told() -> None:
    with pytest.raises(PartFailed, match="there is no no-such-command"):
        list(lines_of(["no-such-command"], 5.0))


def test_a_line_without_end_takes_no_memory() -> None:
    lines = list(lines_of(["sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo next"], 30.0))
    assert [line[-4:] for line in lines] == ["[…]\n", "ext\n"]
    assert len(lines[0]) < 2 * commands.LINE_MAX_BYTES


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("password = hunter2", f"password = {REDACTED}"),
        ('{"api_key": "a\\"b", "x": 1}', f'{{"api_key": {REDACTED}, "x": 1}}'),
        ("mqttPassword: 'x y'", f"mqttPassword: {REDACTED}"),
        ("password_file = /etc/pw", "password_file = /etc/pw"),
        ("compass = 3, mapping: 4, authority=5", "compass = 3, mapping: 4, authority=5"),
        ("wss://u:p@h/x?y", f"wss://{REDACTED}@h/x?y"),
        ("mail me@example.vn", "mail me@example.vn"),
        (f"got {PLANTED['another key in the journal']}==", f"got {REDACTED}"),
        ("01 04 00 00 00 02 71 CB", "01 04 00 00 00 02 71 CB"),
        ("sha256 " + "0123456789abcdef" * 4, "sha256 " + "0123456789abcdef" * 4),
        ("/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10K1234-if00-port0", "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10K1234-if00-port0"),
        ("no start line: expecting -----BEGIN CERTIFICATE-----", "no start line: expecting -----BEGIN CERTIFICATE-----"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_and_what_does_not(text: str, scrubbed: str) -> None:
    assert Scrubber({}).text(text) == scrubbed


def test_a_short_secret_goes_as_a_whole_word_only() -> None:
    assert Scrubber({"ab": "password_file"}).text("ab cab ab. 'ab'") == f"{REDACTED} cab {REDACTED}. '{REDACTED}'"


def test_a_mark_of_pem_alone_hides_nothing_that_follows() -> None:
    scrubber = Scrubber({})
    assert scrubber.text("gw x: -----BEGIN CERTIFICATE-----\n").endswith("-----\n")
    assert scrubber.text("gw x: nothing was read.\n") == "gw x: nothing was read.\n"
    assert scrubber.text("gw x: QUJD\n") == "gw x: QUJD\n"
