/** What commands that look at objects without opening them share. */
import { EncryptedS3, type ReadPolicy } from '../index.ts';
import type { CommandContext } from './command-run.ts';
import { noKeyring } from './keyring-options.ts';
import type { PlaceOptions } from './options/place-options.ts';
import { Session } from './session.ts';

/** Opens S3 without a key, runs `work`, and closes it. */
export async function withLooking<Result>(
  place: PlaceOptions,
  policy: ReadPolicy,
  context: CommandContext,
  work: (looking: { s3: EncryptedS3; session: Session }) => Promise<Result>,
): Promise<Result> {
  const session = await Session.open({ place, note: context.note });
  try {
    return await work({ s3: new EncryptedS3({ client: session.client, keyring: noKeyring, ...policy }), session });
  } finally {
    await session.close();
  }
}
