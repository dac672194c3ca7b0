/** `fetch` without anything that could cause a preflight (R3, R143). */
import type { HttpRequest } from "../platform.js";
import { BODY_MAX, type Reply } from "../reply.js";

/** At most 65,536 bytes of a reply; undefined beyond (R14). */
async function text(response: Response): Promise<string | undefined> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  let out = "";
  for (let size = 0; reader; ) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > BODY_MAX) {
      reader.cancel();
      return;
    }
    out += decoder.decode(value, { stream: true });
  }
  return out;
}

export function send(r: HttpRequest, done: (reply: Reply) => void): () => void {
  const control = new AbortController();
  (async (): Promise<Reply> => {
    try {
      const response = await fetch(r._url, {
        method: r._method,
        body: r._body,
        headers: r._headers,
        keepalive: !!r._keepalive,
        cache: r._body ? "no-store" : "no-cache",
        credentials: "omit",
        redirect: "manual",
        signal: control.signal,
      });
      return {
        _status: response.status,
        _body: await text(response),
        _retryAfter: response.headers.get("retry-after"),
      };
    } catch {
      return { _status: 0 };
    }
  })().then((reply) => {
    if (!control.signal.aborted) done(reply);
  });
  return () => control.abort();
}
