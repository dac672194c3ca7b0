/** HTTP-dates in the three forms of RFC 9110 (R23). */

const DATES =
  /^(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) (\w{3}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (\d\d)-(\w{3})-(\d\d) (\d\d):(\d\d):(\d\d) GMT|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (\w{3}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4}))$/;

/** An HTTP-date of one of the three forms as Unix ms, NaN if it is none. */
export function dateMs(text: string, wallMs: number): number {
  const m = DATES.exec(text);
  if (!m) return NaN;
  const form = m[1] ? 1 : m[7] ? 7 : 13;
  let [day, month, year, hour, minute, second]: any[] = m.slice(form, form + 6);
  if (form > 7) [month, day, hour, minute, second, year] = m.slice(13);
  if (form === 7) {
    const now = new Date(wallMs).getUTCFullYear();
    year = +year + Math.floor(now / 100) * 100;
    if (year > now + 50) year -= 100;
  }
  const at = "JanFebMarAprMayJunJulAugSepOctNovDec".indexOf(month) / 3;
  // `Date.UTC` would carry the 31st of June over; a leap second is the second before it. Years below
  // 100 are meant as they stand.
  const date = new Date(0);
  date.setUTCFullYear(+year, at, +day);
  return at % 1 ||
    at < 0 ||
    +day < 1 ||
    date.getUTCDate() !== +day ||
    hour > 23 ||
    minute > 59 ||
    second > 60 ||
    +year < 1
    ? NaN
    : date.setUTCHours(hour, minute, Math.min(second, 59), 0);
}
