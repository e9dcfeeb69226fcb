"""docs/broker/make-certs: what it makes, what it refuses, and that it never writes over a key."""

import os
import re
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from broker_kit import KIT, Certificates, script

pytestmark = pytest.mark.skipif(not KIT.is_dir(), reason="no checkout")

GOOD_IDS = ("a", "0", "dng-hc-01", "x" * 63, "ioc2", "iocs", "not-ioc-ingest", "up", "down")
BAD_IDS = (
    "", "-a", "a" * 64, "A", "IOC", "Ioc-ingest", "gw_1", "gw.1", "gw 1", "gw/1", "a/b", "+", "#", "%u", "%c", "$SYS", "a+", "a#",
    "gw\n", "gw\nioc", "gw\0", "gẃ", "ìoc", "ioc\u200b", "../ca", ".", "a/CN=ioc-ingest", "a,CN=b", "a\\x00b",
    "ioc", "ioc-ingest", "ioc-command", "ioc-", "ioc-x",
)  # fmt: skip
BROKER = ("mqtt.example.vn", "10.1.2.3", "fd00::1")
BAD_HOSTS = ("*.vn", "*", "Mqtt", "a..b", "-a", "a-", "a.", ".a", "a_b", "1.2.3.4", "a" * 65, "a\n", "a/CN=b")  # fmt: skip


def run(folder: Path, *arguments: str, umask: int = 0o022) -> subprocess.CompletedProcess[str]:
    """The script as a person starts it."""
    command = [sys.executable, str(KIT / "make-certs"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False, umask=umask)


def openssl(*arguments: object) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=20, check=False)
    return done.stdout + done.stderr


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Certificates(tmp_path_factory.mktemp("certs") / "pki")
    for arguments in (("ca",), ("broker", *BROKER), ("gateway", "dng-hc-01")):
        made.make(*arguments)
    return made.pki


@pytest.fixture
def site(tmp_path: Path, template: Path) -> Certificates:
    """A CA, a broker and a gateway."""
    return Certificates(Path(shutil.copytree(template, tmp_path / "pki")))


def test_the_script_is_executable_and_says_what_it_can(tmp_path: Path) -> None:
    assert os.access(KIT / "make-certs", os.X_OK)
    assert os.access(KIT / "prove", os.X_OK)
    said = run(tmp_path, "--help").stdout
    assert all(f"    {verb} " in said for verb in ("ca", "broker", "gateway", "service", "renew", "revoke", "show"))


@pytest.mark.parametrize("name", GOOD_IDS)
def test_a_gateway_id_of_the_contract_is_taken(name: str) -> None:
    assert script("make-certs").gateway_id(name) == name


@pytest.mark.parametrize("name", BAD_IDS)
def test_what_is_no_gateway_id_is_refused_before_anything_is_made(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in (("gateway",), ("renew", "gateway"), ("revoke", "gateway")):
        with pytest.raises(SystemExit) as ended:
            script("make-certs").main(["--pki", str(tmp_path / "pki"), *verb, "--", name])
        assert ended.value.code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", BAD_HOSTS)
def test_a_broker_has_a_host_name_without_wildcards(name: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        script("make-certs").main(["--pki", str(tmp_path / "pki"), "broker", "--", name])
    assert ended.value.code == 2


def test_only_the_accounts_of_the_acl_are_services(tmp_path: Path) -> None:
    names = script("make-certs").SERVICES
    assert list(names) == re.findall(r"^user (.+)$", (KIT / "acl").read_text(encoding="ascii"), re.MULTILINE)
    for name in ("ioc-other", "../gateways/dng-hc-01", "dng-hc-01"):
        for verb in (("service",), ("renew", "service"), ("revoke", "service")):
            with pytest.raises(SystemExit) as ended:
                script("make-certs").main(["--pki", str(tmp_path / "pki"), *verb, name])
            assert ended.value.code == 2


def test_files_are_for_their_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    for line in ("ca", "broker localhost", "gateway gw", "renew gateway gw", "revoke gateway gw"):
        done = run(tmp_path, *line.split(), umask=0)
        assert done.returncode == 0, done.stderr
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").rglob("*") if path.is_dir()} == {0o700}


def test_each_certificate_is_good_for_its_part_only(site: Certificates) -> None:
    ca, server = site.pki / "ca.pem", site.pki / "brokers" / "mqtt.example.vn" / "cert.pem"
    client = site.pki / "gateways" / "dng-hc-01" / "cert.pem"
    for certificate, purpose, good in (
        (server, "sslserver", True), (server, "sslclient", False), (client, "sslclient", True), (client, "sslserver", False),
    ):  # fmt: skip
        said = openssl("verify", "-CAfile", ca, "-purpose", purpose, certificate)
        assert (f"{certificate}: OK" in said) is good, said
    text = openssl("x509", "-in", server, "-noout", "-text")
    assert "DNS:mqtt.example.vn, IP Address:10.1.2.3, IP Address:FD00:0:0:0:0:0:0:1" in text
    assert "ASN1 OID: prime256v1" in text
    assert "Subject Alternative Name" not in openssl("x509", "-in", client, "-noout", "-text")
    assert openssl("x509", "-in", client, "-noout", "-subject").strip() == "subject=OU = gateway, CN = dng-hc-01"
    assert "CA:TRUE, pathlen:0" in openssl("x509", "-in", ca, "-noout", "-text")


def test_a_second_time_changes_nothing(site: Certificates, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(site.pki)
    for line in ("ca", "broker mqtt.example.vn fd00::1 10.1.2.3", "gateway dng-hc-01", "show"):
        site.make(*line.split())
    assert everything(site.pki) == before
    assert capsys.readouterr().out.count("nothing was changed") == 3


def test_a_broker_with_other_addresses_is_not_made_over(site: Certificates, tmp_path: Path) -> None:
    before = everything(site.pki)
    done = run(tmp_path, "broker", "mqtt.example.vn", "10.1.2.4")
    assert (done.returncode, "has other addresses: 10.1.2.3 fd00::1" in done.stderr) == (1, True)
    assert everything(site.pki) == before


def test_what_was_cut_off_is_finished_with_the_same_key(site: Certificates) -> None:
    home = site.pki / "gateways" / "dng-hc-01"
    key = (home / "key.pem").read_bytes()
    (home / "cert.pem").unlink()
    site.make("gateway", "dng-hc-01")
    (home / "cert.pem").unlink()
    (home / "request.pem").unlink()
    site.make("gateway", "dng-hc-01")
    assert (home / "key.pem").read_bytes() == key
    assert openssl("verify", "-CAfile", site.pki / "ca.pem", home / "cert.pem") == f"{home}/cert.pem: OK\n"
    authority = (site.pki / "ca.key").read_bytes()
    (site.pki / "ca.pem").unlink()
    site.make("ca")
    assert (site.pki / "ca.key").read_bytes() == authority


def test_two_at_once_both_succeed(site: Certificates, tmp_path: Path) -> None:
    names = [f"gw-{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda name: run(tmp_path, "gateway", name), names))
    assert [one.returncode for one in done] == [0] * 6
    assert len((site.pki / "index.txt").read_text(encoding="ascii").splitlines()) == 9


def test_renewing_keeps_the_key_and_the_names(site: Certificates) -> None:
    for kind, name in (("broker", "mqtt.example.vn"), ("gateway", "dng-hc-01")):
        home = site.pki / f"{kind}s" / name
        before = everything(home)
        site.make("renew", kind, name)
        after = everything(home)
        assert {path.name for path in before if before[path] != after[path]} == {"cert.pem"}
        public = openssl("pkey", "-in", home / "key.pem", "-pubout")
        assert openssl("x509", "-in", home / "cert.pem", "-noout", "-pubkey") == public
        text = openssl("x509", "-in", home / "cert.pem", "-noout", "-text")
        assert ("IP Address:10.1.2.3" in text) == (kind == "broker")


def test_what_was_never_made_is_not_renewed(site: Certificates, tmp_path: Path) -> None:
    assert "there is no gateway other to renew" in run(tmp_path, "renew", "gateway", "other").stderr
    assert "begin with make-certs ca" in run(tmp_path, "--pki", "elsewhere", "gateway", "a").stderr
    assert "begin with make-certs ca" in run(tmp_path, "--pki", "elsewhere", "show").stderr


def test_revoking_takes_every_certificate_of_the_name_and_of_no_other(site: Certificates) -> None:
    site.make("gateway", "mqtt")
    site.make("broker", "mqtt")
    site.make("renew", "gateway", "mqtt")
    issued = {path.stem for path in (site.pki / "issued").iterdir()}
    site.make("revoke", "gateway", "mqtt")
    revoked = {one.serial for one in site.script.Pki(site.pki).issued() if one.state == "R"}
    assert len(revoked) == 2
    trust = ("-crl_check", "-CAfile", site.pki / "ca.pem", "-CRLfile", site.pki / "crl.pem")
    for one in issued:
        said = openssl("verify", *trust, site.pki / "issued" / f"{one}.pem")
        assert ("certificate revoked" in said) == (one in revoked), said
    assert not (site.pki / "gateways" / "mqtt").exists()
    assert (site.revoked("mqtt") / "key.pem").exists()


def test_the_list_of_the_revoked_ends_with_the_ca(site: Certificates) -> None:
    """An expired list would lock everybody out."""
    site.make("revoke", "gateway", "dng-hc-01")
    ends = openssl("x509", "-in", site.pki / "ca.pem", "-noout", "-enddate").strip().removeprefix("notAfter=")
    assert f"nextUpdate={ends}" in openssl("crl", "-in", site.pki / "crl.pem", "-noout", "-nextupdate")


def test_a_key_that_was_made_on_the_gateway_stays_there(site: Certificates, tmp_path: Path) -> None:
    key, request = tmp_path / "its.key", tmp_path / "its.csr"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    extensions = ("-addext", "basicConstraints=CA:true", "-addext", "extendedKeyUsage=serverAuth")
    openssl("req", "-new", "-key", key, "-subj", "/CN=ioc-ingest", *extensions, "-out", request)
    site.make("gateway", "gw-2", "--request", str(request))
    home = site.pki / "gateways" / "gw-2"
    assert sorted(path.name for path in home.iterdir()) == ["ca.pem", "cert.pem", "request.pem"]
    text = openssl("x509", "-in", home / "cert.pem", "-noout", "-text")
    assert "Subject: OU = gateway, CN = gw-2\n" in text
    assert ("CA:FALSE" in text, "Server Authentication" in text) == (True, False)
    site.make("renew", "gateway", "gw-2")


def test_a_request_with_a_weak_key_is_refused(site: Certificates, tmp_path: Path) -> None:
    weak = ("-newkey", "rsa:1024", "-nodes", "-keyout", tmp_path / "weak.key")
    openssl("req", "-new", *weak, "-subj", "/CN=x", "-out", tmp_path / "csr")
    done = run(tmp_path, "gateway", "gw-3", "--request", "csr")
    assert (done.returncode, "the key must be EC P-256" in done.stderr) == (1, True)
    assert not (site.pki / "gateways" / "gw-3" / "cert.pem").exists()


def test_show_says_what_must_be_renewed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Certificates(tmp_path / "pki")
    with site.days_ago(710):
        for arguments in (("ca",), ("gateway", "a"), ("gateway", "b")):
            site.make(*arguments)
    site.make("renew", "gateway", "b")
    site.make("service", "ioc-ingest")
    site.make("service", "ioc-command")
    site.make("revoke", "service", "ioc-command")
    capsys.readouterr()
    assert site.script.main(["--pki", str(site.pki), "show"]) == 1
    lines = {" ".join(line.split()[2:]): line.split()[:2] for line in capsys.readouterr().out.splitlines()}
    states = {name: state for name, (_, state) in lines.items()}
    services = {"service ioc-ingest": "ok", "service ioc-command": "revoked"}
    assert states == {"ca": "ok", "gateway a": "SOON", "gateway b": "ok"} | services
    soon = datetime.now(UTC) + timedelta(days=731 - 710)
    assert lines["gateway a"][0] in {f"{soon:%Y-%m-%d}", f"{soon - timedelta(minutes=5):%Y-%m-%d}"}  # at midnight
    site.make("renew", "gateway", "a")
    assert site.script.main(["--pki", str(site.pki), "show"]) == 0


def test_no_certificate_outlives_its_ca(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = Certificates(tmp_path / "pki")
    with site.days_ago(20 * 365 - 100):
        site.make("ca")
    site.make("gateway", "a")
    ends = [openssl("x509", "-in", site.pki / name, "-noout", "-enddate") for name in ("ca.pem", "gateways/a/cert.pem")]
    assert ends[0] == ends[1]
    capsys.readouterr()
    assert site.script.main(["--pki", str(site.pki), "show"]) == 1
    assert capsys.readouterr().out.splitlines()[0].split()[1:] == ["SOON", "ca"]


def test_a_test_that_is_make_certs_leaves_no_umask_to_the_next() -> None:
    before = os.umask(0o022)
    os.umask(before)
    assert before == 0o022
