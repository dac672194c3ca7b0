/** Who holds a queue: a Web Lock, and without them a lease in local storage (R145). */

export const REVISION = 1;

/** Gives up a claim. */
export type Release = () => void;

/** How to claim a queue by its id; undefined if another tab holds it. */
export const claims =
  (name: string) =>
  (id: string): Promise<Release | undefined> =>
    navigator.locks
      ? new Promise((resolve, reject) => {
          navigator.locks
            .request(name + id, { ifAvailable: true }, (lock) =>
              lock ? new Promise<void>((release) => resolve(release)) : resolve(undefined),
            )
            .catch(reject);
        })
      : lease(`${name}lease${id}`);

/** Held for 10 s, renewed every 3. */
async function lease(key: string): Promise<Release | undefined> {
  const now = Date.now();
  const until = Number(localStorage.getItem(key));
  if (until > now && until <= now + 10_000) return;
  const renew = () => localStorage.setItem(key, `${Date.now() + 10_000}`);
  renew();
  const timer = setInterval(renew, 3000);
  return () => {
    clearInterval(timer);
    localStorage.removeItem(key);
  };
}
