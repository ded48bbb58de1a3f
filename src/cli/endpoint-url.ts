import { UsageError } from './usage-error.ts';

/** @throws UsageError when it is no URL of a server */
export function parseEndpointUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol))
    throw new UsageError(`${JSON.stringify(text)} is no endpoint: expected http://host:port or https://host`);
  if (url.username !== '' || url.password !== '')
    throw new UsageError(
      'an endpoint with a user and a password in it was given: credentials come from the environment or a profile',
    );
  return url;
}

/** Whether a URL leads to this machine itself. */
export function isLoopbackUrl({ hostname }: URL): boolean {
  const host = hostname.replace(/^\[|\]$/g, '');
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** Milliseconds that an endpoint on this machine has to say what it is. */
const probeTimeout = 2000;

/**
 * Whether an endpoint is a `sealpipe local`, which serves KMS beside S3. Only this machine is asked: a store elsewhere that
 * called itself so would be handed the making of data keys, and could then read what it stores.
 */
export async function isLocalEndpoint(url: URL): Promise<boolean> {
  if (!isLoopbackUrl(url)) return false;
  try {
    const answer = await fetch(new URL('/_sealpipe', url), {
      signal: AbortSignal.timeout(probeTimeout),
      redirect: 'error',
    });
    const text = await answer.text();
    return answer.ok && (JSON.parse(text) as { product?: unknown }).product === 'sealpipe local';
  } catch {
    return false;
  }
}
