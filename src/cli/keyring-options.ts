/** From key options to a keyring. */
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type AdditionalKey,
  aesKeyring,
  type Keyring,
  type KeyringProvider,
  kmsDiscoveryKeyring,
  kmsKeyring,
  providerKeyring,
  rsaKeyring,
  SealpipeError,
} from '../index.ts';
import { readAesKey, readDecryptionKey, readPem, type WarnOfKeyFile } from './key-file.ts';
import type { KeyOptions } from './options/key-options.ts';
import { parseDescribedFile } from './pairs.ts';
import type { Session } from './session.ts';
import { UsageError } from './usage-error.ts';

export interface OpenKeyringOptions {
  readonly options: KeyOptions;
  readonly session: Session;
  readonly direction: 'encrypt' | 'decrypt';
  readonly warn: WarnOfKeyFile;
}

type KeyKind = 'kms' | 'kms-discovery' | 'aes' | 'rsa' | 'provider' | 'decryption';

const optionOf: Readonly<Record<KeyKind, string>> = {
  kms: '--kms-key-id',
  'kms-discovery': '--kms-discovery',
  aes: '--aes-key-file',
  rsa: '--rsa-public-key, --rsa-private-key',
  provider: '--materials-provider',
  decryption: '--decryption-key',
};

/** Which kind of key was given. Undefined: none. @throws UsageError for two kinds, and for options that need another one */
export function keyKind(options: KeyOptions): KeyKind | undefined {
  const {
    kmsKeyId,
    kmsDiscovery,
    kmsAccount,
    aesKeyFile,
    rsaPublicKey,
    rsaPrivateKey,
    materialsProvider,
    decryptionKey,
  } = options;
  const given: KeyKind[] = [];
  if (kmsKeyId !== undefined) given.push('kms');
  if (kmsDiscovery === true) given.push('kms-discovery');
  if (aesKeyFile !== undefined) given.push('aes');
  if (rsaPublicKey !== undefined || rsaPrivateKey !== undefined) given.push('rsa');
  if (materialsProvider !== undefined) given.push('provider');
  const [kind, second] = given;
  if (kind !== undefined && second !== undefined)
    throw new UsageError(`two kinds of key are given (${optionOf[kind]} and ${optionOf[second]}): give one`);
  if (kmsAccount !== undefined && kind !== 'kms-discovery')
    throw new UsageError('--kms-account goes with --kms-discovery');
  if (kind === 'kms-discovery' && kmsAccount === undefined)
    throw new UsageError('--kms-discovery needs the accounts whose keys are trusted: --kms-account 111122223333');
  if (decryptionKey !== undefined) {
    if (kind !== undefined && kind !== 'aes' && kind !== 'rsa')
      throw new UsageError(`--decryption-key goes with AES and RSA keys, not with ${optionOf[kind]}`);
    return kind ?? 'decryption';
  }
  return kind;
}

/** What to say where a key is needed and none was given. */
export function missingKey(direction: 'encrypt' | 'decrypt', { local }: { local: boolean }): UsageError {
  const kms = local ? '--kms-key-id alias/sealpipe (made on first use)' : '--kms-key-id ID';
  return new UsageError(
    direction === 'encrypt'
      ? `no key is given to encrypt with: add ${kms}, --aes-key-file FILE, --rsa-public-key FILE or --materials-provider MODULE (or --client-side none with --sse, to leave encryption to S3)`
      : `no key is given to decrypt with: add ${kms}, --aes-key-file FILE, --rsa-private-key FILE, --kms-discovery or --materials-provider MODULE`,
  );
}

/** A keyring for commands that look at objects without opening one. */
export const noKeyring: Keyring = {
  async generateDataKey() {
    throw missingKey('encrypt', { local: false });
  },
  async unwrapDataKey() {
    throw missingKey('decrypt', { local: false });
  },
};

/**
 * Makes the keyring.
 * @throws UsageError for options that do not go together
 * @throws SealpipeError CONFIG_INVALID for a file or module that is not what it should be
 */
export async function openKeyring(request: OpenKeyringOptions): Promise<Keyring> {
  const { options, session, direction } = request;
  const kind = keyKind(options);
  refuseForeignDescriptions(options, kind);
  switch (kind) {
    case undefined:
      throw missingKey(direction, { local: session.local !== undefined });
    case 'kms':
      return kmsKeyring({ keyId: options.kmsKeyId ?? '', client: await session.kms() });
    case 'kms-discovery':
      return kmsDiscoveryKeyring({ client: await session.kms(), accounts: options.kmsAccount ?? [] });
    case 'provider':
      return providerKeyring(await loadProvider(options.materialsProvider ?? ''));
    case 'aes':
    case 'rsa':
    case 'decryption':
      return openRawKeyring(request);
  }
}

function refuseForeignDescriptions(
  { encryptionContext, materialsDescription }: KeyOptions,
  kind: KeyKind | undefined,
): void {
  if (encryptionContext !== undefined && (kind === 'aes' || kind === 'rsa' || kind === 'decryption'))
    throw new UsageError('--encryption-context goes with KMS keys; AES and RSA keys have --materials-description');
  if (materialsDescription !== undefined && kind === 'kms')
    throw new UsageError('--materials-description goes with AES and RSA keys; KMS keys have --encryption-context');
}

async function openRawKeyring({ options, warn }: OpenKeyringOptions): Promise<Keyring> {
  const { aesKeyFile, rsaPublicKey, rsaPrivateKey, decryptionKey = [] } = options;
  const aes: AdditionalKey<Awaited<ReturnType<typeof readAesKey>>>[] = [];
  const rsa: AdditionalKey<string>[] = [];
  for (const argument of decryptionKey) {
    const { description, file } = parseDescribedFile(argument, '--decryption-key');
    const read = await readDecryptionKey(file, warn);
    if (read.kind === 'aes') aes.push({ key: read.key, materialsDescription: description });
    else rsa.push({ key: read.pem, materialsDescription: description });
  }
  const isRsa = rsaPublicKey !== undefined || rsaPrivateKey !== undefined || rsa.length > 0;
  const isAes = aesKeyFile !== undefined || aes.length > 0;
  if (isRsa && isAes) throw new UsageError('AES and RSA keys are given together: give keys of one kind');
  if (isAes) {
    const key = aesKeyFile === undefined ? undefined : await readAesKey(aesKeyFile, warn);
    return aesKeyring({ key, additional: aes });
  }
  const publicKey = rsaPublicKey === undefined ? undefined : await readPem(rsaPublicKey, undefined);
  const privateKey = rsaPrivateKey === undefined ? undefined : await readPem(rsaPrivateKey, warn);
  try {
    return rsaKeyring({ publicKey, privateKey, additional: rsa });
  } catch (cause) {
    // It names its own options, not the files that they came from.
    const files = [
      rsaPublicKey,
      rsaPrivateKey,
      ...decryptionKey.map((argument) => parseDescribedFile(argument, '').file),
    ];
    throw new SealpipeError(
      'CONFIG_INVALID',
      `${files.filter((file) => file !== undefined).join(', ')}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** Loads a module by path or by package name, from the working folder. */
async function loadProvider(name: string): Promise<KeyringProvider> {
  let loaded: { default?: unknown; materialsProvider?: unknown };
  try {
    const isPath = /^(\.{0,2}[/\\]|[A-Za-z]:[/\\]|file:)/.test(name);
    const url = name.startsWith('file:')
      ? name
      : pathToFileURL(isPath ? resolve(name) : createRequire(resolve('package.json')).resolve(name)).href;
    loaded = (await import(url)) as typeof loaded;
  } catch (cause) {
    throw new SealpipeError(
      'CONFIG_INVALID',
      `the materials provider ${name} cannot be loaded (${(cause as Error).message}): expected a path such as ./provider.mjs, or a package installed here`,
      { cause },
    );
  }
  const provider = loaded.default ?? loaded.materialsProvider;
  if (typeof provider !== 'function')
    throw new SealpipeError(
      'CONFIG_INVALID',
      `the materials provider ${name} exports no function: expected a default export, or one named materialsProvider`,
    );
  return provider as KeyringProvider;
}
