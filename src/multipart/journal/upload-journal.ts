/** The journal of one upload: what a later process needs to finish it, and to be sure that it may. */

import type { FieldElement } from '../../crypto/field.ts';
import { blockOf, elementOf } from '../../crypto/field.ts';
import { segmentSizes } from '../../crypto/segment-index.ts';
import { SealpipeError } from '../../errors.ts';
import type { FileIdentity } from '../file-identity.ts';
import type { StoredPart } from '../upload-requests.ts';
import { decodeEntries, encodeEntries, PartEntries } from './journal-entries.ts';
import { JournalFile } from './journal-file.ts';
import {
  clearHeader,
  type FoundRecord,
  findRecord,
  headerDigest,
  type JournalKey,
  type JournalRecord,
  noHeader,
  openRecord,
  recordTypes,
  sealRecord,
} from './journal-record.ts';

/** What K_j is derived for; see `deriveKey`. */
export const journalKeyInfo: Uint8Array = Buffer.from('sealpipe upload journal v1', 'latin1');

/** The header: in the clear, authenticated. */
export interface JournalHeader {
  readonly version: 1;
  readonly bucket: string;
  readonly key: string;
  readonly uploadId: string;
  readonly fullObjectChecksum: boolean;
  readonly envelope: Record<string, string>;
  readonly storage: 'metadata' | 'instruction-file';
  /** Whole segments, where there is an index. */
  readonly partSize: number;
  /** Of the segment index, where one is made: then the journal has the entries of each part that is done. */
  readonly segmentSize?: number | undefined;
  readonly source: FileIdentity;
  /** Digest of what the call said of the object; journals of earlier versions have none. */
  readonly parameters?: string | undefined;
  /** Milliseconds since 1970. */
  readonly started: number;
}

/** A part that was about to be sent, or was: its ciphertext is fixed by Z and length. */
export interface JournalIntent {
  readonly part: number;
  readonly offset: number;
  /** Plaintext bytes. */
  readonly length: number;
  readonly z: FieldElement;
}

/** What a journal says, once opened. */
export interface JournalState {
  readonly header: JournalHeader;
  readonly intents: ReadonlyMap<number, JournalIntent>;
  readonly done: ReadonlyMap<number, StoredPart>;
  /** Of the segment index, by part: 16 bytes a segment, none of them as the last. */
  readonly entries: PartEntries;
}

/** Part 4, offset 8, length 8, Z 16. */
const intentLength = 36;

/** An intent's payload: binary, as Z must never be in a string. */
function encodeIntent({ part, offset, length, z }: JournalIntent): Buffer {
  // Not on V8's heap, where a Buffer of this length would be.
  const payload = Buffer.from(new ArrayBuffer(intentLength));
  payload.writeUInt32BE(part, 0);
  payload.writeBigUInt64BE(BigInt(offset), 4);
  payload.writeBigUInt64BE(BigInt(length), 12);
  const block = blockOf(z);
  payload.set(block, 20);
  block.fill(0);
  return payload;
}

function decodeIntent(payload: Uint8Array): JournalIntent {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return {
    part: bytes.readUInt32BE(0),
    offset: Number(bytes.readBigUInt64BE(4)),
    length: Number(bytes.readBigUInt64BE(12)),
    z: elementOf(bytes.subarray(20, intentLength)),
  };
}

export class UploadJournal {
  readonly #file: JournalFile;
  readonly #key: JournalKey;
  #next: number;

  private constructor(file: JournalFile, key: JournalKey, next: number) {
    this.#file = file;
    this.#key = key;
    this.#next = next;
  }

  /** Starts a journal, in the place of one that is there. `key` is kept, and overwritten in the end. */
  static async create(path: string, header: JournalHeader, key: Uint8Array): Promise<UploadJournal> {
    const clear = Buffer.from(JSON.stringify(header), 'utf8');
    const record = sealRecord(
      { key, header: noHeader },
      { type: recordTypes.header, number: 0, clear, payload: new Uint8Array(0) },
    );
    const file = await JournalFile.create(path, record);
    return new UploadJournal(file, { key, header: headerDigest(record) }, 1);
  }

  /** A part that is about to be sent: on the disk before its first byte goes out. */
  async intend(intent: JournalIntent): Promise<void> {
    const payload = encodeIntent(intent);
    const appended = this.#file.append(this.#seal(recordTypes.intent, payload));
    payload.fill(0);
    await appended;
  }

  /**
   * A part that S3 has acknowledged.
   * @param entries of the segment index, where one is made. Before the part itself: who finds that it is done finds them, too
   */
  async finish(part: StoredPart, entries: Uint8Array = new Uint8Array(0)): Promise<void> {
    const records = [
      ...encodeEntries(part.number, entries).map((payload) => this.#seal(recordTypes.entries, payload)),
      this.#seal(recordTypes.done, Buffer.from(JSON.stringify(part), 'utf8')),
    ];
    await this.#file.appendUnsynced(Buffer.concat(records));
  }

  /** Lets go of the journal, which stays for a later process. */
  async keep(): Promise<void> {
    this.#key.key.fill(0);
    await this.#file.close();
  }

  /** Removes the journal: the upload is over. */
  async remove(): Promise<void> {
    this.#key.key.fill(0);
    await this.#file.remove();
  }

  /** Sealed before it returns: the payload can be overwritten then. */
  #seal(type: (typeof recordTypes)['intent' | 'done' | 'entries'], payload: Uint8Array): Buffer {
    const number = this.#next;
    this.#next += 1;
    return sealRecord(this.#key, { type, number, payload });
  }

  /** A journal whose file and records have been read. */
  static continue(file: JournalFile, key: JournalKey, next: number): UploadJournal {
    return new UploadJournal(file, key, next);
  }
}

/** A journal that is there, with its header in the clear but nothing believed yet. */
export class FoundJournal {
  readonly header: JournalHeader;
  readonly #file: JournalFile;
  readonly #bytes: Buffer;
  readonly #headerRecord: FoundRecord;

  private constructor(file: JournalFile, bytes: Buffer, headerRecord: FoundRecord, header: JournalHeader) {
    this.#file = file;
    this.#bytes = bytes;
    this.#headerRecord = headerRecord;
    this.header = header;
  }

  /**
   * Opens and locks the journal at a path.
   * @returns undefined where there is none
   * @throws SealpipeError JOURNAL_BUSY, or JOURNAL_INVALID for a file that is no journal
   */
  static async open(path: string): Promise<FoundJournal | undefined> {
    const opened = await JournalFile.open(path);
    if (opened === undefined) return undefined;
    const { file, bytes } = opened;
    const record = findRecord(bytes, 0);
    const header = record && clearHeader(record);
    if (record === undefined || !isHeader(header)) {
      await file.close();
      throw new SealpipeError(
        'JOURNAL_INVALID',
        `${path} is no journal of an upload, or a damaged one: remove it to start afresh, or name another`,
      );
    }
    return new FoundJournal(file, bytes, record, header);
  }

  get path(): string {
    return this.#file.path;
  }

  /**
   * Reads the records with the journal's key, which is kept. An invalid run up to the end is a tear, and is cut off; an invalid record
   * with a valid one behind it is damage.
   * @throws SealpipeError JOURNAL_INVALID
   */
  async read(key: Uint8Array): Promise<{ journal: UploadJournal; state: JournalState }> {
    if (openRecord({ key, header: noHeader }, this.#headerRecord) === undefined)
      throw this.#damaged('its header was altered');
    const journalKey = { key, header: headerDigest(this.#bytes.subarray(0, this.#headerRecord.end)) };
    const intents = new Map<number, JournalIntent>();
    const done = new Map<number, StoredPart>();
    const entries = new PartEntries();
    let offset = this.#headerRecord.end;
    let next = 1;
    for (;;) {
      const found = findRecord(this.#bytes, offset);
      const record = found?.number === next ? openRecord(journalKey, found) : undefined;
      if (found === undefined || record === undefined) break;
      this.#take(record, { intents, done, entries });
      offset = found.end;
      next += 1;
    }
    if (offset < this.#bytes.length) {
      if (this.#hasValidRecordAfter(offset, journalKey)) throw this.#damaged(`it is damaged at byte ${offset}`);
      await this.#file.cutBack(offset);
    }
    return {
      journal: UploadJournal.continue(this.#file, journalKey, next),
      state: { header: this.header, intents, done, entries },
    };
  }

  /** Lets go of the file, which stays. */
  close(): Promise<void> {
    return this.#file.close();
  }

  #take(
    { type, payload }: JournalRecord,
    {
      intents,
      done,
      entries,
    }: { intents: Map<number, JournalIntent>; done: Map<number, StoredPart>; entries: PartEntries },
  ): void {
    if (type === recordTypes.intent) {
      const intent = decodeIntent(payload);
      intents.set(intent.part, intent);
    } else if (type === recordTypes.entries) {
      entries.take(decodeEntries(payload));
    } else {
      const part = JSON.parse(Buffer.from(payload).toString('utf8')) as StoredPart;
      done.set(part.number, part);
    }
    payload.fill(0);
  }

  /** Looks at every byte: a damaged length word hides where the next record begins. */
  #hasValidRecordAfter(offset: number, key: JournalKey): boolean {
    for (let at = offset + 1; at < this.#bytes.length; at++) {
      const found = findRecord(this.#bytes, at);
      if (found !== undefined && openRecord(key, found) !== undefined) return true;
    }
    return false;
  }

  #damaged(how: string): SealpipeError {
    return new SealpipeError(
      'JOURNAL_INVALID',
      `the journal ${this.path} cannot be trusted: ${how}. Remove it to start afresh; the parts of upload ${this.header.uploadId} then have to be removed from S3`,
      { uploadId: this.header.uploadId },
    );
  }
}

function isHeader(value: unknown): value is JournalHeader {
  const header = value as Partial<JournalHeader> | undefined | null;
  return (
    header?.version === 1 &&
    [header.bucket, header.key, header.uploadId].every((text) => typeof text === 'string') &&
    typeof header.partSize === 'number' &&
    // It takes part in the derivation of a key before anything proves the header.
    (header.segmentSize === undefined || segmentSizes.includes(header.segmentSize)) &&
    isObject(header.envelope) &&
    Object.values(header.envelope).every((text) => typeof text === 'string') &&
    isObject(header.source)
  );
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
