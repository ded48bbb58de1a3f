/** A decrypting stream as the Body of a GetObject answer: with the methods that the SDK puts on bodies. */
import { errorMonitor } from 'node:events';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { asAbort } from './aborts.ts';

interface BodyMethods {
  transformToByteArray(): Promise<Uint8Array>;
  transformToString(encoding?: string): Promise<string>;
  transformToWebStream(): ReadableStream;
}

/** Adds the SDK's methods to a stream. Like the SDK's, a body can be transformed once. */
export function responseBody(stream: Readable): Readable & BodyMethods {
  // Not a listener: an error that nobody hears still ends the process, as the SDK's does.
  stream.once(errorMonitor, asAbort);
  let transformed = false;
  const once = (): void => {
    if (transformed) throw new Error('the body has been transformed already');
    transformed = true;
  };
  const toByteArray = async (): Promise<Uint8Array> => {
    once();
    const chunks: Uint8Array[] = [];
    for await (const chunk of stream as AsyncIterable<Uint8Array>) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
  return Object.assign(stream, {
    transformToByteArray: toByteArray,
    async transformToString(encoding?: string): Promise<string> {
      const bytes = await toByteArray();
      if (encoding === undefined || Buffer.isEncoding(encoding)) return Buffer.from(bytes).toString(encoding);
      return new TextDecoder(encoding).decode(bytes);
    },
    transformToWebStream(): ReadableStream {
      once();
      return Readable.toWeb(stream);
    },
  });
}
