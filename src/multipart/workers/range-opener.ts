/** A worker's part in one download: decrypts segments, from shared memory or as they arrive, and writes them to the file. */
import type { Cipher } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { type ContentKey, wipe } from '../../crypto/content-key.ts';
import type { FieldElement } from '../../crypto/field.ts';
import { releaseMemory } from '../../crypto/release-memory.ts';
import { takeOver } from '../../crypto/secret-memory.ts';
import { createCtr, MessageSecrets, SegmentHash } from '../../crypto/segment.ts';
import { committingSuite, gcmSuite } from '../../format/suites.ts';
import { targetFailed } from '../target-failed.ts';
import type { FetchTask, OpenReading, UnsealTask } from './worker-protocol.ts';

/** Bytes that are hashed and decrypted at once: they stay in the processor's cache for both. */
const sliceLength = 128 * 1024;

/** A range that arrives: what has been hashed stays hashed when its connection breaks. */
interface ArrivingRange {
  readonly ctr: Cipher;
  readonly hash: SegmentHash;
  readonly trailer: Uint8Array;
  received: number;
}

export class RangeOpener {
  readonly #contentKey: ContentKey;
  readonly #secrets: MessageSecrets;
  readonly #target: string | undefined;
  readonly #arriving = new Map<number, ArrivingRange>();
  #descriptor: number | undefined;

  constructor({ key, iv, aad, target }: OpenReading) {
    this.#contentKey = { suite: aad.length === 0 ? gcmSuite : committingSuite, key: takeOver(key), iv, aad };
    this.#secrets = new MessageSecrets(this.#contentKey);
    this.#target = target;
  }

  /** Decrypts a segment, in place or into the file; Z goes into the task's shared memory. */
  unseal({ memory, offset, length, zs, zIndex }: UnsealTask): void {
    const content = Buffer.from(memory, 0, length);
    const ctr = createCtr(this.#contentKey, offset / 16);
    const hash = new SegmentHash(this.#contentKey, this.#secrets);
    for (let at = 0; at < length; at += sliceLength) {
      const slice = content.subarray(at, Math.min(at + sliceLength, length));
      hash.update(slice);
      const plaintext = ctr.update(slice);
      // As set() would, which copies to shared memory word by word.
      if (this.#target === undefined) slice.fill(plaintext);
      else this.#write(plaintext, offset + at);
      releaseMemory(plaintext);
    }
    ctr.final();
    leave(hash.final(), zs, zIndex);
  }

  /** How much of a range has arrived. */
  received(range: number): number {
    return this.#arriving.get(range)?.received ?? 0;
  }

  /** Takes the next stored bytes of a range. */
  take({ range, offset, length, trailerLength, memory }: FetchTask, chunk: Uint8Array): void {
    const arriving = this.#arrivingAt(range, offset, trailerLength);
    const content = chunk.subarray(0, Math.max(0, length - arriving.received));
    if (content.length > 0) {
      arriving.hash.update(content);
      const plaintext = arriving.ctr.update(content);
      if (memory === undefined) this.#write(plaintext, offset + arriving.received);
      else Buffer.from(memory, arriving.received, plaintext.length).set(plaintext);
      releaseMemory(plaintext);
    }
    const rest = chunk.subarray(content.length);
    arriving.trailer.set(rest, Math.max(0, arriving.received - length));
    arriving.received += chunk.length;
  }

  /** Ends a range that has arrived whole. @returns the bytes behind its content */
  end({ range, offset, trailerLength, zs, zIndex }: FetchTask): Uint8Array {
    const { ctr, hash, trailer } = this.#arrivingAt(range, offset, trailerLength);
    this.#arriving.delete(range);
    ctr.final();
    leave(hash.final(), zs, zIndex);
    return trailer;
  }

  close(): void {
    // OpenSSL frees the key schedules at once, not when garbage is collected.
    for (const { ctr, hash } of this.#arriving.values()) {
      ctr.final();
      hash.final().fill(0);
    }
    this.#arriving.clear();
    wipe(this.#contentKey.key);
    this.#secrets.wipe();
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  #arrivingAt(range: number, offset: number, trailerLength: number): ArrivingRange {
    const found = this.#arriving.get(range);
    if (found !== undefined) return found;
    const arriving = {
      ctr: createCtr(this.#contentKey, offset / 16),
      hash: new SegmentHash(this.#contentKey, this.#secrets),
      trailer: new Uint8Array(trailerLength),
      received: 0,
    };
    this.#arriving.set(range, arriving);
    return arriving;
  }

  #write(bytes: Uint8Array, position: number): void {
    const path = this.#target as string;
    try {
      this.#descriptor ??= openSync(path, 'r+');
      // A disk that fills up writes less than it was given, before it fails.
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#descriptor, bytes, done, bytes.length - done, position + done);
      }
    } catch (cause) {
      throw targetFailed(path, cause);
    }
  }
}

/** Puts Z where the other thread looks for it. */
function leave(z: FieldElement, zs: SharedArrayBuffer, index: number): void {
  new Int32Array(zs).set(z, index * 4);
  z.fill(0);
}
