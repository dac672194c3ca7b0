/**
 * The script-tag build. The second file, which stands beside this one, is a script as well: so it needs
 * neither modules nor CORS.
 */
import type { Second } from "./web/init.js";
import { expose } from "./web/tag.js";

const own = document.currentScript as HTMLScriptElement;

expose(
  () =>
    new Promise<Second>((resolve, reject) => {
      const script = document.createElement("script");
      script.src = own.src.replace(/\.js\b/, "-more.js");
      // For pages that let in only what bears their mark.
      script.nonce = own.nonce;
      script.onload = () => resolve((self as any).tidegate_more);
      script.onerror = reject;
      document.head.append(script);
    }),
);
