/** What a template holds the outcome of, besides the request: the place that a client sends to, and its strategy of retries. */
import type { AwsClient } from './plain-client.ts';

/** Settings that decide the address of a request. Functions stand for what they say. */
const addressing = [
  'forcePathStyle',
  'useAccelerateEndpoint',
  'useArnRegion',
  'useDualstackEndpoint',
  'useFipsEndpoint',
  'bucketEndpoint',
  'disableMultiregionAccessPoints',
];

interface Place {
  readonly protocol?: unknown;
  readonly hostname?: unknown;
  readonly port?: unknown;
  readonly path?: unknown;
}

/**
 * Where requests of a client go now. Endpoint and region can be functions of the caller's, which the SDK asks for every request.
 * @returns undefined where they cannot be had: the client then says what is wrong
 */
export async function placeOf(client: AwsClient): Promise<readonly unknown[] | undefined> {
  const config = client.config as unknown as Record<string, unknown>;
  const { region, endpoint } = config as { region?: () => Promise<string>; endpoint?: () => Promise<Place> };
  try {
    const [name, { protocol, hostname, port, path } = {}] = await Promise.all([region?.(), endpoint?.()]);
    return [name, protocol, hostname, port, path, ...addressing.map((setting) => config[setting])];
  } catch {
    return undefined;
  }
}

export function isSamePlace(found: readonly unknown[] | undefined, expected: readonly unknown[] | undefined): boolean {
  return found?.length === expected?.length && found?.every((each, i) => each === expected?.[i]) === true;
}

interface RetryStrategy {
  readonly mode?: string;
  acquireInitialRetryToken(scope: string): Promise<object>;
  recordSuccess(token: object): void;
}

/**
 * A function to tell the SDK's retries of a success that it did not see. They live on successes: without, failures would use up
 * what retries may cost, and a client that has served for long would ask for nothing again.
 * @returns undefined for another strategy than the SDK's standard one, which may count or hold back every request
 */
export async function successRecorder(client: AwsClient): Promise<(() => void) | undefined> {
  const { retryStrategy } = client.config as { retryStrategy?: () => Promise<RetryStrategy> };
  const strategy = await retryStrategy?.();
  if (strategy?.mode !== 'standard' || strategy.constructor.name !== 'StandardRetryStrategy') return undefined;
  const token = await strategy.acquireInitialRetryToken('');
  return () => strategy.recordSuccess(token);
}
