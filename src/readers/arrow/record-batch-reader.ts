import type { FileHandle } from 'node:fs/promises';
import type { RecordBatchReader } from 'apache-arrow';
import { asFileHandle } from '../file-handle.ts';
import { lz4Frame } from '../lz4-frame.ts';
import { optionalPeer } from '../optional-peer.ts';
import { zstdDecompress } from '../orc/zstd.ts';
import type { ArrowFile } from './arrow-file.ts';
import { formatInvalid, formatUnsupported } from './format-error.ts';

/** Buffers beyond this are refused; apache-arrow does not tell its codecs what length a buffer claims. */
const largestBuffer = 256 * 1024 * 1024;

/**
 * apache-arrow's own reader of the same data, for those who want its vectors and tables: every batch's metadata has
 * been looked at before, so that its parser meets none that is malformed. LZ4 and ZSTD work.
 *
 * @throws SealpipeError CONFIG_INVALID where apache-arrow is not installed, FORMAT_INVALID, FORMAT_UNSUPPORTED for big-endian values
 */
export async function openRecordBatchReader(
  file: ArrowFile,
  options: { signal?: AbortSignal } = {},
): Promise<RecordBatchReader> {
  // It would take the bytes of numbers as they are.
  if (file.schema.bigEndian === true)
    throw formatUnsupported('its values are big-endian: read them with readArrowRows');
  const arrow = await optionalPeer('apache-arrow', () => import('apache-arrow'));
  await file.batchHeaders(undefined, options);
  const { compressionRegistry, CompressionType } = arrow;
  const decoders = { LZ4_FRAME: lz4Frame, ZSTD: zstdDecompress } as const;
  for (const [name, expand] of Object.entries(decoders)) {
    const type = CompressionType[name as keyof typeof decoders];
    if (compressionRegistry.get(type) !== null) continue;
    compressionRegistry.set(type, {
      decode: (input: Uint8Array) => {
        const output = expand(input, largestBuffer);
        if (output === undefined) throw formatInvalid(`a buffer is no ${name}`);
        // Its vectors are views, which have to begin where their type may.
        return Uint8Array.from(output);
      },
    });
  }
  const handle = asFileHandle(file.source, options) as FileHandle;
  return arrow.RecordBatchReader.from(handle);
}
