/**
 * The store in a folder (R110-R117). A queue is one file of lines, `v1-<epoch>-<generation>-<owner>.log`;
 * a line is a checksum and the entries of one write, so a write is there as a whole or not at all.
 * Taking a queue over is a rename, which exactly one process can do, and after which the old holder's
 * next write finds no file (R113).
 */
import * as fs from "node:fs";
import { join } from "node:path";
import type { Entry, Store, StoreFault } from "../platform.js";
import { murmur3 } from "../sampling.js";
import { FREE, isDead, newOwner } from "./claim.js";

const LAYOUT = 1;

/** A file is rewritten when so many bytes of it, and twice those that are needed, are exceeded. */
const SPARE = 4_194_304;

interface Queue {
  id: string;
  generation: number;
  path: string;
  /** Bytes of the file, and of what in it is still needed. */
  size: number;
  live: Map<string, number>;
  needed: number;
  /** The file that is about to take this one's place, and whether it has all of it. */
  next?: string | undefined;
  whole: boolean;
  /** The last block of numbers, and bytes of all that were written (R111). */
  block?: string;
  blocks: number;
  /** Nobody knows what stands at the end. */
  broken: NodeJS.ErrnoException | boolean;
}

const pathOf = (folder: string, id: string, generation: number, owner: string): string =>
  join(folder, `v${LAYOUT}-${id}-${generation}-${owner}.log`);

const queueOf = (id: string, generation: number, path: string): Queue => ({
  id,
  generation,
  path,
  size: 0,
  live: new Map(),
  needed: 0,
  whole: false,
  blocks: 0,
  broken: false,
});

const NAME = /^v1-([0-9a-f-]{36})-(\d+)-([0-9a-z.]+)\.log$/;

/** One write as a line. Bytes, which stand in arrays alone, are written as base64. */
export const lineOf = (entries: Entry[]): string => {
  const plain = (v: any) =>
    v instanceof Uint8Array
      ? { b64: Buffer.from(v.buffer, v.byteOffset, v.length).toString("base64") }
      : v;
  const text = JSON.stringify(
    entries.map(([key, v]) => [key, Array.isArray(v) ? v.map(plain) : v]),
  );
  return `${murmur3(text).toString(16).padStart(8, "0")} ${text}\n`;
};

/** The entries of a line, undefined if it is torn or wrong (R115). */
export const readLine = (line: string): Entry[] | undefined => {
  const text = line.slice(9);
  if (murmur3(text) !== Number.parseInt(line.slice(0, 8), 16)) return;
  try {
    const bytes = (v: any) =>
      typeof v?.b64 === "string" ? new Uint8Array(Buffer.from(v.b64, "base64")) : v;
    return JSON.parse(text).map(([key, v]: Entry) => [key, Array.isArray(v) ? v.map(bytes) : v]);
  } catch {}
};

/** What all lines of a file come to. */
export function replay(text: string): Map<string, any> {
  const out = new Map<string, any>();
  for (const line of text.split("\n")) {
    for (const [key, v] of (line && readLine(line)) || []) {
      if (v === null) out.delete(key);
      else out.set(key, v);
    }
  }
  return out;
}

const faultOf = (error: NodeJS.ErrnoException | true): StoreFault =>
  error === true
    ? "error"
    : error.code === "ENOENT"
      ? "lost"
      : ["ENOSPC", "EDQUOT", "EFBIG"].includes(error.code || "")
        ? "full"
        : "error";

const APPEND = fs.constants.O_WRONLY | fs.constants.O_APPEND;

/** On this thread. A file that is gone is not made again. */
function appendNow(file: string, text: string): void {
  const fd = fs.openSync(file, APPEND);
  try {
    fs.writeFileSync(fd, text);
  } finally {
    fs.closeSync(fd);
  }
}

/** A store, or nothing if the folder cannot be used (R115, R117). `point` is for crash tests. */
export function folderStore(
  folder: string,
  warn: (text: string) => void,
  point?: (name: string) => void,
): (Store & { mode: string }) | undefined {
  const layout = join(folder, "layout");
  try {
    try {
      fs.mkdirSync(folder, { recursive: true });
    } catch (error: any) {
      // Something else stands in its place: it is put aside (R117).
      if (error.code !== "EEXIST" && error.code !== "ENOTDIR") throw error;
      fs.renameSync(folder, `${folder}.aside-${Date.now()}`);
      fs.mkdirSync(folder, { recursive: true });
    }
    if (!fs.existsSync(layout)) fs.writeFileSync(layout, `${LAYOUT}`);
    else if (+fs.readFileSync(layout, "utf8") > LAYOUT) throw new Error("made by a newer version");
  } catch (error: any) {
    warn(`tidegate: no store: ${error.message}`);
    return;
  }
  const owner = newOwner();
  const queues = new Set<Queue>();
  const bytes = () => [...queues].reduce((n, q) => n + q.size, 0);

  const note = (q: Queue, entries: Entry[]) => {
    for (const [key, v] of entries) {
      q.needed -= q.live.get(key) || 0;
      if (v === null) q.live.delete(key);
      else {
        const size = (typeof v === "string" ? v.length : sizeOf(v)) + key.length + 8;
        q.live.set(key, size);
        q.needed += size;
      }
    }
  };
  const sizeOf = (v: any): number =>
    Array.isArray(v)
      ? v.reduce((n, item) => n + sizeOf(item), 2)
      : v instanceof Uint8Array
        ? (v.length * 4) / 3 + 12
        : 8;

  /** Rewrites a file with what is needed of it, but not with what a write left that failed (R116). */
  const compact = (q: Queue, over: (error: Error | null) => void) => {
    const next = `${q.path}.tmp`;
    const done = (error: Error | null) => {
      q.next = undefined;
      over(error);
    };
    q.next = next;
    q.whole = false;
    fs.readFile(q.path, (error, data) => {
      if (error) return done(error);
      const entries = [...replay(data.toString("utf8", 0, q.size))];
      const line = entries.map((entry) => lineOf([entry])).join("");
      fs.writeFile(next, line, (failed) => {
        const { block = "", blocks } = q;
        try {
          if (failed) throw failed;
          // It may have been written to the old file alone.
          if (block) appendNow(next, block);
        } catch (thrown: any) {
          return fs.unlink(next, () => done(thrown));
        }
        q.whole = true;
        fs.access(q.path, (gone) => {
          if (gone) return fs.unlink(next, () => done(gone));
          fs.rename(next, q.path, (wrong) => {
            if (!wrong) {
              q.size = Buffer.byteLength(line) + block.length + q.blocks - blocks;
              q.broken = false;
            }
            done(wrong);
          });
        });
      });
    });
  };

  /** Says how many bytes it took. */
  const append = (q: Queue, data: Buffer, done: (error: Error | null, n: number) => void) => {
    fs.open(q.path, APPEND, (error, fd) => {
      if (error) return done(error, 0);
      let written = 0;
      const close = (failed: Error | null) => fs.close(fd, () => done(failed, written));
      const write = (line: Buffer, from: number, to: number, next: () => void) => {
        const { blocks } = q;
        fs.write(fd, line, from, to - from, null, (failed, n) => {
          if (failed) return close(failed);
          written += n;
          const at = from + n;
          if (at === line.length) return close(null);
          if (at === to) next();
          // A block of numbers may have parted this line: it is written again.
          if (q.blocks !== blocks) write(again, 0, again.length, () => {});
          else write(line, at, line.length, () => {});
        });
      };
      const again = Buffer.concat([Buffer.from("\n"), data]);
      write(data, 0, point ? data.length >> 1 : data.length, () => point?.("append_torn"));
    });
  };

  const store = {
    mode: "ok",
    _get(name: string) {
      try {
        return fs.readFileSync(join(folder, name), "utf8");
      } catch {
        return null;
      }
    },
    _set(name: string, text: string, done = () => {}) {
      // A rename, so that nobody ever reads half of it; the last call wins.
      const turn = (settings.get(name) || 0) + 1;
      settings.set(name, turn);
      const next = join(folder, `${name}.${owner}.${turn}.tmp`);
      fs.writeFile(next, text, (error) => {
        if (error) warn(`tidegate: the store fails (${error.code})`);
        if (error || settings.get(name) !== turn) fs.unlink(next, () => done());
        else fs.rename(next, join(folder, name), () => done());
      });
    },
    // At once, as all that `init` does here: the next call may be a `track`, which wants a number.
    _open(id: string, done: (queue: unknown, fault?: StoreFault) => void) {
      const q = queueOf(id, 1, pathOf(folder, id, 1, owner));
      try {
        fs.writeFileSync(q.path, "", { flag: "wx" });
      } catch (error: any) {
        return done(undefined, faultOf(error));
      }
      queues.add(q);
      done(q);
    },
    _reserve(queue: unknown, epoch: string, upTo: number) {
      const q = queue as Queue;
      if (store.mode !== "ok" || q.broken) return false;
      const entries: Entry[] = [["r", [epoch, upTo]]];
      const line = `\n${lineOf(entries)}`;
      try {
        try {
          if (q.next && q.whole) appendNow(q.next, line);
        } catch (error: any) {
          // It has taken the old file's place, and its name, already.
          if (error.code !== "ENOENT") throw error;
        }
        appendNow(q.path, line);
      } catch (error: any) {
        q.broken = error;
        return false;
      }
      q.block = line;
      q.blocks += line.length;
      q.size += line.length;
      note(q, entries);
      return true;
    },
    _claim(found: (queue: unknown, entries: Map<string, any>) => void, done: () => void) {
      fs.readdir(folder, (error, names) => {
        const rest = error ? [] : names.slice().sort();
        const next = (): void => {
          const name = rest.shift();
          if (!name) return done();
          const m = NAME.exec(name);
          const old = join(folder, name);
          if (!m || !isDead(m[3], old)) return next();
          const path = pathOf(folder, m[1], +m[2] + 1, owner);
          fs.rename(old, path, (taken) => {
            // Another client was faster.
            if (taken) return next();
            point?.("claimed");
            fs.readFile(path, (unreadable, data) => {
              const text = data?.toString() || "";
              const entries = replay(text);
              const q = queueOf(m[1], +m[2] + 1, path);
              q.size = data?.length || 0;
              q.broken = !!text && !text.endsWith("\n");
              if (unreadable) warn(`tidegate: a queue is unreadable (${unreadable.code})`);
              queues.add(q);
              note(q, [...entries]);
              found(q, entries);
              next();
            });
          });
        };
        next();
      });
    },
    _put(queue: unknown, entries: Entry[], most: number, done: (fault?: StoreFault) => void) {
      const q = queue as Queue;
      if (store.mode !== "ok") return void setImmediate(done, store.mode as StoreFault);
      const data = Buffer.from(lineOf(entries));
      const finish = (error: NodeJS.ErrnoException | null, n = 0) => {
        // A block of numbers may have failed beside it; what this write says itself goes before (R113).
        q.broken = error || q.broken;
        if (q.broken) return done(faultOf(q.broken));
        q.size += n;
        note(q, entries);
        point?.("appended");
        done();
      };
      const write = () => {
        if (bytes() + data.length > most) return done("full");
        point?.("append");
        append(q, data, finish);
      };
      // After a write that failed nobody knows what stands at the end.
      if (q.broken || q.size > SPARE + 2 * q.needed || bytes() + data.length > most)
        compact(q, (error) => (error ? finish(error) : write()));
      else write();
    },
    _drop(queue: unknown, done: () => void) {
      const q = queue as Queue;
      queues.delete(q);
      fs.unlink(q.path, () => done());
    },
    _free(queue: unknown) {
      const q = queue as Queue;
      queues.delete(q);
      try {
        fs.renameSync(q.path, pathOf(folder, q.id, q.generation, FREE));
      } catch {}
    },
    _spill(queue: unknown, entries: Entry[]) {
      if (store.mode !== "ok") return;
      const { next, path } = queue as Queue;
      const line = `\n${lineOf(entries)}`;
      // A file that is taking the queue's place may still do so after this: so it comes first. If it
      // has done so already, it has the queue's name.
      for (const file of next ? [next, path] : [path])
        try {
          appendNow(file, line);
        } catch {}
    },
    _bytes: bytes,
  };
  const settings = new Map<string, number>();
  return store;
}
