import os
import re
import tomllib
import unicodedata
from pathlib import Path

import msgspec
import pytest

from agent import settings as model
from agent.configuration import ConfigError, load_configuration
from agent.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config" / "agent.example.toml"

GOOD = """\
[gateway]
id = "dng-hc-01"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
tls = false
[[link]]
name = "bus-1"
kind = "modbus"
transport = "rtu"
port = "/dev/ttyUSB0"
[[device]]
name = "meter-1"
link = "bus-1"
profile = "eastron/sdm120"
unit = 1
"""


def _write(tmp_path: Path, text: str, name: str = "agent.toml") -> Path:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _load(tmp_path: Path, text: str) -> Settings:
    return load_configuration(_write(tmp_path, text)).settings


def _problems(tmp_path: Path, text: str) -> list[tuple[int, str, str]]:
    path = _write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_configuration(path)
    assert all(p.fix and p.what and p.file for p in caught.value.problems)
    return [(p.line, p.key, p.what) for p in caught.value.problems]


def test_a_good_file_becomes_settings(tmp_path: Path) -> None:
    settings = _load(tmp_path, GOOD)
    assert settings.gateway.id == "dng-hc-01"
    assert [d.name for d in settings.on_link("bus-1")] == ["meter-1"]
    assert {p.interval_s for p in settings.devices[0].points} <= {10.0, 60.0, 300.0, 3600.0}


def test_every_mistake_is_found_at_once_with_its_line_and_what_to_write(tmp_path: Path) -> None:
    text = """\
[gateway]
id = "Đà Nẵng"
[site]
oc = "oc-haichau"
[uplink]
host = 5
prot = 8883
keepalive_s = "60"
[outbox]
batch_interval_s = -1
[[link]]
name = "bus-1"
kind = "modbus"
transport = "rtu"
[[link]]
name = "bus-1"
kind = "modbos"
[[device]]
name = "a"
link = "bus-9"
profile = "eastron/sdm102"
unit = 1
[[device]]
name = "a"
link = "bus-1"
unit = "one"
profile = "eastron/sdm120"
interval_s = 0
"""
    found = {(line, key) for line, key, _ in _problems(tmp_path, text)}
    assert found >= {
        (2, "gateway.id"), (6, "uplink.host"), (7, "uplink.prot"), (8, "uplink.keepalive_s"),
        (10, "outbox.batch_interval_s"), (17, "link[2].kind"), (20, "device[1].link"), (21, "device[1].profile"),
        (26, "device[2].unit"), (28, "device[2].interval_s"),
    }  # fmt: skip
    assert any(key.startswith("link[1]") and "port" in key for _, key in found)


def test_one_wrong_key_of_a_device_hides_nothing_else_about_it(tmp_path: Path) -> None:
    text = GOOD + '[[device]]\nname = "m 2"\nlink = "bus-9"\nprofile = "eastron/sdm12"\nunit = 300\n'
    found = {key for _, key, _ in _problems(tmp_path, text)}
    assert found == {"device[2].name", "device[2].link", "device[2].profile", "device[2].unit"}


def test_problems_are_told_in_the_words_of_people(tmp_path: Path) -> None:
    text = GOOD.replace('"dng-hc-01"', '"Cổng 1"').replace("unit = 1", 'unit = "1"')
    with pytest.raises(ConfigError) as caught:
        load_configuration(_write(tmp_path, text))
    gateway, unit = caught.value.problems
    assert "must be a-z 0-9 -" in gateway.what
    assert gateway.fix == 'write `id = "dng-hc-01"`'
    assert unit.what == 'is "1": expected a whole number, got text'
    assert unit.fix == "write `unit = 1`"


@pytest.mark.parametrize(
    ("extra", "key", "what"),
    [
        ('[[device]]\nname = "m2"\nlink = "bus-1"\nprofile = "eastron/sdm120"\nunit = 1\n', "device[2].unit", "unit 1"),
        ('[[device]]\nname = "meter-1"\nlink = "bus-1"\nprofile = "eastron/sdm120"\nunit = 2\n', "device[2].name", "already"),
        ('[[link]]\nname = "bus-2"\nkind = "modbus"\ntransport = "rtu"\nport = "/dev/ttyUSB0"\n', "link[2]", "as link"),
        ('[[device]]\nname = "s"\nlink = "bus-1"\nprofile = "plantower/pms5003"\nunit = 3\n', "device[2].profile", "is for serial"),
        ('points = ["voltage", "volt"]\n', "device[1].points[2]", "no point"),
        ('deadband = { voltage = "2 per cent" }\n', "device[1].deadband.voltage", "percent"),
        ("deadband = { voltag = 1.0 }\n", "device[1].deadband.voltag", "not a point"),
        ("heartbeat_s = { voltage = 0.5 }\n", "device[1].heartbeat_s.voltage", "read every"),
        ("interval_s = 0.05\n", "link[1]", "cannot fit"),
        ("[sight]\n", "sight", "not a known key"),
    ],
)  # fmt: skip
def test_what_no_single_key_shows_is_found_too(tmp_path: Path, extra: str, key: str, what: str) -> None:
    problems = _problems(tmp_path, GOOD + extra)
    assert any(k == key and what in w for _, k, w in problems), problems


def test_a_secret_in_the_file_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace("tls = false", 'tls = false\nusername = "x"\npassword = "hunter2"')
    problems = _problems(tmp_path, text)
    assert [key for _, key, _ in problems] == ["uplink.password"]
    assert "hunter2" not in str(problems)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    text = GOOD.replace("tls = false", 'ca_file = "certs/ca.pem"\nkey_file = "gw.key"')
    found = {key for _, key, _ in _problems(tmp_path, text)}
    assert found == {"uplink.ca_file", "uplink.key_file"}


def test_drop_ins_are_merged_and_errors_in_them_name_their_file(tmp_path: Path) -> None:
    path = _write(tmp_path, GOOD)
    device = '[uplink]\nport = 1884\n[[device]]\nname = "m2"\nlink = "bus-1"\nprofile = "eastron/sdm120"\nunit = 2\n'
    _write(tmp_path, device, "conf.d/20-more.toml")
    settings = load_configuration(path).settings
    assert [d.name for d in settings.devices] == ["meter-1", "m2"]
    assert (settings.uplink.host, settings.uplink.port) == ("127.0.0.1", 1884)
    _write(tmp_path, device.replace("unit = 2", "unit = 1"), "conf.d/20-more.toml")
    with pytest.raises(ConfigError) as caught:
        load_configuration(path)
    [problem] = caught.value.problems
    assert problem.file == str(tmp_path / "conf.d" / "20-more.toml")
    assert problem.line == 7


def test_a_disabled_device_is_checked_but_not_polled(tmp_path: Path) -> None:
    assert _load(tmp_path, GOOD + "enabled = false\n").devices == ()
    assert _problems(tmp_path, GOOD + 'enabled = false\npoints = ["nope"]\n')


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_vietnamese_names_work_in_both_normal_forms(tmp_path: Path, form: str) -> None:
    folder = tmp_path / unicodedata.normalize(form, "Cấu hình quận Hải Châu")
    folder.mkdir()
    text = GOOD.replace('oc = "oc-haichau"', 'oc = "oc-haichau"\nname = { vi = "OC quận Hải Châu" }')
    text += 'label = { vi = "Điện kế tủ 1" }\n'
    settings = load_configuration(_write(folder, unicodedata.normalize(form, text))).settings
    assert settings.site.name == {"vi": unicodedata.normalize("NFC", "OC quận Hải Châu")}
    assert settings.devices[0].label == {"vi": unicodedata.normalize("NFC", "Điện kế tủ 1")}
    assert Path(settings.gateway.data_dir).is_absolute()


def test_broken_profiles_are_reported_with_their_own_file_and_line(tmp_path: Path) -> None:
    _write(tmp_path, 'kind = "modbus"\nvendor = "x"\n[[point]]\nname = "A"\naddress = "40001"\n', "p/own.toml")
    problems = _problems(tmp_path, GOOD.replace('"eastron/sdm120"', '"p/own.toml"'))
    keys = {key for _, key, _ in problems}
    assert {"model", "source", "point[1].name", "point[1].address"} <= keys


def test_no_tls_is_a_warning(tmp_path: Path) -> None:
    warnings = load_configuration(_write(tmp_path, GOOD)).warnings
    assert [w.key for w in warnings] == ["uplink.tls", "link[1].port"]
    assert "by-id" in warnings[1].fix


def _everything() -> str:
    """The example with each commented default switched on."""
    return re.sub(r"(?m)^#([a-z_]+ = )", r"\1", EXAMPLE.read_text(encoding="utf-8"))


def _loadable(text: str) -> str:
    return re.sub(r"(?m)^(ca_file|cert_file|key_file) = .*$", "", text)


def test_the_example_is_good_as_it_stands() -> None:
    settings = load_configuration(EXAMPLE).settings
    assert {link.spec.kind for link in settings.links} == {"modbus", "serial", "camera"}


def test_the_example_shows_every_key_with_its_default(tmp_path: Path) -> None:
    bare = load_configuration(_write(tmp_path, EXAMPLE.read_text(encoding="utf-8"), "bare.toml")).settings
    shown = tomllib.loads(_everything())
    full = load_configuration(_write(tmp_path, _loadable(_everything()), "full.toml")).settings
    for table, cls in (
        ("gateway", model.GatewaySettings), ("site", model.SiteSettings), ("uplink", model.UplinkSettings),
        ("outbox", model.OutboxSettings), ("clock", model.ClockSettings), ("log", model.LogSettings),
    ):  # fmt: skip
        fields = msgspec.structs.fields(cls)
        assert {f.name for f in fields} == shown[table].keys(), table
        if table != "site":
            assert getattr(full, table) == getattr(bare, table), table
    device_keys = {key for device in shown["device"] for key in device}
    assert {f.name for f in msgspec.structs.fields(model.DeviceKeys)} == device_keys
    for shown_link, bare_link in zip(full.links, bare.links, strict=True):
        asked, silent = msgspec.structs.asdict(shown_link.options), msgspec.structs.asdict(bare_link.options)
        for key in ("timeout_s", "tcp_port"):  # the default depends on the transport
            silent[f"given_{key.removeprefix('tcp_')}"] = getattr(bare_link.options, key, None)
            asked[f"given_{key.removeprefix('tcp_')}"] = getattr(shown_link.options, key, None)
        assert asked == silent, shown_link.name


def test_a_deadband_is_a_number_or_a_percentage(tmp_path: Path) -> None:
    text = GOOD + 'deadband = { voltage = "2.5 %", power = 5 }\n'
    points = {p.point.name: p for p in _load(tmp_path, text).devices[0].points}
    assert (points["voltage"].deadband, points["voltage"].deadband_pct) == (None, 2.5)
    assert (points["power"].deadband, points["power"].deadband_pct) == (5.0, None)


def test_a_bus_that_is_nearly_full_is_a_warning_with_the_figures(tmp_path: Path) -> None:
    found = load_configuration(_write(tmp_path, GOOD.replace("unit = 1", "unit = 1\ninterval_s = 0.4"))).warnings
    [full] = [w for w in found if "wire" in w.what]
    assert "meter-1" in full.what
    assert "with one dead device" in full.what


CAMERA = """\
[[link]]
name = "cam"
kind = "camera"
port = "/dev/ttyUSB3"
[[device]]
name = "cam-01"
link = "cam"
profile = "vimicro/vc0706"
"""
GOOD_PICTURE = 'picture = { purpose = "flood-verification", class = "possible", keep_days = 7, interval_s = 600 }\n'


def test_a_camera_takes_pictures_only_where_it_is_said_what_for(tmp_path: Path) -> None:
    assert _load(tmp_path, GOOD + CAMERA).devices[-1].picture is None
    picture = _load(tmp_path, GOOD + CAMERA + GOOD_PICTURE).devices[-1].picture
    assert picture is not None
    assert (picture.purpose, picture.class_, picture.keep_days) == ("flood-verification", "possible", 7)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (GOOD_PICTURE.replace('purpose = "flood-verification", ', ""), "picture"),
        (GOOD_PICTURE.replace("flood-verification", ""), "picture"),
        (GOOD_PICTURE.replace("keep_days = 7, ", ""), "picture"),
        (GOOD_PICTURE.replace('class = "possible", ', ""), "picture"),
        (GOOD_PICTURE.replace("600", "1"), "picture.interval_s"),
    ],
)
def test_pictures_without_purpose_class_or_end_are_refused(tmp_path: Path, text: str, key: str) -> None:
    problems = _problems(tmp_path, GOOD + CAMERA + text)
    assert [found.split("].")[-1] for _, found, _ in problems] == [key]


def test_a_device_that_gives_no_pictures_cannot_be_asked_for_them(tmp_path: Path) -> None:
    problems = _problems(tmp_path, GOOD + GOOD_PICTURE)
    assert ["gives no pictures" in what for _, _, what in problems] == [True]


@pytest.mark.parametrize(("mode", "says"), [(0o644, "everybody may read"), (0o640, "a whole group"), (0o600, "")])
def test_a_key_that_others_can_read_is_a_warning_with_the_command_to_run(tmp_path: Path, mode: int, says: str) -> None:
    for name in ("its.key", "its.pem", "password"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o600)
        if os.getuid() == 0:
            os.chown(tmp_path / name, 1000, 1000)
    (tmp_path / "its.key").chmod(mode)
    text = GOOD.replace("tls = false", 'cert_file = "its.pem"\nkey_file = "its.key"\n')
    text = text.replace("\n[[link]]", 'username = "a"\npassword_file = "password"\n[[link]]', 1)
    found = [w for w in load_configuration(_write(tmp_path, text)).warnings if w.key.startswith("uplink")]
    assert [(w.key, says in w.what, w.fix) for w in found] == (
        [("uplink.key_file", True, f"chmod 600 {tmp_path / 'its.key'}")] if says else []
    )


def test_files_that_only_the_service_may_see_are_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(self: Path, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    text = GOOD.replace("tls = false", 'cert_file = "/hidden/its.pem"\nkey_file = "/hidden/its.key"')
    path = _write(tmp_path, text)
    real = Path.stat
    monkeypatch.setattr(Path, "stat", lambda self, **o: hidden(self) if "/hidden" in str(self) else real(self, **o))
    assert load_configuration(path).settings.uplink.key_file == "/hidden/its.key"


def test_files_that_the_service_itself_may_not_read_are_named_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("its.key", "its.pem"):
        (tmp_path / name).touch()
    path = _write(tmp_path, GOOD.replace("tls = false", 'cert_file = "its.pem"\nkey_file = "its.key"'))
    monkeypatch.setattr(os, "access", lambda file, mode: mode != os.R_OK or not str(file).endswith("its.key"))
    load_configuration(path)
    with pytest.raises(ConfigError) as caught:
        load_configuration(path, for_use=True)
    (problem,) = caught.value.problems
    assert (problem.key, problem.line) == ("uplink.key_file", 8)
    assert str(tmp_path / "its.key") in problem.what
    assert "root:oc-agent, 0640" in problem.fix


def test_a_websocket_has_a_path_that_begins_with_a_slash(tmp_path: Path) -> None:
    text = GOOD.replace("tls = false", 'tls = false\ntransport = "websockets"\npath = "/mqtt/v5?x=1"')
    assert _load(tmp_path, text).uplink.path == "/mqtt/v5?x=1"
    ((line, key, _),) = _problems(tmp_path, text.replace("/mqtt/v5", "mqtt v5"))
    assert (line, key) == (9, "uplink.path")
