// The one event of the bench.
const text = "the quick brown fox jumps over the lazy dog, again and again, until the evening comes";

export const props = (at) => ({
  bench: at,
  path: "/shop/cart/checkout",
  user: `u-${(at * 7919) % 1000003}`,
  session: ((at * 2654435761) % 4294967296).toString(16).padStart(8, "0"),
  amount: 19.9,
  items: ["a-1", "b-2", "c-3"],
  text,
});
