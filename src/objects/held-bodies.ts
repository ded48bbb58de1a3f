/**
 * Bodies that wait, unread, until an instruction file has been fetched. Each holds a connection, and the file takes one more: where all of
 * a client's connections were held so, none would ever come free.
 */
import type { GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3';
import { handlerSettings } from '../requests/plain-client.ts';
import { discardAnswer } from './stored-ranges.ts';

/** By client, how many there are now. */
const held = new WeakMap<S3Client, number>();

/** Connections of a handler that does not say how many it has. */
const fewConnections = 16;

/**
 * Does something that takes a connection of the client while an answer's body waits.
 * @param again the same request once more: made afterwards where the body would have held the last connection, and was given up
 */
export async function whileHeld<T>(
  client: S3Client,
  answer: GetObjectCommandOutput,
  { work, again }: { readonly work: () => Promise<T>; readonly again: () => Promise<GetObjectCommandOutput> },
): Promise<{ readonly result: T; readonly answer: GetObjectCommandOutput }> {
  const others = held.get(client) ?? 0;
  if (others + 1 >= connectionsOf(client)) {
    discardAnswer(answer);
    const result = await work();
    return { result, answer: await again() };
  }
  held.set(client, others + 1);
  try {
    return { result: await work(), answer };
  } finally {
    held.set(client, (held.get(client) ?? 1) - 1);
  }
}

/** As many as it opens to one host. */
function connectionsOf({ config: { requestHandler } }: S3Client): number {
  const { httpAgent, httpsAgent } = handlerSettings(requestHandler);
  return Math.min(...[httpAgent, httpsAgent].map((agent) => agent?.maxSockets ?? fewConnections));
}
