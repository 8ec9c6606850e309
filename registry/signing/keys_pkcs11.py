# SPDX-License-Identifier: Apache-2.0
"""Keys on a PKCS#11 token (HSM, smart card, softhsm2), which they never leave.  The door of ``pkcs11``.

The keys returned here are private keys as ``cryptography`` knows them, so certificate builders and all our signing
code take them; what they are asked to sign goes to the token.  P-256 signs by CKM_ECDSA over a digest made here,
Ed25519 by CKM_EDDSA.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pkcs11
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_ec_public_key, encode_ecdsa_signature, encode_named_curve_parameters

from khatim.errors import AlreadyExists, Misconfigured, Unavailable

_ED25519 = bytes.fromhex("06032b6570")  # RFC 8410: the object identifier 1.3.101.112, DER
_ED25519_SIZE = 32
_KEPT = {Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True, Attribute.PRIVATE: True}
_ADVICE = "Check KHATIM_AUTHORITY__MODULE, KHATIM_AUTHORITY__TOKEN and the file with the PIN."


class Pkcs11Keys:
    """The keys of one token.  Sessions are opened again when the token was away; safe for several threads."""

    def __init__(self, module: Path, token: str, pin: Callable[[], str]) -> None:
        """Take the vendor's library, the token's label, and what returns the user PIN."""
        self._module = module
        self._label = token
        self._pin = pin
        self._lock = threading.RLock()  # a session does one thing at a time
        self._session: Any = None

    @property
    def place(self) -> str:
        """Where the keys lie, in words."""
        return f"the PKCS#11 token {self._label!r} ({self._module.name}); they cannot leave it"

    def create_p256(self, name: str) -> EllipticCurvePrivateKey:
        """Make a P-256 key on the token; raises `AlreadyExists` rather than replace one."""
        self._create(name, KeyType.EC, encode_named_curve_parameters("secp256r1"), Mechanism.EC_KEY_PAIR_GEN)
        return self.p256(name)

    def create_ed25519(self, name: str) -> Ed25519PrivateKey:
        """Make an Ed25519 key on the token; raises `AlreadyExists`, `Misconfigured` if the token knows no Ed25519."""
        self._create(name, KeyType.EC_EDWARDS, _ED25519, Mechanism.EC_EDWARDS_KEY_PAIR_GEN)
        return self.ed25519(name)

    def p256(self, name: str) -> EllipticCurvePrivateKey:
        """Return the P-256 key *name*; raises `Misconfigured` if it is not there, or of another kind."""
        with self._working() as session:
            public = self._object(session, name, ObjectClass.PUBLIC_KEY)
            if public.key_type is not KeyType.EC:
                raise Misconfigured(f"the key {name} on the token is not an ECDSA P-256 key")
            known = serialization.load_der_public_key(encode_ec_public_key(public))
        if not isinstance(known, EllipticCurvePublicKey) or not isinstance(known.curve, ec.SECP256R1):
            raise Misconfigured(f"the key {name} on the token is not an ECDSA P-256 key")
        return _TokenP256(known, lambda digest: self._sign(name, digest, Mechanism.ECDSA))

    def ed25519(self, name: str) -> Ed25519PrivateKey:
        """Return the Ed25519 key *name*; raises `Misconfigured` if it is not there, or of another kind."""
        with self._working() as session:
            public = self._object(session, name, ObjectClass.PUBLIC_KEY)
            if public.key_type is not KeyType.EC_EDWARDS:
                raise Misconfigured(f"the key {name} on the token is not an Ed25519 key")
            # Some tokens wrap the point in an OCTET STRING, some do not; the point is its end.
            known = Ed25519PublicKey.from_public_bytes(bytes(public[Attribute.EC_POINT])[-_ED25519_SIZE:])
        return _TokenEd25519(known, lambda data: self._sign(name, data, Mechanism.EDDSA))

    def names(self) -> list[str]:
        """Return the names of all keys, sorted."""
        with self._working() as session:
            return sorted(str(one.label) for one in session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}))

    def export(self, name: str) -> bytes | None:  # noqa: ARG002 - the same for all
        """Return None: what lies on a token stays there."""
        return None

    def restore(self, name: str, pkcs8: bytes) -> None:  # noqa: ARG002 - refused, whatever it is
        """Raise `Misconfigured`: a key that has been outside is not taken in."""
        raise Misconfigured(
            f"the key {name} of the kit is not put on a token",
            advice="Restore into a sealed store; then rotate to keys that are made on the token.",
        )

    def _create(self, name: str, kind: KeyType, curve: bytes, mechanism: Mechanism) -> None:
        with self._working() as session:
            if list(session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: name})):
                raise AlreadyExists(f"the signing authority has a key {name} already")
            domain = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: curve}, local=True)
            domain.generate_keypair(
                mechanism=mechanism, store=True, label=name, id=name.encode(), private_template=_KEPT
            )

    def _sign(self, name: str, data: bytes, mechanism: Mechanism) -> bytes:
        with self._working() as session:
            return bytes(self._object(session, name, ObjectClass.PRIVATE_KEY).sign(data, mechanism=mechanism))

    def _object(self, session: Any, name: str, kind: ObjectClass) -> Any:
        found = list(session.get_objects({Attribute.CLASS: kind, Attribute.LABEL: name}))
        if len(found) != 1:
            raise Misconfigured(
                f"the token {self._label!r} has {len(found) or 'no'} key{'s' * (len(found) > 1)} {name}",
                advice="Is it the token on which this authority was founded? Keys of a lost token cannot be restored: "
                "rotate, or hold a ceremony.",
            )
        return found[0]

    @contextmanager
    def _working(self) -> Iterator[Any]:
        """Hold the session; what the vendor raises becomes our own error, and the next use opens a new session."""
        with self._lock:
            try:
                if self._session is None:
                    self._session = self._open()
                yield self._session
            except pkcs11.exceptions.PKCS11Error as wrong:
                self._session = None
                raise _translated(wrong, self._label) from wrong

    def _open(self) -> Any:
        try:
            library = pkcs11.lib(str(self._module))
        except (pkcs11.exceptions.PKCS11Error, RuntimeError, OSError) as wrong:
            raise Misconfigured(
                f"the PKCS#11 module {self._module} cannot be loaded: {str(wrong)[:120] or type(wrong).__name__}",
                advice="Set KHATIM_AUTHORITY__MODULE to the vendor's library, as /usr/lib/softhsm/libsofthsm2.so.",
            ) from wrong
        token = library.get_token(token_label=self._label)
        try:
            return token.open(rw=True, user_pin=self._pin())
        except pkcs11.exceptions.UserAlreadyLoggedIn:
            # PKCS#11 2.40, 6.7.4: all sessions of a process with one token share its login.
            return token.open(rw=True)


def _translated(wrong: pkcs11.exceptions.PKCS11Error, token: str) -> Misconfigured | Unavailable:
    named = type(wrong).__name__
    if isinstance(wrong, pkcs11.exceptions.PinIncorrect | pkcs11.exceptions.PinLenRange | pkcs11.exceptions.PinInvalid):
        return Misconfigured(
            f"the PIN of the token {token!r} is wrong", advice="Each wrong one counts: tokens lock after a few."
        )
    if isinstance(wrong, pkcs11.exceptions.PinLocked):
        return Misconfigured(
            f"the PIN of the token {token!r} is locked", advice="Its security officer can set a new one."
        )
    if isinstance(wrong, pkcs11.exceptions.NoSuchToken):
        return Misconfigured(f"there is no token {token!r}", advice=_ADVICE)
    if isinstance(wrong, pkcs11.exceptions.MechanismInvalid | pkcs11.exceptions.AttributeValueInvalid):
        return Misconfigured(f"the token {token!r} does not know this kind of key ({named})", advice=_ADVICE)
    return Unavailable(f"the token {token!r} does not answer as it should: {named}", advice="Is it plugged in?")


def _stays() -> NoReturn:
    raise Misconfigured("the key lies on a token and cannot leave it")


class _TokenP256(EllipticCurvePrivateKey):
    """A P-256 key whose signatures a token makes; everything else about it stays there."""

    def __init__(self, public: EllipticCurvePublicKey, sign: Callable[[bytes], bytes]) -> None:
        self._public = public
        self._raw = sign

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign by ECDSA over SHA-256 (the only way in which the authority signs); the signature is DER."""
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, utils.Prehashed) or not isinstance(algorithm, hashes.SHA256):
            raise Misconfigured("the authority's keys sign by ECDSA over SHA-256 only")
        digest = hashes.Hash(algorithm)
        digest.update(data)
        return encode_ecdsa_signature(self._raw(digest.finalize()))

    def public_key(self) -> EllipticCurvePublicKey:
        """Return the public key."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """256 bits."""
        return self._public.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: EllipticCurvePublicKey) -> bytes:  # noqa: ARG002
        """Refuse: these keys sign."""
        _stays()

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """Refuse."""
        _stays()

    def private_bytes(self, *_: Any, **__: Any) -> bytes:
        """Refuse."""
        _stays()

    def __copy__(self) -> EllipticCurvePrivateKey:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> EllipticCurvePrivateKey:
        return self


class _TokenEd25519(Ed25519PrivateKey):
    """An Ed25519 key whose signatures a token makes."""

    def __init__(self, public: Ed25519PublicKey, sign: Callable[[bytes], bytes]) -> None:
        self._public = public
        self._raw = sign

    def sign(self, data: Any) -> bytes:
        """Sign *data* (64 bytes)."""
        return self._raw(bytes(data))

    def public_key(self) -> Ed25519PublicKey:
        """Return the public key."""
        return self._public

    def private_bytes(self, *_: Any, **__: Any) -> bytes:
        """Refuse."""
        _stays()

    def private_bytes_raw(self) -> bytes:
        """Refuse."""
        _stays()

    def __copy__(self) -> Ed25519PrivateKey:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> Ed25519PrivateKey:
        return self
