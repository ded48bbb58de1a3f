/** A journal beside a running upload: written as parts go out, and kept or removed in the end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SealpipeError } from '../../errors.ts';
import type { SealedPart } from '../parts.ts';
import type { SourceFile } from '../upload-body.ts';
import type { StoredPart } from '../upload-requests.ts';
import { type ResumedUpload, startAfresh } from './resume.ts';
import { type JournalHeader, UploadJournal } from './upload-journal.ts';

/** What a new journal's header says, but for what only CreateMultipartUpload tells. */
export type JournalBeginning = Omit<JournalHeader, 'uploadId' | 'fullObjectChecksum' | 'version' | 'started'>;

/** Failures after which an upload cannot go on later either: then nothing of it is kept. */
const finalFailures: readonly string[] = [
  'ERR_SEALPIPE_PRECONDITION_FAILED',
  'ERR_SEALPIPE_SOURCE_CHANGED',
  'ERR_SEALPIPE_SOURCE_FAILED',
  'ERR_SEALPIPE_TOO_LARGE',
  'ERR_SEALPIPE_UPLOAD_UNKNOWN',
];

export class JournalSession {
  readonly #path: string;
  readonly #beginning: (JournalBeginning & { readonly secret: Uint8Array }) | undefined;
  readonly #resumed: ResumedUpload | undefined;
  #journal: UploadJournal | undefined;

  private constructor(
    path: string,
    beginning: (JournalBeginning & { secret: Uint8Array }) | undefined,
    resumed: ResumedUpload | undefined,
  ) {
    this.#path = path;
    this.#beginning = beginning;
    this.#resumed = resumed;
    this.#journal = resumed?.journal;
  }

  /** For a new upload. The file comes into being with the upload's id. */
  static begin(path: string, beginning: JournalBeginning, secret: Uint8Array): JournalSession {
    return new JournalSession(path, { ...beginning, secret }, undefined);
  }

  static resume(path: string, resumed: ResumedUpload): JournalSession {
    return new JournalSession(path, undefined, resumed);
  }

  /** The upload that goes on, with what it has stored so far. */
  get resumed(): ResumedUpload | undefined {
    return this.#resumed;
  }

  /** The multipart upload exists. The journal is on the disk before any part of it is sent. */
  async created(uploadId: string, fullObjectChecksum: boolean): Promise<void> {
    if (this.#beginning === undefined) throw new Error('internal error: a resumed upload was created again');
    const { secret, ...beginning } = this.#beginning;
    this.#journal = await UploadJournal.create(
      this.#path,
      { ...beginning, version: 1, uploadId, fullObjectChecksum, started: Date.now() },
      secret,
    );
  }

  /** A part is about to be sent for the first time by anybody: what its ciphertext is, is on the disk when this resolves. */
  async intend({ number, segment }: SealedPart): Promise<void> {
    if (segment === undefined) throw new Error('internal error: a part without a segment cannot be journalled');
    try {
      if (this.#resumed?.intents.has(number) !== true) await this.#journal?.intend({ part: number, ...segment });
    } finally {
      segment.z.fill(0);
    }
  }

  /**
   * A part has been stored. Waited for before the next one is sent, so that a killed process has no more to send again than what
   * was in flight; not synced: without this record a part is only made and sent once more.
   * @param entries of the segment index, where one is made
   */
  async finish(part: StoredPart, entries: Uint8Array | undefined): Promise<void> {
    await this.#journal?.finish(part, entries).catch(() => undefined);
  }

  /** The upload has been completed: nothing is left to go on with. */
  async complete(): Promise<void> {
    this.#beginning?.secret.fill(0);
    // The object is in place, whatever comes of this: whoever finds the journal sees there that the upload is over.
    await this.#journal?.remove().catch(() => undefined);
  }

  /** Lets go of the journal, which stays where it is one. */
  async close(): Promise<void> {
    this.#beginning?.secret.fill(0);
    await this.#journal?.keep().catch(() => undefined);
  }

  /**
   * The upload has failed.
   * @returns what to say of its parts where they are kept for a later process; undefined where they are not
   */
  async fail(failure: Error): Promise<{ note: string; uploadId?: string } | undefined> {
    this.#beginning?.secret.fill(0);
    const final = failure instanceof SealpipeError && finalFailures.includes(failure.code);
    // A source that is not what an earlier process began with is refused; what to do with what that left is the caller's to say.
    const refused = failure instanceof SealpipeError && failure.code === 'ERR_SEALPIPE_SOURCE_CHANGED' && this.#resumed;
    if (this.#journal === undefined) return undefined;
    if (final && !refused) {
      // One that stays is that of an upload that S3 does not know: it is replaced.
      await this.#journal.remove().catch(() => undefined);
      return undefined;
    }
    await this.close();
    if (refused) {
      const { uploadId } = refused.header;
      return { note: `to upload it as it is now, ${startAfresh(this.#path, uploadId)}`, uploadId };
    }
    return { note: `the journal ${this.#path} keeps what is stored: run the same again and it goes on from there` };
  }
}

/** File times are coarse: a change within this many milliseconds of another may leave no trace. */
const settleTime = 2000;

/**
 * Waits until a file's last change is long enough ago for any later one to show in its times.
 * @throws SealpipeError SOURCE_CHANGED when it changes meanwhile
 */
export async function waitUntilSettled(file: SourceFile, signal: AbortSignal): Promise<void> {
  const modified = Number(BigInt(file.identity.modified) / 1_000_000n);
  const age = Date.now() - modified;
  if (age >= settleTime) return;
  await sleep(Math.min(settleTime, settleTime - age), undefined, { signal }).catch(() => {
    throw new SealpipeError('ABORTED', 'the upload was aborted', { cause: signal.reason as unknown });
  });
  await file.verify();
}
