/** Sending: `fetch` without anything that could cause a preflight (R3, R143), and gzip. */

import { BODY_MAX, type Reply } from "../more/reply.js";
import type { HttpRequest, Platform } from "../platform.js";

async function request(r: HttpRequest, signal: AbortSignal): Promise<Reply> {
  const { _body: body } = r;
  const response = await fetch(r._url, {
    method: body ? "POST" : "GET",
    body,
    headers: body && { "content-type": "text/plain" },
    keepalive: !!r._keepalive,
    cache: body ? "no-store" : "no-cache",
    credentials: "omit",
    redirect: "manual",
    signal,
  });
  // At most so much of a reply is read; a longer one counts as broken (R14).
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
    if (text.length > BODY_MAX) {
      reader.cancel();
      break;
    }
  }
  return {
    _status: response.status,
    _body: text,
    _retryAfter: response.headers.get("retry-after"),
  };
}

function send(r: HttpRequest, done: (reply: Reply) => void): () => void {
  const control = new AbortController();
  const { signal } = control;
  request(r, signal)
    .catch((): Reply => ({ _status: 0 }))
    .then((reply) => signal.aborted || done(reply));
  return () => control.abort();
}

/** What a page's platform lacks for sending. */
export const sending: Pick<Platform, "_http" | "_gzip"> = {
  _http: send,
  _gzip(bytes, done) {
    if (!self.CompressionStream) return done();
    new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip")))
      .arrayBuffer()
      .then(
        (out) => done(new Uint8Array(out)),
        () => done(),
      );
  },
};
