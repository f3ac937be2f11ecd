// The desk without a network: its own files, and a page to write on. It answers nothing while there
// is one, and keeps no page of the owner's. The line before sets VERSION and STATIC.
/* global VERSION, STATIC */
const CACHE = `desk-${VERSION}`;
const OFFLINE = "/desk/offline";
const FILES = ["pages.css", "icon.svg", "outbox.js", "waiting.js", "offline.js"];
const OWN = [OFFLINE, ...FILES.map((name) => `${STATIC}/${name}`)];

async function install() {
  const cache = await caches.open(CACHE);
  await cache.addAll(OWN.map((path) => new Request(path, { cache: "reload" })));
  await self.skipWaiting();
}

async function activate() {
  const old = (await caches.keys()).filter((name) => name.startsWith("desk-") && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("fetch", (event) => {
  const { method, mode, url } = event.request;
  const { origin, pathname } = new URL(url);
  if (navigator.onLine || method !== "GET" || origin !== self.location.origin) return;
  const path = mode === "navigate" ? OFFLINE : pathname;
  if (!OWN.includes(path)) return;
  event.respondWith(
    caches.match(path, { ignoreVary: true }).then((found) => found ?? Response.error()),
  );
});
