// One measure of one contestant in Chromium as a line of JSON: `<contestant> <endpoint> <measure> <count>`.
// NODE_MODULES names the folder of the installed packages.
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const js = join(here, "../../js");
const tool = createRequire(join(js, "x.js"));
const { chromium } = tool("playwright-core");
const { buildSync } = tool("esbuild");

/** By name: the module, and whether it keeps anything in the browser, which is each one's default. */
const contestants = {
  tidegate: ["tidegate", false],
  "tidegate store": ["tidegate", true],
  posthog: ["posthog", true],
  "posthog memory": ["posthog", false],
  segment: ["segment", true],
  "segment memory": ["segment", false],
};

const [name, endpoint, what, given] = process.argv.slice(2);
const count = +given;
const [module, keeps] = contestants[name];
const folder = mkdtempSync(join(tmpdir(), "bench-web-"));

/** As a bundler of today makes it; what a page loads later is a chunk of its own. */
buildSync({
  entryPoints: [join(here, `${module}.mjs`)],
  outdir: folder,
  bundle: true,
  minify: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  alias: { tidegate: join(js, "dist/web.mjs") },
  nodePaths: [process.env.NODE_MODULES],
  logLevel: "error",
});
const sizeOf = (files) =>
  files.reduce((n, file) => n + gzipSync(readFileSync(join(folder, file)), { level: 9 }).length, 0);

// Isolated, so that the page's clock tells 5 us.
const site = createServer((request, response) => {
  const file = join(folder, request.url.slice(1));
  const isScript = request.url.endsWith(".js") && existsSync(file);
  response.writeHead(200, {
    "content-type": isScript ? "text/javascript" : "text/html",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
  });
  response.end(isScript ? readFileSync(file) : "<!doctype html><title>bench</title>");
});
await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: [
    ..."--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync".split(" "),
    ..."--disable-background-networking --disable-component-update".split(" "),
    "--disable-features=LocalNetworkAccessChecks",
  ],
});
const page = await browser.newPage();
const scripts = [];
page.on("request", (request) => {
  if (request.resourceType() === "script") scripts.push(new URL(request.url()).pathname.slice(1));
});
await page.goto(`http://localhost:${site.address().port}/`);
await page.evaluate(
  async ([module, endpoint, keeps]) => {
    const { start } = await import(`/${module}.js`);
    window.track = await start(endpoint, keeps);
    window.pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  },
  [module, endpoint, keeps],
);
const devtools = await page.context().newCDPSession(page);

/** After a collection. */
async function live() {
  await devtools.send("HeapProfiler.collectGarbage");
  return (await devtools.send("Runtime.getHeapUsage")).usedSize;
}

/** CPU time of all renderers. */
async function cpuS() {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const of = processInfo.filter((one) => one.type === "renderer");
  return of.reduce((sum, one) => sum + one.cpuTime, 0);
}

/** Waits until all events are there, or none came for ten seconds; when the last one did. */
async function arrival(wanted) {
  let [seen, at] = [0, performance.now()];
  while (seen < wanted && performance.now() - at < 10_000) {
    const now = +(await (await fetch(`${endpoint}/seen`)).text());
    if (now > seen) [seen, at] = [now, performance.now()];
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return at;
}

/** In the page: `n` calls from `from` on, a turn for the page after every 100. */
const calls = (from, n) =>
  page.evaluate(
    async ([first, last]) => {
      const { port1, port2 } = new MessageChannel();
      const turn = () =>
        new Promise((resolve) => {
          port1.onmessage = resolve;
          port2.postMessage(0);
        });
      for (let at = first; at < last; at++) {
        track(at);
        if (at % 100 === 99) await turn();
      }
      port1.close();
    },
    [from, from + n],
  );

const measures = {
  // 20 calls, a pause of 2 ms, and so on.
  async track() {
    const found = await page.evaluate(async (count) => {
      const warm = count / 10;
      const took = [];
      for (let at = 0; at < count + warm; at++) {
        const began = performance.now();
        track(at);
        const ms = performance.now() - began;
        if (at >= warm) took.push(ms * 1e6);
        if (at % 20 === 19) await pause(2);
      }
      took.sort((a, b) => a - b);
      return { p50_ns: took[count >> 1], p99_ns: took[(count * 0.99) | 0], max_ns: took.at(-1) };
    }, count);
    await arrival(count * 1.1);
    return found;
  },
  // What events cost while nobody takes them, and what a page loads.
  async memory() {
    const before = await live();
    await page.evaluate(async (count) => {
      for (let at = 0; at < count; at++) {
        track(at);
        if (at % 1000 === 999) await pause(20);
      }
      await pause(1000);
    }, count);
    const all = readdirSync(folder);
    return {
      heap_bytes: (await live()) - before,
      first_bytes: sizeOf([`${module}.js`]),
      loaded_bytes: sizeOf(all.filter((file) => scripts.includes(file))),
    };
  },
  // From the first call to the last arrival.
  async throughput() {
    await calls(0, count / 10);
    await arrival(count / 10);
    const [began, cpu] = [performance.now(), await cpuS()];
    await calls(count / 10, count);
    const took = (await arrival(count * 1.1)) - began;
    return {
      events_per_s: (count / took) * 1000,
      cpu_ns_an_event: (((await cpuS()) - cpu) / count) * 1e9,
    };
  },
};

const found = await measures[what]();
await browser.close();
site.close();
rmSync(folder, { recursive: true });
console.log(JSON.stringify(found));
process.exit(0);
