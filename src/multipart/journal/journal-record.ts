/**
 * Records of an upload journal (design page "One GCM message, many workers", section 6). Pure.
 *
 *   record  = be32(length of what follows) ‖ type 1 ‖ be32(number) ‖ nonce 12 ‖ clear ‖ sealed
 *   header  : clear = be32(length) ‖ JSON; sealed = GMAC 16
 *   others  : clear = nothing; sealed = AES-256-GCM(K_j, nonce, payload) with its tag
 *   AAD     = SHA-256 of the header record (zeros in the header itself) ‖ number ‖ type ‖ clear
 *
 * Nonces are random, not counted: a record number comes twice after a tear or a copy. The header has to be readable before the
 * key is there, as it holds the envelope; nothing else of the file says anything without the key.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

export const recordTypes = { header: 1, intent: 2, done: 3, entries: 4 } as const;
const knownTypes: readonly number[] = Object.values(recordTypes);
export type RecordType = (typeof recordTypes)[keyof typeof recordTypes];

/** Bytes of a record before its clear and sealed parts: type, number, nonce. */
const headLength = 1 + 4 + 12;
const tagLength = 16;
/** Longest record: a header with an envelope and a long path. Whatever claims more is no record. */
const maxRecordLength = 64 * 1024;

/** Bytes of the longest payload. */
export const maxPayloadLength: number = maxRecordLength - headLength - tagLength;

export interface JournalKey {
  readonly key: Uint8Array;
  /** SHA-256 of the header record: binds every record to this journal. 32 zeros while the header is sealed. */
  readonly header: Uint8Array;
}

export interface JournalRecord {
  readonly type: RecordType;
  readonly number: number;
  /** Readable without the key; the header's alone. */
  readonly clear?: Buffer;
  /** Sealed. It may hold secrets: its owner overwrites it. */
  readonly payload: Uint8Array;
}

/** A record's bytes, length word included. */
export function sealRecord(
  { key, header }: JournalKey,
  { type, number, clear = Buffer.alloc(0), payload }: JournalRecord,
): Buffer {
  const head = Buffer.alloc(headLength);
  head.writeUInt8(type, 0);
  head.writeUInt32BE(number, 1);
  head.set(randomBytes(12), 5);
  const visible = type === recordTypes.header ? withLength(clear) : clear;
  const cipher = createCipheriv('aes-256-gcm', key, head.subarray(5), { authTagLength: tagLength });
  cipher.setAAD(associated({ header, number, type, clear: visible }));
  return withLength(Buffer.concat([head, visible, cipher.update(payload), cipher.final(), cipher.getAuthTag()]));
}

/** What stands at an offset of a journal's bytes, not yet believed. */
export interface FoundRecord {
  /** Offset behind it. */
  readonly end: number;
  readonly type: number;
  readonly number: number;
  readonly bytes: Buffer;
}

/** The record that begins at an offset, if there is room for one there. */
export function findRecord(file: Buffer, offset: number): FoundRecord | undefined {
  if (offset + 4 > file.length) return undefined;
  const length = file.readUInt32BE(offset);
  const end = offset + 4 + length;
  if (length < headLength + tagLength || length > maxRecordLength || end > file.length) return undefined;
  const bytes = file.subarray(offset + 4, end);
  return { end, type: bytes.readUInt8(0), number: bytes.readUInt32BE(1), bytes };
}

/** The JSON of a header, before anything proves it: what is needed to open the key that does. */
export function clearHeader({ type, number, bytes }: FoundRecord): unknown {
  if (type !== recordTypes.header || number !== 0 || bytes.length < headLength + 4 + tagLength) return undefined;
  const length = bytes.readUInt32BE(headLength);
  if (bytes.length !== headLength + 4 + length + tagLength) return undefined;
  try {
    return JSON.parse(bytes.subarray(headLength + 4, headLength + 4 + length).toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Opens a record; undefined where it is not what was sealed. Its payload is in memory of its own, for the caller to overwrite. */
export function openRecord(
  { key, header }: JournalKey,
  { type, number, bytes }: FoundRecord,
): JournalRecord | undefined {
  if (!isRecordType(type)) return undefined;
  const body = bytes.subarray(headLength, bytes.length - tagLength);
  const isHeader = type === recordTypes.header;
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(5, headLength), { authTagLength: tagLength });
  decipher.setAAD(associated({ header, number, type, clear: isHeader ? body : Buffer.alloc(0) }));
  decipher.setAuthTag(bytes.subarray(bytes.length - tagLength));
  const payload = decipher.update(isHeader ? Buffer.alloc(0) : body);
  try {
    decipher.final();
    return { type, number, payload };
  } catch {
    payload.fill(0);
    return undefined;
  }
}

function isRecordType(type: number): type is RecordType {
  return knownTypes.includes(type);
}

/** What binds the records that follow to a header. */
export function headerDigest(record: Buffer): Uint8Array {
  return createHash('sha256').update(record).digest();
}

export const noHeader: Uint8Array = new Uint8Array(32);

function associated({
  header,
  number,
  type,
  clear,
}: {
  header: Uint8Array;
  number: number;
  type: number;
  clear: Buffer;
}): Buffer {
  const fixed = Buffer.alloc(5);
  fixed.writeUInt32BE(number, 0);
  fixed.writeUInt8(type, 4);
  return Buffer.concat([header, fixed, clear]);
}

function withLength(bytes: Buffer): Buffer {
  const word = Buffer.alloc(4);
  word.writeUInt32BE(bytes.length);
  return Buffer.concat([word, bytes]);
}
