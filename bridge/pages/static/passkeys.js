// Making and using passkeys. Without this script the password form remains.
"use strict";

const toBytes = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));

const toText = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function call(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const reply = await response.json();
  if (!response.ok) throw new Error(reply.error);
  return reply;
}

// What the server needs of a credential; every buffer as base64url.
function describe(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = toText(credential.response[name]);
  }
  return {
    id: credential.id,
    rawId: toText(credential.rawId),
    type: credential.type,
    response,
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

async function signIn({ csrf, then }) {
  const options = await call("/auth/sign-in/passkey/options", { csrf });
  options.challenge = toBytes(options.challenge);
  const credential = await navigator.credentials.get({ publicKey: options });
  return call("/auth/sign-in/passkey", { csrf, then, credential: describe(credential) });
}

async function create({ csrf, key }) {
  const options = await call("/auth/passkeys/options", { csrf, key });
  options.challenge = toBytes(options.challenge);
  options.user.id = toBytes(options.user.id);
  for (const known of options.excludeCredentials) known.id = toBytes(known.id);
  const credential = await navigator.credentials.create({ publicKey: options });
  return call("/auth/passkeys", { csrf, key, credential: describe(credential) });
}

async function confirm({ csrf }) {
  const options = await call("/auth/sign-in/passkey/options", { csrf });
  options.challenge = toBytes(options.challenge);
  const credential = await navigator.credentials.get({ publicKey: options });
  return call("/auth/confirm/passkey", { csrf, credential: describe(credential) });
}

function explain(error, { cancelled, known }) {
  if (error.name === "NotAllowedError") return cancelled;
  if (error.name === "InvalidStateError") return known;
  return error.message;
}

if (window.PublicKeyCredential) {
  for (const box of document.querySelectorAll("[data-passkey]")) {
    const button = box.querySelector("button");
    const problem = box.querySelector("[role=alert]");
    const act = { create, confirm, "sign-in": signIn }[box.dataset.passkey];
    box.hidden = false;
    button.addEventListener("click", async () => {
      button.disabled = true;
      problem.hidden = true;
      try {
        const { then } = await act(box.dataset);
        // What waited for the proof goes on: a deed to confirm, or what was typed.
        const form = box.closest("form");
        if (form) form.submit();
        else location.assign(then);
      } catch (error) {
        problem.textContent = explain(error, box.dataset);
        problem.hidden = false;
        button.disabled = false;
      }
    });
  }
}
