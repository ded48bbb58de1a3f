import { SealpipeError } from '../errors.ts';
import { parallelFrom } from '../multipart/part-sizes.ts';
import { takeWorkers } from '../multipart/workers/worker-pool.ts';
import { type AnsweredObject, requestObject } from './answered-object.ts';
import type { OnRetry } from './broken-off.ts';
import { bodyOf, type GetOptions, type GetParams, type GetResult } from './get-object.ts';
import type { ObjectSetting } from './object-setting.ts';
import { ParallelContent, type ParallelOptions } from './parallel-content.ts';
import { checkParallelOptions, isParallel, parallelOptions } from './parallel-options.ts';
import { TargetFile } from './target-file.ts';

/** How an object is downloaded. Plaintext that is not authenticated yet lies in the temporary file alone. */
export interface DownloadOptions extends Omit<GetOptions, 'release' | 'maxBuffered'> {
  /** Told of the plaintext bytes that have arrived so far. */
  readonly onProgress?: ((progress: { readonly loaded: number; readonly total: number }) => void) | undefined;
}

/** A finished download: all of it was authenticated, unless the policy allowed content that nothing authenticates. */
export interface DownloadResult extends Omit<GetResult, 'body'> {
  /** Broken connections, and failed ranges, that were asked for again. */
  readonly retries: number;
}

/**
 * Downloads an object to a file. The file appears under its name when the whole content has been authenticated, and not
 * before; on any failure nothing is left, and what was there stays.
 * @throws SealpipeError
 */
export async function downloadObject(
  setting: ObjectSetting,
  params: GetParams,
  path: string,
  options: DownloadOptions = {},
): Promise<DownloadResult> {
  if (typeof path !== 'string') throw new TypeError('path is missing: expected the name of the file to download to');
  checkParallelOptions(options);
  // Threads start while S3 and KMS are asked: they are wanted in any case.
  if ((options.concurrency ?? 1) > 1) takeWorkers(parallelOptions(options).workers);
  // Before the request: a folder that cannot be written to should cost nothing.
  const target = await TargetFile.create(path);
  try {
    const object = await requestObject(setting, params, { ...options, release: 'delayed' });
    let retries = 0;
    const onRetry: OnRetry = (retry) => {
      retries += 1;
      options.onRetry?.(retry);
    };
    const plaintextSize = await write(object, target, { ...options, onRetry });
    if (options.signal?.aborted === true) {
      throw new SealpipeError('ABORTED', 'the download was aborted by its signal', {
        cause: options.signal.reason as unknown,
      });
    }
    await target.commit();
    return { ...object.result, plaintextSize, exact: true, retries };
  } catch (error) {
    await target.discard();
    throw error;
  }
}

/** @returns plaintext bytes; they are authentic */
async function write(object: AnsweredObject, target: TargetFile, options: DownloadOptions): Promise<number> {
  const { contentKey, result } = object;
  const { onProgress } = options;
  const parallel = parallelOptions(options);
  let loaded = 0;
  const onDone = (bytes: number): void => {
    loaded += bytes;
    onProgress?.({ loaded, total: result.plaintextSize });
  };
  if (contentKey?.suite.authenticated === true && (isParallel(object, options) || isWorthWorkers(object, parallel))) {
    const content = new ParallelContent(object, contentKey, { ...parallel, onDone });
    await content.toFile(target.temporaryPath).catch((error: unknown) => {
      throw target.failed(error);
    });
    return result.plaintextSize;
  }
  const { body } = bodyOf(object, { ...options, release: 'delayed', concurrency: 1 });
  for await (const chunk of body as AsyncIterable<Buffer>) {
    await target.write(chunk);
    onDone(chunk.length);
  }
  return loaded;
}

/** Whether workers decrypt and write what the one connection brings, while the main thread receives more of it. */
function isWorthWorkers({ sized, storedSize, etag }: AnsweredObject, { workers }: ParallelOptions): boolean {
  return sized && etag !== undefined && workers > 1 && storedSize >= parallelFrom;
}
