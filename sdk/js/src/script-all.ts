/** The script-tag build in one file, for those who want no second request. */
import * as second from "./web/second.js";
import { expose } from "./web/tag.js";

expose(async () => second);
