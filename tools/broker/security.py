"""Certificates, users and passwords for a broker's secure listener."""

import secrets
from collections.abc import Iterable
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

ADMIN = "admin"


class Security:
    """A certificate authority of its own, a broker certificate from it, users with passwords.

    A user may do nothing until an ACL allows it, except for `admin`, who may do all. So may anyone
    at the plaintext listeners: that is where a test sets up topics and ACLs.

    Args:
        users: names of the users; each gets a random password.
        hosts: the names and addresses that clients connect to.
        folder: where the authority's certificate is put for clients to trust.
    """

    def __init__(self, users: Iterable[str], hosts: Iterable[str], folder: Path) -> None:
        self.passwords = {user: secrets.token_urlsafe(12) for user in {ADMIN, *users}}
        authority = trustme.CA()
        self._certificate = authority.issue_cert(*hosts)
        self.authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))

    def broker_settings(self) -> dict[str, str]:
        """Return the settings of a broker with these users; the keys are inside, not in files."""
        chain = b"".join(pem.bytes() for pem in self._certificate.cert_chain_pems)
        users = "".join(f' user_{user}="{word}"' for user, word in self.passwords.items())
        login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
        return {
            "listener.name.secure.ssl.keystore.type": "PEM",
            "listener.name.secure.ssl.keystore.certificate.chain": chain.decode(),
            "listener.name.secure.ssl.keystore.key": self._key(),
            "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.secure.plain.sasl.jaas.config": f"{login}{users};",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:ANONYMOUS;User:{ADMIN}",
        }

    def client_settings(self, user: str) -> dict[str, str]:
        """Return what confluent_kafka needs to connect as `user`, the address left out."""
        return {
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.authority),
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "sasl.password": self.passwords[user],
        }

    def _key(self) -> str:
        """Return the private key as PKCS 8, the only PEM that Kafka reads."""
        key = serialization.load_pem_private_key(
            self._certificate.private_key_pem.bytes(), password=None
        )
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
