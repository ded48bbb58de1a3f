/** What a request that is made without the client takes from it anew each time. */
import type { AwsClient } from './plain-client.ts';
import type { SigningIdentity } from './signature.ts';

/** Who signs. Undefined where the client has no credentials: it then says by itself what is wrong. */
export async function identityOf(client: AwsClient): Promise<SigningIdentity | undefined> {
  const { credentials } = client.config as { credentials?: () => Promise<SigningIdentity> };
  return credentials?.().catch(() => undefined);
}

/** Milliseconds since 1970, as far as the SDK knows from the service's answers. */
export function timeOf(client: AwsClient): number {
  const { systemClockOffset = 0 } = client.config as { systemClockOffset?: number };
  return Date.now() + systemClockOffset;
}
