"""An account whose DID is of the method ``did:web``: its document is on a server of its own."""

from __future__ import annotations

import base64
import json
import secrets
import time
import urllib.request
from typing import Any

from atproto_crypto.consts import P256_CURVE_ORDER
from atproto_crypto.did import format_did_key
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .network import Account, Network
from .serving import Quiet, Server


class WebDid:
    """Serves the document of a DID, and makes the account that it is of.

    Args:
        network: where the account is made.
        handle: its handle.

    Attributes:
        did: the DID.
        key: what the document says that the account signs with, as a ``did:key:``.
        account: the account.
    """

    def __init__(self, network: Network, handle: str) -> None:
        self._network, self._handle = network, handle
        self._server = Server(self._handler())
        self.did = f"did:web:localhost%3A{self._server.server_address[1]}"
        # servers let in who can sign with the key of the document, and want one of their own in it then
        private = ec.generate_private_key(ec.SECP256R1())
        public = private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        self.key = format_did_key("ES256", public)
        password = secrets.token_hex(8)
        given = {"did": self.did, "handle": handle, "email": f"{handle}@example.com", "password": password}
        token = self._ask("com.atproto.server.createAccount", self._token(private), given)["accessJwt"]
        recommended = self._ask("com.atproto.identity.getRecommendedDidCredentials", token)
        self.key = recommended["verificationMethods"]["atproto"]
        self._ask("com.atproto.server.activateAccount", token, {})
        app = self._ask("com.atproto.server.createAppPassword", token, {"name": "tests"})["password"]
        self.account = Account(handle, self.did, password, app)

    def close(self) -> None:
        """Serve no more."""
        self._server.close()

    def _document(self) -> dict[str, Any]:
        multikey = self.key.removeprefix("did:key:")
        key = {"id": f"{self.did}#atproto", "type": "Multikey", "controller": self.did, "publicKeyMultibase": multikey}
        pds = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": self._network.pds}
        return {
            "id": self.did,
            "alsoKnownAs": [f"at://{self._handle}"],
            "verificationMethod": [key],
            "service": [pds],
        }

    def _handler(self) -> type[Quiet]:
        owner = self

        class Handler(Quiet):
            def do_GET(self) -> None:
                data = json.dumps(owner._document()).encode()
                self.send_response(200 if self.path == "/.well-known/did.json" else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        return Handler

    def _token(self, private: ec.EllipticCurvePrivateKey) -> str:
        claims = {
            "iss": self.did,
            "aud": self._ask("com.atproto.server.describeServer")["did"],
            "lxm": "com.atproto.server.createAccount",
            "exp": int(time.time()) + 60,
            "jti": secrets.token_hex(8),
        }
        parts = [_encoded(json.dumps(part).encode()) for part in ({"alg": "ES256", "typ": "JWT"}, claims)]
        signed = ".".join(parts)
        r, s = decode_dss_signature(private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_encoded(r.to_bytes(32) + min(s, P256_CURVE_ORDER - s).to_bytes(32))}"

    def _ask(self, nsid: str, token: str = "", body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        data = None
        if body is not None:
            data = json.dumps(body).encode() if body else b""
            headers |= {"content-type": "application/json"} if body else {}
        request = urllib.request.Request(f"{self._network.pds}/xrpc/{nsid}", data, headers)
        with urllib.request.urlopen(request, timeout=60) as reply:
            text = reply.read()
        answer: dict[str, Any] = json.loads(text) if text else {}
        return answer


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
