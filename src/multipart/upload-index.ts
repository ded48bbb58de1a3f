/** The segment index of an upload: made beside its parts, stored before its object becomes visible. */
import { indexLength } from '../crypto/segment-index.ts';
import type { SegmentIndexBuilder } from '../crypto/segment-index-builder.ts';
import { SealpipeError } from '../errors.ts';
import { SegmentIndexFile } from '../objects/segment-index-file.ts';
import type { UploadJob, UploadObserver } from './upload-attempt.ts';

interface Running {
  readonly observer: UploadObserver;
  readonly signal: AbortSignal;
}

export function openIndexFile(job: UploadJob, { observer, signal }: Running): SegmentIndexFile {
  const { client, params, partAttempts, partTimeout } = job;
  return new SegmentIndexFile({
    client,
    params,
    attempts: partAttempts,
    timeout: partTimeout,
    signal,
    onRetry: ({ error, attempt }) => observer.retried({ part: undefined, attempt, error }),
  });
}

/** Parts begin with a segment, so that the entries of each can be computed by whoever encrypts it. */
export function wholeSegments(partSize: number, segmentSize: number | undefined): number {
  return segmentSize === undefined ? partSize : Math.ceil(partSize / segmentSize) * segmentSize;
}

/** An object that an earlier process completed without hearing of it. */
export interface CompletedObject {
  readonly etag: string;
  readonly plaintextSize: number;
}

/**
 * Sees to it that a completed object has its index: the process that completed it took the index away again if it believed that it
 * had failed.
 * @param index as far as it is known; closed
 * @throws SealpipeError JOURNAL_INVALID where it is not there, and not known
 */
export async function ensureIndex(
  job: UploadJob,
  index: SegmentIndexBuilder,
  { etag, plaintextSize, ...running }: CompletedObject & Running,
): Promise<void> {
  try {
    const file = openIndexFile(job, running);
    await file.prepare();
    if (file.holds(index.trailer(plaintextSize), indexLength(plaintextSize, index.segmentSize))) return;
    if (index.isWhole(plaintextSize)) return await file.publishBeside(index.finish(plaintextSize), etag);
    const { Bucket, Key } = job.params;
    throw new SealpipeError(
      'JOURNAL_INVALID',
      `s3://${Bucket}/${Key} is in place, but its segment index is not, and the journal ${job.journal} lacks a part of it: make it from the object (createSegmentIndex, sealpipe index), and remove the journal`,
      { bucket: Bucket, key: Key },
    );
  } finally {
    index.close();
  }
}
