/** Event line and header line (R8, R9): concatenation, keys in their order. */
import { quote, write } from "./json.js";
import type { Report } from "./ledger.js";
import { reportText } from "./ledger.js";
import { Reason } from "./reasons.js";

const INTEGER_MAX = Number.MAX_SAFE_INTEGER;
const encoder = new TextEncoder();

/** UTF-8. */
export const utf8 = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text) as any;

/** Whether a type and props may be tracked at all (R54). */
export const isEvent = (type: unknown, props: unknown): boolean =>
  typeof type === "string" &&
  /^[\w.:-]{1,128}$/.test(type) &&
  (props == null || (typeof props === "object" && !Array.isArray(props)));

/** `,"type":...` and what follows. */
export function lineTail(type: string, props: unknown, weight: number, most: number): string {
  let text = "";
  if (props != null) {
    try {
      text = write(props, most);
    } catch (refused) {
      throw refused === Reason.TooLarge ? refused : Reason.Invalid;
    }
    if (text[0] !== "{") throw Reason.Invalid;
  }
  return `,"type":"${type}"${weight === 1 ? "" : `,"weight":${weight}`}${
    text[2] ? `,"props":${text}` : ""
  }}`;
}

/** A line without `age`; `TooLarge` beyond `most` bytes (R61). */
export function eventLine(id: string, seq: number, ts: number, tail: string, most: number): string {
  const line = `{"id":"${id}","seq":${seq},"ts":${Math.min(Math.max(ts, 0), INTEGER_MAX)}${tail}`;
  if (line.length > most || utf8(line).length > most) throw Reason.TooLarge;
  return line;
}

/** What `age` adds to a line; nothing if it is not over a second (R9). */
export const ageText = (age: number): string =>
  age > 1000 ? `,"age":${Math.min(age, INTEGER_MAX)}` : "";

/** The line with its age. The first `,"type":` is the key: only ids and numbers stand before it. */
export const withAge = (line: string, age: number): string =>
  line.replace(',"type":', `${ageText(age)},"type":`);

/** The header line (R8). `context` is JSON text, empty if there is none. */
export const headerLine = (
  batch: string,
  sdk: string,
  instance: string,
  epoch: string,
  class_: number,
  count: number,
  config: number | null | undefined,
  context: string,
  report: Report,
): string =>
  `{"tidegate":1,"batch":"${batch}","sdk":${quote(sdk)},"instance":${quote(instance)},"epoch":"${epoch}","class":${class_},"count":${count}${
    config == null ? "" : `,"config":${config}`
  }${context && `,"context":${context}`},"report":${reportText(report)}}`;
