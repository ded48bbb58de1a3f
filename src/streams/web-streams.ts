/** The two Transform streams as web streams, for `ReadableStream.pipeThrough`. */
import type { Duplex } from 'node:stream';
import { ByteLengthQueuingStrategy, ReadableStream, WritableStream } from 'node:stream/web';
import { streamBufferLength } from '../buffer-length.ts';
import { SealpipeError } from '../errors.ts';
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

/** Not `Duplex.toWeb`: it counts chunks by a limit meant as bytes, so half a million of them would pile up before a slow sink. */
function byteTransform(stream: Duplex): ByteTransform {
  return { readable: ReadableStream.from(stream as AsyncIterable<Uint8Array>), writable: writableOf(stream) };
}

function writableOf(stream: Duplex): WritableStream<Uint8Array> {
  return new WritableStream<Uint8Array>(
    {
      start(controller) {
        // Also what keeps a failure from being unhandled while nobody reads yet; the readable side gets it when it is read.
        stream.once('error', (error) => controller.error(error));
        stream.once('close', () => {
          if (stream.writableFinished || stream.errored) return;
          controller.error(new SealpipeError('ABORTED', 'the stream was given up by its reader before its end'));
        });
      },
      write: (chunk) => settled((done) => stream.write(chunk, done)),
      close: () => settled((done) => stream.end(done)),
      abort: (reason) => {
        stream.destroy(
          reason instanceof Error ? reason : new SealpipeError('ABORTED', 'the stream was aborted', { cause: reason }),
        );
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: streamBufferLength }),
  );
}

function settled(start: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error ? reject(error) : resolve()));
  });
}
