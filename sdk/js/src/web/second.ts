/** The second file of pages: everything that the core does without, and the store. */
export { more } from "../more/index.js";
export { SDK as sdk } from "./platform.js";
export { pageStore } from "./store.js";
