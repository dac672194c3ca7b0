/** The page's side of the web adapter: messages come over a WebSocket, one a text frame. */
import type { Platform } from "../src/platform.js";
import { hide, leavePage, show } from "../src/web/hidden.js";
import { sending } from "../src/web/http.js";
import { nameOf, pagePlatform, SDK } from "../src/web/platform.js";
import { pageStore } from "../src/web/store.js";
import { operator } from "./ops.js";
import { pageUrl } from "./origin.js";
import { World } from "./virtual.js";

const world = new World();
// Message channels are not slowed down in the background, as timers are.
world.turn = () =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => setTimeout(resolve, 0);
    port2.postMessage(0);
  });

let disk = "";
let beacon = { refuse: false, most: Number.POSITIVE_INFINITY };
const disks: { _mode?: string }[] = [];

const NAMES: Record<string, string> = { full: "QuotaExceededError", error: "UnknownError", ok: "" };

const run = operator({
  world,
  who: {
    sdk: SDK,
    profile: "device",
    caps: "virtual store kill net page beacon bfcache disk gzip undefined dynamic".split(" "),
    missing: {
      crash: "a page cannot kill itself at a point; the driver kills its process",
      share:
        "two browsers cannot share a profile; two tabs of one are tested in tests/chromium.test.ts",
      fork: "pages do not fork",
      exit: "pages have no exit hook",
      secret_key: "R2: refused in pages",
      etag: "R27: the browser revalidates by itself",
      headers: "R3: pages set no headers",
    },
  },
  platform(options, store): Platform {
    const name = `${store} ${nameOf(options.endpoint, options.key)}`;
    const made = store ? pageStore(name) : undefined;
    if (made) {
      made._mode = disk;
      disks.push(made);
    }
    const real = pagePlatform(name);
    const { _beacon, _get, _set } = real;
    return {
      ...real,
      ...sending,
      _store: made,
      _get: made && _get,
      _set: made && _set,
      _beacon: (url, body) => !beacon.refuse && body.length <= beacon.most && _beacon!(url, body),
    };
  },
  more(m, held) {
    const each = (f: (state: any) => void) => {
      for (const { state } of held.values()) f(state);
      return Promise.resolve({});
    };
    if (m.op === "disk") {
      disk = NAMES[m.mode];
      for (const one of disks) one._mode = disk;
      return Promise.resolve({});
    }
    if (m.op === "beacon") {
      beacon = { refuse: m.mode === "refuse", most: m.bytes_max ?? Number.POSITIVE_INFINITY };
      return Promise.resolve({});
    }
    if (m.op === "page") {
      if (m.event === "hidden" || m.event === "freeze") return each(hide);
      if (m.event === "pagehide") return each((s) => leavePage(s, m.persisted === false));
      return each(show);
    }
  },
});

let turn: Promise<void> = Promise.resolve();
const socket = new WebSocket(decodeURIComponent(location.hash.slice(1)));
socket.onmessage = ({ data }) => {
  const m = JSON.parse(data);
  if (m.op === "go") return location.replace(pageUrl(m.harness, location.port));
  turn = turn.then(async () => socket.send(JSON.stringify(await run(m))));
};
