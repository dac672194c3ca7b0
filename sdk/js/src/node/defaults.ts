/** Where servers differ from pages (R40, profile S). */
export const SERVER = {
  batchEventsMax: 500,
  batchBytesMax: 262144,
  batchMs: 2000,
  queueBytesMax: 8388608,
  ratePerS: null,
  rateBurst: null,
  ttlMs: 3600000,
  sampleBy: "id",
};
