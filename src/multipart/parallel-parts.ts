import { createSecretKey } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { ContentEncryptor, slices } from '../crypto/content-cipher.ts';
import { type ContentKey, wipe } from '../crypto/content-key.ts';
import type { FieldElement } from '../crypto/field.ts';
import { assertWithinCounter, MessageSecrets, TagFold } from '../crypto/segment.ts';
import { SealpipeError } from '../errors.ts';
import { PartBuffers } from './part-buffers.ts';
import { wrongLength } from './part-failures.ts';
import {
  firstBufferLength,
  type PartPlan,
  type PartProducer,
  type PendingPart,
  type SealedPart,
  tagLength,
} from './parts.ts';
import type { SourceFile } from './upload-body.ts';
import { sharedMemory } from './workers/shared-memory.ts';
import { nextSession, nextTask, type PoolWorker } from './workers/worker-pool.ts';
import type { RawAnswer } from './workers/worker-protocol.ts';

/** Where the plaintext comes from: a file that the workers read, or chunks that are copied into shared memory. */
export type ParallelSource = { readonly file: SourceFile } | { readonly chunks: AsyncIterable<Uint8Array> };

/** A part's plaintext, in shared memory or still in the file. */
interface PlainPart {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  readonly buffer: Buffer;
  /** Whether it is all there is. */
  readonly whole: boolean;
}

/**
 * The parallel engine: parts are segments of one GCM message, encrypted in place by worker threads, in any order. Only the
 * fold of their Z into the tag is in order, here. The bytes are those of the serial engine.
 */
export class ParallelParts implements PartProducer {
  readonly #contentKey: ContentKey;
  readonly #source: ParallelSource;
  readonly #plan: PartPlan;
  readonly #takeWorkers: () => readonly PoolWorker[];
  /** Taken, and given the key, when there is more than one part. */
  #workers: readonly PoolWorker[] = [];
  readonly #session = nextSession();
  readonly #buffers: PartBuffers;
  readonly #secrets: MessageSecrets;
  readonly #fold: TagFold;
  /** Where workers leave Z, an element for each part in memory. */
  readonly #zs: Int32Array;
  readonly #freeZs: number[];
  /** Z of parts that are made before one with a lower number. */
  readonly #ahead = new Map<number, { z: FieldElement; length: number }>();
  #foldedParts = 0;
  #waiting: { parts: number; resolve: () => void; reject: (error: Error) => void } | undefined;
  #tag: Promise<Uint8Array> | undefined;
  #length = 0;
  #closed = false;

  /** @param contentKey overwritten by {@link close} */
  constructor(
    contentKey: ContentKey,
    source: ParallelSource,
    plan: PartPlan,
    takeWorkers: () => readonly PoolWorker[],
  ) {
    this.#contentKey = contentKey;
    this.#source = source;
    this.#plan = plan;
    this.#takeWorkers = takeWorkers;
    this.#buffers = new PartBuffers(plan.partsInMemory, sharedMemory);
    this.#secrets = new MessageSecrets(contentKey);
    this.#fold = new TagFold(contentKey, this.#secrets);
    this.#zs = new Int32Array(new SharedArrayBuffer(plan.partsInMemory * 16));
    this.#freeZs = Array.from({ length: plan.partsInMemory }, (_, i) => i);
  }

  get length(): number {
    return this.#length;
  }

  close(): void {
    for (const worker of this.#workers) worker.post({ type: 'close', session: this.#session });
    this.#workers = [];
    this.#closed = true;
    this.#buffers.close();
    this.#waiting?.reject(new SealpipeError('ABORTED', 'the upload has ended'));
    wipe(this.#contentKey.key);
    this.#secrets.wipe();
    this.#fold.wipe();
    this.#zs.fill(0);
    for (const { z } of this.#ahead.values()) z.fill(0);
    this.#ahead.clear();
  }

  async *parts(): AsyncGenerator<PendingPart> {
    let number = 0;
    for await (const part of 'file' in this.#source
      ? this.#fileParts(this.#source.file)
      : this.#chunkParts(this.#source.chunks)) {
      number = part.number;
      this.#length = part.offset + part.length;
      assertWithinCounter(this.#length);
      if (part.whole) yield this.#sealWhole(part);
      // A full part is never touched again; one that is not full is the last, and takes the tag, or what fits of it.
      else if (part.length === this.#plan.partSize(number)) yield this.#pending(part, this.#seal(part));
      else {
        yield* this.#end(part);
        return;
      }
    }
    if (number > 1) yield this.#tagPart(number + 1, number, 0);
  }

  /** Every part of a file is known beforehand; the workers read them. */
  async *#fileParts({ identity }: SourceFile): AsyncGenerator<PlainPart> {
    const { size } = identity;
    for (let number = 1, offset = 0; offset < size || number === 1; number++) {
      const partSize = this.#plan.partSize(number);
      const length = Math.min(partSize, size - offset);
      const buffer = await this.#buffers.acquire(number === 1 ? firstBufferLength(this.#plan) : partSize);
      yield { number, offset, length, buffer, whole: length === size };
      offset += length;
    }
  }

  /** One copy of each chunk into shared memory is the price of a stream. */
  async *#chunkParts(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<PlainPart> {
    const { length: expected, partSize } = this.#plan;
    let number = 1;
    let offset = 0;
    let filled = 0;
    let buffer: Buffer | undefined = await this.#buffers.acquire(firstBufferLength(this.#plan));
    for await (const chunk of chunks) {
      if (expected !== undefined && offset + filled + chunk.length > expected)
        throw wrongLength(offset + filled + chunk.length, expected);
      for (let rest = chunk; rest.length > 0; ) {
        // The first part is held back while it may be the whole object; later ones are encrypted as soon as they are full.
        if (buffer !== undefined && number === 1 && filled === partSize(1)) {
          yield { number, offset, length: filled, buffer, whole: false };
          [number, offset, filled, buffer] = [2, filled, 0, undefined];
        }
        buffer ??= await this.#buffers.acquire(partSize(number));
        const taken = rest.subarray(0, partSize(number) - filled);
        buffer.set(taken, filled);
        filled += taken.length;
        rest = rest.subarray(taken.length);
        if (number > 1 && filled === partSize(number)) {
          yield { number, offset, length: filled, buffer, whole: false };
          [number, offset, filled, buffer] = [number + 1, offset + filled, 0, undefined];
        }
      }
    }
    if (expected !== undefined && offset + filled !== expected) throw wrongLength(offset + filled, expected);
    if (buffer !== undefined) yield { number, offset, length: filled, buffer, whole: number === 1 };
  }

  /** The last plaintext, and the tag behind it; where that passes the part's size, in one part more. */
  async *#end(part: PlainPart): AsyncGenerator<PendingPart> {
    const fitting = Math.min(tagLength, this.#plan.partSize(part.number) - part.length);
    const sealed = this.#seal(part).then(async (plain) =>
      appended(plain, part.buffer, (await this.#tagAfter(part.number)).subarray(0, fitting)),
    );
    yield this.#pending(part, sealed);
    if (fitting < tagLength) yield this.#tagPart(part.number + 1, part.number, fitting);
  }

  /** A part of the tag alone, from its byte `from` on. */
  #tagPart(number: number, after: number, from: number): PendingPart {
    const sealed = this.#tagAfter(after).then((tag) =>
      appended(
        { number, bytes: Buffer.alloc(0), crc32: 0, plaintextLength: 0 },
        Buffer.alloc(tagLength),
        tag.subarray(from),
      ),
    );
    sealed.catch(() => undefined);
    return { number, whole: false, sealed, release: () => undefined };
  }

  /** An object of one part is sealed here and now, as plain GCM: waking a worker would take longer. */
  #sealWhole(part: PlainPart): PendingPart {
    const seal = async (): Promise<SealedPart> => {
      if ('file' in this.#source) await this.#source.file.readInto(part.buffer.subarray(0, part.length));
      const encryptor = new ContentEncryptor(this.#contentKey);
      let crc = 0;
      for (const slice of slices(part.buffer.subarray(0, part.length))) {
        const ciphertext = encryptor.update(slice);
        crc = crc32(ciphertext, crc);
        slice.set(ciphertext);
      }
      const plain = {
        number: 1,
        bytes: part.buffer.subarray(0, part.length),
        crc32: crc,
        plaintextLength: part.length,
      };
      return appended(plain, part.buffer, encryptor.final());
    };
    return { ...this.#pending(part, seal()), whole: true };
  }

  #pending({ number, buffer }: Pick<PlainPart, 'number' | 'buffer'>, sealed: Promise<SealedPart>): PendingPart {
    // Whoever sends it hears of the failure; until then it must not count as unhandled.
    sealed.catch(() => undefined);
    return { number, whole: false, sealed, release: () => this.#buffers.release(buffer) };
  }

  async #seal({ number, offset, length, buffer }: PlainPart): Promise<SealedPart> {
    const worker = this.#leastLoaded();
    const zIndex = this.#freeZs.pop();
    if (zIndex === undefined) throw new Error('internal error: more parts in the making than in memory');
    const memory = buffer.buffer as unknown as SharedArrayBuffer;
    const crc = await worker.run<number>({
      type: 'seal',
      task: nextTask(),
      session: this.#session,
      memory,
      offset,
      length,
      zs: this.#zs.buffer as SharedArrayBuffer,
      zIndex,
      fromFile: 'file' in this.#source,
    });
    const place = this.#zs.subarray(zIndex * 4, zIndex * 4 + 4);
    this.#foldIn(number, { z: Int32Array.from(place), length });
    place.fill(0);
    this.#freeZs.push(zIndex);
    const send: SealedPart['send'] = (request, { length: sent, signal }) => {
      const task = nextTask();
      const onAbort = (): void => worker.post({ type: 'cancel', task });
      signal.addEventListener('abort', onAbort, { once: true });
      return worker
        .run<RawAnswer>({ type: 'send', task, session: this.#session, memory, length: sent, request })
        .finally(() => signal.removeEventListener('abort', onAbort));
    };
    return { number, bytes: buffer.subarray(0, length), crc32: crc, plaintextLength: length, send };
  }

  #foldIn(number: number, made: { z: FieldElement; length: number }): void {
    this.#ahead.set(number, made);
    for (
      let next = this.#ahead.get(this.#foldedParts + 1);
      next !== undefined;
      next = this.#ahead.get(this.#foldedParts + 1)
    ) {
      this.#foldedParts += 1;
      this.#ahead.delete(this.#foldedParts);
      this.#fold.append(next.z, next.length);
      next.z.fill(0);
    }
    this.#checkFolded();
  }

  /** The tag, once the given number of parts, all there are, is folded. */
  #tagAfter(parts: number): Promise<Uint8Array> {
    this.#tag ??= new Promise<void>((resolve, reject) => {
      this.#waiting = { parts, resolve, reject };
      this.#checkFolded();
    }).then(async () => {
      if ('file' in this.#source) await this.#source.file.verify();
      // Made once: under one data key one tag is released, ever.
      return this.#fold.tag();
    });
    return this.#tag;
  }

  #checkFolded(): void {
    if (this.#waiting !== undefined && this.#foldedParts >= this.#waiting.parts) this.#waiting.resolve();
  }

  #leastLoaded(): PoolWorker {
    if (this.#closed) throw new SealpipeError('ABORTED', 'the upload has ended');
    if (this.#workers.length === 0) this.#open();
    return this.#workers.reduce((least, worker) => (worker.load < least.load ? worker : least));
  }

  #open(): void {
    this.#workers = this.#takeWorkers();
    const { key, iv, aad } = this.#contentKey;
    const { path, identity } = 'file' in this.#source ? this.#source.file : {};
    const file = path === undefined || identity === undefined ? undefined : { path, identity };
    const open = { type: 'open', session: this.#session, key: createSecretKey(key), iv, aad, file } as const;
    for (const worker of this.#workers) worker.post(open);
  }
}

/** A sealed part with bytes of the tag behind it. */
function appended(part: SealedPart, buffer: Buffer, tag: Uint8Array): SealedPart {
  buffer.set(tag, part.bytes.length);
  return { ...part, bytes: buffer.subarray(0, part.bytes.length + tag.length), crc32: crc32(tag, part.crc32) };
}
