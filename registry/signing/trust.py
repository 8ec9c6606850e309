# SPDX-License-Identifier: Apache-2.0
"""What outsiders need to verify and to sign: ``trusted_root.json`` and ``client_trust_config.json`` of Sigstore."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from registry.signing.certificates import der, key_id, spki
from registry.signing.encoding import b64
from registry.signing.record import Generation, PublicRecord
from registry.signing.transparency import log_id

TRUSTED_ROOT = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
SIGNING_CONFIG = "application/vnd.dev.sigstore.signingconfig.v0.2+json"
CLIENT_TRUST_CONFIG = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"

# Where the authority answers below its host (Fulcio v2, RFC 3161, Rekor v2).  Clients of Fulcio drop any path before.
SIGNING_CERT_PATH = "/api/v2/signingCert"
TRUST_BUNDLE_PATH = "/api/v2/trustBundle"
TIMESTAMP_PATH = "/api/v1/timestamp"
LOG_ENTRIES_PATH = "/api/v2/log/entries"


def trusted_root(record: PublicRecord) -> dict[str, Any]:
    """Return the trusted root: every generation of every key, with the times from and until which it counts.

    The operator's clocks stand below the instance's domain; clocks that others run bear their own address.
    """
    clocks = [_authority(f"https://tsa.{record.domain}", one) for one in record.timestamping]
    outside = [_authority(one.origin, one) for one in record.outside_timestamping]
    return {
        "mediaType": TRUSTED_ROOT,
        "tlogs": [_signature_log(record.origin_of(one), one) for one in record.signature_log],
        "certificateAuthorities": [_authority(f"https://ca.{record.domain}", one) for one in record.signing],
        "ctlogs": [_certificate_log(f"https://ct.{record.domain}", one) for one in record.certificate_log],
        "timestampAuthorities": [*clocks, *outside],
    }


def client_trust_config(record: PublicRecord, url: str, oidc_issuer: str | None = None) -> dict[str, Any]:
    """Return trusted root and addresses for Sigstore clients: the authority answers at *url* (scheme, host, port).

    *oidc_issuer* is where clients sign people in; the host itself by default.
    """
    host = url.rstrip("/")
    start = record.signing[0].start

    def service(address: str, version: int) -> list[Mapping[str, Any]]:
        return [{"url": address, "majorApiVersion": version, "validFor": {"start": start}, "operator": record.domain}]

    return {
        "mediaType": CLIENT_TRUST_CONFIG,
        "trustedRoot": trusted_root(record),
        "signingConfig": {
            "mediaType": SIGNING_CONFIG,
            "caUrls": service(host, 1),
            "oidcUrls": service(oidc_issuer or host, 1),
            "rekorTlogUrls": service(host, 2),
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaUrls": service(host + TIMESTAMP_PATH, 1),
            "tsaConfig": {"selector": "ANY"},
        },
    }


def dumps(document: Mapping[str, Any]) -> str:
    """Return a trust document as JSON text."""
    return json.dumps(document, indent=2) + "\n"


def _authority(uri: str, generation: Generation) -> dict[str, Any]:
    chain = generation.certificates
    return {
        "subject": _subject(chain[0].subject),
        "uri": uri,
        "certChain": {"certificates": _raw(chain)},
        "validFor": _valid(generation),
    }


def _valid(generation: Generation) -> dict[str, str]:
    return {"start": generation.start, **({"end": generation.end} if generation.end else {})}


def _subject(name: x509.Name) -> dict[str, str]:
    named = {"organization": x509.NameOID.ORGANIZATION_NAME, "commonName": x509.NameOID.COMMON_NAME}
    # An authority of others may lack either, and a verifier does not look at them.
    found = {key: name.get_attributes_for_oid(oid) for key, oid in named.items()}
    return {key: str(values[0].value) if values else "" for key, values in found.items()}


def _raw(chain: Sequence[x509.Certificate]) -> list[dict[str, str]]:
    return [{"rawBytes": b64(der(one))} for one in chain]


def _signature_log(origin: str, generation: Generation) -> dict[str, Any]:
    public: Ed25519PublicKey = generation.public_key
    return _log(f"https://{origin}", generation, "PKIX_ED25519", log_id(origin, public.public_bytes_raw()))


def _certificate_log(url: str, generation: Generation) -> dict[str, Any]:
    public: EllipticCurvePublicKey = generation.public_key
    return _log(url, generation, "PKIX_ECDSA_P256_SHA_256", key_id(public))


def _log(url: str, generation: Generation, details: str, identifier: bytes) -> dict[str, Any]:
    public = {
        "rawBytes": b64(spki(generation.public_key)),
        "keyDetails": details,
        "validFor": _valid(generation),
    }
    return {"baseUrl": url, "hashAlgorithm": "SHA2_256", "publicKey": public, "logId": {"keyId": b64(identifier)}}
