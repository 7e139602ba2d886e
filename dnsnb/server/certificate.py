"""The certificate of our TLS ports: given files, read anew when they change on disk, or a self-made one for trials.

Knows settings and ssl; opens no socket.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import logging
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from dnsnb.drivers.private import make_folder, write_whole
from dnsnb.errors import SettingError

if TYPE_CHECKING:
    from cryptography import x509

    from dnsnb.config import Settings

log = logging.getLogger(__name__)

DAYS = 397  # what browsers take at most
RENEW_DAYS = 30  # a self-made one with less left is made anew at a start
LOOK_SECONDS = 1.0  # the files are looked at no more often, and only when somebody connects
CERT, KEY = "tls-cert.pem", "tls-key.pem"


class Certificate:
    """A chain and its key in PEM files. Raises SettingError when they are none.

    Contexts made of it give sessions to be resumed (RFC 8446 2.2), and take up files that were renewed: the connection
    after the one that finds them changed has the new certificate; files that don't fit together leave the old one.
    """

    def __init__(self, cert: Path, key: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.cert = cert
        self.key = key
        self._clock = clock
        self._contexts: list[ssl.SSLContext] = []
        self._looked = clock()
        self._seen = self._stamp()
        try:
            _server_context(cert, key)
        except (OSError, ssl.SSLError) as error:
            why = f"not a certificate chain and its key in PEM ({error.strerror or error})"
            raise SettingError("tls_cert", str(cert), why) from None
        self.fingerprint = fingerprint_of(cert)

    def context(self, *protocols: str) -> ssl.SSLContext:
        """Return a context for a port that speaks these (ALPN, RFC 7301), the first that the other side knows."""
        context = _server_context(self.cert, self.key)
        context.set_alpn_protocols(protocols)
        context.sni_callback = self._look
        self._contexts.append(context)
        return context

    def _look(self, _sock: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        seen = self._stamp()
        if seen == self._seen:
            return
        try:
            _server_context(self.cert, self.key)  # as a whole, before any port has half of it
            for context in self._contexts:
                context.load_cert_chain(self.cert, self.key)
            self._seen = seen
            self.fingerprint = fingerprint_of(self.cert)
        except (OSError, ssl.SSLError, SettingError) as error:
            log.warning("the changed certificate in %s is not taken: %s", self.cert, error)

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        try:
            found = [os.stat(path) for path in (self.cert, self.key)]
        except OSError:
            return ()
        return tuple((s.st_mtime_ns, s.st_size, s.st_ino) for s in found)


def _server_context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return context


def fingerprint_of(cert: Path) -> str:
    """Return SHA-256 of a PEM file's first certificate, in hex; what `connect(fingerprint=…)` takes."""
    text = cert.read_text(encoding="ascii", errors="replace")
    begin, end = text.find(ssl.PEM_HEADER), text.find(ssl.PEM_FOOTER)
    if begin < 0 or end < begin:
        raise SettingError("tls_cert", str(cert), "holds no certificate in PEM")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[begin : end + len(ssl.PEM_FOOTER)])).hexdigest()


def open_certificate(settings: Settings, at_end: Callable[[Callable[[], object]], object]) -> Certificate:
    """Return the certificate that settings name, or a self-made one: kept in the folder where there is one.

    `at_end(function)` is told what to do when the server ends. Blocks: call it in a thread. Raises SettingError.
    """
    if settings.tls_cert is not None and settings.tls_key is not None:
        return Certificate(settings.tls_cert, settings.tls_key)
    folder = settings.folder
    if folder is None:
        passing = tempfile.TemporaryDirectory(prefix="dnsnb-")
        at_end(passing.cleanup)
        folder = Path(passing.name)
    cert, key = folder / CERT, folder / KEY
    names = names_of(settings)
    if not _still_good(cert, key, names):
        make_certificate(cert, key, names)
    return Certificate(cert, key)


def names_of(settings: Settings) -> list[str]:
    """Return names and addresses that a self-made certificate is for: the loopback's, this machine's, the settings'."""
    asked = [
        t.rpartition(":")[0].strip("[]").partition("%")[0]
        for t in f"{settings.dns},{settings.http},{settings.tls_dns or ''}".replace(" ", "").split(",")
    ]
    found = ["localhost", "127.0.0.1", "::1", socket.gethostname(), *settings.http_hosts, *asked]
    return list(dict.fromkeys(name for name in found if name not in ("", "0.0.0.0", "::")))


def make_certificate(cert: Path, key: Path, names: Iterable[str]) -> None:
    """Write a self-signed certificate for names and addresses, and its key, both of mode 0600.

    Raises SettingError without the package `cryptography`, or when they can't be written.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID
    except ImportError:
        why = "a self-made certificate needs an extra (pip install 'dnsnb[tls]'); or give tls_cert and tls_key"
        raise SettingError("tls_cert", None, why) from None
    secret = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dnsnb, self-made")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        # what a strict reader (Python 3.13) wants of an authority
        .add_extension(x509.KeyUsage(True, False, False, False, False, True, False, False, False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(secret.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(secret.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    try:
        make_folder(cert.parent)
        secret_pem = secret.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        write_whole(key, lambda out: out.write(secret_pem))
        write_whole(cert, lambda out: out.write(made.public_bytes(pem)))
    except OSError as error:
        raise SettingError("folder", str(cert.parent), f"can't be written ({error.strerror or error})") from None


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode() if not name.isascii() else name)


def _still_good(cert: Path, key: Path, names: Iterable[str]) -> bool:
    """Whether a kept one is for all these names, for a while yet, and fits its key."""
    try:
        from cryptography import x509

        read = x509.load_pem_x509_certificate(cert.read_bytes())
        Certificate(cert, key)
        left = read.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        said = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ImportError, OSError, ValueError, SettingError):
        return cert.is_file() and key.is_file() and _importable() is False
    except x509.ExtensionNotFound:
        return False
    return left.days >= RENEW_DAYS and all(_general_name(name) in said for name in names)


def _importable() -> bool:
    import importlib.util

    return importlib.util.find_spec("cryptography") is not None
