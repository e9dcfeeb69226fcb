"""docs/broker/: on a real mosquitto with the configuration and the ACL that are shipped, a gateway's key opens no more
than its own topics, and each line that keeps it so is needed."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from broker_kit import GATEWAYS, KIT, Certificates, KitBroker, script, shipped

from agent.uplink.mqtt import MqttOptions, Will, connect
from simulators.testing import Bench

pytestmark = pytest.mark.skipif(not KIT.is_dir(), reason="no checkout")

prove: Any = script("prove") if KIT.is_dir() else None
CHECKS: tuple[Any, ...] = prove.CHECKS if prove else ()


class Mutation(NamedTuple):
    """One line that is not as it is shipped (`new` empty: not there), and the check that must notice."""

    line: str
    new: str
    check: str


READS = "gateway_reads_nobody_elses_topics"
WRITES_AS_IOC = "gateway_writes_nothing_of_the_ioc"
OWN_DOWN = "pattern read ocg/v1/%u/down/#"
ACL_MUTATIONS = (
    Mutation("pattern write ocg/v1/%u/up/#", "", "gateway_does_its_part"),
    Mutation("pattern write ocg/v1/%u/up/#", "pattern write ocg/v1/+/up/#", "gateway_writes_nobody_elses_topics"),
    Mutation("pattern write ocg/v1/%u/up/#", "pattern write ocg/v1/+/up/#", "old_protocol_denies_too"),
    Mutation("pattern write ocg/v1/%u/up/#", "pattern write ocg/v1/+/up/#", "will_reaches_own_status_only"),
    Mutation("pattern write ocg/v1/%u/up/#", "pattern write ocg/v1/%u/#", WRITES_AS_IOC),
    Mutation("pattern read  ocg/v1/%u/down/#", "", "gateway_does_its_part"),
    Mutation("pattern read  ocg/v1/%u/down/#", "pattern read ocg/v1/+/down/#", READS),
    Mutation("pattern read  ocg/v1/%u/down/#", f"{OWN_DOWN}\npattern read ocg/v1/+/down/cmd", READS),
    Mutation("pattern read  ocg/v1/%u/up/status", "", "gateway_does_its_part"),
    Mutation("pattern read  ocg/v1/%u/up/status", "pattern read ocg/v1/+/up/status", READS),
    Mutation("pattern read  ocg/v1/ioc/state", "", "gateway_does_its_part"),
    Mutation("pattern read  ocg/v1/ioc/state", "pattern readwrite ocg/v1/ioc/state", WRITES_AS_IOC),
    Mutation("pattern read  ocg/v1/ioc/state", "pattern readwrite ocg/v1/ioc/state", "will_reaches_own_status_only"),
    Mutation("user ioc-ingest", "user somebody", "gateway_does_its_part"),
    Mutation("topic read  ocg/v1/+/up/#", "", "gateway_does_its_part"),
    Mutation("topic write ocg/v1/+/down/ack", "", "gateway_does_its_part"),
    Mutation("topic write ocg/v1/+/down/ack", "topic write ocg/v1/+/down/#", "ingest_does_no_more"),
    Mutation("topic write ocg/v1/+/down/ack", "topic ocg/v1/+/down/ack", "ingest_does_no_more"),
    Mutation("topic write ocg/v1/+/down/replay", "", "gateway_does_its_part"),
    Mutation("topic readwrite ocg/v1/ioc/state", "", "gateway_does_its_part"),
    Mutation("topic deny ocg/v1/ioc-ingest/#", "", "ingest_does_no_more"),
    Mutation("user ioc-command", "", "ingest_does_no_more"),
    Mutation("topic write ocg/v1/+/down/cmd", "", "gateway_does_its_part"),
    Mutation("topic write ocg/v1/+/down/cmd", "topic write ocg/v1/+/down/#", "command_does_no_more"),
    Mutation("topic read  ocg/v1/+/up/result", "", "command_does_no_more"),
    Mutation("topic read  ocg/v1/+/up/result", "topic read ocg/v1/+/up/#", "command_does_no_more"),
    Mutation("topic deny ocg/v1/ioc-command/#", "", "command_does_no_more"),
)
CONFIG_MUTATIONS = (
    Mutation("use_username_as_clientid true", "", "client_id_takes_nobodys_place"),
    Mutation("use_identity_as_username true", "", "gateway_does_its_part"),
    Mutation("max_queued_messages 100000", "max_queued_messages 0", "gateway_writes_nobody_elses_topics"),
)


@contextmanager
def running(bench: Bench, folder: Path, certificates: Certificates, *changes: Mutation) -> Iterator[KitBroker]:
    """The broker of the kit, with these lines changed."""
    broker = KitBroker(bench, folder, certificates)
    for change in changes:
        where = "acl" if change in ACL_MUTATIONS else "config"
        text, new = getattr(broker, where), re.escape(change.line)
        text, count = re.subn(rf"^{new}$", lambda _, change=change: change.new, text, flags=re.MULTILINE)
        assert count == 1, change
        setattr(broker, where, text)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def site(broker: KitBroker, certificates: Certificates) -> Any:
    return prove.Site(broker.address, certificates.pki, GATEWAYS)


def test_nothing_but_paths_user_and_port_is_changed_for_these_tests(tmp_path: Path) -> None:
    lines = (KIT / "mosquitto.conf").read_text(encoding="ascii").splitlines()
    pairs = zip(lines, shipped(tmp_path, 1).splitlines(), strict=True)
    changed = [before for before, after in pairs if before != after]
    keys = "user acl_file persistence_location log_dest listener cafile certfile keyfile crlfile"
    assert [line.split()[0] for line in changed] == keys.split()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_broker_as_it_is_shipped(
    check: Callable[[Any], None], broker: KitBroker, certificates: Certificates
) -> None:
    check(site(broker, certificates))


@pytest.mark.parametrize("mutation", [*ACL_MUTATIONS, *CONFIG_MUTATIONS], ids=lambda one: f"{one.line}->{one.new}")
def test_with_another_line_the_check_fails(
    mutation: Mutation, tmp_path: Path, bench: Bench, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prove, "WAIT_S", 0.3)  # what does not come here never comes
    noticed = pytest.raises((prove.Broken, prove.Refused))
    with running(bench, tmp_path / "etc", certificates, mutation) as broker, noticed as failure:
        getattr(prove, mutation.check)(site(broker, certificates))
    print(failure.value)


def test_every_line_of_the_acl_is_needed() -> None:
    lines = (KIT / "acl").read_text(encoding="ascii").splitlines()
    rights = {line for line in lines if line and not line.startswith("#")}
    assert {one.line for one in ACL_MUTATIONS} == rights
    checks = {check.__name__ for check in CHECKS} - {"without_a_certificate_nobody_comes_in"}  # test_broker_tls.py
    assert {one.check for one in (*ACL_MUTATIONS, *CONFIG_MUTATIONS)} == checks


async def test_the_limits_of_the_contract_are_what_the_broker_says(
    broker: KitBroker, certificates: Certificates
) -> None:
    own = certificates.pki / "gateways" / "prove-a"
    files = {f"{name}_file": str(own / f"{name}.pem") for name in ("ca", "cert", "key")}
    will = Will("ocg/v1/prove-a/up/status", b"{}")
    host, port = broker.address
    options = MqttOptions(host=host, port=port, client_id="prove-a", will=will, keepalive_s=1_200, **files)
    async with connect(options, lambda _topic, _payload: None) as session:
        said = session.limits
    assert (said.receive_maximum, said.maximum_packet_size, said.server_keep_alive_s) == (100, 65_536, 300)


def test_nobody_publishes_with_qos_2(broker: KitBroker, certificates: Certificates) -> None:
    here = site(broker, certificates)
    with here.client(here.folder_a) as a, pytest.raises(prove.Broken):
        a.publish(here.up("prove-a", "data"), b"x", qos=2)


def test_what_is_retained_and_what_waits_outlives_a_restart(
    tmp_path: Path, bench: Bench, certificates: Certificates
) -> None:
    with running(bench, tmp_path / "etc", certificates) as broker:
        here = site(broker, certificates)
        with here.client(prove.INGEST, session_s=600) as ingest:
            ingest.subscribe("ocg/v1/+/up/data")
        with here.client(here.folder_a) as a:
            assert a.publish(here.up("prove-a", "birth"), b"born", retain=True) == 0x10  # nobody subscribes: retained
            assert a.publish(here.up("prove-a", "data"), b"waits") == 0
        broker.stop()
        broker.start()
        with here.client(prove.INGEST, session_s=600) as ingest:
            ingest.wait_for(here.up("prove-a", "data"), b"waits")
            ingest.subscribe("ocg/v1/+/up/birth")
            ingest.wait_for(here.up("prove-a", "birth"), b"born")
