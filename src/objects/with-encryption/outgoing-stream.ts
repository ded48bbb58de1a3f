/** A stream that goes out as the body of a request. */
import { Readable, type Writable } from 'node:stream';

/**
 * Has a request fail with its body. The SDK's handler pipes, and Node's pipe leaves a request open for bytes that never come when its
 * source fails; an error that nobody hears would even end the process.
 * @param body what the SDK has made of `source`: itself, or another stream around it
 */
export function failWithSource(body: unknown, source: Readable): void {
  if (!(body instanceof Readable)) return;
  body.on('error', () => undefined);
  const pipe = body.pipe.bind(body);
  body.pipe = <T extends NodeJS.WritableStream>(destination: T, options?: { end?: boolean }): T => {
    const fail = (error: Error): void => void (destination as unknown as Writable).destroy(error);
    if (body.errored === null) body.once('error', fail);
    else fail(body.errored);
    return pipe(destination, options);
  };
  if (body === source) return;
  if (source.errored === null) source.once('error', (error) => body.destroy(error));
  else body.destroy(source.errored);
}
