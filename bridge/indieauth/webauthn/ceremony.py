"""WebAuthn ceremonies (WebAuthn 7): options for the browser, and verification of its response.

A wrapper of py_webauthn, which is large, so this module is imported on first use.
"""

from __future__ import annotations

import json
import time
from typing import Any

import webauthn
from webauthn.helpers import parse_client_data_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from bridge.indieauth.database import Database
from bridge.indieauth.login.password import owner_handle
from bridge.indieauth.webauthn.passkeys import PasskeyRefused, Proven, RelyingParty


def challenge_in(credential: dict[str, object]) -> bytes:
    """The challenge that a credential claims to have signed. Raises :class:`PasskeyRefused`."""
    try:
        response: Any = credential["response"]
        signed = webauthn.base64url_to_bytes(response["clientDataJSON"])
        return parse_client_data_json(signed).challenge
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PasskeyRefused("The browser sent no passkey.") from error


def creation_options(db: Database, party: RelyingParty, owner: str, challenge: bytes) -> str:
    """The options for creating a passkey, as JSON."""
    with db.transaction() as connection:
        handle = owner_handle(connection)
    options = webauthn.generate_registration_options(
        rp_id=party.host,
        rp_name=owner,
        user_id=handle,
        user_name=owner,
        challenge=challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            # The sign-in page asks for no user name, so the authenticator must store the key
            # (discoverable credential); as the only factor it must verify the user.
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[
            PublicKeyCredentialDescriptor(id=row["credential"])
            for row in db.all("SELECT credential FROM passkeys")
        ],
    )
    return webauthn.options_to_json(options)


def check_creation(party: RelyingParty, challenge: bytes, credential: dict[str, object]) -> Proven:
    """Verify a created passkey (WebAuthn 7.1). Raises :class:`PasskeyRefused`."""
    try:
        verified = webauthn.verify_registration_response(
            credential=json.dumps(credential),
            expected_challenge=challenge,
            expected_rp_id=party.host,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise PasskeyRefused("That passkey could not be verified.") from error
    return Proven(verified.credential_id, verified.credential_public_key, verified.sign_count)


def request_options(party: RelyingParty, challenge: bytes) -> str:
    """The options for signing in with a passkey, as JSON.

    They name no passkeys, so that existing ones are not revealed.
    """
    options = webauthn.generate_authentication_options(
        rp_id=party.host,
        challenge=challenge,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return webauthn.options_to_json(options)


def check_proof(
    db: Database, party: RelyingParty, challenge: bytes, credential: dict[str, object]
) -> None:
    """Verify a signature by one of the owner's passkeys (7.2). Raises :class:`PasskeyRefused`."""
    try:
        raw_id = webauthn.base64url_to_bytes(str(credential.get("rawId", "")))
        row = db.one("SELECT * FROM passkeys WHERE credential = ?", raw_id)
        if row is None:
            raise PasskeyRefused("That passkey is not known here.")
        verified = webauthn.verify_authentication_response(
            credential=json.dumps(credential),
            expected_challenge=challenge,
            expected_rp_id=party.host,
            expected_origin=party.origin,
            credential_public_key=row["public_key"],
            credential_current_sign_count=row["sign_count"],
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        raise PasskeyRefused("That passkey could not be verified.") from error
    with db.transaction() as connection:
        connection.execute(
            "UPDATE passkeys SET sign_count = ?, last_used = ? WHERE id = ?",
            (verified.new_sign_count, time.time(), row["id"]),
        )
