/** Where a page of the web adapter lives: the name in the harness's address makes an origin of its own. */
export const pageUrl = (harness: string, port: number | string): string =>
  `http://${harness.split("/").pop()}.localhost:${port}/#${encodeURIComponent(harness)}`;
