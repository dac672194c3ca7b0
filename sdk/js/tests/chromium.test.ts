/** Pages in a real Chromium: real navigations, a killed tab, two tabs, CSP, blocked requests. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import { browser, skip } from "./browser.js";
import { gateway, type Send, until } from "./gateway.js";

let context: BrowserContext;
let site: { url: string; close(): void };
let g: Awaited<ReturnType<typeof gateway>>;
/** How many of the next batches get a 503. */
let fails = 0;
let rejections = 0;
/** Sends that get no reply. */
const flying: Send[] = [];

before(async () => {
  if (skip) return;
  g = await gateway((send, response) => {
    if (send.url.searchParams.get("key") === "wk_flying" && !send.header.report.fin)
      return !!flying.push(send);
    if (fails-- <= 0) return;
    response.writeHead(503, { "retry-after": "0" }).end("{}");
    return true;
  });
  ({ context, site } = await browser(g.endpoint));
});

after(async () => {
  await context?.close();
  site?.close();
  await g?.close();
});

/** A page with a client of this key, which keeps its events until something makes it send. */
async function open(key: string, path = "/", more: object = {}): Promise<Page> {
  const page = await context.newPage();
  page.on("pageerror", () => rejections++);
  await page.goto(site.url + path);
  await page.evaluate(
    ([options]) => {
      (window as any).client = (window as any).tidegate.init(options);
    },
    [{ key, endpoint: g.endpoint, batchMs: 60000, ...more }],
  );
  return page;
}

const track = (page: Page, n: number, type = "t") =>
  page.evaluate(
    ([count, name]) => {
      for (let i = 0; i < (count as number); i++) (window as any).client.track(name, { i });
    },
    [n, type],
  );

const stats = (page: Page): Promise<any> => page.evaluate(() => (window as any).client.stats());

const of = (key: string) => g.sends.filter((send) => send.url.searchParams.get("key") === key);
const ids = (key: string) => of(key).flatMap((send) => send.events.map((event) => event.id));

test("navigation away sends what is queued, without a preflight", { skip }, async () => {
  const page = await open("wk_nav1");
  await track(page, 30);
  await page.goto(`${site.url}/other`);
  await until(() => new Set(ids("wk_nav1")).size === 30, "30 events");
  assert(of("wk_nav1").every((send) => !send.gzip));
  assert(of("wk_nav1").every((send) => send.headers["content-type"] === "text/plain"));
  assert(of("wk_nav1")[0].header.context.page.startsWith(site.url));
  assert.equal(g.preflights(), 0);
  await page.close();
});

test("a killed tab's events are found by the next one", { skip }, async () => {
  const page = await open("wk_kill1");
  await track(page, 20);
  await page.waitForTimeout(1500);
  const session = await context.newCDPSession(page);
  session.send("Page.crash").catch(() => {});
  await new Promise((resolve) => page.on("crash", resolve));
  assert.equal(ids("wk_kill1").length, 0);
  const next = await open("wk_kill1");
  await until(() => new Set(ids("wk_kill1")).size === 20, "20 events");
  await until(() => of("wk_kill1").some((send) => send.header.report.fin), "the last report");
  assert.equal(ids("wk_kill1").length, 20);
  await next.close();
  await page.close();
});

test("two tabs have two queues, and take nothing from each other", { skip }, async () => {
  const one = await open("wk_tabs");
  const two = await open("wk_tabs");
  await track(one, 10);
  await track(two, 15);
  await two.waitForTimeout(1300);
  assert.equal((await stats(one)).held, 10);
  assert.equal((await stats(two)).held, 15);
  assert.equal((await stats(two)).older.length, 0);
  for (const page of [one, two]) await page.evaluate(() => (window as any).client.flush());
  assert.equal(ids("wk_tabs").length, 25);
  assert.equal(new Set(ids("wk_tabs")).size, 25);
  await one.close();
  await two.close();
});

test("offline: nothing is tried; online again: one probe, then the rest", { skip }, async () => {
  const page = await open("wk_off1", "/", { batchMs: 100 });
  await context.setOffline(true);
  await page.waitForFunction(() => !navigator.onLine);
  await track(page, 5);
  await page.waitForTimeout(500);
  assert.equal(ids("wk_off1").length, 0);
  assert.equal((await stats(page)).held, 5);
  await context.setOffline(false);
  await until(() => ids("wk_off1").length === 5, "5 events");
  await page.close();
});

for (const path of ["csp", "nonce"])
  test(`works under a strict content security policy (${path})`, { skip }, async () => {
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    await page.goto(`${site.url}/${path}`);
    const result = await page.evaluate(
      async ([endpoint, key]) => {
        const client = (window as any).tidegate.init({ key, endpoint });
        client.track("t");
        return client.flush();
      },
      [g.endpoint, `wk_${path}`],
    );
    assert.equal(result, true);
    assert.equal(await page.evaluate(() => typeof (window as any).tidegate_more), "object");
    assert.deepEqual(
      complaints.filter((text) => /security policy/i.test(text)),
      [],
    );
    await page.close();
  });

test("without storage (blocked third-party data) it lives in memory", { skip }, async () => {
  const page = await context.newPage();
  await page.addInitScript(() => {
    for (const name of ["indexedDB", "localStorage"])
      Object.defineProperty(window, name, {
        get() {
          throw new DOMException("denied", "SecurityError");
        },
      });
  });
  await page.goto(site.url);
  const result = await page.evaluate(
    async ([endpoint]) => {
      const client = (window as any).tidegate.init({ key: "wk_mem1", endpoint });
      client.track("t");
      return [await client.flush(), client.stats().acked];
    },
    [g.endpoint],
  );
  assert.deepEqual(result, [true, 1]);
  await page.close();
});

test("a blocked endpoint is tried five times, then left alone; nothing is thrown", {
  skip,
}, async () => {
  const page = await context.newPage();
  page.on("pageerror", () => rejections++);
  await page.route(`${g.endpoint}/**`, (route) => route.abort("blockedbyclient"));
  let tries = 0;
  page.on("requestfailed", (request) => request.url().includes("/v1/batch") && tries++);
  await page.goto(site.url);
  await page.evaluate(
    ([endpoint]) => {
      (window as any).client = (window as any).tidegate.init({
        key: "wk_block",
        endpoint,
        batchMs: 100,
        retryBaseMs: 100,
        retryCapMs: 1000,
      });
      (window as any).client.track("t");
    },
    [g.endpoint],
  );
  await until(async () => (await stats(page)).breaker === "open", "an open breaker");
  await page.waitForTimeout(1500);
  assert.equal(tries, 5);
  assert.equal((await stats(page)).held, 1);
  assert.equal(rejections, 0);
  await page.close();
});

test("calls before the script has come are made up for; the errors plug-in tells", {
  skip,
}, async () => {
  const page = await context.newPage();
  await page.addInitScript((endpoint) => {
    const q: any[] = [];
    (window as any).tidegate = { q };
    q.push(["init", { key: "wk_snip", endpoint }], ["track", "early", { a: 1 }]);
  }, g.endpoint);
  await page.goto(site.url);
  await page.addScriptTag({ url: "/errors.js" });
  await page.evaluate(() => {
    (window as any).tidegate_errors.errors((window as any).tidegate);
    setTimeout(() => {
      throw new Error("uncaught");
    });
  });
  await page.waitForTimeout(100);
  await page.evaluate(() => (window as any).tidegate.flush());
  const events = of("wk_snip").flatMap((send) => send.events);
  assert.deepEqual(events.map((event) => event.type).sort(), ["early", "error"]);
  await page.close();
});

test("back from the back-forward cache, the epoch goes on", { skip }, async () => {
  const page = await open("wk_back");
  await track(page, 3);
  await page.evaluate(() => (window as any).client.flush());
  await page.evaluate(() => {
    window.dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
    window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
  });
  await track(page, 2);
  await page.evaluate(() => (window as any).client.flush());
  assert.equal(new Set(of("wk_back").map((send) => send.header.epoch)).size, 1);
  assert.equal((await stats(page)).acked, 5);
  await page.close();
});

test("the core alone keeps what is tracked until the second file is there", { skip }, async () => {
  const page = await context.newPage();
  let asked = 0;
  const away = (route: any) => ++asked && route.abort();
  await page.route("**/tidegate-more.js", away);
  await page.goto(site.url);
  const result = await page.evaluate(
    async ([endpoint]) => {
      const client = (window as any).tidegate.init({
        key: "wk_core",
        endpoint,
        batchMs: 100,
        retryBaseMs: 100,
        sample: { never: 0 },
      });
      (window as any).client = client;
      client.track("t", { text: "x".repeat(3000) });
      client.track("never");
      return [await client.flush(300), client.stats()];
    },
    [g.endpoint] as const,
  );
  assert.equal(result[0], false);
  assert.equal(result[1].held, 1);
  assert.deepEqual(result[1].pre, [["sampled", 1, 1]]);
  await until(() => asked > 0, "a first request for the second file");
  assert.equal(of("wk_core").length, 0);
  // It comes later: what waited is sent as everything is.
  await page.unroute("**/tidegate-more.js", away);
  fails = 2;
  const flushed = await page.evaluate(async () => {
    const { client } = window as any;
    // The first may come before the failure was noticed.
    return (await client.flush(2000)) || client.flush();
  });
  assert.equal(flushed, true);
  assert.equal((await stats(page)).acked, 1);
  assert.equal(of("wk_core")[0].gzip, true);
  assert.equal(of("wk_core").at(-1)!.url.searchParams.get("attempt"), "2");
  await page.close();
});

/** What a page does that has only its core; resolves when so many events have arrived. */
async function coreAlone(key: string, n: number, leave: (page: Page) => Promise<unknown>) {
  const page = await context.newPage();
  await page.route("**/tidegate-more.js", () => {});
  await page.goto(site.url);
  await page.evaluate(
    ([endpoint, name, count]: any) => {
      const client = (window as any).tidegate.init({ key: name, endpoint });
      (window as any).client = client;
      for (let i = 0; i < count; i++) client.track("t", { i });
    },
    [g.endpoint, key, n] as any,
  );
  const out = await leave(page);
  await until(() => new Set(ids(key)).size === n, `${n} events`);
  await until(() => of(key).some((send) => send.header.report.fin), "the last report");
  await page.close();
  const last = of(key).find((send) => send.header.report.fin)!;
  assert.equal(last.header.count, 0);
  const { tracked, admitted, acked, held, pre, post, reserved } = last.header.report;
  assert.deepEqual({ tracked, admitted, acked, held, pre, post, reserved }, {
    ...{ tracked: n, admitted: n, acked: 0, held: 0, reserved: n },
    ...{ pre: [], post: [["unconfirmed", 1, n]] },
  } as any);
  assert(of(key).every((send) => send.header.report.n <= last.header.report.n));
  // Beacons may overtake each other.
  assert(of(key).some((send) => send.header.report.held === n));
  return out;
}

test("a page that is left before the second file has come loses nothing", { skip }, async () => {
  await coreAlone("wk_bounce", 7, (page) => page.goto(`${site.url}/other`));
});

test("a client that is closed before the second file has come loses nothing", {
  skip,
}, async () => {
  const result = await coreAlone("wk_brief", 5, (page) =>
    page.evaluate(async () => {
      const { client } = window as any;
      return [await client.close(100), client.stats().tracked, await client.close()];
    }),
  );
  assert.deepEqual(result, [false, 5, false]);
});

test("back from the back-forward cache, the core alone begins anew", { skip }, async () => {
  await coreAlone("wk_return", 4, (page) =>
    page.evaluate(() => {
      window.dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true }));
      window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
      const { client } = window as any;
      client.track("never.sent");
      const { tracked, held } = client.stats();
      if (tracked !== 1 || held !== 1) throw new Error(`${tracked} ${held}`);
      client.optOut();
    }),
  );
});

test("a page that is left while its store opens sends a last report", { skip }, async () => {
  const page = await context.newPage();
  await page.goto(site.url);
  await page.evaluate(
    async ([endpoint]) => {
      // A database that never answers.
      indexedDB.open = () => ({}) as any;
      const client = (window as any).tidegate.init({ key: "wk_early", endpoint });
      while (!(window as any).tidegate_more) await new Promise((done) => setTimeout(done, 10));
      await new Promise((done) => setTimeout(done, 100));
      for (let i = 0; i < 6; i++) client.track("t", { i });
    },
    [g.endpoint],
  );
  await page.goto(`${site.url}/other`);
  await until(() => new Set(ids("wk_early")).size === 6, "6 events");
  await until(() => of("wk_early").some((send) => send.header.report.fin), "the last report");
  await page.close();
});

/** `VISITS=1000` for the whole of it. */

test("a page without a store that is left during a request says so in a last report", {
  skip,
}, async () => {
  const page = await open("wk_flying", "/", { store: false, batchMs: 100 });
  await track(page, 6);
  await until(() => flying.length, "a request");
  await page.goto(`${site.url}/other`);
  await until(() => of("wk_flying").length, "the last report");
  const { count, report } = of("wk_flying")[0].header;
  assert.deepEqual(
    [count, report.acked, report.held, report.post],
    [0, 0, 0, [["unconfirmed", 1, 6]]],
  );
  assert(flying[0].header.report.n < report.n);
  await page.close();
});
