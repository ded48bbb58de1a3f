import { SealpipeError } from '../errors.ts';
import { type GetOptions, type GetParams, type GetResult, getObject } from './get-object.ts';
import type { ObjectSetting } from './object-setting.ts';
import { openObject } from './open-object.ts';
import { lookForIndex } from './segment-index-file.ts';
import { startSegmentIndex } from './segment-index-reader.ts';

/**
 * Reads an object whose plaintext may come out only once it is authenticated. What is too large to be held until the tag is known, is
 * read segment by segment where it has an index: each is verified before it comes out.
 * @param get reads it as a whole
 */
export async function getAuthenticated(
  setting: ObjectSetting,
  params: GetParams,
  options: GetOptions,
  get: () => Promise<GetResult> = () => getObject(setting, params, options),
): Promise<GetResult> {
  try {
    return await get();
  } catch (error) {
    // Known from the answer's head: neither key nor index has been asked for, so objects that fit cost no request for one.
    if (!(error instanceof SealpipeError) || error.code !== 'ERR_SEALPIPE_BUFFER_LIMIT') throw error;
    const streamed = await getBySegments(setting, params, options);
    if (streamed === undefined) throw error;
    return streamed;
  }
}

/** @returns undefined for an object without a usable index */
async function getBySegments(
  setting: ObjectSetting,
  { IfNoneMatch: _, ...params }: GetParams,
  { encryptionContext, idleTimeout, transport, onRetry, signal }: GetOptions,
): Promise<GetResult | undefined> {
  const options = {
    authenticate: 'when-possible',
    access: 'sequential',
    tail: 0,
    encryptionContext,
    idleTimeout,
    transport: transport === 'client' ? 'client' : 'auto',
    onRetry,
    signal,
  } as const;
  // Before a key is asked for: most objects that are too large have no index.
  const found = await lookForIndex(setting.client, params, signal);
  if (typeof found !== 'object') return undefined;
  const object = await openObject(setting, params, options, startSegmentIndex);
  if (object.authenticated !== 'index') {
    await object.close();
    return undefined;
  }
  const body = object.createReadStream({ signal });
  body.once('close', () => void object.close());
  const { size, storedSize, envelope, metadata, etag, versionId, contentType, lastModified } = object;
  return {
    body,
    plaintextSize: size,
    exact: true,
    storedSize,
    envelope,
    metadata,
    etag,
    versionId,
    contentType,
    lastModified,
  };
}
