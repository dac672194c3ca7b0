/** HTTP with the platform's own client: no redirects, bounded replies, nothing keeps the process alive. */
import * as http from "node:http";
import * as https from "node:https";
import { BODY_MAX, type Reply } from "../more/reply.js";
import type { HttpRequest } from "../platform.js";

const options = { keepAlive: true, maxFreeSockets: 3, timeout: 4000, scheduling: "lifo" } as const;

/** One pair of agents for each client, so that closing one ends its connections (R131). */
export function transport(sdk: string, key: string) {
  const plain = new http.Agent(options);
  const tls = new https.Agent(options);
  const send = (r: HttpRequest, done: (reply: Reply) => void): (() => void) => {
    let over = false;
    const end = (reply: Reply) => {
      if (over) return;
      over = true;
      done(reply);
    };
    let request: http.ClientRequest | undefined;
    try {
      const secure = r._url.slice(0, 6).toLowerCase() === "https:";
      const headers: Record<string, string | number> = { "user-agent": `tidegate-${sdk}` };
      if (key.startsWith("sk_")) headers.authorization = `Bearer ${key}`;
      if (r._etag) headers["if-none-match"] = r._etag;
      if (r._gzip) headers["content-encoding"] = "gzip";
      if (r._body) {
        headers["content-type"] = "application/x-ndjson";
        headers["content-length"] = r._body.length;
      }
      request = (secure ? https : http).request(
        r._url,
        { method: r._body ? "POST" : "GET", headers, agent: secure ? tls : plain },
        (response) => {
          const chunks: Buffer[] = [];
          let size = 0;
          const reply = (body?: string): Reply => ({
            _status: response.statusCode || 0,
            _body: body,
            _retryAfter: response.headers["retry-after"],
            _etag: response.headers.etag,
          });
          response.on("data", (chunk: Buffer) => {
            size += chunk.length;
            chunks.push(chunk);
            // A longer body counts as broken (R14).
            if (size <= BODY_MAX) return;
            end(reply());
            request!.destroy();
          });
          response.on("end", () =>
            end(response.complete ? reply(Buffer.concat(chunks).toString()) : { _status: 0 }),
          );
          response.on("close", () => end({ _status: 0 }));
          response.on("error", () => end({ _status: 0 }));
        },
      );
      request.on("socket", (socket) => socket.unref());
      request.on("error", () => end({ _status: 0 }));
      request.on("close", () => setImmediate(end, { _status: 0 }));
      request.end(r._body);
    } catch {
      setImmediate(end, { _status: 0 });
    }
    return () => {
      over = true;
      request?.destroy();
    };
  };
  const destroy = () => {
    plain.destroy();
    tls.destroy();
  };
  return { send, destroy };
}
