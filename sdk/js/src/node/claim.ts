/** Who holds a queue: the owner's mark in a file's name, and whether that owner lives (R112). */
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { hostname } from "node:os";
import { murmur3 } from "../sampling.js";

const read = (path: string): string => {
  try {
    return fs.readFileSync(path, "utf8");
  } catch {
    return "";
  }
};

/** State and start time of a process, where the platform tells them. */
const processOf = (pid: string | number): { state: string; start: string } | undefined => {
  const stat = read(`/proc/${pid}/stat`);
  if (!stat) return;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0], start: fields[19] };
};

const link = (path: string): string => {
  try {
    return fs.readlinkSync(path);
  } catch {
    return "";
  }
};

let mine: string | undefined;

/** This process: host (with its boot and process namespace), pid, start time. */
function self(): string {
  const host = murmur3(
    hostname() + read("/proc/sys/kernel/random/boot_id") + link("/proc/self/ns/pid"),
  ).toString(16);
  mine ??= `${host}.${process.pid}.${processOf(process.pid)?.start ?? "0"}`;
  return mine;
}

/** The mark of a new holder. */
export const newOwner = (): string => `${self()}.${randomBytes(4).toString("hex")}`;

export const FREE = "free";

const FOREIGN_MS = 86_400_000;

/** Whether a queue's holder is gone. Of another host that is known by its silence alone. */
export function isDead(owner: string, path: string): boolean {
  if (owner === FREE) return true;
  const [host, pid, start] = owner.split(".");
  const [ourHost, ourPid, ourStart] = self().split(".");
  if (host !== ourHost) {
    try {
      return Date.now() - fs.statSync(path).mtimeMs > FOREIGN_MS;
    } catch {
      return false;
    }
  }
  // Of this process: another thread's, or another client's.
  if (pid === ourPid && start === ourStart) return false;
  const found = processOf(pid);
  if (found) return found.start !== start || "ZXx".includes(found.state);
  if (fs.existsSync("/proc/self/stat")) return true;
  try {
    process.kill(+pid, 0);
    return false;
  } catch (error: any) {
    return error.code === "ESRCH";
  }
}
