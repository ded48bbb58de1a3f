import { SealpipeError } from '../errors.ts';
import { type GetOptions, type GetParams, type GetResult, getObject } from './get-object.ts';
import type { ObjectSetting } from './object-setting.ts';
import { TargetFile } from './target-file.ts';

export interface DownloadOptions extends Omit<GetOptions, 'release' | 'maxBuffered'> {
  /** Told of the plaintext bytes that have arrived so far. */
  readonly onProgress?: ((progress: { readonly loaded: number; readonly total: number }) => void) | undefined;
}

export type DownloadResult = Omit<GetResult, 'body'>;

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
  // Before the request: a folder that cannot be written to should cost nothing.
  const target = await TargetFile.create(path);
  try {
    const { body, ...result } = await getObject(setting, params, { ...options, release: 'delayed' });
    let loaded = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      await target.write(chunk);
      loaded += chunk.length;
      options.onProgress?.({ loaded, total: result.plaintextSize });
    }
    if (options.signal?.aborted === true) {
      throw new SealpipeError('ABORTED', 'the download was aborted by its signal', {
        cause: options.signal.reason as unknown,
      });
    }
    await target.commit();
    return { ...result, plaintextSize: loaded, exact: true };
  } catch (error) {
    await target.discard();
    throw error;
  }
}
