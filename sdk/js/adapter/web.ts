/**
 * Opens the page of the web adapter in Chromium, in the adapter's own process group. Profile and port
 * stay in the adapter's home, so that a restarted one finds its origin's store again. The harness has
 * one browser open page after page (`go` in `page.ts`), each of an origin of its own.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { pageUrl } from "./origin.js";

const script = readFileSync(join(dirname(fileURLToPath(import.meta.url)), "page.js"));
const home = process.env.TIDEGATE_HOME || mkdtempSync(join(tmpdir(), "tidegate-web-"));
const portFile = join(home, "web-port");
mkdirSync(home, { recursive: true });

const server = createServer((request, response) => {
  if (request.url === "/page.js") {
    response.setHeader("content-type", "text/javascript");
    response.end(script);
  } else {
    response.setHeader("content-type", "text/html");
    response.end('<!doctype html><meta charset="utf-8"><script src="/page.js"></script>');
  }
});

const port = existsSync(portFile) ? Number(readFileSync(portFile, "utf8")) : 0;
server.listen(port, "127.0.0.1", () => {
  const { port: ours } = server.address() as AddressInfo;
  writeFileSync(portFile, `${ours}`);
  const browser = spawn(
    process.env.CHROMIUM || "/usr/bin/chromium",
    [
      ..."--headless --no-sandbox --disable-gpu --disable-quic --no-first-run".split(" "),
      ..."--disable-background-networking --disable-component-update --disable-sync".split(" "),
      "--disable-background-timer-throttling",
      // A page that was left must not live on: its queue would stay claimed.
      "--disable-features=LocalNetworkAccessChecks,BackForwardCache",
      `--user-data-dir=${join(home, "web-profile")}`,
      pageUrl(process.env.TIDEGATE_HARNESS || "ws://nobody/page", ours),
    ],
    { stdio: ["ignore", "ignore", "ignore"] },
  );
  const end = () => {
    browser.kill("SIGKILL");
    process.exit(0);
  };
  browser.on("exit", end);
  process.stdin.on("end", end).on("error", end).resume();
});
