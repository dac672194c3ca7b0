/** A real Chromium, and a site whose pages load the script tag's files. */
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const program = process.env.CHROMIUM || "/usr/bin/chromium";
export const skip = existsSync(program) ? false : `no Chromium at ${program}`;
/** The scripts of `dist`, by the path under which the pages ask for them. */
const scripts = new Map(
  ["tidegate.js", "tidegate-more.js", "errors.js"].map((name) => [
    `/${name}`,
    readFileSync(`dist/${name}`),
  ]),
);

/** Some of its pages have a content security policy that knows this endpoint. */
export async function browser(endpoint: string) {
  const server = createServer((request, response) => {
    const script = scripts.get(request.url!.split("?")[0]);
    response.setHeader("content-type", script ? "text/javascript" : "text/html");
    if (script) return response.end(script);
    const from = { "/csp": "'self'", "/nonce": "'nonce-abc'" }[request.url!];
    if (from)
      response.setHeader(
        "content-security-policy",
        `default-src 'none'; script-src ${from}; connect-src ${endpoint}`,
      );
    response.end(
      '<!doctype html><title>t</title><script nonce="abc" src="/tidegate.js"></script><p>page',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const site = { url: `http://localhost:${port}`, close: () => server.close() };
  const context = await chromium.launchPersistentContext(
    mkdtempSync(join(tmpdir(), "tidegate-chromium-")),
    {
      executablePath: program,
      headless: true,
      args: [
        ..."--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync".split(" "),
        ..."--disable-background-networking --disable-component-update".split(" "),
        "--disable-features=LocalNetworkAccessChecks",
      ],
    },
  );
  return { context, site };
}
