"""Why a TLS handshake with an endpoint failed, in words that an operator can act on. No message holds what the peer sent."""

import ssl
from typing import Final

# X509_V_ERR_… of OpenSSL's x509_vfy.h: of the certificate that the peer showed.
_CERTIFICATE: Final = {
    9: "its certificate is not valid yet; check both clocks",
    10: "its certificate has expired",
    18: "its certificate is self-signed and not trusted; set tls.ca of the cluster",
    19: "its certificate was signed by an authority that is not trusted; set tls.ca of the cluster",
    20: "its certificate was signed by an authority that is not trusted; set tls.ca of the cluster",
    21: "its certificate was signed by an authority that is not trusted, or it does not send its chain",
    24: "its certificate was signed by one that may not sign others",
    26: "its certificate is not meant for servers",
    66: "the key of its certificate is too small",
    68: "the signature of its certificate uses a digest that is too weak",
}
_WRONG_NAME: Final = (62, 64)  # host name, IP address

# Alerts that say: your certificate. A server of TLS 1.3 sends them after the handshake has ended on our side.
_REFUSES: Final = {
    "CERTIFICATE_REQUIRED": "it requires a client certificate; set tls.certificate of the cluster",
    "UNKNOWN_CA": "it does not trust the authority of our client certificate",
    "BAD_CERTIFICATE": "it does not accept our client certificate",
    "UNSUPPORTED_CERTIFICATE": "it does not accept our kind of client certificate",
    "CERTIFICATE_REVOKED": "our client certificate was revoked",
    "CERTIFICATE_EXPIRED": "our client certificate has expired",
    "CERTIFICATE_UNKNOWN": "it does not accept our client certificate",
    "ACCESS_DENIED": "it denies access to our client certificate",
    "DECRYPT_ERROR": "it could not verify our handshake",
    "HANDSHAKE_FAILURE": "it accepts none of our TLS settings, or requires a client certificate",
    "NO_APPLICATION_PROTOCOL": "it does not speak HTTP/1.1 over TLS (ALPN)",
    "UNRECOGNIZED_NAME": "it does not know this name; see tls.server_name of the cluster",
    "PROTOCOL_VERSION": "it speaks neither TLS 1.2 nor TLS 1.3",
}
# Behind the handshake: the endpoint asks for another one (TLS 1.2) or for a certificate (TLS 1.3), which we refuse (RFC 9325 section 3.5).
_ANOTHER: Final = ("HANDSHAKE_FAILURE", "NO_RENEGOTIATION", "UNEXPECTED_MESSAGE")
_PLAIN: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")


def fault_of(error: ssl.SSLError, server_name: str, *, established: bool = False) -> str:
    """
    Return the reason as the end of a sentence about the endpoint.

    Args:
        server_name: Whom the certificate had to name.
        established: The handshake had ended.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in _WRONG_NAME:
            return f"its certificate is not for {server_name}"
        return _CERTIFICATE.get(code) or f"its certificate was not accepted ({error.verify_message})"
    reason = error.reason or ""
    alert = reason.partition("_ALERT_")[2] or reason.removeprefix("TLSV1_")
    if established and alert in _ANOTHER:
        return (
            "it asks for another handshake or for a client certificate after the handshake (renegotiation, post-handshake authentication), "
            "which lbjwt refuses; let it ask in the first handshake, and set tls.certificate of the cluster"
        )
    if alert in _REFUSES:
        return _REFUSES[alert]
    if reason in _PLAIN:
        return "it does not speak TLS on this port"
    if reason in ("UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE"):
        return _REFUSES["PROTOCOL_VERSION"]
    return f"TLS error ({reason.replace('_', ' ').lower() or 'unknown'})"
