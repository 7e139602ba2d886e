"""Which server's certificate a client takes: the system's authorities', those of a file, or one fingerprint.

Knows ssl and aiohttp; connects nowhere.
"""

from __future__ import annotations

import asyncio
import re
import ssl

import aiohttp

from dnsnb.errors import SettingError

NOT_TRUSTED = (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch)
#: what aiohttp takes as `ssl=`
Trust = ssl.SSLContext | aiohttp.Fingerprint | bool


def trust(ca: str | None = None, fingerprint: str | None = None) -> Trust:
    """Return what aiohttp takes as `ssl=`; raises SettingError for a file or a fingerprint that is none."""
    if fingerprint is not None:
        digits = re.sub(r"^sha256[:/]|[:\s]", "", str(fingerprint).lower())
        if not re.fullmatch(r"[0-9a-f]{64}", digits):
            why = "the SHA-256 of a certificate, 64 hexadecimal digits, such as a server's status['fingerprint']"
            raise SettingError("fingerprint", fingerprint, why)
        return _Fingerprint(bytes.fromhex(digits))
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        why = f"not a PEM file with certificates ({error.strerror or error})"
        raise SettingError("ca", str(ca), why) from None


class _Fingerprint(aiohttp.Fingerprint):
    """Hangs up at once on who is another one: a goodbye would outlive the loop."""

    def check(self, transport: asyncio.Transport) -> None:
        try:
            super().check(transport)
        except aiohttp.ServerFingerprintMismatch:
            asyncio.get_running_loop().call_soon(transport.abort)
            raise


def why_unreachable(error: Exception) -> str:
    """Return an error of aiohttp as one line that says what to do about it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({error.certificate_error}); give ca= or fingerprint="
    if isinstance(error, aiohttp.ServerFingerprintMismatch):
        return f"its certificate is another one: its fingerprint is {error.got.hex()}"
    return str(error)


def hang_up(response: aiohttp.ClientResponse) -> None:
    """Leave without TLS's goodbye: the server's may come when the loop has ended, and the socket would stay open."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()
