// Keeps the page for use without a network. `fmnist-edge deploy` fills in the files with their digests, so a new kit is
// a new service worker; it takes over when no tab shows the old one, so a page never mixes two kits.

const KIT = { version: "", files: {} };
const PREFIX = `garment-kit ${self.registration.scope} `;
const CACHE = PREFIX + KIT.version;

/** Fetch a file past outdated copies, and refuse one that is not what was deployed. */
async function keep(cache, [path, integrity]) {
  const response = await fetch(path, { cache: "no-cache", integrity });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  await cache.put(path, response);
}

self.addEventListener("install", (event) => {
  const all = (cache) => Promise.all(Object.entries(KIT.files).map((file) => keep(cache, file)));
  event.waitUntil(caches.open(CACHE).then(all));
});

self.addEventListener("activate", (event) => {
  const isOld = (name) => name.startsWith(PREFIX) && name !== CACHE;
  const clean = async () => {
    for (const name of (await caches.keys()).filter(isOld)) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

self.addEventListener("fetch", (event) => {
  if (event.request.method !== "GET" || !event.request.url.startsWith(self.registration.scope)) return;
  const wanted = event.request.mode === "navigate" ? "index.html" : event.request;
  const kept = caches.open(CACHE).then((cache) => cache.match(wanted, { ignoreSearch: true }));
  event.respondWith(kept.then((response) => response ?? fetch(event.request)));
});
