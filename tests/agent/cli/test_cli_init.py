"""`oc-agent init` with options: a configuration that passes `check`, written whole or not at all."""

import json
import os
import re
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from agent.cli import main
from agent.cli.init import notation, placing
from agent.cli.init.comments import KEYS
from agent.cli.init.draft import Draft
from agent.cli.init.notation import NotUnderstood
from agent.cli.init.writing import configuration_text
from agent.cli.messages import set_language
from agent.configuration import load_configuration

Init = Callable[..., tuple[int, str, str]]
GOOD = ["--gateway-id", "dng-hc-01", "--oc", "oc-haichau", "--broker", "mqtts://ioc.example.vn:8884"]


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    set_language("en")


@pytest.fixture
def init(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Init:
    def run(*argv: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["--config", str(tmp_path / "agent.toml"), "init", *argv])
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


def test_options_alone_make_a_configuration_that_passes_check(init: Init, tmp_path: Path) -> None:
    code, out, err = init(
        "--yes", *GOOD, "--name-vi", "OC quận Hải Châu", "--location", "108.2208,16.0678",
        "--link", "bus-1=rtu:/dev/ttyAMA0,4800,8E1", "--link", "plc=tcp:192.0.2.10:1502",
        "--device", "meter-1=bus-1,3,eastron/sdm120,5m", "--device", "ups=plc,1,apc/smart-ups",
    )  # fmt: skip
    assert (code, out) == (0, f"{tmp_path / 'agent.toml'} is written\n"), err
    settings = load_configuration(tmp_path / "agent.toml").settings
    assert settings.gateway.id == "dng-hc-01"
    assert (settings.site.name, settings.site.location) == ({"vi": "OC quận Hải Châu"}, (108.2208, 16.0678))
    assert (settings.uplink.host, settings.uplink.port, settings.uplink.tls) == ("ioc.example.vn", 8884, True)
    bus, plc = (link.options for link in settings.links)
    assert (bus.port, bus.baud, bus.parity, bus.transport) == ("/dev/ttyAMA0", 4800, "E", "rtu")
    assert plc.endpoint == "tcp://192.0.2.10:1502"
    meter, ups = settings.devices
    assert (meter.unit, meter.link, meter.profile_name) == (3, "bus-1", "eastron/sdm120")
    assert 300.0 in {point.interval_s for point in meter.points}
    assert (ups.name, ups.unit) == ("ups", 1)


def test_the_file_is_for_its_owner_and_group_and_nothing_else_is_left(init: Init, tmp_path: Path) -> None:
    assert init("--yes", *GOOD)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["agent.toml"]
    assert stat.S_IMODE((tmp_path / "agent.toml").stat().st_mode) == 0o640


def test_the_service_gets_its_files_where_it_has_a_user_and_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, tuple[int, int]] = {}

    def chown(_file: object, uid: int, gid: int) -> None:
        given[str(gid if uid == -1 else uid)] = (uid, gid)

    monkeypatch.setattr(
        placing.pwd, "getpwnam", lambda name: SimpleNamespace(pw_uid=7001) if name == "oc-agent" else None
    )
    monkeypatch.setattr(
        placing.grp, "getgrnam", lambda name: SimpleNamespace(gr_gid=7002) if name == "oc-agent" else None
    )
    monkeypatch.setattr(placing.os, "chown", chown)
    monkeypatch.setattr(placing.os, "fchown", chown)
    text = '[gateway]\nid = "a"\n[site]\noc = "b"\n[uplink]\nhost = "c"\n'
    placing.place(text, tmp_path / "agent.toml", password="secret", but=(), force=False)
    assert given == {"7001": (7001, -1), "7002": (-1, 7002)}


def test_a_configuration_that_is_there_is_kept_and_only_replaced_with_force(init: Init, tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text("old", encoding="utf-8")
    code, _, err = init("--yes", *GOOD)
    assert (code, file.read_text(encoding="utf-8")) == (1, "old")
    assert "--force" in err
    code, out, _ = init("--yes", "--force", "--json", *GOOD)
    told = json.loads(out)
    assert (code, told["file"]) == (0, str(file))
    assert re.fullmatch(r".*/agent\.toml\.bak-\d{8}-\d{6}", told["backup"])
    assert Path(told["backup"]).read_text(encoding="utf-8") == "old"
    assert load_configuration(file).settings.gateway.id == "dng-hc-01"


def test_what_check_refuses_is_not_written_and_the_old_one_stays(init: Init, tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text("old", encoding="utf-8")
    code, _, err = init("--yes", "--force", *GOOD, "--link", "a=rtu:/dev/ttyS7", "--device", "m=b,1,eastron/sdm120")
    assert code == 78
    assert f"{file}:" in err
    assert 'there is no link "b"' in err
    assert [path.name for path in tmp_path.iterdir()] == ["agent.toml"]
    assert file.read_text(encoding="utf-8") == "old"


def test_all_that_is_wrong_with_the_options_is_told_at_once(init: Init, tmp_path: Path) -> None:
    code, _, err = init("--yes", "--link", "bus", "--device", "m", "--location", "16.07,108.22")
    assert code == 1
    for said in ("--link:", "--device:", "--location:", "--gateway-id is", "--oc is", "--broker is", "108.22,16.07?"):
        assert said in err
    assert not list(tmp_path.iterdir())


def test_without_a_terminal_nothing_is_asked(init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open(encoding="utf-8") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        code, _, err = init(*GOOD)
    assert code == 1
    assert "--yes" in err


def test_links_and_devices_come_from_a_scan(init: Init, tmp_path: Path) -> None:
    scan = tmp_path / "scan.toml"
    scan.write_text(
        '[[link]]\nname = "bus-1"\nkind = "modbus"\ntransport = "rtu"\nport = "/dev/ttyS7"\nbaud = 4800\n'
        '[[device]]\nname = "m"\nlink = "bus-1"\nprofile = "eastron/sdm120"\nunit = 7\n',
        encoding="utf-8",
    )
    assert init("--yes", *GOOD, "--from-scan", str(scan))[0] == 0
    settings = load_configuration(tmp_path / "agent.toml").settings
    assert (settings.devices[0].unit, settings.links[0].options.baud) == (7, 4800)


def test_a_scan_with_other_tables_is_refused(init: Init, tmp_path: Path) -> None:
    scan = tmp_path / "scan.toml"
    scan.write_text('[uplink]\nhost = "elsewhere"\n', encoding="utf-8")
    code, _, err = init("--yes", *GOOD, "--from-scan", str(scan))
    assert code == 78
    assert "uplink: is not a known key" in err


def test_a_folder_that_is_not_there_is_told_before_anything_else(capsys, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--config", str(tmp_path / "no" / "agent.toml"), "init", "--yes", *GOOD])
    assert "there is no folder" in capsys.readouterr().err


def test_no_answer_can_leave_its_value() -> None:
    evil = 'a"\n[uplink]\ntls = false\n# \x00\\'
    draft = Draft(
        gateway={"id": evil}, site={"oc": evil, "name": {"vi": evil}}, uplink={"host": evil},
        links=[{"name": evil, "strange key": evil}], devices=[{"name": evil, "label": {"en": evil}}],
    )  # fmt: skip
    found = tomllib.loads(configuration_text(draft))
    assert found == {
        "gateway": draft.gateway, "site": draft.site, "uplink": draft.uplink,
        "link": draft.links, "device": draft.devices,
    }  # fmt: skip


def test_every_key_that_is_written_is_explained_in_both_languages() -> None:
    links = [notation.link(text) for text in ("a=rtu:/dev/x,1200,7E2", "b=tls:h:1", "c=camera:/dev/y")]
    devices = [notation.device("m=a,1,x/y,10s") | {"label": {"vi": "x"}}]
    draft = Draft(
        gateway={"id": "a"}, site={"oc": "b"}, uplink=notation.broker("ws://h:1/p"), links=links, devices=devices
    )
    lines = configuration_text(draft).splitlines()
    keys = [i for i, line in enumerate(lines) if re.match(r"#?\w+ = ", line)]
    explained = {lines[i].partition(" = ")[0] for i in keys if lines[i - 1].startswith("# ")}
    assert {lines[i].partition(" = ")[0] for i in keys} == explained
    assert all(len(pair) == 2 and all(pair) for pair in KEYS.values())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("mqtts://a.vn", {"host": "a.vn"}),
        ("a.vn:8884", {"host": "a.vn", "port": 8884}),
        ("mqtt://a.vn", {"host": "a.vn", "port": 1883, "tls": False}),
        ("wss://a.vn/mqtt", {"host": "a.vn", "port": 443, "transport": "websockets", "path": "/mqtt"}),
        ("mqtts://[2001:db8::1]:8883", {"host": "2001:db8::1", "port": 8883}),
    ],
)
def test_brokers(text: str, found: dict[str, object]) -> None:
    assert notation.broker(text) == found


@pytest.mark.parametrize("text", ["http://a.vn", "mqtts://", "mqtts://a:b", "mqtts://me:pw@a.vn", "mqtts://me@a.vn"])
def test_what_is_no_broker_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstood) as caught:
        notation.broker(text)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=serial:192.0.2.1:4001", {"name": "a", "kind": "serial", "host": "192.0.2.1", "tcp_port": 4001}),
        ("a=tcp:plc", {"name": "a", "kind": "modbus", "transport": "tcp", "host": "plc"}),
        ("a=tcp:[2001:db8::1]:502", {"name": "a", "kind": "modbus", "transport": "tcp", "host": "2001:db8::1", "tcp_port": 502}),
        ("a=camera:/dev/x", {"name": "a", "kind": "camera", "port": "/dev/x"}),
        ("a=ascii:/dev/x,7e1", {"name": "a", "kind": "modbus", "transport": "ascii", "port": "/dev/x", "parity": "E", "stop_bits": 1, "data_bits": 7}),
    ],
)  # fmt: skip
def test_links(text: str, found: dict[str, object]) -> None:
    assert notation.link(text) == found


@pytest.mark.parametrize(
    "text", ["rtu:/dev/x", "a=rtu", "a=smoke:/dev/x", "a=rtu:/dev/x,fast", "a=tcp:h,9600", "a=tcp:h:x", "=rtu:/dev/x"]
)
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstood):
        notation.link(text)


@pytest.mark.parametrize(
    "text", ["m", "m=bus", "m=bus,1", "m=bus,1,p,soon", "m=bus,1,p,10s,x", "=bus,1,p", "m=,1,p", "m=bus,²,p,1s,"]
)
def test_what_is_no_device_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstood):
        notation.device(text)
