/** The parts of an upload between an engine that makes them and the attempt that sends them. */
import type { FieldElement } from '../crypto/field.ts';
import type { SegmentIndexBuilder } from '../crypto/segment-index-builder.ts';
import type { PartMemory } from './part-buffers.ts';
import type { RawAnswer, SignedRequest } from './workers/worker-protocol.ts';

/** A part whose ciphertext is there, kept until S3 has acknowledged it: every send of it has these very bytes. */
export interface SealedPart {
  /** From 1. */
  readonly number: number;
  /** Ciphertext; in the last part, or parts, the tag. */
  readonly bytes: Buffer;
  /** Of `bytes`. */
  readonly crc32: number;
  /** Plaintext bytes in it, for progress. */
  readonly plaintextLength: number;
  /** What a journal records of it; Z is secret, and overwritten by whoever recorded it. */
  readonly segment?:
    | {
        readonly offset: number;
        readonly length: number;
        readonly z: FieldElement;
        /** Of the segment index, where one is made. */
        readonly entries?: Uint8Array | undefined;
      }
    | undefined;
  /** Sends the bytes from the thread that made them, where they lie in its reach. */
  readonly send?:
    | ((request: SignedRequest, options: { length: number; signal: AbortSignal }) => Promise<RawAnswer>)
    | undefined;
}

/** A part that has its turn: its plaintext is known, its encryption may still be under way. */
export interface PendingPart {
  readonly number: number;
  /** Whether it is the whole object. */
  readonly whole: boolean;
  readonly sealed: Promise<SealedPart>;
  /** Gives its memory back. */
  release(): void;
}

/** An engine: turns a source into parts, in order, no faster than memory is given back. */
export interface PartProducer {
  parts(): AsyncIterable<PendingPart>;
  /** Plaintext bytes of all parts; final when `parts` has ended. */
  readonly length: number;
  /** Ends what is under way and overwrites secrets. */
  close(): void;
}

/** What both engines are given. */
export interface PartPlan {
  /** Plaintext bytes, where known: any other number ends in an error. */
  readonly length: number | undefined;
  /** Size of part n; multiples of 16. The stored body (ciphertext ‖ tag) is cut at these sizes. */
  readonly partSize: (number: number) => number;
  /** Parts that may exist at the same time. */
  readonly partsInMemory: number;
  /** Where the parallel engine's part buffers come from. Default: shared memory that is taken when it is needed. */
  readonly memory?: PartMemory | undefined;
  /** Takes the entries of the segment index, where one is made: then all part sizes are multiples of its segment size. */
  readonly index?: SegmentIndexBuilder | undefined;
}

export const tagLength = 16;

/** Bytes to reserve for part 1: it may take the tag beyond its size, when it turns out to be the whole object. */
export function firstBufferLength({ length, partSize }: PartPlan): number {
  const size = partSize(1);
  return Math.min(size, length ?? size) + tagLength;
}
