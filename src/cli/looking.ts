/** What commands that look at objects, and return no content, share. */
import { EncryptedS3, type ReadPolicy } from '../index.ts';
import type { CommandContext } from './command-run.ts';
import { keyKind, noKeyring, openKeyring } from './keyring-options.ts';
import type { KeyOptions } from './options/key-options.ts';
import type { PlaceOptions } from './options/place-options.ts';
import { Session } from './session.ts';

/** Opens S3, with a key where one is given, runs `work`, and closes it. */
export async function withLooking<Result>(
  options: PlaceOptions & KeyOptions,
  policy: ReadPolicy,
  context: CommandContext,
  work: (looking: { s3: EncryptedS3; session: Session }) => Promise<Result>,
): Promise<Result> {
  const session = await Session.open({ place: options, note: context.note });
  try {
    const keyring =
      keyKind(options) === undefined
        ? noKeyring
        : await openKeyring({ options, session, direction: 'decrypt', warn: context.warn });
    const { encryptionContext } = options;
    const s3 = new EncryptedS3({ client: session.client, keyring, encryptionContext, ...policy });
    return await work({ s3, session });
  } finally {
    await session.close();
  }
}
