import { indexFingerprint, parseTrailer } from '../crypto/segment-index.ts';
import type { HeadResult } from './head-object.ts';
import type { ObjectSetting } from './object-setting.ts';
import { lookForIndex } from './segment-index-file.ts';

/** What can be told of an object's index without a key. */
export interface SegmentIndexDescription {
  readonly segmentSize: number;
  /** `present`: it says that it belongs to this object; whether it is authentic only the key tells. `stale`: to an earlier one. */
  readonly state: 'present' | 'stale';
}

/**
 * Looks at the index of an object that has been looked at: one GET of 64 bytes, none for content that can have no index.
 * @returns undefined where there is none that could be used
 */
export async function describeSegmentIndex(
  { client }: Pick<ObjectSetting, 'client'>,
  { bucket: Bucket, key: Key, envelope, plaintextSize }: HeadResult,
  signal?: AbortSignal,
): Promise<SegmentIndexDescription | undefined> {
  if (envelope?.suite.authenticated !== true) return undefined;
  const found = await lookForIndex(client, { Bucket, Key }, signal);
  if (typeof found !== 'object') return undefined;
  const trailer = parseTrailer(found.trailer, found.size);
  if (typeof trailer === 'string') return undefined;
  const same =
    Buffer.compare(trailer.fingerprint, indexFingerprint(envelope.iv)) === 0 && trailer.contentLength === plaintextSize;
  return { segmentSize: trailer.segmentSize, state: same ? 'present' : 'stale' };
}
