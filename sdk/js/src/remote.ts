/** The configuration centre (R120-R126). */
import { effective, parseDocument } from "./config.js";
import { purge } from "./persist.js";
import { type Reply, readObject } from "./reply.js";
import { pump, urlOf } from "./sender.js";
import type { State } from "./state.js";
import { shrink } from "./track.js";

const WEEK = 604_800_000;

/** Fetches the document; its result touches neither breaker nor delays (R120). */
export function fetchConfig(s: State): void {
  const p = s._platform;
  if (s._fetching || s._out || s._stopped) return;
  s._wanted = false;
  s._fetchedAt = p._mono();
  const headers: Record<string, string> = {};
  // Pages set no header: they revalidate with `cache: "no-cache"` (R27).
  if (!p._page) {
    headers["user-agent"] = `tidegate-${p._sdk}`;
    if (s._etag) headers["if-none-match"] = s._etag;
    if (s._secret) headers.authorization = `Bearer ${s._key}`;
  }
  const done = (reply: Reply) => {
    s._fetching = undefined;
    cancel();
    if (s._stopped || s._out) return;
    if (reply._status) s._heard = true;
    const document = reply._status === 200 && parseDocument(reply._body);
    if (document && document.version >= (s._now.config ?? 0)) {
      s._etag = reply._etag || null;
      const wall = p._wall();
      // The switch counts from the first receipt of its version (R126).
      const same = s._document && s._document.version === document.version;
      s._firstAt = same ? s._firstAt : wall;
      p._store?._set("config", JSON.stringify([wall, s._firstAt, s._etag, document]));
      apply(s, document, same ? undefined : document.off_ms);
    }
    pump(s);
  };
  const request = p._http({ _method: "GET", _url: urlOf(s, "config"), _headers: headers }, done);
  const cancel = p._timer(s._now.requestTimeoutMs, () => {
    request();
    done({ _status: 0 });
  });
  s._fetching = () => {
    cancel();
    request();
    s._fetching = undefined;
  };
}

/** Puts a document into force; `off` is how long it switches the client off, if it is new. */
export function apply(s: State, document: any, off?: unknown): void {
  s._document = document;
  s._now = effective(s._platform._page, s._options, document);
  if (off !== undefined || document.version !== s._killedBy) {
    const left = off === undefined ? s._now.offMs : Math.min(s._now.offMs, Number(off) || 0);
    s._killedUntil = s._platform._mono() + left;
    s._killedBy = document.version;
  }
  shrink(s);
  if (s._now.purge && s._killedUntil > s._platform._mono()) purge(s);
}

/** The last good document of the store counts for a week (R124). */
export function restore(s: State): void {
  const kept = readList(s._platform._store?._get("config"));
  if (!kept) return;
  const [at, first, etag, document] = kept;
  const wall = s._platform._wall();
  if (!parseDocument(JSON.stringify(document)) || wall - at > WEEK) return;
  s._etag = etag;
  s._firstAt = first;
  const since = Math.max(0, wall - first);
  apply(s, document, Math.max(0, effective(s._platform._page, s._options, document).offMs - since));
}

const readList = (text: string | null | undefined): any[] | undefined =>
  readObject(`{"v":${text || 0}}`)?.v || undefined;
