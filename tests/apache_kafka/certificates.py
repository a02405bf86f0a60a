"""Certificates for tests: an authority of their own, and what it issues, as PEM files."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

DAY = timedelta(days=1)
LOOPBACK = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])


class Authority:
    """An authority whose certificate is `ca.pem` in a folder; what it issues is put beside it."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.certificate_file = folder / f"{name}.pem"
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"{name} of the tests")
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        begun = self._begin(self._name, self._key.public_key())
        begun = begun.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self._write(self.certificate_file, begun.add_extension(usage, critical=True))

    def issue(self, name: str, *, key_password: str = "") -> tuple[Path, Path]:
        """Issue a certificate for clients and for servers on loopback; return its file and that of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate_file, key_file = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        self._write(
            certificate_file, self._begin(_named(name), key.public_key()).add_extension(LOOPBACK, critical=False)
        )
        how: KeySerializationEncryption = NoEncryption()
        if key_password:
            how = BestAvailableEncryption(key_password.encode())
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
        return certificate_file, key_file

    def _begin(self, subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now, issuer = datetime.now(UTC), self._key.public_key()
        builder = x509.CertificateBuilder(
            self._name, subject, public, x509.random_serial_number(), now - DAY, now + DAY
        )
        return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False
        )

    def _write(self, file: Path, begun: x509.CertificateBuilder) -> None:
        file.write_bytes(begun.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
