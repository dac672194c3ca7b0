/** Many visits of pages that are left in random ways: every event is accounted for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { browser, skip } from "./browser.js";
import { gateway, until } from "./gateway.js";

const VISITS = Number(process.env.VISITS || 40);

test(`${VISITS} page visits with random unloads: every event is accounted for`, {
  skip,
}, async (t) => {
  const g = await gateway();
  t.after(g.close);
  const { context, site } = await browser(g.endpoint);
  t.after(async () => {
    await context.close();
    site.close();
  });
  const key = "wk_visits";
  const options = { key, endpoint: g.endpoint, batchMs: 100 };
  // The same visits in every run (Park and Miller).
  let seed = 20261122;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  let tracked = 0;
  const ways: Record<string, number> = {};
  let page = await context.newPage();
  for (let visit = 0; visit < VISITS; visit++) {
    await page.goto(`${site.url}/visit${visit}`);
    // Two bursts with a pause between, of which either may be empty.
    for (const first of [true, false]) {
      const n = Math.floor(random() * 5);
      tracked += n;
      await page.evaluate(
        ([o, isFirst, count]: any) => {
          if (isFirst) (window as any).client = (window as any).tidegate.init(o);
          for (let i = 0; i < count; i++) (window as any).client.track("visit", { i });
        },
        [options, first, n] as any,
      );
      await new Promise((resolve) => setTimeout(resolve, random() * 200));
    }
    const way = ["navigation", "reload", "close", "another site"][Math.floor(random() * 4)];
    ways[way] = (ways[way] || 0) + 1;
    if (way === "reload") await page.reload();
    if (way === "another site") await page.goto(`${site.url.replace("localhost", "127.0.0.1")}/`);
    if (way === "close") {
      const next = await context.newPage();
      await page.close();
      page = next;
    }
  }
  // The last page takes over what the others left.
  await page.goto(`${site.url}/last`);
  await page.evaluate(
    ([o]: any) => {
      (window as any).client = (window as any).tidegate.init(o);
    },
    [options],
  );
  const last: any = {};
  const read = () => {
    for (const { header } of g.sends)
      if (!(last[header.epoch]?.n > header.report.n)) last[header.epoch] = header.report;
  };
  const books = () => {
    read();
    const all = Object.values(last) as any[];
    const total = (f: (report: any) => number) => all.reduce((n, report) => n + f(report), 0);
    const rows = (list: any[], what: (reason: string) => boolean) =>
      list.reduce((n, [reason, , count]) => n + (what(reason) ? count : 0), 0);
    const is = (reason: string) => reason === "unconfirmed";
    return {
      epochs: all.length,
      open: all.filter((report) => !report.fin).length,
      tracked: total((r) => r.tracked),
      acked: total((r) => r.acked),
      // A beacon has no answer: what an open epoch held in its last report went with it.
      unconfirmed: total((r) => rows(r.post, is) + (r.fin ? 0 : r.held)),
      reported: total((r) => rows(r.pre.concat(r.post), (reason) => !is(reason))),
      received: g.ids().size,
      sent: g.sends.reduce((n, { events }) => n + events.length, 0),
    };
  };
  await until(
    () => books().tracked === tracked && books().received === tracked,
    () => `${tracked} events: ${JSON.stringify(books())}`,
  );
  // Every epoch gets a last report, from its own page or from the next one, but for about one of 1,000,
  // whose page was left before it had heard anything. All its events have arrived, see above.
  const open = () => {
    read();
    return Object.values(last).filter((r: any) => !r.fin);
  };
  await until(
    () =>
      open().length * 100 <= VISITS && open().every((r: any) => r.held === r.tracked && !r.acked),
    () => `no open epoch that has heard something: ${JSON.stringify([books(), open()])}`,
  );
  for (const r of g.sends.map((send) => send.header.report)) {
    const post = r.post.reduce((n: number, row: any[]) => n + row[2], 0);
    assert.equal(r.admitted, r.acked + r.held + post, JSON.stringify(r));
  }
  const b = books();
  // What came twice in the same batch is settled by the gateway's own memory of batches.
  const batches: Record<string, Set<string>> = {};
  for (const { header, events } of g.sends)
    for (const { id } of events) (batches[id] ||= new Set()).add(header.batch);
  // Every event arrived in its own epoch, and every epoch tells of its own events alone.
  const arrived: Record<string, Set<string>> = {};
  for (const { header, events } of g.sends)
    for (const { id } of events) (arrived[header.epoch] ||= new Set()).add(id);
  for (const [epoch, r] of Object.entries(last) as any)
    assert.equal(arrived[epoch]?.size ?? 0, r.admitted, `${epoch} ${JSON.stringify(r)}`);
  const apart = Object.values(batches).filter((set) => set.size > 1).length;
  assert.equal(b.tracked, tracked);
  assert.equal(b.acked + b.unconfirmed + b.reported, tracked);
  assert.equal(g.preflights(), 0);
  console.log(
    `# ${VISITS} visits ${JSON.stringify(ways)}: tracked ${tracked} = acked ${b.acked} + reported ` +
      `${b.reported} + unconfirmed ${b.unconfirmed}; received ${b.received}, so ` +
      `${b.received - b.acked} of the unconfirmed had arrived; ${b.sent - b.received} arrived twice, ${apart} of them in different batches; ` +
      `${b.epochs} epochs, ${b.open} without a last report; preflights ${g.preflights()}`,
  );
});
