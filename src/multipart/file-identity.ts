/** Which file it is, and whether it is still the same: by descriptor, never by path. */
import { type BigIntStats, fstatSync } from 'node:fs';

/** What must not change while a file is uploaded. Times in nanoseconds. Strings, as JSON and messages carry them anywhere. */
export interface FileIdentity {
  readonly device: string;
  readonly inode: string;
  readonly size: number;
  readonly modified: string;
  readonly changed: string;
}

export function identityOf(stats: BigIntStats): FileIdentity {
  return {
    device: String(stats.dev),
    inode: String(stats.ino),
    size: Number(stats.size),
    modified: String(stats.mtimeNs),
    changed: String(stats.ctimeNs),
  };
}

/** The identity of an open file, at this moment. */
export function identityOfDescriptor(descriptor: number): FileIdentity {
  return identityOf(fstatSync(descriptor, { bigint: true }));
}

/** What differs between two identities, in words; undefined when nothing does. */
export function identityChange(before: FileIdentity, now: FileIdentity): string | undefined {
  if (before.device !== now.device || before.inode !== now.inode) return 'another file has taken its place';
  if (before.size !== now.size) return `it had ${before.size} bytes and has ${now.size} now`;
  if (before.modified !== now.modified) return 'it was written to';
  if (before.changed !== now.changed) return 'its attributes changed';
  return undefined;
}
