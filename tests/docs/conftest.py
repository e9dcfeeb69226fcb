"""The broker kit's certificates, and a broker as it is shipped."""

from collections.abc import Iterator

import pytest
from broker_kit import Certificates, KitBroker, site_certificates

from simulators.testing import Bench


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Read only: tests that renew or revoke make certificates of their own."""
    return site_certificates(tmp_path_factory.mktemp("kit") / "pki")


@pytest.fixture(scope="module")
def broker(
    tmp_path_factory: pytest.TempPathFactory, session_bench: Bench, certificates: Certificates
) -> Iterator[KitBroker]:
    one = KitBroker(session_bench, tmp_path_factory.mktemp("kit") / "etc", certificates)
    one.start()
    yield one
    one.kill()
