"""What a new configuration changes of the one that runs, over files as they are written."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from agent_config import HEAD, METER

from agent.change import Parts, change_between, settings_hash
from agent.configuration import load_configuration
from agent.settings import Settings
from drivers.catalogue import shipped_profiles

SECOND = """\
[[device]]
name = "meter-2"
link = "plc"
profile = "eastron/sdm120"
unit = 2
"""
OTHER_LINK = """\
[[link]]
name = "ups"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = 2
[[device]]
name = "ups-1"
link = "ups"
profile = "apc/smart-ups"
unit = 1
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[[str], Settings]:
    """The settings of a text."""

    def load(text: str) -> Settings:
        (tmp_path / "agent.toml").write_text(text, encoding="utf-8")
        return load_configuration(tmp_path / "agent.toml").settings

    return load


Load = Callable[[str], Settings]


def test_the_same_files_read_again_change_nothing(loaded: Load) -> None:
    before = loaded(HEAD + METER + OTHER_LINK)
    after = loaded("# a comment\n" + HEAD + METER + "\n\n" + OTHER_LINK)
    change = change_between(before, after)
    assert change.is_none
    assert change.links.kept == ("plc", "ups")
    assert settings_hash(before) == settings_hash(after)


def test_a_device_that_is_added_changes_its_link_and_leaves_the_others(loaded: Load) -> None:
    change = change_between(loaded(HEAD + METER + OTHER_LINK), loaded(HEAD + METER + SECOND + OTHER_LINK))
    assert change.links == Parts(changed=("plc",), kept=("ups",))
    assert change.devices == Parts(added=("meter-2",), kept=("meter-1", "ups-1"))
    assert (change.reopened, change.keys, change.uplink, change.is_none) == ((), (), (), False)


def test_a_link_that_goes_and_one_that_comes(loaded: Load) -> None:
    one, both = loaded(HEAD + METER), loaded(HEAD + METER + OTHER_LINK)
    assert change_between(one, both).links == Parts(added=("ups",), kept=("plc",))
    assert change_between(both, one).links == Parts(removed=("ups",), kept=("plc",))
    assert change_between(both, one).devices == Parts(removed=("ups-1",), kept=("meter-1",))


def test_another_address_opens_the_link_anew_and_leaves_its_devices_as_they_are(loaded: Load) -> None:
    before = loaded(HEAD + METER)
    change = change_between(before, loaded(HEAD + METER.replace("tcp_port = 1", "tcp_port = 9")))
    assert (change.links.changed, change.reopened) == (("plc",), ("plc",))
    assert change.devices == Parts(kept=("meter-1",))
    assert change_between(before, loaded(HEAD + METER + "interval_s = 3")).reopened == ()


def test_a_link_without_devices_is_not_polled(loaded: Load) -> None:
    link = OTHER_LINK.partition("[[device]]")[0]
    assert change_between(loaded(HEAD + METER), loaded(HEAD + METER + link)).links == Parts(kept=("plc",))
    disabled = OTHER_LINK + "enabled = false\n"
    assert change_between(loaded(HEAD + METER + OTHER_LINK), loaded(HEAD + METER + disabled)).links.removed == ("ups",)


@pytest.mark.parametrize(
    ("written", "key", "refused", "uplink"),
    [
        ("[log]\nlevel = 'debug'\n", "log.level", False, False),
        ("[outbox]\nretention_days = 5\n", "outbox.retention_days", False, False),
        ("[outbox]\nmax_bytes = 20_000_000\n", "outbox.max_bytes", True, False),
        ("[clock]\nhold_unsynced_s = 5\n", "clock.hold_unsynced_s", False, False),
        ("port = 1884\n", "uplink.port", False, True),
    ],
)
def test_a_key_is_named_with_what_it_takes(loaded: Load, written: str, key: str, refused: bool, uplink: bool) -> None:
    change = change_between(loaded(HEAD + METER), loaded(HEAD + written + METER))
    assert change.keys == (key,)
    assert change.refused == ((key,) if refused else ())
    assert change.uplink == ((key,) if uplink else ())
    assert change.links == Parts(kept=("plc",))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('"dng-hc-01"', '"dng-hc-02"', "gateway.id"),
        ('"data"', '"elsewhere"', "gateway.data_dir"),
        ('"run"', '"elsewhere"', "gateway.runtime_dir"),
    ],
)
def test_what_a_running_process_is_built_on_is_refused(loaded: Load, old: str, new: str, key: str) -> None:
    assert change_between(loaded(HEAD + METER), loaded(HEAD.replace(old, new) + METER)).refused == (key,)


def test_a_profile_that_has_changed_is_a_device_that_has_changed(loaded: Load, tmp_path: Path) -> None:
    own = tmp_path / "profiles" / "eastron"
    own.mkdir(parents=True)
    text = (shipped_profiles() / "eastron" / "sdm120.toml").read_text(encoding="utf-8")
    (own / "sdm120.toml").write_text(text, encoding="utf-8")
    before = loaded(HEAD + METER + OTHER_LINK)
    (own / "sdm120.toml").write_text("# another comment\n" + text, encoding="utf-8")
    assert change_between(before, loaded(HEAD + METER + OTHER_LINK)).is_none
    (own / "sdm120.toml").write_text(text.replace('"voltage"', '"u"'), encoding="utf-8")
    after = loaded(HEAD + METER + OTHER_LINK)
    assert change_between(before, after).devices == Parts(changed=("meter-1",), kept=("ups-1",))
    assert settings_hash(before) != settings_hash(after)


def test_every_setting_is_either_compared_or_the_name_of_the_file(loaded: Load) -> None:
    compared = {"gateway", "site", "uplink", "outbox", "clock", "log", "links", "devices"}
    assert set(Settings.__struct_fields__) - compared == {"file"}
    before = loaded(HEAD + METER)
    assert change_between(before, msgspec.structs.replace(before, file=Path("/elsewhere"))).is_none


def test_the_name_of_a_configuration_is_the_same_in_every_process(loaded: Load, tmp_path: Path) -> None:
    here = settings_hash(loaded(HEAD + METER + OTHER_LINK))
    program = (
        "import sys; from pathlib import Path; from agent.configuration import load_configuration;"
        "from agent.change import settings_hash;"
        "print(settings_hash(load_configuration(Path(sys.argv[1])).settings))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "agent.toml")]
    there = subprocess.run(command, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here
