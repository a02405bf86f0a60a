"""Certificates for tests: an authority, and what it signs for a server or a client."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = timedelta(days=1)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """Signs certificates, kept in a folder as PEM files."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = _named(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        itself = self._about(self._name, self._key.public_key())
        itself = itself.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = self._write(f"{name}.crt", itself)

    def sign(self, name: str) -> tuple[Path, Path]:
        """Return the files of a certificate for a host or a login, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._about(_named(name), key.public_key())
        signed = signed.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        kept = self._folder / f"{name}.key"
        plain = serialization.NoEncryption()
        kept.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        kept.chmod(0o600)
        return self._write(f"{name}.crt", signed), kept

    def _about(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - LIFETIME)
            .not_valid_after(now + LIFETIME)
        )

    def _write(self, name: str, builder: x509.CertificateBuilder) -> Path:
        kept = self._folder / name
        kept.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        return kept
