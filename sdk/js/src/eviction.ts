/** Which events leave a full queue (R71-R73). */

/**
 * How many of each class, oldest first, leave so that `need` bytes are free; null if they cannot be.
 * `sizes` are iterated only as far as needed.
 */
export function choose(
  sizes: ((at: number) => number | undefined)[],
  bytes: number[],
  need: number,
  class_: number,
  floors: number[],
): number[] | null {
  const evicted = [0, 0, 0];
  for (let c = 2; c >= class_; c--) {
    let left = bytes[c];
    for (;;) {
      const size = sizes[c](evicted[c]);
      if (need <= 0 || !size || left - size < floors[c]) break;
      need -= size;
      left -= size;
      evicted[c]++;
    }
  }
  return need > 0 ? null : evicted;
}
