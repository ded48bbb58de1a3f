import type { ContentKey } from '../crypto/content-key.ts';
import { copyOf, type FieldElement } from '../crypto/field.ts';
import { type MessageSecrets, TagFold } from '../crypto/segment.ts';
import { SealpipeError } from '../errors.ts';

/** Folds the Z of segments into the tag of their message, in whatever order they are made. */
export class OrderedFold {
  readonly #fold: TagFold;
  /** Made before one with a lower number. */
  readonly #ahead = new Map<number, { z: FieldElement; length: number }>();
  #folded = 0;
  #waiting: { segments: number; resolve: () => void; reject: (error: Error) => void } | undefined;
  #closed = false;

  constructor(contentKey: ContentKey, secrets: MessageSecrets) {
    this.#fold = new TagFold(contentKey, secrets);
  }

  /**
   * Takes one segment.
   * @param number from 1
   * @param z overwritten
   * @param length ciphertext bytes
   */
  add(number: number, z: FieldElement, length: number): void {
    const copy = copyOf(z);
    z.fill(0);
    if (this.#closed) {
      copy.fill(0);
      return;
    }
    this.#ahead.set(number, { z: copy, length });
    for (let next = this.#take(); next !== undefined; next = this.#take()) {
      this.#fold.append(next.z, next.length);
      next.z.fill(0);
    }
    this.#check();
  }

  /** Waits until the given number of segments is folded. */
  folded(segments: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = { segments, resolve, reject };
      if (this.#closed) reject(ended());
      this.#check();
    });
  }

  /**
   * The tag of what is folded. Taken once, of all there is: releasing it freezes the message.
   * @throws SealpipeError ABORTED when it has been closed
   */
  tag(): Uint8Array {
    // What the tag is made of has been overwritten.
    if (this.#closed) throw ended();
    return this.#fold.tag();
  }

  /** Overwrites what is secret; whoever waits for the tag gets an error. */
  close(): void {
    this.#closed = true;
    this.#waiting?.reject(ended());
    this.#fold.wipe();
    for (const { z } of this.#ahead.values()) z.fill(0);
    this.#ahead.clear();
  }

  #take(): { z: FieldElement; length: number } | undefined {
    const next = this.#ahead.get(this.#folded + 1);
    if (next === undefined) return undefined;
    this.#folded += 1;
    this.#ahead.delete(this.#folded);
    return next;
  }

  #check(): void {
    if (this.#waiting !== undefined && this.#folded >= this.#waiting.segments) this.#waiting.resolve();
  }
}

function ended(): SealpipeError {
  return new SealpipeError('ABORTED', 'the transfer has ended');
}
