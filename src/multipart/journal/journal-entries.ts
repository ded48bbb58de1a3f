/** Entries of the segment index in an upload journal, so that who goes on need not read again what is stored. Pure. */
import { entryLength } from '../../crypto/segment-index-macs.ts';
import { maxPayloadLength } from './journal-record.ts';

/** Some entries of a part: as many as fit into one record. */
export interface EntriesRecord {
  readonly part: number;
  /** Number of the first of them within the part, from 0. */
  readonly first: number;
  /** 16 bytes a segment. */
  readonly entries: Uint8Array;
}

/** Bytes before the entries: part 4, first 4. */
const headLength = 8;
const mostBytes = Math.floor((maxPayloadLength - headLength) / entryLength) * entryLength;

/** The payloads of the records that hold the entries of a part. */
export function encodeEntries(part: number, entries: Uint8Array): Uint8Array[] {
  return Array.from({ length: Math.ceil(entries.length / mostBytes) }, (_, i) => {
    const some = entries.subarray(i * mostBytes, (i + 1) * mostBytes);
    const payload = Buffer.alloc(headLength + some.length);
    payload.writeUInt32BE(part, 0);
    payload.writeUInt32BE((i * mostBytes) / entryLength, 4);
    payload.set(some, headLength);
    return payload;
  });
}

/** Copied: the payload can be overwritten then. */
export function decodeEntries(payload: Uint8Array): EntriesRecord {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return {
    part: bytes.readUInt32BE(0),
    first: bytes.readUInt32BE(4),
    entries: new Uint8Array(payload.subarray(headLength)),
  };
}

/** What a journal has of an index. A part that was made again has its entries twice, and they are the same. */
export class PartEntries {
  readonly #records = new Map<number, Map<number, Uint8Array>>();

  take({ part, first, entries }: EntriesRecord): void {
    const records = this.#records.get(part) ?? new Map<number, Uint8Array>();
    this.#records.set(part, records.set(first, entries));
  }

  /** The entries of a part; undefined unless there are just that many. */
  of(part: number, count: number): Uint8Array | undefined {
    const records = [...(this.#records.get(part) ?? [])].sort(([a], [b]) => a - b);
    const whole = new Uint8Array(count * entryLength);
    let filled = 0;
    for (const [first, entries] of records) {
      if (first * entryLength !== filled || filled + entries.length > whole.length) return undefined;
      whole.set(entries, filled);
      filled += entries.length;
    }
    return filled === whole.length ? whole : undefined;
  }
}
