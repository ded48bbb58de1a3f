/** The two Transform streams as web streams, for `ReadableStream.pipeThrough`. */
import { Duplex } from 'node:stream';
import type { ReadableStream, WritableStream } from 'node:stream/web';
import { createDecryptStream, type DecryptStreamOptions } from './decrypt-stream.ts';
import { createEncryptStream, type EncryptStreamOptions } from './encrypt-stream.ts';

/** A pair that `pipeThrough` takes. */
export interface ByteTransform {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

/** {@link createEncryptStream} as a web transform. */
export function createEncryptWebStream(
  options: EncryptStreamOptions,
): ByteTransform & { readonly envelope: Promise<Record<string, string>> } {
  const stream = createEncryptStream(options);
  return { ...byteTransform(stream), envelope: stream.envelope };
}

/** {@link createDecryptStream} as a web transform. */
export function createDecryptWebStream(options: DecryptStreamOptions): ByteTransform {
  return byteTransform(createDecryptStream(options));
}

function byteTransform(stream: Duplex): ByteTransform {
  const { readable, writable } = Duplex.toWeb(stream);
  return { readable: readable as ReadableStream<Uint8Array>, writable: writable as WritableStream<Uint8Array> };
}
