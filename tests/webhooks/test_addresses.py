"""The addresses that webhooks may reach, DNS resolution, and certificates. Receivers are real."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import override_settings

from tests.support.receiver import Receiver
from webhooks.addresses import is_allowed
from webhooks.sending import Outcome, send

PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "169.253.255.255",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
)

NON_PUBLIC = (
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "2001::7f00:1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
)

Resolver = Callable[..., None]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    """Makes all names resolve to these addresses: each query returns the next list, the last list repeatedly."""

    def resolve(*answers: list[str]) -> None:
        remaining = list(answers)

        def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
            addresses = [ip_address(text) for text in (remaining.pop(0) if len(remaining) > 1 else remaining[0])]
            families = {4: socket.AF_INET, 6: socket.AF_INET6}
            return [
                (families[address.version], socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port))
                for address in addresses
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return resolve


def sent(url: str) -> Outcome:
    return asyncio.run(send(url, "{}", ""))


@override_settings(WEBHOOKS_ALLOWED_NETWORKS="")
def test_addresses__public__allowed_and_no_others() -> None:
    assert [text for text in PUBLIC if not is_allowed(ip_address(text))] == []
    assert [text for text in NON_PUBLIC if is_allowed(ip_address(text))] == []


@override_settings(WEBHOOKS_ALLOWED_NETWORKS="10.1.0.0/16, fd00::/8")
def test_addresses__in_allowed_networks__allowed() -> None:
    allowed = ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "2002:a01:203::1", "fd00:ec2::254", "8.8.8.8")
    assert [text for text in allowed if not is_allowed(ip_address(text))] == []
    assert [text for text in ("10.2.0.1", "fc00::1", "127.0.0.1") if is_allowed(ip_address(text))] == []


@override_settings(WEBHOOKS_ALLOWED_NETWORKS="")
def test_send__receiver_is_not_public__fails_without_a_connection(receiver: Receiver) -> None:
    for host in ("127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "[::ffff:127.0.0.1]", "①②⑦.⓪.⓪.①"):
        outcome = sent(f"http://{host}:{receiver.port}/")
        assert (outcome.delivered, outcome.permanent) == (False, True), host
    assert receiver.rest() == []


@override_settings(WEBHOOKS_ALLOWED_NETWORKS="")
def test_send__name_also_resolves_to_an_internal_address__fails_without_a_connection(
    receiver: Receiver, resolver: Resolver
) -> None:
    for found in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["64:ff9b::7f00:1"], ["::1", "8.8.8.8"]):
        resolver(found)
        assert sent(f"http://hooks.example.com:{receiver.port}/").permanent
    assert receiver.rest() == []


def test_send__name_resolves_differently_the_next_time__connects_to_the_checked_address(
    receiver: Receiver, resolver: Resolver
) -> None:
    resolver(["127.0.0.1"], ["10.0.0.1"])
    assert sent(f"http://hooks.example.com:{receiver.port}/").status == 200
    assert receiver.next().headers["Host"] == f"hooks.example.com:{receiver.port}"


def test_send__first_address_refuses_connections__tries_the_next(receiver: Receiver, resolver: Resolver) -> None:
    resolver(["127.9.9.9", "127.0.0.1"])
    assert sent(f"http://hooks.example.com:{receiver.port}/").status == 200


def test_send__proxy_in_the_environment__not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")
    assert sent(receiver.url).status == 200


def test_send__url_with_a_user__basic_authorization(receiver: Receiver) -> None:
    assert sent(f"http://user:p%40ss@127.0.0.1:{receiver.port}/a b?q=ä#fragment").status == 200
    received = receiver.next()
    assert received.headers["Authorization"] == "Basic dXNlcjpwQHNz"
    assert (received.path, received.headers["Host"]) == ("/a%20b?q=%C3%A4", f"127.0.0.1:{receiver.port}")


@pytest.fixture
def certified(tmp_path: Path) -> Path:
    """A file with a key and a self-signed certificate for hooks.example.com."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example.com")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    plain = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, pkcs8, plain)
    )
    return file


def test_send__tls__certificate_is_verified_against_the_name(certified: Path, resolver: Resolver) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certified)
    resolver(["127.0.0.1"])
    with Receiver(tls) as receiver:
        url = f"https://hooks.example.com:{receiver.port}/"
        assert sent(url).error == "There was no answer: ConnectError."
        with override_settings(WEBHOOKS_CA_FILE=str(certified)):
            assert sent(url).status == 200
            for name in ("other.example.com", "127.0.0.1"):
                assert not sent(f"https://{name}:{receiver.port}/").delivered
        assert len(receiver.rest()) == 1
