import { timingSafeEqual } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { ContentEncryptor, slices } from '../crypto/content-cipher.ts';
import { type ContentKey, wipe } from '../crypto/content-key.ts';
import { copyOf, type FieldElement, newElement } from '../crypto/field.ts';
import { handOver } from '../crypto/secret-memory.ts';
import { assertWithinCounter, MessageSecrets } from '../crypto/segment.ts';
import { SealpipeError } from '../errors.ts';
import { OrderedFold } from './ordered-fold.ts';
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
import { SealQueue } from './seal-queue.ts';
import type { Chunks, SourceFile } from './upload-body.ts';
import type { SealWorker } from './workers/inline-worker.ts';
import { sharedMemory } from './workers/shared-memory.ts';
import { nextSession, nextTask, PoolWorker } from './workers/worker-pool.ts';
import type { RawAnswer, SealOutcome, SealTask } from './workers/worker-protocol.ts';

/** Where the plaintext comes from: a file that the workers read, or chunks that are copied into shared memory. */
export type ParallelSource = { readonly file: SourceFile } | { readonly chunks: Chunks };

/** A part's plaintext, in shared memory or still in the file. */
interface PlainPart {
  readonly number: number;
  readonly offset: number;
  readonly length: number;
  /** Undefined for a part that is stored already. */
  readonly buffer: Buffer | undefined;
  /** Whether it is all there is. */
  readonly whole: boolean;
}

type WholePlainPart = PlainPart & { readonly buffer: Buffer };

/** What an earlier process of the same upload has fixed, and stored. */
export interface ResumedParts {
  /** By part number: what its ciphertext is, by length and Z. */
  readonly intents: ReadonlyMap<number, { readonly length: number; readonly z: FieldElement }>;
  /** Part numbers that are on S3; each has an intent. */
  readonly done: ReadonlySet<number>;
}

/** Bytes of a stream that are copied before the thread sees to its connections again. */
const turnLength = 1024 * 1024;

const nothingResumed: ResumedParts = { intents: new Map(), done: new Set() };

/**
 * The parallel engine: parts are segments of one GCM message, encrypted in place by worker threads, in any order. Only the
 * fold of their Z into the tag is in order, here. The bytes are those of the serial engine.
 */
export class ParallelParts implements PartProducer {
  readonly #contentKey: ContentKey;
  readonly #source: ParallelSource;
  readonly #plan: PartPlan;
  readonly #takeWorkers: () => readonly SealWorker[];
  readonly #resumed: ResumedParts;
  /** Taken, and given the key, when there is more than one part. */
  #workers: readonly SealWorker[] = [];
  #queue: SealQueue | undefined;
  readonly #session = nextSession();
  readonly #buffers: PartBuffers;
  readonly #secrets: MessageSecrets;
  readonly #fold: OrderedFold;
  /** Where workers leave Z, an element for each part in memory. */
  readonly #zs: Int32Array;
  readonly #freeZs: number[];
  #tag: Promise<Uint8Array> | undefined;
  #length = 0;
  #closed = false;

  /** @param contentKey overwritten by {@link close} */
  constructor(
    contentKey: ContentKey,
    source: ParallelSource,
    plan: PartPlan,
    takeWorkers: () => readonly SealWorker[],
    resumed: ResumedParts = nothingResumed,
  ) {
    this.#contentKey = contentKey;
    this.#source = source;
    this.#plan = plan;
    this.#takeWorkers = takeWorkers;
    this.#resumed = resumed;
    this.#buffers = new PartBuffers(plan.partsInMemory, plan.memory ?? sharedMemory);
    this.#secrets = new MessageSecrets(contentKey);
    this.#fold = new OrderedFold(contentKey, this.#secrets);
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
    this.#fold.close();
    wipe(this.#contentKey.key);
    this.#secrets.wipe();
    this.#zs.fill(0);
    for (const { z } of this.#resumed.intents.values()) z.fill(0);
  }

  async *parts(): AsyncGenerator<PendingPart> {
    let number = 0;
    let last = 0;
    for await (const part of 'file' in this.#source
      ? this.#fileParts(this.#source.file)
      : this.#chunkParts(this.#source.chunks)) {
      number = part.number;
      last = part.length;
      this.#length = part.offset + part.length;
      assertWithinCounter(this.#length);
      if (part.buffer === undefined) continue;
      const plain = { ...part, buffer: part.buffer };
      if (part.whole) yield this.#sealWhole(plain);
      // A full part is never touched again; one that is not full is the last, and takes the tag, or what fits of it.
      else yield this.#pending(plain, last === this.#plan.partSize(number) ? this.#seal(plain) : this.#sealLast(plain));
    }
    const fitting = Math.min(tagLength, this.#plan.partSize(number) - last);
    if (number === 0 || (number === 1 && this.#length <= this.#plan.partSize(1)) || fitting === tagLength) return;
    if (!this.#resumed.done.has(number + 1)) yield this.#tagPart(number + 1, number, fitting);
  }

  /** Every part of a file is known beforehand; the workers read them. What an earlier process has stored is not made again. */
  async *#fileParts({ identity }: SourceFile): AsyncGenerator<PlainPart> {
    const { size } = identity;
    const { intents, done } = this.#resumed;
    for (let number = 1, offset = 0; offset < size || number === 1; number++) {
      const partSize = this.#plan.partSize(number);
      const length = Math.min(partSize, size - offset);
      const intent = done.has(number) ? intents.get(number) : undefined;
      if (intent !== undefined) {
        this.#fold.add(number, copyOf(intent.z), length);
        yield { number, offset, length, buffer: undefined, whole: false };
      } else {
        const buffer = await this.#buffers.acquire(number === 1 ? firstBufferLength(this.#plan) : partSize);
        yield { number, offset, length, buffer, whole: length === size };
      }
      offset += length;
    }
  }

  /** One copy of each chunk into shared memory is the price of a stream. */
  async *#chunkParts(chunks: Chunks): AsyncGenerator<PlainPart> {
    const { length: expected, partSize } = this.#plan;
    let number = 1;
    let offset = 0;
    let filled = 0;
    let copied = 0;
    let buffer: Buffer | undefined = await this.#buffers.acquire(firstBufferLength(this.#plan));
    for await (const first of chunks) {
      for (let chunk: Uint8Array | undefined = first; chunk !== undefined; chunk = chunks.take?.()) {
        if (expected !== undefined && offset + filled + chunk.length > expected)
          throw wrongLength(offset + filled + chunk.length, expected);
        for (let at = 0; at < chunk.length; ) {
          // The first part is held back while it may be the whole object; later ones are encrypted as soon as they are full.
          if (buffer !== undefined && number === 1 && filled === partSize(1)) {
            yield { number, offset, length: filled, buffer, whole: false };
            [number, offset, filled, buffer] = [2, filled, 0, undefined];
          }
          buffer ??= await this.#buffers.acquire(partSize(number));
          const taken = Math.min(chunk.length - at, partSize(number) - filled);
          buffer.set(taken === chunk.length ? chunk : chunk.subarray(at, at + taken), filled);
          filled += taken;
          at += taken;
          copied += taken;
          // Until all buffers are full a source that has its bytes at hand would keep the first requests waiting. Later ones have their
          // turns while it waits for a buffer; to give them more costs a tenth of the CPU time.
          if (copied >= turnLength) {
            if (number <= this.#plan.partsInMemory) await nextTurn();
            copied = 0;
          }
          if (number > 1 && filled === partSize(number)) {
            yield { number, offset, length: filled, buffer, whole: false };
            [number, offset, filled, buffer] = [number + 1, offset + filled, 0, undefined];
          }
        }
      }
    }
    if (expected !== undefined && offset + filled !== expected) throw wrongLength(offset + filled, expected);
    if (buffer !== undefined) yield { number, offset, length: filled, buffer, whole: number === 1 };
  }

  /** The last plaintext, and behind it the tag, or what fits of it. */
  async #sealLast(part: WholePlainPart): Promise<SealedPart> {
    const fitting = Math.min(tagLength, this.#plan.partSize(part.number) - part.length);
    const sealed = await this.#seal(part);
    return appended(sealed, part.buffer, (await this.#tagAfter(part.number)).subarray(0, fitting));
  }

  /** A part of the tag alone, from its byte `from` on. */
  #tagPart(number: number, after: number, from: number): PendingPart {
    const sealed = this.#tagAfter(after).then((tag) =>
      appended(
        {
          number,
          bytes: Buffer.alloc(0),
          crc32: 0,
          plaintextLength: 0,
          segment: { offset: this.#length, length: 0, z: newElement() },
        },
        Buffer.alloc(tagLength),
        tag.subarray(from),
      ),
    );
    sealed.catch(() => undefined);
    return { number, whole: false, sealed, release: () => undefined };
  }

  /** An object of one part is sealed here and now, as plain GCM: waking a worker would take longer. */
  #sealWhole(part: WholePlainPart): PendingPart {
    const seal = async (): Promise<SealedPart> => {
      if ('file' in this.#source) await this.#source.file.readInto(part.buffer.subarray(0, part.length));
      const encryptor = new ContentEncryptor(this.#contentKey);
      const macs = this.#plan.index?.macs(0);
      let crc = 0;
      for (const slice of slices(part.buffer.subarray(0, part.length))) {
        const ciphertext = encryptor.update(slice);
        crc = crc32(ciphertext, crc);
        macs?.update(ciphertext);
        slice.set(ciphertext);
      }
      if (macs !== undefined) this.#plan.index?.add(0, macs.final());
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

  #pending({ number, buffer }: Pick<WholePlainPart, 'number' | 'buffer'>, sealed: Promise<SealedPart>): PendingPart {
    // Whoever sends it hears of the failure; until then it must not count as unhandled.
    sealed.catch(() => undefined);
    return { number, whole: false, sealed, release: () => this.#buffers.release(buffer) };
  }

  async #seal({ number, offset, length, buffer }: WholePlainPart): Promise<SealedPart> {
    this.#throwIfClosed();
    this.#queue ??= new SealQueue(this.#open());
    const zIndex = this.#freeZs.pop();
    if (zIndex === undefined) throw new Error('internal error: more parts in the making than in memory');
    const memory = buffer.buffer as unknown as SharedArrayBuffer;
    const place = this.#zs.subarray(zIndex * 4, zIndex * 4 + 4);
    const task: SealTask = {
      type: 'seal',
      task: nextTask(),
      session: this.#session,
      memory,
      offset,
      length,
      zs: this.#zs.buffer as SharedArrayBuffer,
      zIndex,
      fromFile: 'file' in this.#source,
    };
    let sealed: SealOutcome & { readonly worker: SealWorker };
    let z: FieldElement;
    try {
      sealed = await this.#queue.run(async (worker) => {
        // It may have waited.
        this.#throwIfClosed();
        return { ...(await worker.run<SealOutcome>(task)), worker };
      });
      // Closing has overwritten Z: a journal must never say of this part that its Z were zero.
      this.#throwIfClosed();
      z = copyOf(place);
    } finally {
      place.fill(0);
      this.#freeZs.push(zIndex);
    }
    this.#compare(number, z, length);
    if (sealed.entries !== undefined) this.#plan.index?.add(offset, sealed.entries);
    const segment = { offset, length, z: copyOf(z), entries: sealed.entries };
    this.#fold.add(number, z, length);
    return {
      number,
      bytes: buffer.subarray(0, length),
      crc32: sealed.crc32,
      plaintextLength: length,
      segment,
      send: this.#sendBy(sealed.worker, memory),
    };
  }

  /** A part whose ciphertext an earlier process fixed must come out the same: else nothing of it may be sent under this key. */
  #compare(number: number, z: FieldElement, length: number): void {
    const intent = this.#resumed.intents.get(number);
    if (intent === undefined || (intent.length === length && timingSafeEqual(intent.z, z))) return;
    z.fill(0);
    const path = 'file' in this.#source ? this.#source.file.path : 'the source';
    throw new SealpipeError(
      'SOURCE_CHANGED',
      `${path} is not what it was when the upload was begun (part ${number} differs)`,
      { part: number },
    );
  }

  /** Sends from the thread that sealed, where that is one of its own. */
  #sendBy(worker: SealWorker, memory: SharedArrayBuffer): SealedPart['send'] {
    if (!(worker instanceof PoolWorker)) return undefined;
    return (request, { length, signal }) => {
      // It may have fired while the request was being signed; a listener would never hear of it.
      if (signal.aborted) return Promise.reject(aborted());
      const task = nextTask();
      const onAbort = (): void => worker.post({ type: 'cancel', task });
      signal.addEventListener('abort', onAbort, { once: true });
      return worker
        .run<RawAnswer>({ type: 'send', task, session: this.#session, memory, length, request })
        .finally(() => signal.removeEventListener('abort', onAbort));
    };
  }

  /** The tag, once the given number of parts, all there are, is folded. Made once: under one data key one tag is released, ever. */
  #tagAfter(parts: number): Promise<Uint8Array> {
    this.#tag ??= this.#fold.folded(parts).then(async () => {
      if ('file' in this.#source) await this.#source.file.verify();
      return this.#fold.tag();
    });
    return this.#tag;
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new SealpipeError('ABORTED', 'the upload has ended');
  }

  #open(): readonly SealWorker[] {
    this.#workers = this.#takeWorkers();
    const { key, iv, aad } = this.#contentKey;
    const { path, identity } = 'file' in this.#source ? this.#source.file : {};
    const file = path === undefined || identity === undefined ? undefined : { path, identity };
    const { index: builder } = this.#plan;
    for (const worker of this.#workers) {
      const index = builder && { key: builder.handOverKey(), segmentSize: builder.segmentSize };
      worker.post({ type: 'open', session: this.#session, key: handOver(key), iv, aad, file, index });
    }
    return this.#workers;
  }
}

/** As Node's own: whoever sent it knows the reason. */
function aborted(): Error {
  return Object.assign(new Error('the send was cancelled'), { name: 'AbortError', code: 'ABORT_ERR' });
}

/** A sealed part with bytes of the tag behind it. */
function appended(part: SealedPart, buffer: Buffer, tag: Uint8Array): SealedPart {
  buffer.set(tag, part.bytes.length);
  return { ...part, bytes: buffer.subarray(0, part.bytes.length + tag.length), crc32: crc32(tag, part.crc32) };
}
