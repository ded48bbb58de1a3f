/** A worker's part in one upload: encrypts parts in place, from shared memory or straight from the file. */
import type { Cipher } from 'node:crypto';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { type ContentKey, wipe } from '../../crypto/content-key.ts';
import { HeldIndexKey } from '../../crypto/held-index-key.ts';
import { releaseMemory } from '../../crypto/release-memory.ts';
import { takeOver } from '../../crypto/secret-memory.ts';
import { assertWithinCounter, createCtr, MessageSecrets, SegmentHash } from '../../crypto/segment.ts';
import { SegmentMacs } from '../../crypto/segment-index-macs.ts';
import { SealpipeError } from '../../errors.ts';
import { committingSuite, gcmSuite } from '../../format/suites.ts';
import { identityChange, identityOfDescriptor } from '../file-identity.ts';
import type { OpenSession, SealOutcome, SealTask } from './worker-protocol.ts';

/** Bytes that are encrypted, hashed and checksummed at once: they stay in the processor's cache for all three. */
const sliceLength = 64 * 1024;

/**
 * Bytes after which the thread sees to its connections: under a millisecond of work. The whole part at once would keep an answer, and the
 * part that goes out next, waiting for five to ten.
 */
const turnLength = 512 * 1024;

export class PartSealer {
  readonly #contentKey: ContentKey;
  readonly #secrets: MessageSecrets;
  readonly #file: OpenSession['file'];
  readonly #index: { readonly held: HeldIndexKey; readonly segmentSize: number } | undefined;
  #descriptor: number | undefined;
  /** Parts are made one after the other: the first of them is ready, and sent, while the next is made. */
  #previous: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor({ key, iv, aad, file, index }: OpenSession) {
    this.#contentKey = { suite: aad.length === 0 ? gcmSuite : committingSuite, key: takeOver(key), iv, aad };
    this.#secrets = new MessageSecrets(this.#contentKey);
    this.#file = file;
    this.#index = index && { held: new HeldIndexKey(takeOver(index.key)), segmentSize: index.segmentSize };
  }

  /**
   * Encrypts one part: CTR, GHASH, CRC-32 and the entries of the segment index in one pass over slices. Z goes into the task's
   * shared memory.
   * @throws SealpipeError SOURCE_CHANGED when the file is not what it was, ABORTED when it is closed meanwhile
   */
  seal(task: SealTask): Promise<SealOutcome> {
    const sealed = this.#previous.then(() => this.#seal(task));
    this.#previous = sealed.catch(() => undefined);
    return sealed;
  }

  async #seal({ memory, offset, length, zs, zIndex, fromFile }: SealTask): Promise<SealOutcome> {
    this.#throwIfClosed();
    assertWithinCounter(offset + length);
    const part = Buffer.from(memory, 0, length);
    const ctr = createCtr(this.#contentKey, offset / 16);
    const hash = new SegmentHash(this.#contentKey, this.#secrets);
    const macs = this.#macs(offset);
    let crc = 0;
    for (let at = 0; at < length; at += sliceLength) {
      if (at > 0 && at % turnLength === 0) {
        await nextTurn();
        if (this.#closed) this.#giveUp(ctr, hash, macs);
      }
      const slice = part.subarray(at, Math.min(at + sliceLength, length));
      if (fromFile) this.#read(slice, offset + at);
      const ciphertext = ctr.update(slice);
      hash.update(ciphertext);
      macs?.update(ciphertext);
      crc = crc32(ciphertext, crc);
      // As set() would, which copies to shared memory word by word.
      slice.fill(ciphertext);
      releaseMemory(ciphertext);
    }
    ctr.final();
    const z = hash.final();
    new Int32Array(zs).set(z, zIndex * 4);
    z.fill(0);
    // After the reading and before anything is sent, on the descriptor that was read from: no object mixes two versions.
    if (fromFile) this.#checkFile();
    return { crc32: crc, entries: macs?.final() };
  }

  close(): void {
    this.#closed = true;
    wipe(this.#contentKey.key);
    this.#secrets.wipe();
    this.#index?.held.close();
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  /** Ends what a closed upload has begun: OpenSSL frees what it holds of the keys at once. */
  #giveUp(ctr: Cipher, hash: SegmentHash, macs: SegmentMacs | undefined): void {
    ctr.final();
    hash.close();
    macs?.close();
    this.#throwIfClosed();
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new SealpipeError('ABORTED', 'the upload has ended');
  }

  #macs(offset: number): SegmentMacs | undefined {
    if (this.#index === undefined) return undefined;
    const { held, segmentSize } = this.#index;
    return new SegmentMacs({ key: held.key, segmentSize, firstSegment: offset / segmentSize });
  }

  #read(target: Buffer, position: number): void {
    const descriptor = this.#descriptor ?? this.#open();
    for (let done = 0; done < target.length; ) {
      const count = this.#try(() => readSync(descriptor, target, done, target.length - done, position + done));
      if (count === 0) throw this.#changed(`it ends after ${position + done} bytes now`);
      done += count;
    }
  }

  #open(): number {
    const { path } = this.#file as NonNullable<OpenSession['file']>;
    // A FIFO that has taken the file's place would keep the thread, and all its uploads, waiting for somebody to write.
    const flags = constants.O_RDONLY | ((constants.O_NONBLOCK as number | undefined) ?? 0);
    const descriptor = this.#try(() => openSync(path, flags));
    this.#descriptor = descriptor;
    this.#checkFile();
    return descriptor;
  }

  #try<T>(access: () => T): T {
    try {
      return access();
    } catch (cause) {
      // It was there when the upload began.
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') throw this.#changed('it is gone');
      throw new SealpipeError('SOURCE_FAILED', `the source could not be read to its end: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  #checkFile(): void {
    const { identity } = this.#file as NonNullable<OpenSession['file']>;
    const change = identityChange(identity, identityOfDescriptor(this.#descriptor as number));
    if (change !== undefined) throw this.#changed(change);
  }

  #changed(how: string): SealpipeError {
    return new SealpipeError(
      'SOURCE_CHANGED',
      `${this.#file?.path} changed while it was read (${how}): upload it when nobody writes to it`,
    );
  }
}
