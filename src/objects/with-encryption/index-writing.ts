/** The segment index of an object that a command of an encrypting client writes. */
import { fittingSegmentSize, segmentIndexKeyInfo } from '../../crypto/segment-index.ts';
import { SegmentIndexBuilder } from '../../crypto/segment-index-builder.ts';
import { parseEnvelope } from '../../format/parse-envelope.ts';
import type { StringMap } from '../../format/string-map.ts';
import { type IndexedParams, SegmentIndexFile } from '../segment-index-file.ts';
import type { EncryptingClient } from './command-call.ts';

/** Where an index goes, and what its key is derived for. */
export interface IndexWriting {
  readonly segmentSize: number;
  readonly file: SegmentIndexFile;
  readonly derive: readonly Uint8Array[];
}

/**
 * Prepares the index of an object, where one is asked for.
 * @param length plaintext bytes, where known
 * @throws SealpipeError COMMAND_REFUSED for an object that can have none
 */
export async function prepareIndex(
  { plain, segmentSize: wanted }: EncryptingClient,
  params: { readonly [Name in keyof IndexedParams]?: IndexedParams[Name] | undefined },
  { length, signal }: { length?: number; signal?: AbortSignal | undefined },
): Promise<IndexWriting | undefined> {
  if (wanted === undefined) return undefined;
  const segmentSize = fittingSegmentSize(wanted, length);
  const options = { client: plain, params: params as IndexedParams, attempts: 5, timeout: 300_000, signal };
  const file = new SegmentIndexFile(options);
  await file.prepare();
  return { segmentSize, file, derive: [segmentIndexKeyInfo(segmentSize)] };
}

/** What puts the index together, once its key is there. */
export function indexBuilder(
  { segmentSize }: IndexWriting,
  {
    derived: [key = new Uint8Array(0)],
    envelope,
    length,
  }: { derived: readonly Uint8Array[]; envelope: StringMap; length?: number },
): SegmentIndexBuilder {
  return new SegmentIndexBuilder({ key, segmentSize, iv: parseEnvelope(envelope).iv, contentLength: length });
}
