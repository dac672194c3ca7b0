/**
 * The store of pages: IndexedDB (R110-R117). What must be known at once is in local storage as well.
 * Entries have the key `[queue, key]`; every write checks the queue's generation in its transaction.
 */
import type { Entry, Store, StoreFault } from "../platform.js";
import { claims, REVISION } from "./claim.js";

export interface Queue {
  _id: string;
  _generation: number;
  /** Gives up the lock. */
  _release: () => void;
  _sizes: Map<string, number>;
  /** Local storage has a note of it. */
  _noted?: boolean;
}

/** Brings what a dead page had written up to what it noted when it was left. */
function amend(entries: Map<string, any>, note: string | null): void {
  const old = entries.get("l");
  if (!note) return;
  for (const [key, v] of JSON.parse(note))
    if (v === null) entries.delete(key);
    // A page that came back may have written since; counters never fall.
    // One that was left at once has written nothing yet.
    else if (!old || v.every((n: any, at: number) => !at || at === 5 || n >= old[at]))
      entries.set(key, v);
}

const sizeOf = (v: any): number =>
  v?.length ? (Array.isArray(v) ? v.reduce((n, item) => n + sizeOf(item), 8) : v.length) : 8;

const result = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

const faultOf = (thrown: any): StoreFault =>
  thrown === "lost" ? "lost" : thrown?.name === "QuotaExceededError" ? "full" : "error";

/** All entries of a queue. */
const range = (id: string) => IDBKeyRange.bound([id], [id, []]);

export function pageStore(name: string): Store & { _mode?: string } {
  const queues = new Set<Queue>();
  let opening: Promise<IDBDatabase> | undefined;
  let opened: IDBDatabase | undefined;
  const database = (): Promise<IDBDatabase> =>
    (opening ||= new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(name, REVISION);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("q");
        request.result.createObjectStore("e");
      };
      request.onsuccess = () => {
        const db = request.result;
        opened = db;
        // A newer page or a deletion must not wait for this one.
        db.onversionchange = db.onclose = () => {
          db.close();
          opening = opened = undefined;
        };
        resolve(db);
      };
      request.onblocked = request.onerror = () => reject(request.error);
    })).catch((error) => {
      opening = undefined;
      throw error;
    });

  /** One transaction; `f` throws `lost` if the generation is not ours any more. */
  const run = async <T>(f: (q: IDBObjectStore, e: IDBObjectStore) => Promise<T>): Promise<T> => {
    if (store._mode) throw { name: store._mode };
    const tx = (await database()).transaction(["q", "e"], "readwrite", { durability: "relaxed" });
    const over = new Promise<void>((resolve, reject) => {
      tx.oncomplete = () => resolve();
      tx.onabort = tx.onerror = () => reject(tx.error);
    });
    over.catch(() => {});
    let out: T;
    try {
      out = await f(tx.objectStore("q"), tx.objectStore("e"));
    } catch (thrown) {
      try {
        tx.abort();
      } catch {}
      throw thrown;
    }
    await over;
    return out;
  };
  const check = async (q: IDBObjectStore, queue: Queue) => {
    if ((await result(q.get(queue._id))) !== queue._generation) throw "lost";
  };
  const bytes = () => {
    let n = 0;
    for (const queue of queues) for (const size of queue._sizes.values()) n += size;
    return n;
  };
  const keep = (id: string, generation: number, release: () => void, entries: Entry[]): Queue => {
    const queue: Queue = { _id: id, _generation: generation, _release: release, _sizes: new Map() };
    for (const [key, v] of entries) queue._sizes.set(key, sizeOf(v) + key.length);
    queues.add(queue);
    return queue;
  };
  const take = claims(name);
  const noteOf = (id: string) => `${name}left ${id}`;
  const unnote = (queue: Queue) => {
    if (!queue._noted) return;
    queue._noted = false;
    try {
      localStorage.removeItem(noteOf(queue._id));
    } catch {}
  };
  /** Small texts of the database: local storage may lag behind when the whole browser is killed. */
  const kept = new Map<string, string>();

  const store: Store & { _mode?: string } = {
    _get: (key) => kept.get(key),
    _set(key, text, done) {
      kept.set(key, text);
      run((q) => result(q.put(text, `.${key}`)))
        .catch(() => {})
        .then(done);
    },
    _open(id, done) {
      take(id)
        .then(async (release) => {
          if (!release) return done(undefined, "error");
          await run(async (q) => {
            for (const key of ["instance", "out", "config"]) {
              const text = await result(q.get(`.${key}`));
              // What was set meanwhile is newer.
              if (text && !kept.has(key)) kept.set(key, text);
            }
            await result(q.put(1, id));
          }).catch((thrown) => {
            release();
            throw thrown;
          });
          done(keep(id, 1, release, []));
        })
        .catch((thrown) => done(undefined, faultOf(thrown)));
    },
    _claim(found, done) {
      (async () => {
        const ids = await run((q) => result(q.getAllKeys()));
        for (const id of ids as string[]) {
          if (id[0] === "." || [...queues].some((queue) => queue._id === id)) continue;
          const release = await take(id);
          if (!release) continue;
          const entries = new Map<string, any>();
          let generation = 0;
          await run(async (q, e) => {
            generation = +(await result(q.get(id)));
            // Its holder ended it meanwhile.
            if (!generation) return;
            await result(q.put(++generation, id));
            const keys = await result(e.getAllKeys(range(id)));
            const values = await result(e.getAll(range(id)));
            keys.forEach((key: any, at) => entries.set(key[1], values[at]));
          });
          try {
            amend(entries, localStorage.getItem(noteOf(id)));
          } catch {}
          if (!generation) {
            release();
            continue;
          }
          const queue = keep(id, generation, release, [...entries]);
          queue._noted = true;
          found(queue, entries);
        }
      })()
        .catch(() => {})
        .then(done);
    },
    _put(queue: any, entries, most, done) {
      let size = bytes();
      for (const [key, v] of entries)
        size += (v === null ? 0 : sizeOf(v) + key.length) - (queue._sizes.get(key) || 0);
      (size > most
        ? Promise.reject({ name: "QuotaExceededError" })
        : run(async (q, e) => {
            await check(q, queue);
            for (const [key, v] of entries)
              if (v === null) e.delete([queue._id, key]);
              else e.put(v, [queue._id, key]);
          })
      ).then(
        () => {
          for (const [key, v] of entries)
            if (v === null) queue._sizes.delete(key);
            else queue._sizes.set(key, sizeOf(v) + key.length);
          unnote(queue);
          done();
        },
        (thrown) => done(faultOf(thrown)),
      );
    },
    _drop(queue: any, done) {
      queues.delete(queue);
      unnote(queue);
      run(async (q, e) => {
        await check(q, queue);
        q.delete(queue._id);
        e.delete(range(queue._id));
      })
        .catch(() => {})
        .then(() => {
          queue._release();
          done();
        });
    },
    _free(queue: any) {
      queues.delete(queue);
      queue._release();
    },
    _spill(queue: any, entries) {
      if (store._mode) return;
      // A page that is about to end is told of nothing any more, and its transaction may not be waited
      // for. So the ledger and what has left are noted where writing is synchronous.
      try {
        const short = entries.filter(([key, v]) => v === null || key === "l");
        localStorage.setItem(noteOf(queue._id), JSON.stringify(short));
        queue._noted = true;
      } catch {}
      // Committed here and now, without a look at the generation: a lock says that the queue is its own;
      // a lease might be over.
      try {
        if (!navigator.locks) return;
        const tx = opened!.transaction("e", "readwrite", { durability: "relaxed" });
        const e = tx.objectStore("e");
        for (const [key, v] of entries)
          if (v === null) e.delete([queue._id, key]);
          else e.put(v, [queue._id, key]);
        tx.commit();
      } catch {}
    },
    _bytes: bytes,
  };
  return store;
}
