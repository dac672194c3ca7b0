/** Event line and header line (R8, R9): keys in their order. */
import { write } from "./json.js";
import type { Report } from "./ledger.js";
import { clamp, MAX } from "./options.js";
import { Reason } from "./reasons.js";

const encoder = new TextEncoder();

/** UTF-8. */
export const utf8 = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text) as any;

/** Whether a type and props may be tracked at all (R54). */
export const isEvent = (type: unknown, props: any): boolean =>
  typeof type === "string" &&
  /^[\w.:-]{1,128}$/.test(type) &&
  (props == null || (typeof props === "object" && !Array.isArray(props)));

/** A line without `age`, and its size; throws `TooLarge` beyond `most` bytes (R61). */
export function eventLine(
  id: string,
  seq: number,
  ts: number,
  type: string,
  props: unknown,
  weight: number,
  most: number,
): [line: string, bytes: number] {
  const text = props == null ? "{}" : write(props, most);
  if (text[0] !== "{") throw Reason.Invalid;
  const line = `{"id":"${id}","seq":${seq},"ts":${clamp(ts, 0, MAX)},"type":"${type}"${weight === 1 ? "" : `,"weight":${weight}`}${
    text[2] ? `,"props":${text}` : ""
  }}`;
  const { length } = utf8(line);
  if (length > most) throw Reason.TooLarge;
  return [line, length];
}

/** What `age` adds to a line; nothing if it is not over a second (R9). */
export const ageText = (age: number): string => (age > 1000 ? `,"age":${Math.min(age, MAX)}` : "");

/** The line with its age. The first `,"type":` is the key: only ids and numbers stand before it. */
export const withAge = (line: string, age: number): string =>
  line.replace(',"type":', `${ageText(age)},"type":`);

/** What a header line says, in the order in which it is written. */
export interface Header {
  batch: string;
  sdk: string;
  instance: string;
  epoch: string;
  class: number;
  count: number;
  config: number | undefined;
  context: object | undefined;
  report: Report;
}

/** The header line (R8); `JSON.stringify` keeps the order and leaves out what is undefined. */
export const headerLine = (header: Header): string => JSON.stringify({ tidegate: 1, ...header });
