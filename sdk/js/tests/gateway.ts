/** A small gateway of this process: what it got, and replies as a script says. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";

export interface Send {
  method: string;
  url: URL;
  headers: IncomingMessage["headers"];
  header: any;
  events: any[];
  gzip: boolean;
}

export type Answer = (send: Send, response: ServerResponse) => boolean | undefined;

export async function gateway(answer?: Answer) {
  const sends: Send[] = [];
  const configs: URL[] = [];
  let preflights = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const url = new URL(request.url!, "http://gateway");
      response.setHeader("access-control-allow-origin", "*");
      response.setHeader("access-control-expose-headers", "Retry-After, ETag");
      if (request.method === "OPTIONS") {
        preflights++;
        return void response.writeHead(204).end();
      }
      if (url.pathname === "/v1/config") {
        configs.push(url);
        return void response.writeHead(404).end("{}");
      }
      if (url.pathname !== "/v1/batch") return void response.writeHead(404).end();
      let body = Buffer.concat(chunks);
      const gzip = body[0] === 0x1f;
      if (gzip) body = gunzipSync(body);
      const [header, ...events] = body
        .toString()
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line));
      const send = { method: request.method!, url, headers: request.headers, header, events, gzip };
      if (answer?.(send, response)) return;
      sends.push(send);
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ batch: header.batch, accepted: events.length }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    port,
    sends,
    configs,
    preflights: () => preflights,
    ids: () => new Set(sends.flatMap((send) => send.events.map((event) => event.id))),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Waits until `f` holds; fails after a time that no machine needs, however busy. */
export async function until(f: () => unknown, what: string | (() => string)): Promise<void> {
  const end = Date.now() + 90_000;
  while (!(await f())) {
    if (Date.now() > end) throw new Error(`never: ${typeof what === "string" ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
